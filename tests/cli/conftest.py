from tests.small_sets import small_set, source

from .networks import use

__all__ = ["small_set", "source", "use"]
