"""What explanations cost as batches and images grow: of one piece of work, the cost of an image or a pixel is flat."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from srd_jax.core.sharing import Bias
from srd_jax.drawing.charts import draw_growth
from srd_jax.evaluation.report import Report
from srd_jax.evaluation.speed import Cost, cost_record, machine

__all__ = ["growth_cases", "growth_report"]

Shape = tuple[int, ...]


def growth_cases(batches: Sequence[int], sizes: Sequence[int]) -> list[Shape]:
    """The shapes of images to compare: every batch at the first size, and the first batch at every size.

    Args:
        batches: images at once.
        sizes: sides in pixels.

    Returns:
        (N, H, W, 3) each.
    """
    pairs = [(batch, sizes[0]) for batch in batches] + [(batches[0], size) for size in sizes[1:]]
    return [(batch, size, size, 3) for batch, size in dict.fromkeys(pairs)]


def growth_report(
    costs: Mapping[Shape, Mapping[str, Cost]], *, model: str, dtype: str, bias: Bias, rounds: int
) -> Report:
    """A table of nanoseconds a pixel for every shape, the numbers of every round, and two curves.

    Args:
        costs: by shape of the images, what `srd_jax.evaluation.speed.measure` found; the first shape is what the
            others are compared with.
        model: its name.
        dtype: in which the model computed.
        bias: how biases were shared.
        rounds: how often each was timed.
    """
    (first, *_), names = costs, list(dict.fromkeys(name for each in costs.values() for name in each))
    where = machine()
    title = f"{model}, {dtype}, bias {bias}: nanoseconds a pixel"

    def pixels(shape: Shape) -> int:
        return prod(shape[:3])

    def curve(name: str, axis: int, scale: float) -> dict[int, tuple[float, float, float]]:
        """By batch or size, seconds over images or pixels, times a scale."""
        other = 1 - axis
        shapes = sorted(shape for shape in costs if shape[other] == first[other] and name in costs[shape])
        units = {shape: shape[0] if axis == 0 else pixels(shape) for shape in shapes}
        spreads = {shape: costs[shape][name].spread() for shape in shapes}
        return {
            shape[axis]: (scale * median / units[shape], scale * low / units[shape], scale * high / units[shape])
            for shape, (median, low, high) in spreads.items()
        }

    def cell(shape: Shape, name: str) -> str:
        cost = costs[shape].get(name)
        if cost is None:
            return "-"
        return f"{1e9 * cost.spread()[0] / pixels(shape):.3g} ({cost.spread('ratios')[0]:.2f})"

    figure = draw_growth(
        {name: curve(name, 0, 1e3) for name in names},
        {name: curve(name, 1, 1e9) for name in names},
        title=f"{model}, {dtype}, bias {bias}: what an image and a pixel cost",
        details=(f"{where}  ·  median and quartiles of {rounds} rounds taken in turns",),
        names=(f"milliseconds an image, at {first[1]} pixels", f"nanoseconds a pixel, {first[0]} images at once"),
    )
    record: dict[str, Any] = {
        "model": model, "dtype": dtype, "bias": bias, "rounds": rounds, "device": where,
        "cases": [
            {"batch": shape[0], "extents": list(shape[1:3]),
             "costs": {name: cost_record(cost, shape[0]) for name, cost in each.items()}}
            for shape, each in costs.items()
        ],
    }  # fmt: skip
    headings = ("", *(f"{shape[0]} of {shape[1]}" for shape in costs))
    rows = [(name, *(cell(shape, name) for shape in costs)) for name in names]
    return Report(
        f"bench_{model}_growth_{dtype}_{bias}", f"{title} (forward passes), {where}", headings, rows, record, figure
    )
