"""Print how far metrics are from Quantus's: ``python -m tests.golden.metrics``.

``metrics_resnet18.npz`` holds the scores of Quantus 0.6.0 for four photos at 96 x 96 pixels, the predicted classes of
ResNet-18 with the recipe's weights (seed 11), the gradient times the input as maps, and random masks. Quantus flips
channels of pixels by the 96, which is 32 pixels of three channels. To sparseness it adds 1e-7 to maps between -1 and 1.
The correlation over random sets agrees within its spread, and the logits within float32.
"""

from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from srd_jax import metrics, models
from tests.golden import recipe

GOLDEN = Path(__file__).with_name("metrics_resnet18.npz")
AT_ONCE = 32


@cache
def golden() -> dict[str, np.ndarray]:
    """Every array of the file."""
    with np.load(GOLDEN) as file:
        return dict(file)


def of_maps() -> dict[str, Any]:
    """Metrics of maps and masks alone, by the array's name."""
    maps, masks = jnp.asarray(golden()["attributions"]), jnp.asarray(golden()["masks"])
    sizes = jnp.abs(maps)
    return {
        "pointing_game": metrics.mask_pointing(sizes, masks),
        "pointing_game_signed": metrics.mask_pointing(maps, masks),
        "attribution_localisation": metrics.attribution_localisation(maps, masks),
        "relevance_mass_accuracy": metrics.attribution_localisation(maps, masks),
        "relevance_rank_accuracy": metrics.rank_accuracy(maps, masks),
        "top_k_intersection_1000": metrics.top_k_intersection(maps, masks, k=1000),
        "auc": metrics.auc(maps, masks),
        "sparseness": metrics.gini(sizes / sizes.max() + 1e-7),
        "complexity": metrics.complexity(maps),
        "effective_complexity_1e-5": metrics.effective_complexity(maps, epsilon=1e-5),
    }


def of_network(dtype: Any = jnp.float32) -> dict[str, Any]:
    """Metrics that run the network, by the array's name."""
    net = models.load("resnet18", weights=recipe.state_dict(recipe.shapes("resnet18"), 11), dtype=dtype)
    variables = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), net.variables)
    images = jnp.asarray(np.concatenate([recipe.image(str(name), 96) for name in golden()["images"]]), dtype)
    maps, targets = jnp.asarray(golden()["attributions"]), jnp.asarray(golden()["classes"])
    model = net.apply, variables, images, maps, targets, metrics.black(images)
    return {
        "pixel_flipping_96_black": metrics.pixel_flipping(*model, at_once=AT_ONCE),
        "faithfulness_estimate_96_black": metrics.faithfulness_estimate(*model, at_once=AT_ONCE),
    }


def difference(name: str, found: Any) -> float:
    """The largest difference to an array, for the array's largest value."""
    expected = golden()[name].astype(np.float64)
    return float(np.abs(np.asarray(found, np.float64) - expected).max() / np.abs(expected).max())


if __name__ == "__main__":
    with jax.enable_x64(True):
        for array, values in {**of_maps(), **of_network(np.float64)}.items():
            print(f"{array:32s} {difference(array, values):.1e}")
