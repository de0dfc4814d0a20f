"""Print how far attribution methods are from captum's: ``python -m tests.golden.methods``.

``methods_resnet18.npz`` holds what captum 0.9.0 gives in float32 for ResNet-18 with the recipe's weights (seed 11), the
cat at 96 x 96 pixels and class 281, one value a channel. Where a unit is nearer to its kink than float32 can tell, one
library's gradient goes round the other side. At 50 points between the baseline and the image that happens: the array of
integrated gradients is itself 1.7e-4 from what float64 gives, and so is compared with that.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from srd_jax import models
from srd_jax.attribution import METHODS
from tests.golden import recipe

GOLDEN = Path(__file__).with_name("methods_resnet18.npz")
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "saliency": ("saliency", {}),
    "input_x_gradient": ("input_x_gradient", {}),
    "integrated_gradients_50": ("integrated_gradients", {"steps": 50}),
}
"""For each array the method, and its options."""

_TARGET = 281


def network(dtype: Any = jnp.float32) -> tuple[Callable[..., Any], Any, np.ndarray]:
    """ResNet-18 with the recipe's weights, its variables and the image, in a type."""
    net = models.load("resnet18", weights=recipe.state_dict(recipe.shapes("resnet18"), 11), dtype=dtype)
    variables = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), net.variables)
    return net.apply, variables, recipe.image("chelsea", 96).astype(dtype)


def difference(array: str, dtype: Any = jnp.float32) -> float:
    """Relative L2 difference of one array to the method's values, computed in a type."""
    method, options = WAYS[array]
    f, variables, images = network(dtype)
    heat = METHODS[method](f, reduce=None, **options)(variables, images, _TARGET)[0]
    with np.load(GOLDEN) as golden:
        return float(np.linalg.norm(heat - golden[array]) / np.linalg.norm(golden[array]))


if __name__ == "__main__":
    for name in WAYS:
        single = difference(name)
        with jax.enable_x64(True):
            print(f"{name:26s} float32 {single:.1e}  float64 {difference(name, np.float64):.1e}")
