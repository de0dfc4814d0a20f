"""What some commands need beyond the package's own dependencies."""

from collections.abc import Iterator
from contextlib import contextmanager

from srd_jax.errors import SRDError

__all__ = ["needing"]


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Turn a failed import into an error that names the extra to install.

    Args:
        extra: as in ``pip install 'srd_jax[extra]'``.

    Raises:
        SRDError: a module is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("srd_jax"):
            raise
        raise SRDError(f"this needs {error.name}: pip install 'srd_jax[{extra}]'") from error
