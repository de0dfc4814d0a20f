"""Activation patterns: what a network predicts from which of its units are on."""

from srd_jax.patterns.apop import active_layers, apop

__all__ = ["active_layers", "apop"]
