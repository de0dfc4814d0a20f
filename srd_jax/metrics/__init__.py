"""How good maps are, in numbers: one pure, jitted, batched function for each, and an interval around their mean.

Maps are (N, H, W); every function returns one number an image, (N,), or one curve an image. `METRICS` is the table of
all that experiments measure: a new metric is a file and a row of it.
"""

from srd_jax.metrics.bootstrap import Interval, bootstrap
from srd_jax.metrics.noise import noise_level
from srd_jax.metrics.perturbation import area, blurred, deletion, insertion, mean_colour
from srd_jax.metrics.pointing import pointing_game
from srd_jax.metrics.sparseness import gini
from srd_jax.metrics.table import METRICS, Explained, Metric

__all__ = [
    "METRICS",
    "Explained",
    "Interval",
    "Metric",
    "area",
    "blurred",
    "bootstrap",
    "deletion",
    "gini",
    "insertion",
    "mean_colour",
    "noise_level",
    "pointing_game",
]
