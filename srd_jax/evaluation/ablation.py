"""What each of the method's choices changes, and other methods beside it: every metric on the same images."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8

from srd_jax.attribution import find_method, with_options
from srd_jax.batch import Batch, check_logits, filled
from srd_jax.drawing.charts import draw_contact_sheet
from srd_jax.evaluation.report import Report, Subject, untrained_notice
from srd_jax.metrics import METRICS, Explained, blurred, bootstrap, mean_colour

if TYPE_CHECKING:
    from srd_jax.models import Network

__all__ = ["SETTINGS", "Ablation", "Setting", "ablation", "report", "settings_of"]

MEASURED = ("noise", "gini", "deletion", "insertion", "pointing")
"""Names in `srd_jax.metrics.METRICS`."""

_SHOWN = 6


class Setting(NamedTuple):
    """A method, and options that differ from those of all settings."""

    method: str
    options: Mapping[str, Any] = MappingProxyType({})


SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {
        "as published": Setting("srd"),
        "scalar": Setting("srd_scalar"),
        "post": Setting("srd", MappingProxyType({"relevance": "post"})),
        "no recursion": Setting("srd_encoder"),
    }
)
"""The method, and each of its three choices turned off by itself."""


@dataclass(frozen=True, eq=False)
class Ablation:
    """What was measured.

    Attributes:
        values: by setting and metric, one number for each image; NaN where there is none (pointing without a box).
        images: the first few images.
        maps: their maps by setting.
        targets: the classes that were explained.
        unlabelled: how many of them were predicted, as the images have no label.
    """

    values: dict[str, dict[str, Float[np.ndarray, " N"]]]
    images: UInt8[np.ndarray, "n H W 3"]
    maps: dict[str, Float[np.ndarray, "n H W"]]
    targets: Int[np.ndarray, " N"]
    unlabelled: int


def settings_of(methods: Iterable[str]) -> dict[str, Setting]:
    """Methods as settings, each under its own name."""
    return {name: Setting(name) for name in methods}


def ablation(
    net: "Network",
    batches: Iterable[Batch],
    batch: int,
    *,
    settings: Mapping[str, Setting] = SETTINGS,
    options: Mapping[str, Any] = MappingProxyType({}),
    baseline: Literal["blur", "mean"] = "blur",
    steps: int = 16,
    tolerance: float = 15.0,
    advance: Callable[[int], object] = lambda done: None,
) -> Ablation:
    """Every metric of the maps that every setting gives of the same images.

    Args:
        net: the model.
        batches: images with labels, and boxes where there are some; of images without a label the predicted class is
            explained.
        batch: how many images are run at a time; shorter batches are filled up.
        settings: what is compared, the first being what the others are compared with.
        options: of all settings, as far as their methods have them.
        baseline: what stands for pixels that are not there: the image blurred (with a standard deviation of a
            fortieth of its side), or its mean colour.
        steps: of the deletion and insertion curves.
        tolerance: of the pointing game, in pixels.
        advance: called with the number of images after each batch.
    """
    predict = jax.jit(net.apply)
    explain = {
        name: jax.jit(with_options(find_method(setting.method), {**options, **setting.options})(net.apply))
        for name, setting in settings.items()
    }
    values: dict[str, dict[str, list[np.ndarray]]] = {name: {metric: [] for metric in MEASURED} for name in settings}
    shown: list[np.ndarray] = []
    maps: dict[str, list[np.ndarray]] = {name: [] for name in settings}
    targets: list[np.ndarray] = []
    unlabelled = 0
    for each in batches:
        real = len(each.labels)
        x = jnp.asarray(net.preprocess.normalise(filled(each.images, batch)))
        logits = np.asarray(predict(net.variables, x))
        check_logits(logits, net.name)
        labels = filled(each.labels, batch)
        target = jnp.where(labels < 0, logits.argmax(-1), labels)
        without = mean_colour(x) if baseline == "mean" else blurred(x, sigma=x.shape[1] / 40)
        boxes = np.full((real, 4), np.nan) if each.boxes is None else np.asarray(each.boxes, np.float64)
        known = np.isfinite(boxes).all(1)
        corners = jnp.asarray(filled(np.round(np.where(known[:, None], boxes, 0)).astype(np.int32), batch))
        for name, run in explain.items():
            heat = run(net.variables, x, target)
            made = Explained(heat, net.apply, net.variables, x, target, without, corners, steps, tolerance)
            for title in MEASURED:
                metric = METRICS[title]
                numbers = np.asarray(metric.measure(made), float)[:real]
                values[name][title].append(np.where(known, numbers, np.nan) if metric.of_boxes else numbers)
            if len(shown) < _SHOWN:
                maps[name] += list(np.asarray(heat)[: min(real, _SHOWN - len(shown))])
        shown += list(each.images[: _SHOWN - len(shown)])
        targets.append(np.asarray(target)[:real])
        unlabelled += int(np.sum(each.labels < 0))
        advance(real)
    joined = {name: {m: np.concatenate(parts) for m, parts in row.items()} for name, row in values.items()}
    return Ablation(
        joined, np.stack(shown), {s: np.stack(m) for s, m in maps.items()}, np.concatenate(targets), unlabelled
    )


def report(
    found: Ablation,
    subject: Subject,
    *,
    settings: Mapping[str, Setting] = SETTINGS,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> Report:
    """The means with their intervals, and the maps of a few images.

    Args:
        found: what was measured.
        subject: on what.
        settings: as they were measured.
        options: of all settings, to be told.
    """
    summary = {name: _summary(found, name) for name in found.values}
    total = len(found.targets)
    rows = [
        (
            f"{title}, {metric.better} is better" if metric.better else title,
            *(_cell(s.get(title)) for s in summary.values()),
        )
        for title, metric in ((title, METRICS[title]) for title in MEASURED)
        if any(title in each for each in summary.values())
    ]
    told = ", ".join(
        f"{name} {value or 'none'}" for name, value in options.items() if name in ("contrast", "bias", "head")
    )
    figure = draw_contact_sheet(
        list(found.images),
        {name: list(maps) for name, maps in found.maps.items()},
        captions=[subject.labels[int(target)] for target in found.targets[: len(found.images)]],
        title="The same images under every setting",
        details=(f"{subject.model}, {subject.weights} weights  ·  {told}",),
    )
    labelled = subject.data is None or not found.unlabelled
    remark = f"{found.unlabelled} of {total} images have no label: of them the ordinary prediction is explained"
    return Report(
        subject.stem("ablations"),
        f"{subject.model} on {total} {subject.images}, means with 95 % bootstrap intervals",
        ("Metric", *summary),
        rows,
        {
            **subject.record,
            "images": total,
            "unlabelled": found.unlabelled,
            "options": dict(options),
            "settings": {name: {"method": each.method, **each.options} for name, each in settings.items()},
            "results": summary,
        },
        figure,
        remarks=() if labelled else (remark,),
        notice=untrained_notice(trained=subject.trained),
    )


def _summary(found: Ablation, setting: str) -> dict[str, dict[str, float]]:
    """By metric the mean of a setting and its difference to the first one, image by image, with their intervals."""
    first = next(iter(found.values.values()))
    summary = {}
    for metric, numbers in found.values[setting].items():
        known = np.isfinite(numbers)
        if not known.any():
            continue
        mean, low, high = bootstrap(jax.random.key(0), jnp.asarray(numbers[known]))
        change, lower, upper = bootstrap(jax.random.key(0), jnp.asarray((numbers - first[metric])[known]))
        summary[metric] = {
            "mean": float(mean), "low": float(low), "high": float(high),
            "change": float(change), "change_low": float(lower), "change_high": float(upper),
            "images": int(known.sum()),
        }  # fmt: skip
    return summary


def _cell(estimate: Mapping[str, float] | None) -> str:
    return "" if estimate is None else f"{estimate['mean']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"
