"""How good maps are, in numbers: one pure, jitted, batched function for each, and an interval around their mean.

Maps are (N, H, W); every function returns one number an image, (N,), or one curve an image, and a random one takes a
key and says its spread. `METRICS` is the table of all that experiments measure, `measure` asks for one by name: a new
metric is a file and a row of it.
"""

from srd_jax.metrics.bootstrap import Interval, bootstrap, bootstrap_columns
from srd_jax.metrics.complexity import complexity, effective_complexity
from srd_jax.metrics.estimate import Estimate
from srd_jax.metrics.faithfulness import (
    black,
    faithfulness_correlation,
    faithfulness_estimate,
    infidelity,
    irof,
    pixel_flipping,
    sensitivity_n,
    squares,
)
from srd_jax.metrics.localisation import (
    attribution_localisation,
    auc,
    energy_pointing,
    mask_pointing,
    rank_accuracy,
    top_k_intersection,
)
from srd_jax.metrics.noise import noise_level
from srd_jax.metrics.perturbation import area, blurred, deletion, insertion, mean_colour
from srd_jax.metrics.pointing import pointing_game
from srd_jax.metrics.randomisation import parameter_randomisation, random_logit, randomised
from srd_jax.metrics.robustness import (
    lipschitz_estimate,
    max_sensitivity,
    noises,
    noisy_maps,
    relative_input_stability,
    self_correlation,
)
from srd_jax.metrics.sparseness import gini
from srd_jax.metrics.table import METRICS, Explained, Metric, find_metric, measure

__all__ = [
    "METRICS",
    "Estimate",
    "Explained",
    "Interval",
    "Metric",
    "area",
    "attribution_localisation",
    "auc",
    "black",
    "blurred",
    "bootstrap",
    "bootstrap_columns",
    "complexity",
    "deletion",
    "effective_complexity",
    "energy_pointing",
    "faithfulness_correlation",
    "faithfulness_estimate",
    "find_metric",
    "gini",
    "infidelity",
    "insertion",
    "irof",
    "lipschitz_estimate",
    "mask_pointing",
    "max_sensitivity",
    "mean_colour",
    "measure",
    "noise_level",
    "noises",
    "noisy_maps",
    "parameter_randomisation",
    "pixel_flipping",
    "pointing_game",
    "random_logit",
    "randomised",
    "rank_accuracy",
    "relative_input_stability",
    "self_correlation",
    "sensitivity_n",
    "squares",
    "top_k_intersection",
]
