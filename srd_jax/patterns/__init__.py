"""Activation patterns: what a network predicts from which of its units are on."""
