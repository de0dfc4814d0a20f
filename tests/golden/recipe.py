"""The weights and the input behind the figures in this folder, made again from NumPy alone.

A weight depends on the seed, its torchvision name and its shape, and on nothing else, so any subset of a network's
parameters can be made on its own. Layouts are torchvision's: convolutions (out, in, kh, kw), dense kernels (out, in).
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import skimage.data

FOLDER = Path(__file__).parent
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


REFERENCES = tuple(json.loads((FOLDER / "shapes.json").read_text()))
"""torchvision's models of which the names and shapes of parameters are known."""


def shapes(model: str) -> dict[str, tuple[int, ...]]:
    """torchvision's parameter and buffer names of a model, with their shapes; `num_batches_tracked` is left out."""
    return {name: tuple(shape) for name, shape in json.loads((FOLDER / "shapes.json").read_text())[model].items()}


def figures(model: str) -> dict[str, np.ndarray]:
    """The arrays of `resnet50.npz` or `vgg16.npz`, by the keys that the README lists."""
    with np.load(FOLDER / f"{model}.npz") as archive:
        return dict(archive)


def parameter(name: str, shape: Sequence[int], seed: int) -> np.ndarray:
    """One float32 weight."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    if len(shape) == 4:  # He-normal by fan-in
        value = rng.standard_normal(shape) * np.sqrt(2.0 / np.prod(shape[1:]))
    elif len(shape) == 2:
        value = rng.standard_normal(shape) * np.sqrt(1.0 / shape[1])
    elif name.endswith("running_mean"):
        value = 0.1 * rng.standard_normal(shape)
    elif name.endswith("running_var"):
        value = 0.5 + rng.random(shape)
    elif name.endswith("weight"):  # the scale of a batch norm
        value = 0.5 + 0.5 * rng.random(shape)
    else:  # a bias, of whichever layer
        value = 0.2 * rng.standard_normal(shape)
    return value.astype(np.float32)


def state_dict(wanted: Mapping[str, Sequence[int]], seed: int = 0) -> dict[str, np.ndarray]:
    """The weights for {name: shape}, such as `shapes("resnet50")`."""
    return {name: parameter(name, tuple(shape), seed) for name, shape in wanted.items()}


def image(name: str = "chelsea", size: int = 224) -> np.ndarray:
    """The centre of a scikit-image photo at its own scale, normalised: (1, size, size, 3) float32."""
    photo = getattr(skimage.data, name)()[..., :3]
    top, left = ((extent - size) // 2 for extent in photo.shape[:2])
    pixels = photo[top : top + size, left : left + size].astype(np.float32) / 255.0
    return ((pixels - MEAN) / STD)[None].astype(np.float32)
