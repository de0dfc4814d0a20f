"""A task whose answer is known: a patch decides the class, and a network that is built by hand looks for it alone.

Every image is faint noise with two patches of different textures. The class is one texture's, the other is there to
mislead; no other pixel can change a logit. So what a map of the class should lie on is known, which no photo tells.
"""

import io
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, UInt8
from PIL import Image

from srd_jax.data.annotations import OBJECT, OUTSIDE, Annotation
from srd_jax.data.images import Images
from srd_jax.models import Network, Preprocessing

__all__ = ["CLASSES", "PATCH", "SIDE", "network", "planted", "planted_images"]

SIDE, PATCH, CLASSES = 64, 16, 4
_FAINT = 12  # levels, standard deviation of the noise
_GREY, _CONTRAST = 128, 100  # levels
_SCALE = 1000.0  # a patch gives its class a logit of about 9, and all others exactly 0


def planted(seed: int) -> tuple[UInt8[np.ndarray, "side side 3"], int, int, UInt8[np.ndarray, "2 side side"]]:
    """One image of the task.

    Args:
        seed: of the image.

    Returns:
        The image, its class, the class of the other patch, and the masks of both patches.
    """
    rng = np.random.default_rng(seed)
    image = rng.normal(_GREY, _FAINT, (SIDE, SIDE, 3))
    classes = rng.choice(CLASSES, 2, replace=False)
    cells = rng.choice((SIDE // (2 * PATCH)) ** 2, 2, replace=False)  # two of the quarters, one patch in each
    masks = np.full((2, SIDE, SIDE), OUTSIDE, np.uint8)
    for k, (each, cell) in enumerate(zip(classes, cells, strict=True)):
        row, column = np.array(divmod(int(cell), SIDE // (2 * PATCH))) * 2 * PATCH + rng.integers(0, PATCH + 1, 2)
        # textures have a period of three pixels: where a patch begins makes no difference to the filters that find it
        tiles = np.tile(_textures()[each], (-(-PATCH // 3), -(-PATCH // 3), 1))[:PATCH, :PATCH]
        image[row : row + PATCH, column : column + PATCH] = _GREY + _CONTRAST * tiles
        masks[k, row : row + PATCH, column : column + PATCH] = OBJECT
    return np.clip(image, 0, 255).round().astype(np.uint8), int(classes[0]), int(classes[1]), masks


def planted_images(count: int, seed: int = 0) -> Images:
    """Images of the task, with the class of the first patch and its mask.

    Args:
        count: how many.
        seed: of all of them.
    """

    def read(place: int) -> tuple[bytes, int]:
        image, target, _, _ = planted(seed + place)
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        return file.getvalue(), target

    def annotation(place: int) -> Annotation:
        _, target, _, masks = planted(seed + place)
        return Annotation((target,), masks=masks[:1])

    ids = tuple(f"planted:{seed + place}" for place in range(count))
    return Images("planted patches", ids, network().labels, read, annotation=annotation)


def network() -> Network:
    """The network: filters for the textures, ReLUs that only a texture passes, and the mean over positions.

    Its second convolution takes the mean of three by three positions, so that relevance has some way to go.
    """
    labels = tuple(f"texture {k}" for k in range(CLASSES))
    preprocess = Preprocessing(SIDE, SIDE, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    return Network("planted", _apply, _variables(), preprocess, labels, ("filters", "means"), trained=True)


def _textures() -> Float[np.ndarray, "classes 3 3 3"]:
    """Patterns of +-1 of three by three pixels in three colours, alike in none of their shifts."""
    rows, columns = np.indices((3, 3))
    stripes = (rows == 0, columns == 0, (rows + columns) % 3 == 0, (rows - columns) % 3 == 0)
    colours = ((1, -1, 1), (-1, 1, 1), (1, 1, -1), (1, -1, -1))
    return np.stack([np.where(on, 1.0, -1.0)[..., None] * np.array(c) for on, c in zip(stripes, colours, strict=True)])


def _variables() -> dict[str, Any]:
    filters, owners = [], []
    for k, texture in enumerate(_textures()):
        for shift in range(3):  # all shifts of stripes are three: these filters find them wherever they begin
            filters.append(np.roll(texture, shift, 1 if k else 0))
            owners.append(k)
    kernel = np.moveaxis(np.stack(filters), 0, -1) / 27
    level = 2 * _CONTRAST / 255  # of a texture in the network's input, and what its own filter answers
    return {
        "filters": {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.full(len(filters), -0.75 * level)},
        "classes": {"kernel": jnp.asarray(np.eye(CLASSES)[owners], jnp.float32) * _SCALE},
    }


def _apply(variables: Any, images: Float[Array, "n h w 3"]) -> Float[Array, "n classes"]:
    form = ("NHWC", "HWIO", "NHWC")
    x = lax.conv_general_dilated(images, variables["filters"]["kernel"], (1, 1), "SAME", dimension_numbers=form)
    x = jax.nn.relu(x + variables["filters"]["bias"])
    means = jnp.repeat(jnp.full((3, 3, 1, 1), 1 / 9, x.dtype), x.shape[-1], -1)
    x = lax.conv_general_dilated(x, means, (1, 1), "SAME", dimension_numbers=form, feature_group_count=x.shape[-1])
    return jax.nn.relu(x).mean((1, 2)) @ variables["classes"]["kernel"]
