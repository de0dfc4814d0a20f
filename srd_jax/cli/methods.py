"""Which attribution methods a command runs, and with which options."""

from collections.abc import Sequence
from typing import Any

from srd_jax.attribution import find_method, keywords_of
from srd_jax.errors import MethodError

from .options import DEFAULTS

__all__ = ["chosen", "given"]


def chosen(names: Sequence[str]) -> list[str]:
    """Methods, each once.

    Raises:
        MethodError: there is no such method.
    """
    for name in names:
        find_method(name)
    return list(dict.fromkeys(names))


def given(names: Sequence[str] | None, **options: str) -> dict[str, Any]:
    """The options of methods, "none" of contrast as None.

    Raises:
        MethodError: an option was given that none of the methods has.
    """
    known = {keyword for name in names or ("srd",) for keyword in keywords_of(find_method(name))}
    for name, value in options.items():
        if name not in known and value != DEFAULTS[name]:
            raise MethodError(f"there is no option --{name} of {' and '.join(names or ())}: leave it out")
    return {name: None if name == "contrast" and value == "none" else value for name, value in options.items()}
