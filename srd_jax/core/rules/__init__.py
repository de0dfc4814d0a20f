"""Sharing rules, one file a family; importing this package registers them."""

from srd_jax.core.rules import arithmetic, convolution, dense, gathering, pooling, shape, without
from srd_jax.core.rules.positionwise import positionwise

__all__ = ["arithmetic", "convolution", "dense", "gathering", "pooling", "positionwise", "shape", "without"]
