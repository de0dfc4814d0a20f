"""Activation patterns: what a network predicts from which of its units are on."""

from srd_jax.patterns.apop import apop

__all__ = ["apop"]
