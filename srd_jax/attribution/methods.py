"""The table of attribution methods, and what one is."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from jaxtyping import Array, Float

from srd_jax.attribution.gradient import gradient
from srd_jax.attribution.srd import explain
from srd_jax.attribution.srd_encoder import srd_encoder
from srd_jax.attribution.srd_scalar import srd_scalar

__all__ = ["METHODS", "Explain", "Method"]

Explain = Callable[..., Float[Array, "n ..."]]
"""``(variables, images, targets=None) -> maps``."""

Method = Callable[..., Explain]
"""``(f, **options) -> explain``: every option is a keyword with a default."""

METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "srd": explain,
        "srd_scalar": srd_scalar,
        "srd_encoder": srd_encoder,
        "gradient": gradient,
    }
)
"""Every method by name."""
