"""Print how far attribution methods are from other people's: ``python -m tests.golden.methods``.

``methods_resnet18.npz`` and ``methods_vgg11.npz`` hold what captum 0.9.0, pytorch-grad-cam 1.5.7 and zennit 0.5.1 give
in float32 for networks with the recipe's weights (seed 11), the cat at 96 x 96 pixels and class 281: pixels by channel,
and maps of the encoder as they are before they are enlarged.

Where a unit is nearer to its kink, or a pool nearer to a tie, than float32 can tell, one library goes round the other
side, and a whole receptive field differs. So it is with

- integrated gradients, whose arrays are themselves 2e-4 from what float64 gives, at 50 points each between the baseline
  and the image, and VGG-11's smoothgrad, at eight noisy images (5e-4);
- all pixel methods of VGG-11: the second pool's window (8, 9) of channel 27 has its two largest values 4e-8 of the
  map's largest apart. Both sides of that tie are right; outside the pixels that the window reads (rows 28 to 38,
  columns 32 to 42) all agree;
- Ablation-CAM of VGG-11: each weight is (y - y_k) / y of a logit of 0.29, and all 512 of the array are 9e-6 too large,
  which is one rounding of y; less that constant it agrees.
"""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from srd_jax import models
from srd_jax.attribution import METHODS, smoothgrad
from srd_jax.attribution.site import site_of
from tests.golden import recipe

HERE = Path(__file__).parent
LAYERS = {"resnet18": "layer4.1.relu2", "vgg11": "features.19"}
_CAMS = ("gradcam", "gradcam_plus_plus", "xgradcam", "layercam", "hirescam", "scorecam", "ablationcam")
_PIXELS = (
    "saliency", "input_x_gradient", "guided_backprop", "deconvolution", "lrp_epsilon_plus", "lrp_epsilon_alpha2_beta1",
    "lrp_epsilon_gamma_box",
)  # fmt: skip
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {"reduce": None}) for name in _PIXELS},
    "integrated_gradients_50": ("integrated_gradients", {"steps": 50, "reduce": None}),
    "smoothgrad_8": ("smoothgrad", {"samples": 8, "reduce": None}),
    "occlusion_16": ("occlusion", {"patch": 16}),
    **{name: (name, {"enlarged": False}) for name in _CAMS},
}
"""For each array the method, and its options."""

TARGET = 281
_TIE = (slice(28, 39), slice(32, 43))
"""The pixels that the window with a tie reads."""


def network(architecture: str, dtype: Any = jnp.float32) -> tuple[Callable[..., Any], Any, np.ndarray]:
    """A network with the recipe's weights, its variables and the image, in a type."""
    net = models.load(architecture, weights=recipe.state_dict(recipe.shapes(architecture), 11), dtype=dtype)
    variables = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), net.variables)
    return net.apply, variables, recipe.image("chelsea", 96).astype(dtype)


def array_of(architecture: str, array: str, dtype: Any = jnp.float32) -> np.ndarray:
    """What a method makes of the network and the image, computed in a type."""
    method, options = WAYS[array]
    f, variables, images = network(architecture, dtype)
    if method in _CAMS:
        options = {**options, "layer": LAYERS[architecture]}
    with mock.patch.object(smoothgrad, "_normal", _noise_of_the_array) if method == "smoothgrad" else nullcontext():
        return np.asarray(METHODS[method](f, **options)(variables, images, TARGET)[0])


def _noise_of_the_array(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """In place of drawn noise, that of the eight samples which smoothgrad's key for them stands for."""
    noise = jnp.asarray(np.random.default_rng(0).standard_normal((8, *shape)), dtype)
    drawn = jax.random.key_data(jax.random.split(jax.random.key(0), 8))
    return noise[jnp.argmax((drawn == jax.random.key_data(key)).all(-1))]


def differences(architecture: str, array: str, dtype: Any = jnp.float32) -> tuple[float, float]:
    """Relative L2 difference of one array to the method's values: of all of it, and without what the kinks reach."""
    found = array_of(architecture, array, dtype)
    with np.load(HERE / f"methods_{architecture}.npz") as golden:
        expected = golden[array]
    if array == "occlusion_16":
        found = np.repeat(found[..., None], 3, -1)
    difference, size = found - expected, np.linalg.norm(expected)
    away = difference.copy()
    if architecture == "vgg11" and found.shape[:2] == (96, 96):
        away[_TIE] = 0
    if (architecture, array) == ("vgg11", "ablationcam"):
        f, variables, images = network(architecture, dtype)
        total = np.asarray(site_of(f, variables, jnp.asarray(images), LAYERS[architecture], -1).values[0].sum(-1))
        on = expected > 0
        away = away - on * total * (difference * on * total).sum() / (on * total**2).sum()
    return float(np.linalg.norm(difference) / size), float(np.linalg.norm(away) / size)


if __name__ == "__main__":
    for own in LAYERS:
        for name in WAYS:
            with jax.enable_x64(True):
                wide = differences(own, name, np.float64)
            single = differences(own, name)
            print(
                f"{own:9s} {name:26s} float32 {single[0]:.1e}, away from kinks {single[1]:.1e}; "
                f"float64 {wide[0]:.1e}, {wide[1]:.1e}",
                flush=True,
            )
