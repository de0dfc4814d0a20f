"""Many methods beside each other: a table of means in colours, and every method's maps of a few images."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure

from srd_jax.drawing.charts import cut_short, draw_map, headline

__all__ = ["draw_gallery", "draw_standings"]

_INK, _GREY = "#1a1a1a", "#606060"

Standing = tuple[float, int | None]
"""A mean, and its rank among the methods."""


def draw_standings(
    standings: Mapping[str, Mapping[str, Mapping[str, Standing]]],
    columns: Mapping[str, Sequence[str]],
    *,
    title: str,
    details: Sequence[str] = (),
) -> Figure:
    """Means of every method and metric, coloured by rank, in one panel for each form of the maps.

    Args:
        standings: by form, method and metric.
        columns: the metrics that each form shows; a form without any has no panel.
        title: of the picture.
        details: lines under the title.
    """
    shown = {form: list(metrics) for form, metrics in columns.items() if metrics}
    methods = list(next(iter(standings.values())))
    wide = sum(map(len, shown.values()))
    longest = max(map(len, methods))
    name = 0.075 * longest
    figure = Figure(
        figsize=(max(name + 0.62 * wide + 0.3 * len(shown), 5.5), 2.2 + 0.24 * len(methods) + 0.21 * len(details)),
        layout="constrained",
    )
    headline(figure, title, details)
    panels = figure.subplots(1, len(shown), squeeze=False, sharey=True, width_ratios=[len(m) for m in shown.values()])[
        0
    ]
    colours = mpl.colormaps["RdYlGn"].with_extremes(bad="white")
    for axes, (form, metrics) in zip(panels, shown.items(), strict=True):
        heights = np.full((len(methods), len(metrics)), np.nan)
        for row, method in enumerate(methods):
            for column, metric in enumerate(metrics):
                mean, rank = standings[form][method].get(metric, (np.nan, None))
                if rank is not None:
                    heights[row, column] = 1 - (rank - 1) / max(1, len(methods) - 1)
                if np.isfinite(mean):
                    weight = "bold" if rank == 1 else "normal"
                    axes.text(
                        column, row, _brief(mean), ha="center", va="center", fontsize=7, color=_INK, weight=weight
                    )
        axes.imshow(heights, cmap=colours, vmin=-0.25, vmax=1.25, aspect="auto", interpolation="nearest")
        axes.set_xticks(range(len(metrics)), metrics, rotation=45, ha="right", rotation_mode="anchor", fontsize=7)
        axes.set_title(form, fontsize=9, color=_GREY, loc="left", parse_math=False)
        axes.set_yticks(range(len(methods)), methods, fontsize=8)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return figure


def draw_gallery(
    images: Sequence[UInt8[np.ndarray, "H W 3"]],
    maps: Mapping[str, Sequence[Float[np.ndarray, "H W"]]],
    *,
    captions: Sequence[str],
    title: str,
    details: Sequence[str] = (),
) -> Figure:
    """Images in columns, and below each its map by every method, each `smoothed` and in its own signed scale.

    Args:
        images: what was explained.
        maps: by method, one map for each image.
        captions: one for each image, mostly its class.
        title: of the picture.
        details: lines under the title.
    """
    rows, columns = len(maps) + 1, len(images)
    head, left, cell = 0.62 + 0.21 * len(details), 0.085 * max(map(len, maps)), 1.3
    width, height = max(left + cell * columns, 5.5), head + cell * rows
    figure = Figure(figsize=(width, height))
    headline(figure, title, details)
    for row, (name, each) in enumerate([("", images), *maps.items()]):
        for column, shown in enumerate(each):
            place = (left + column * cell) / width, 1 - (head + (row + 1) * cell - 0.04) / height
            axes = figure.add_axes((*place, (cell - 0.06) / width, (cell - 0.06) / height))
            axes.set_axis_off()
            if row == 0:
                axes.imshow(shown, interpolation="bilinear")
                axes.set_title(cut_short(captions[column]), fontsize=7, color=_INK, parse_math=False)
            else:
                draw_map(axes, shown)
        middle = 1 - (head + (row + 0.5) * cell) / height
        figure.text(0.06 / width, middle, name, fontsize=8, color=_INK, va="center", parse_math=False)
    return figure


def _brief(value: float) -> str:
    """A number in four or five letters."""
    size = abs(value)
    if size >= 1000:
        return f"{value / 1000:.0f}k"
    if size >= 100:
        return f"{value:.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 0.01 or size == 0 else f"{value:.0e}".replace("e-0", "e-")
