from tests.small_sets import small_set, source

__all__ = ["small_set", "source"]
