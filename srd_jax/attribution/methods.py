"""The table of attribution methods, and what one is."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from jaxtyping import Array, Float

from srd_jax.attribution.gradient import gradient
from srd_jax.core.transforms import explain

__all__ = ["METHODS", "Explain", "Method"]

Explain = Callable[..., Float[Array, "n ..."]]
"""``(variables, images, targets=None) -> maps``."""

Method = Callable[..., Explain]
"""``(f, **options) -> explain``: every option is a keyword with a default."""

METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "srd": explain,
        "srd_scalar": partial(explain, unit="scalar"),
        "srd_encoder": partial(explain, recursion=False),
        "gradient": gradient,
    }
)
"""Every method by name."""
