"""Attribution methods under one protocol: ``METHODS[name](f, **options)(variables, images, targets) -> maps``.

Every method is a function of a model ``f(variables, images) -> logits`` and of keyword options with defaults. What it
returns is pure, takes a batch whose images are independent, and gives (N, *grid) maps for an int or (N,) targets,
(N, K, *grid) for (N, K), of the predicted class for None: `jax.jit`, `jax.vmap` and sharding work on it.

A new method is a file with one function, and a row of `METHODS`.
"""

from srd_jax.attribution.methods import METHODS, Explain, Method, find_method, keywords_of, with_options

__all__ = ["METHODS", "Explain", "Method", "find_method", "keywords_of", "with_options"]
