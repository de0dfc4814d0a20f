"""How far the explanation of a writing is from that of the reference it must equal."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np
from jaxtyping import Array

import srd_jax as srd
from tests.writings.network import IMAGES, TARGETS, WEIGHTS, Weights

Model = Callable[[Weights, Array], Array]
Bias = Literal["norm", "uniform", "none"]
Verdict = Literal["agrees", "differs", "refused"]

SAME_LOGITS, SAME_MAPS = 1e-12, 1e-9
_POSITION = (1, 2)


@dataclass(frozen=True)
class Turned:
    """A model that takes its images with other axes.

    Attributes:
        model: on such images.
        axes: of (N, H, W, C) images, in its order.
    """

    model: Model
    axes: tuple[int, int, int, int]


@dataclass(frozen=True)
class Family:
    """Writings of one reference network.

    Attributes:
        name: of what is written in several ways.
        reference: the network.
        writings: by name.
        biases: how constants are shared in the explanations that must agree.
    """

    name: str
    reference: Model
    writings: Mapping[str, Model | Turned]
    biases: tuple[Bias, ...] = ("norm",)


@dataclass(frozen=True)
class Explanation:
    """What must agree, in the reference's order of axes.

    Attributes:
        logits: (N, 3).
        maps: the heatmap without contrast, with the spatial one, and the field of one position, each (N, H, W).
    """

    logits: np.ndarray
    maps: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Comparison:
    """A writing beside its reference.

    Attributes:
        verdict: of the law.
        logits: largest difference of logits, relative to the largest logit.
        maps: largest difference of maps, relative to the largest value of the reference's, infinite where the encoder's
            output has no such position; NaN where it is refused.
        why: the refusal.
    """

    verdict: Verdict
    logits: float
    maps: float
    why: str = ""


def explain(writing: Model | Turned, bias: Bias) -> Explanation:
    """Explain the images by a writing; called where float64 is enabled.

    Raises:
        UnsupportedPrimitiveError: the library refuses it.
    """
    model, axes = (writing.model, writing.axes) if isinstance(writing, Turned) else (writing, (0, 1, 2, 3))
    decomposed = jax.jit(srd.decompose(model, bias=bias, channel_axis=axes.index(3)))
    logits, flow = decomposed(WEIGHTS, np.transpose(IMAGES, axes))
    pixels, encoder = flow.layers[0].name, flow.layers[-1]
    grid_axes = [axis - 1 for axis in axes if axis in (1, 2)]
    maps = [flow.relevance(TARGETS, contrast=contrast)[pixels] for contrast in (None, "spatial")]
    place = iter(_POSITION[axis] for axis in grid_axes)
    position = [0 if extent == 1 else next(place, extent) for extent in encoder.grid]
    if next(place, None) is None and all(i < n for i, n in zip(position, encoder.grid, strict=True)):
        maps.append(flow.erf(encoder.name, [position])[:, 0])
    order = (0, *(1 + place for place in np.argsort(grid_axes)))
    return Explanation(np.asarray(logits), tuple(np.transpose(m, order) for m in maps))


def compare(writing: Model | Turned, reference: Explanation, bias: Bias) -> Comparison:
    """Say whether a writing agrees with its reference; called where float64 is enabled."""
    try:
        found = explain(writing, bias)
    except srd.UnsupportedPrimitiveError as error:
        return Comparison("refused", _apart([_logits(writing)], [reference.logits]), np.nan, str(error))
    logits, maps = _apart([found.logits], [reference.logits]), _apart(found.maps, reference.maps)
    return Comparison("agrees" if maps < SAME_MAPS else "differs", logits, maps)


def _logits(writing: Model | Turned) -> np.ndarray:
    turned = writing if isinstance(writing, Turned) else Turned(writing, (0, 1, 2, 3))
    return np.asarray(turned.model(WEIGHTS, jax.numpy.asarray(np.transpose(IMAGES, turned.axes))))


def _apart(found: Any, expected: Any) -> float:
    if [x.shape for x in found] != [x.shape for x in expected]:
        return np.inf
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(found, expected, strict=True))
