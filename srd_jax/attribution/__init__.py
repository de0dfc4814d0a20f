"""Attribution methods under one protocol: ``METHODS[name](f, **options)(variables, images, targets) -> maps``.

Every method is a function of a model ``f(variables, images) -> logits`` and of keyword options with defaults. What it
returns is pure, takes a batch whose images are independent, and gives (N, *grid) maps for an int or (N,) targets,
(N, K, *grid) for (N, K), of the predicted class for None: `jax.jit`, `jax.vmap` and sharding work on it.

Targets may also be a function of what the model returns, to (N,) numbers or (N, K): a difference of two logits, a
log-probability, a hidden unit, a sum over a mask.

A new method is a file with one function, a row of `METHODS` and one of `ABOUT`.
"""

from srd_jax.attribution.combining import enlarge, product, smooth
from srd_jax.attribution.methods import (
    ABOUT,
    METHODS,
    About,
    Explain,
    Method,
    find_method,
    keywords_of,
    option_value,
    with_options,
)

__all__ = [
    "ABOUT",
    "METHODS",
    "About",
    "Explain",
    "Method",
    "enlarge",
    "find_method",
    "keywords_of",
    "option_value",
    "product",
    "smooth",
    "with_options",
]
