"""Compiled programs, kept in the user's cache folder from one run of a command to the next."""

from typing import Any

from platformdirs import user_cache_path

__all__ = ["keep_programs"]

_LARGEST = 2**30  # bytes
_QUIET = (0, 10, 2)  # earlier versions of JAX log an error for every program that they find again on a CPU


def keep_programs(*, cache: bool) -> None:
    """Let JAX keep what it compiles, and find it again, unless the user or the environment says otherwise.

    JAX before 0.10.2 keeps nothing. A folder that cannot be made or written costs nothing but time. The programs used
    longest ago go first.

    Args:
        cache: whether to; else programs are neither kept nor looked for.
    """
    import jax  # noqa: PLC0415

    config: Any = jax.config
    if not cache:
        config.update("jax_enable_compilation_cache", False)
        return
    if config.jax_compilation_cache_dir is not None or not config.jax_enable_compilation_cache:
        return
    if jax.__version_info__ < _QUIET:
        return
    folder = user_cache_path("srd_jax") / "programs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    config.update("jax_compilation_cache_dir", str(folder))
    config.update("jax_compilation_cache_max_size", _LARGEST)
    config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
