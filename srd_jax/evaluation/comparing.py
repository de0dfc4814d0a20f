"""What a comparison of methods found: means with intervals, differences image by image, ranks, costs and pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from srd_jax.drawing.comparison import draw_gallery, draw_standings
from srd_jax.evaluation.measuring import FORMS, Cost, Protocol
from srd_jax.evaluation.report import Report, Subject, untrained_notice
from srd_jax.metrics import METRICS, bootstrap_columns

__all__ = ["Comparison", "Result", "report", "results"]

_ARROWS = {"more": "\N{UPWARDS ARROW}", "less": "\N{DOWNWARDS ARROW}", "": ""}


@dataclass(frozen=True, eq=False)
class Comparison:
    """What was measured.

    Attributes:
        protocol: how.
        values: by method, for each image, form and metric; the first method is what the others are compared with.
        costs: by method.
        images: the first few images.
        captions: one for each of them.
        maps: their maps by method.
    """

    protocol: Protocol
    values: dict[str, Float[np.ndarray, "N form metric"]]
    costs: dict[str, Cost]
    images: UInt8[np.ndarray, "n H W 3"]
    captions: tuple[str, ...]
    maps: dict[str, Float[np.ndarray, "n H W"]]


class Result(NamedTuple):
    """One metric of one method's maps in one form.

    Attributes:
        mean: over images.
        low: end of its 95 % interval.
        high: the other end.
        change: mean difference to the first method, image by image.
        change_low: end of its 95 % interval.
        change_high: the other end.
        images: how many have a number.
        rank: among the methods, 1 for the best; None where neither way is better.
    """

    mean: float
    low: float
    high: float
    change: float
    change_low: float
    change_high: float
    images: int
    rank: int | None


def results(found: Comparison) -> dict[str, dict[str, dict[str, Result]]]:
    """By method, form and metric; nothing where no image has a number.

    All methods' intervals are of the same bootstrap samples of images.
    """
    every = np.stack(list(found.values.values()), 1)
    key = jax.random.key(found.protocol.seed)
    own, change = _intervals(key, every), _intervals(key, every - every[:, :1])
    counts = np.isfinite(every).sum(0)

    def result(m: int, f: int, k: int, better: str) -> Result:
        numbers = [float(each[m, f, k]) for each in (*own, *change)]
        mean, low, high, change_mean, change_low, change_high = numbers
        rank = _rank(own[0][:, f, k], m, better)
        return Result(mean, low, high, change_mean, change_low, change_high, int(counts[m, f, k]), rank)

    summary: dict[str, dict[str, dict[str, Result]]] = {}
    for m, method in enumerate(found.values):
        summary[method] = {
            form: {
                metric: result(m, f, k, METRICS[metric].better)
                for k, metric in enumerate(found.protocol.metrics)
                if counts[m, f, k]
            }
            for f, form in enumerate(FORMS)
        }
    return summary


def report(
    found: Comparison, subject: Subject, *, options: Mapping[str, Any], remarks: Sequence[str] = (), what: str = ""
) -> Report:
    """The table of methods and metrics, its numbers, a picture of all forms and the maps of a few images.

    Args:
        found: what was measured.
        subject: on what.
        options: of the methods, to be told.
        remarks: what must be said before the table.
        what: the images in words, where they are others than the subject's.
    """
    summary = results(found)
    metrics = found.protocol.metrics
    count = len(next(iter(found.values.values())))
    what = what or subject.images
    rows = [
        (
            method,
            _number(found.costs[method].forward_passes),
            _number(None if (size := found.costs[method].temporary_bytes) is None else size / 2**20),
            *(_cell(summary[method][FORMS[0]].get(metric)) for metric in metrics),
        )
        for method in summary
    ]
    headings = [f"{metric} {_ARROWS[METRICS[metric].better]}".strip() for metric in metrics]
    details = (f"{subject.model}, {subject.weights} weights  ·  {count} {what}",)
    standings = draw_standings(
        {
            form: {method: {k: (r.mean, r.rank) for k, r in summary[method][form].items()} for method in summary}
            for form in FORMS
        },
        {form: [m for m in metrics if form in FORMS[:2] or not METRICS[m].by_order] for form in FORMS},
        title="How good maps are, by method, metric and the form of the map",
        details=(*details, "Colours by rank, green for the best; numbers are means."),
    )
    gallery = draw_gallery(
        list(found.images),
        {method: list(maps) for method, maps in found.maps.items()},
        captions=found.captions,
        title="The same images by every method",
        details=details,
    )
    return Report(
        subject.stem("evaluation"),
        f"{subject.model} on {count} {what}: mean (rank)",
        ("Method", "Forward passes", "MiB", *headings),
        rows,
        {
            **subject.record,
            "images": count,
            "what": what,
            "options": dict(options),
            "protocol": asdict(found.protocol),
            "costs": {method: asdict(cost) for method, cost in found.costs.items()},
            "results": {
                method: {form: {k: r._asdict() for k, r in by.items()} for form, by in forms.items()}
                for method, forms in summary.items()
            },
        },
        standings,
        whole=(0,),
        remarks=(*remarks, "\N{UPWARDS ARROW} more is better, \N{DOWNWARDS ARROW} less"),
        notice=untrained_notice(trained=subject.trained),
        sheets={"maps": gallery} if len(found.images) else {},
    )


def _intervals(key: jax.Array, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means and ends of every column of (N, ...)."""
    mean, low, high = bootstrap_columns(key, jnp.asarray(values.reshape(len(values), -1)))
    shape = values.shape[1:]
    return np.reshape(mean, shape), np.reshape(low, shape), np.reshape(high, shape)


def _rank(means: np.ndarray, place: int, better: str) -> int | None:
    if not better:
        return None
    sign = -1 if better == "more" else 1
    return 1 + int((sign * means < sign * means[place]).sum())


def _cell(result: Result | None) -> str:
    if result is None:
        return ""
    return _number(result.mean) + ("" if result.rank is None else f" ({result.rank})")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
