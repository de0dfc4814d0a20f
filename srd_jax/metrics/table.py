"""The table of metrics: what each needs, and which way is better."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from jaxtyping import Array, Float, Int

from srd_jax.metrics.noise import noise_level
from srd_jax.metrics.perturbation import area, deletion, insertion
from srd_jax.metrics.pointing import pointing_game
from srd_jax.metrics.sparseness import gini

__all__ = ["METRICS", "Explained", "Metric"]


@dataclass(frozen=True)
class Explained:
    """Maps of a batch of images, and what metrics may ask of where they are from.

    Attributes:
        maps: (N, H, W).
        f: ``f(variables, images) -> logits``.
        variables: its first argument.
        images: its second, (N, H, W, C).
        targets: (N,) classes that were explained.
        without: (N, H, W, C), what stands for pixels that are not there.
        boxes: (N, 4) integers, row and column of the first pixel and after the last, of the object.
        steps: of curves.
        tolerance: pixels off a box that still hit it.
    """

    maps: Float[Array, "N H W"]
    f: Callable[..., Any]
    variables: Any
    images: Float[Array, "N H W C"]
    targets: Int[Array, " N"]
    without: Float[Array, "N H W C"]
    boxes: Int[Array, "N 4"]
    steps: int = 16
    tolerance: float = 0.0


@dataclass(frozen=True)
class Metric:
    """A number for each map.

    Attributes:
        measure: what it is, (N,).
        better: which way is better, empty where neither is.
        of_boxes: whether it is only known where there is a box.
    """

    measure: Callable[[Explained], Float[Array, " N"]]
    better: Literal["less", "more", ""] = ""
    of_boxes: bool = False


def _curve(run: Callable[..., Array], maps: Explained) -> Array:
    return area(run(maps.f, maps.variables, maps.images, maps.maps, maps.targets, maps.without, steps=maps.steps))


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "noise": Metric(lambda e: noise_level(e.maps), "less"),
        "gini": Metric(lambda e: gini(e.maps)),
        "deletion": Metric(lambda e: _curve(deletion, e), "less"),
        "insertion": Metric(lambda e: _curve(insertion, e), "more"),
        "pointing": Metric(lambda e: pointing_game(e.maps, e.boxes, e.tolerance).astype(float), "more", of_boxes=True),
    }
)
"""Every metric by name."""
