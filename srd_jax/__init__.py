"""Sharing Ratio Decomposition as a JAX function transformation: why a vision model decided what it did."""

from srd_jax.attribution.srd import explain
from srd_jax.core import rules
from srd_jax.core.edges import Edge
from srd_jax.core.flow import Account, Flow, Layer
from srd_jax.core.holding import hold
from srd_jax.core.registry import register_rule
from srd_jax.core.transforms import decompose
from srd_jax.errors import (
    DataError,
    ImageError,
    LayerError,
    LogitsError,
    MethodError,
    MetricError,
    SaturationWarning,
    ShapeError,
    SRDError,
    TargetError,
    UnsupportedPrimitiveError,
    WeightsError,
)
from srd_jax.patterns.apop import apop

__all__ = [
    "Account",
    "DataError",
    "Edge",
    "Flow",
    "ImageError",
    "Layer",
    "LayerError",
    "LogitsError",
    "MethodError",
    "MetricError",
    "SRDError",
    "SaturationWarning",
    "ShapeError",
    "TargetError",
    "UnsupportedPrimitiveError",
    "WeightsError",
    "apop",
    "decompose",
    "explain",
    "hold",
    "register_rule",
    "rules",
]
__version__ = "0.1.0"
