"""Experiments: what is measured on many images, and what explanations cost."""
