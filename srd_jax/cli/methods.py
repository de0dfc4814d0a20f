"""Which attribution methods a command runs, and with which options."""

from collections.abc import Sequence
from inspect import signature
from typing import Any

from srd_jax.attribution import find_method, keywords_of, option_value, with_options
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


def given(names: Sequence[str] | None, settings: Sequence[str] | None = None, **options: str) -> dict[str, Any]:
    """The options of methods, "none" of contrast as None.

    Args:
        names: of methods, None for SRD.
        settings: more options, each as ``name=value``.
        **options: as the command line has them.

    Raises:
        MethodError: an option was given that none of the methods has, or a value that it cannot take.
    """
    known = {keyword for name in names or ("srd",) for keyword in keywords_of(find_method(name))}
    for name, value in options.items():
        if name not in known and value != DEFAULTS[name]:
            raise MethodError(f"there is no option --{name} of {' and '.join(names or ())}: leave it out")
    told: dict[str, Any] = {
        name: None if name == "contrast" and value == "none" else value for name, value in options.items()
    }
    told |= dict(_setting(text, names or ("srd",)) for text in settings or ())
    for name in names or ("srd",):
        try:
            with_options(find_method(name), told)(_no_model)
        except ValueError as error:
            raise MethodError(f"{name}: {error}") from error
    return told


def _no_model(variables: Any, images: Any) -> Any:
    """What a method is tried on, which looks at its options before it has seen a model."""
    raise NotImplementedError


def _setting(text: str, names: Sequence[str]) -> tuple[str, Any]:
    """An option and its value, of the type that its default has."""
    name, sign, value = text.partition("=")
    parameters = [p for each in names for p in signature(find_method(each)).parameters.values() if p.name == name]
    if not sign or not parameters or name == "channel_axis":
        own = sorted({keyword for each in names for keyword in keywords_of(find_method(each))} - {"channel_axis"})
        raise MethodError(f"--set {text}: {' and '.join(names)} has the options {', '.join(own) or 'none'}")
    try:
        return name, option_value(value, parameters[0].default)
    except ValueError as error:
        raise MethodError(f"--set {text}: {name} {error}") from error
