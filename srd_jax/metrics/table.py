"""The table of metrics: what each needs, and which way is better."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from srd_jax.errors import MetricError
from srd_jax.messages import did_you_mean
from srd_jax.metrics import faithfulness, localisation, robustness
from srd_jax.metrics.complexity import complexity, effective_complexity
from srd_jax.metrics.estimate import Estimate, correlated
from srd_jax.metrics.noise import noise_level
from srd_jax.metrics.perturbation import area, deletion, insertion
from srd_jax.metrics.pointing import pointing_game
from srd_jax.metrics.sparseness import gini

__all__ = ["METRICS", "Explained", "Metric", "find_metric", "measure"]

Need = Literal["boxes", "masks", "key", "others", "randomised"]


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
        masks: (N, H, W), the object's pixels.
        key: of metrics that draw at random.
        others: (samples, N, H, W), the maps under `srd_jax.metrics.noises` of the key: `srd_jax.metrics.noisy_maps`.
        randomised: (N, H, W), the maps of the network with `srd_jax.metrics.randomised` variables.
        runs: draws of metrics that draw at random.
    """

    maps: Array
    f: Callable[..., Any]
    variables: Any
    images: Array
    targets: Array
    without: Array
    boxes: Array | None = None
    steps: int = 16
    tolerance: float = 0.0
    masks: Array | None = None
    key: Array | None = None
    others: Array | None = None
    randomised: Array | None = None
    runs: int = 100

    @property
    def model(self) -> tuple[Any, ...]:
        """What metrics take that run the network."""
        return self.f, self.variables, self.images, self.maps, self.targets, self.without

    @property
    def pixels(self) -> int:
        """Of a map."""
        return int(self.maps[0].size)

    @property
    def a_step(self) -> int:
        """Pixels of a step of ``steps``."""
        return -(-self.pixels // self.steps)


@dataclass(frozen=True)
class Metric:
    """A number for each map.

    Attributes:
        measure: what it is: (N,), or an `Estimate` of (N,) with its spread.
        better: which way is better, empty where neither is.
        needs: what of an `Explained` must be there beside the maps and the model.
        by_order: whether it asks of maps only which pixels are above which, so that no shift changes it.
    """

    measure: Callable[[Explained], Any]
    better: Literal["less", "more", ""] = ""
    needs: tuple[Need, ...] = ()
    by_order: bool = False

    @property
    def of_boxes(self) -> bool:
        """Whether it is only known where there is a box."""
        return "boxes" in self.needs


def _curve(run: Callable[..., Array], maps: Explained) -> Array:
    return area(run(*maps.model, steps=maps.steps))


def _pointing(e: Explained) -> Array:
    assert e.boxes is not None
    return pointing_game(e.maps, e.boxes, e.tolerance).astype(float)


def _on_masks(run: Callable[..., Array]) -> Metric:
    return Metric(lambda e: run(e.maps, e.masks).astype(float), "more", needs=("masks",))


def _side(e: Explained) -> int:
    return max(1, min(e.maps.shape[1:]) // 8)


def _irof(e: Explained) -> Array:
    (height, width), side = e.maps.shape[1:], _side(e)
    segments = jnp.broadcast_to(faithfulness.squares(height, width, side), e.maps.shape)
    return faithfulness.irof(*e.model, segments, count=-(-height // side) * -(-width // side))


def _flipping(e: Explained) -> Array:
    return jnp.mean(faithfulness.pixel_flipping(*e.model, at_once=e.a_step), -1)


def _correlation(e: Explained) -> Estimate:
    return faithfulness.faithfulness_correlation(e.key, *e.model, size=_sets(e), runs=e.runs)


def _sensitivity(e: Explained) -> Estimate:
    assert e.key is not None
    sizes = (max(1, _sets(e) // 4), _sets(e), 4 * _sets(e))
    return faithfulness.sensitivity_n(e.key, *e.model, sizes=sizes, runs=e.runs)


def _sets(e: Explained) -> int:
    return max(1, e.pixels // 8)


def _noisy(name: str, better: Literal["less", "more"]) -> Metric:
    def found(e: Explained) -> Estimate:
        assert e.key is not None
        assert e.others is not None
        noise = robustness.noises(e.key, e.images, samples=len(e.others))
        return robustness.MEASURES[name](e.images, noise, e.maps, e.others)

    return Metric(found, better, needs=("key", "others"))


def _randomisation(e: Explained) -> Array:
    assert e.randomised is not None
    return correlated(*(jnp.abs(maps).reshape((len(maps), -1)) for maps in (e.maps, e.randomised)))


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "noise": Metric(lambda e: noise_level(e.maps), "less"),
        "gini": Metric(lambda e: gini(e.maps)),
        "deletion": Metric(lambda e: _curve(deletion, e), "less", by_order=True),
        "insertion": Metric(lambda e: _curve(insertion, e), "more", by_order=True),
        "pointing": Metric(_pointing, "more", ("boxes",), by_order=True),
        "mask_pointing": replace(_on_masks(localisation.mask_pointing), by_order=True),
        "energy_pointing": _on_masks(localisation.energy_pointing),
        "attribution_localisation": _on_masks(localisation.attribution_localisation),
        "rank_accuracy": _on_masks(localisation.rank_accuracy),
        "top_k_intersection": _on_masks(
            lambda maps, masks: localisation.top_k_intersection(maps, masks, k=min(1000, maps[0].size))
        ),
        "auc": _on_masks(localisation.auc),
        "complexity": Metric(lambda e: complexity(e.maps), "less"),
        "effective_complexity": Metric(lambda e: effective_complexity(e.maps), "less"),
        "pixel_flipping": Metric(_flipping, "less", by_order=True),
        "faithfulness_estimate": Metric(
            lambda e: faithfulness.faithfulness_estimate(*e.model, at_once=e.a_step), "more"
        ),
        "irof": Metric(_irof, "more"),
        "faithfulness_correlation": Metric(_correlation, "more", ("key",)),
        "sensitivity_n": Metric(_sensitivity, "more", ("key",)),
        "infidelity": Metric(
            lambda e: faithfulness.infidelity(e.key, *e.model, runs=e.runs, side=_side(e)), "less", ("key",)
        ),
        "lipschitz_estimate": _noisy("lipschitz_estimate", "less"),
        "max_sensitivity": _noisy("max_sensitivity", "less"),
        "relative_input_stability": _noisy("relative_input_stability", "less"),
        "self_correlation": _noisy("self_correlation", "more"),
        "randomisation": Metric(_randomisation, "less", ("randomised",)),
    }
)  # fmt: skip
"""Every metric by name, as experiments measure it; the functions have more options."""

_WHAT: Mapping[Need, str] = MappingProxyType(
    {
        "boxes": "boxes of objects: boxes=, (N, 4)",
        "masks": "masks of objects: masks=, (N, H, W)",
        "key": "a key, since it draws at random: key=jax.random.key(0)",
        "others": "the maps under noise: others=noisy_maps(key, explain, images)",
        "randomised": "the maps of the network with random weights: randomised=, (N, H, W)",
    }
)


def find_metric(name: str) -> Metric:
    """A metric by name.

    Raises:
        MetricError: there is none.
    """
    if name not in METRICS:
        raise MetricError(f"no metric is called {name!r}; {did_you_mean(name, list(METRICS))}")
    return METRICS[name]


def measure(name: str, explained: Explained) -> Estimate:
    """A metric of some maps, once it is clear that it means something.

    Args:
        name: in `METRICS`.
        explained: the maps, and what the metric needs beside them.

    Returns:
        (N,) numbers, and their spread: zeros for a metric that draws nothing at random.

    Raises:
        MetricError: there is no such metric, what it needs is missing, masks or boxes have another shape than the maps
            ask for, or a map is constant or holds NaN.
    """
    metric = find_metric(name)
    missing = [need for need in metric.needs if getattr(explained, need) is None]
    if missing:
        raise MetricError(f"{name} needs {_WHAT[missing[0]]}")
    _check(name, metric, explained)
    found = metric.measure(explained)
    return found if isinstance(found, Estimate) else Estimate(found, jnp.zeros_like(found))


def _check(name: str, metric: Metric, explained: Explained) -> None:
    shape = explained.maps.shape
    if len(shape) != 3 or shape[0] != explained.images.shape[0] or shape[1:] != explained.images.shape[1:3]:
        raise MetricError(f"{name} takes maps (N, H, W) of the images {explained.images.shape}, not {shape}")
    if "masks" in metric.needs and explained.masks is not None and explained.masks.shape != shape:
        raise MetricError(f"{name} takes masks of the maps' shape {shape}, not {explained.masks.shape}")
    if "boxes" in metric.needs and explained.boxes is not None and explained.boxes.shape != (shape[0], 4):
        raise MetricError(f"{name} takes boxes of shape ({shape[0]}, 4), not {explained.boxes.shape}")
    if isinstance(explained.maps, jax.core.Tracer):
        return
    maps = np.asarray(explained.maps).reshape((shape[0], -1))
    for words, wrong in (
        ("holds NaN or infinite values", ~np.isfinite(maps).all(1)),
        ("is constant, so that no pixel is above another", maps.max(1) == maps.min(1)),
    ):
        if wrong.any():
            raise MetricError(f"the map of image {int(np.flatnonzero(wrong)[0])} {words}: {name} would mean nothing")
