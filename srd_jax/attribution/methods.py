"""The table of attribution methods, and what one is."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from jaxtyping import Array, Float

from srd_jax.attribution.input_x_gradient import input_x_gradient
from srd_jax.attribution.integrated_gradients import integrated_gradients
from srd_jax.attribution.saliency import saliency
from srd_jax.attribution.smoothgrad import smoothgrad
from srd_jax.attribution.srd import explain
from srd_jax.attribution.srd_encoder import srd_encoder
from srd_jax.attribution.srd_scalar import srd_scalar
from srd_jax.errors import MethodError
from srd_jax.messages import did_you_mean

__all__ = ["METHODS", "Explain", "Method", "find_method", "keywords_of", "with_options"]

Explain = Callable[..., Float[Array, "n ..."]]
"""``(variables, images, targets=None) -> maps``."""

Method = Callable[..., Explain]
"""``(f, **options) -> explain``: every option is a keyword with a default."""

METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "srd": explain,
        "srd_scalar": srd_scalar,
        "srd_encoder": srd_encoder,
        "saliency": saliency,
        "input_x_gradient": input_x_gradient,
        "integrated_gradients": integrated_gradients,
        "smoothgrad": smoothgrad,
    }
)
"""Every method by name."""


def find_method(name: str) -> Method:
    """A method by name.

    Raises:
        MethodError: there is none.
    """
    if name not in METHODS:
        raise MethodError(f"no attribution method is called {name!r}; {did_you_mean(name, list(METHODS))}")
    return METHODS[name]


def keywords_of(method: Method) -> tuple[str, ...]:
    """The options that a method has."""
    parameters = inspect.signature(method).parameters.values()
    return tuple(each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY)


def with_options(method: Method, options: Mapping[str, Any]) -> Method:
    """A method with those of some options that it has."""
    own = keywords_of(method)
    return partial(method, **{name: value for name, value in options.items() if name in own})
