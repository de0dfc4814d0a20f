"""Measurements as pictures: accuracy by depth, maps side by side, and costs."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int, Shaped, UInt8
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from srd_jax.drawing.pictures import robust_limit, smoothed

__all__ = [
    "cut_short", "draw_before_and_after", "draw_by_depth", "draw_contact_sheet", "draw_costs", "draw_growth",
    "draw_map", "headline",
]  # fmt: skip

_INK, _GREY = "#1a1a1a", "#606060"
_BLUE, _RED = "#2166ac", "#b2182b"
_BOX = "#00a04a"

Estimate = tuple[float, float, float]
"""A mean and the ends of its interval."""


def draw_by_depth(
    layers: Mapping[str, Estimate],
    probes: Mapping[str, Estimate],
    *,
    ordinary: float,
    chance: float,
    title: str,
    details: Sequence[str] = (),
    measure: str = "top-1 accuracy",
) -> Figure:
    """How well activation patterns predict: one point for each layer, in order, and one for each probe.

    Args:
        layers: by layer, the estimate where its activation returns its pattern.
        probes: by probe, the estimate where it runs through the whole network's pattern.
        ordinary: of the ordinary forward pass.
        chance: of a guess.
        title: of the picture.
        details: lines under the title.
        measure: what is on the vertical axis.
    """
    figure = Figure(figsize=(9.2, 4.6 + 0.21 * len(details)), layout="constrained")
    headline(figure, title, details)
    wide = max(1.0, 0.55 * len(layers)), max(1.0, 0.7 * len(probes))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=wide)
    for axes, points, colour, name in (
        (left, layers, _BLUE, "one layer says only which units are on"),
        (right, probes, _RED, "the whole network, its probe"),
    ):
        means, lows, highs = np.array(list(points.values()), float).reshape(-1, 3).T
        places = np.arange(len(points))
        marks = "-o" if axes is left else "o"
        axes.errorbar(
            places, means, np.stack([means - lows, highs - means]), fmt=marks, color=colour, capsize=2, ms=4, lw=1.2
        )
        axes.axhline(ordinary, color=_INK, lw=1, ls=(0, (4, 3)))
        axes.axhline(chance, color=_GREY, lw=1, ls=(0, (1, 2)))
        axes.set_xticks(places, list(points), rotation=60, ha="right", rotation_mode="anchor", fontsize=7)
        axes.set_xlim(-0.6, max(len(points) - 0.4, 0.6))
        axes.set_title(name, fontsize=9, color=_GREY, loc="left", parse_math=False)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(axis="y", labelsize=8)
    left.set_ylim(0, None)
    left.set_ylabel(measure, fontsize=9)
    left.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    style = {"textcoords": "offset points", "fontsize": 8, "color": _INK}
    start, end = left.get_xlim()
    left.annotate(f"ordinary {ordinary:.1%}", (start, ordinary), (3, 3), **style)
    left.annotate(f"chance {chance:.2%}", (end, chance), (-3, 3), ha="right", **style)
    return figure


def draw_contact_sheet(
    images: Sequence[UInt8[np.ndarray, "H W 3"]],
    maps: Mapping[str, Sequence[Float[np.ndarray, "H W"]]],
    *,
    captions: Sequence[str],
    title: str,
    details: Sequence[str] = (),
    boxes: Int[np.ndarray, "N 4"] | None = None,
    ends: tuple[str, str] = ("against", "for the class"),
) -> Figure:
    """Images in rows, and beside each its map under every setting, each map `smoothed` and in its own signed scale.

    Args:
        images: what was explained.
        maps: by setting, one map for each image.
        captions: one for each image, mostly its class.
        title: of the picture.
        details: lines under the title.
        boxes: (N, 4) of an object in each image, its first row and column and those after its last; they are drawn with
            every map's highest point.
        ends: what negative and positive values mean.
    """
    rows, columns = len(images), len(maps) + 1
    figure = Figure(figsize=(1.5 * columns + 0.7, 1.36 * rows + 0.7 + 0.21 * len(details)), layout="constrained")
    headline(figure, title, details)
    panels = figure.subplots(rows, columns, squeeze=False)
    scale = Normalize(-1, 1)
    for row, (image, caption) in enumerate(zip(images, captions, strict=True)):
        panels[row, 0].imshow(image, interpolation="nearest")
        panels[row, 0].set_ylabel(cut_short(caption), fontsize=7)
        for axes, each in zip(panels[row, 1:], maps.values(), strict=True):
            draw_map(axes, each[row])
            if boxes is not None:
                highest = np.unravel_index(np.argmax(each[row]), each[row].shape)
                axes.plot(highest[1], highest[0], "o", ms=5, mfc="none", mec=_INK, mew=1.2)
        if boxes is not None:
            top, left, bottom, right = boxes[row]
            for axes in panels[row]:
                corner = (left - 0.5, top - 0.5)
                axes.add_patch(Rectangle(corner, right - left, bottom - top, fill=False, edgecolor=_BOX, linewidth=1.2))
    for axes, name in zip(panels[0], ("image", *maps), strict=True):
        axes.set_title(name, fontsize=8, color=_INK, parse_math=False)
    for axes in panels.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_color("#c0c0c0")
    bar = figure.colorbar(ScalarMappable(scale, "RdBu_r"), ax=panels[:, -1], fraction=0.08, shrink=0.8)
    bar.set_ticks([-1, 0, 1], labels=[ends[0], "0", ends[1]], fontsize=7)
    return figure


def draw_before_and_after(
    rows: Mapping[str, Sequence[Sequence[Shaped[np.ndarray, "H W ..."]]]],
    *,
    captions: Sequence[str],
    headings: Sequence[str],
    title: str,
    details: Sequence[str] = (),
) -> Figure:
    """Photos and maps in rows, several for each method; of maps the magnitudes, `smoothed`, each in its own scale.

    Args:
        rows: by method, one row for each caption: photos (H, W, 3) uint8 and maps (H, W).
        captions: what the rows of a method are called, mostly the class.
        headings: of the columns.
        title: of the picture.
        details: lines under the title.
    """
    labels = [(method, caption) for method in rows for caption in captions]
    size = (1.5 * len(headings) + 0.5, 1.42 * len(labels) + 0.7 + 0.21 * len(details))
    figure = Figure(figsize=size, layout="constrained")
    headline(figure, title, details)
    panels = figure.subplots(len(labels), len(headings), squeeze=False)
    each = [row for of_method in rows.values() for row in of_method]
    for place, ((method, caption), row) in enumerate(zip(labels, each, strict=True)):
        for axes, shown in zip(panels[place], row, strict=True):
            if shown.ndim == 3:
                axes.imshow(shown, interpolation="nearest")
            else:
                sizes = smoothed(np.abs(shown))
                axes.imshow(sizes, cmap="Reds", vmin=0, vmax=robust_limit(sizes), interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
            for spine in axes.spines.values():
                spine.set_color("#c0c0c0")
        short = cut_short(caption)
        panels[place, 0].set_ylabel(f"{method}\n{short}", fontsize=7, parse_math=False)
    for axes, heading in zip(panels[0], headings, strict=True):
        axes.set_title(heading, fontsize=8, color=_INK, parse_math=False)
    return figure


def draw_costs(
    ratios: Mapping[str, Estimate],
    memory: Mapping[str, int | None],
    *,
    title: str,
    details: Sequence[str] = (),
) -> Figure:
    """What functions cost: bars of time and of temporary memory, one row for each.

    Args:
        ratios: by name, how many times what the first takes, with the ends of the interval.
        memory: by name, temporary bytes; None where they are not known.
        title: of the picture.
        details: lines under the title.
    """
    figure = Figure(figsize=(9.2, 1.5 + 0.38 * len(ratios) + 0.21 * len(details)), layout="constrained")
    headline(figure, title, details)
    times, sizes = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    means, lows, highs = np.array(list(ratios.values()), float).reshape(-1, 3).T
    rows = np.arange(len(ratios))
    mebibytes = np.array([(memory[name] or 0) / 2**20 for name in ratios])
    texts = [
        f"{size:,.0f}" if memory[name] is not None else "not known"
        for name, size in zip(ratios, mebibytes, strict=True)
    ]
    times.barh(rows, means, xerr=np.stack([means - lows, highs - means]), color=_BLUE, ecolor=_INK, capsize=2)
    sizes.barh(rows, mebibytes, color=_RED)
    times.axvline(1, color=_GREY, lw=1, ls=(0, (4, 3)))
    for axes, ends, labels, name in (
        (times, highs, [f"{mean:.2f}" for mean in means], "time, in forward passes"),
        (sizes, mebibytes, texts, "temporary memory, MiB"),
    ):
        axes.set_title(name, fontsize=9, color=_GREY, loc="left", parse_math=False)
        axes.set_xlim(0, 1.18 * max(ends.max(), 1e-9))
        for row, end, label in zip(rows, ends, labels, strict=True):
            axes.annotate(label, (end, row), (4, 0), textcoords="offset points", va="center", fontsize=8, color=_INK)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    times.set_yticks(rows, list(ratios))
    times.invert_yaxis()
    return figure


def draw_growth(
    by_batch: Mapping[str, Mapping[int, Estimate]],
    by_size: Mapping[str, Mapping[int, Estimate]],
    *,
    title: str,
    details: Sequence[str] = (),
    names: tuple[str, str],
) -> Figure:
    """What functions cost as batches and images grow: two panels of curves, one curve a function.

    Args:
        by_batch: by name and images at once, what an image takes.
        by_size: by name and side in pixels, what a pixel takes.
        title: of the picture.
        details: lines under the title.
        names: of the panels, with their units.
    """
    sides = ((by_batch, names[0], "images at once"), (by_size, names[1], "side in pixels"))
    shown = [side for side in sides if max(map(len, side[0].values())) > 1]
    figure = Figure(figsize=(9.2, 4.6 + 0.21 * len(details)), layout="constrained")
    headline(figure, title, details)
    colours = {name: f"C{number}" for number, name in enumerate(by_batch)}
    for axes, (curves, name, unit) in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        for label, curve in curves.items():
            if len(curve) > 1:
                means, lows, highs = np.array(list(curve.values()), float).reshape(-1, 3).T
                spread = np.stack([means - lows, highs - means])
                style = {"fmt": "-o", "capsize": 2, "ms": 4, "lw": 1.2, "color": colours[label]}
                axes.errorbar(list(curve), means, spread, label=label, **style)
        axes.set_xscale("log")
        axes.set_xticks(ticks := sorted({place for curve in curves.values() for place in curve}), map(str, ticks))
        axes.minorticks_off()
        axes.set_ylim(0, None)
        axes.set_xlabel(unit, fontsize=9)
        axes.set_title(name, fontsize=9, color=_GREY, loc="left", parse_math=False)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    named = {text: line for axes in figure.axes for line, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(named.values(), named, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def cut_short(caption: str) -> str:
    """A caption of 18 letters at most."""
    return caption if len(caption) <= 18 else caption[:17] + "…"


def draw_map(axes: Axes, heat: Float[np.ndarray, "H W"]) -> None:
    """Draw a map `smoothed`, in its own signed scale from -1 to 1."""
    shown = smoothed(heat)
    axes.imshow(shown / robust_limit(shown), cmap="RdBu_r", norm=Normalize(-1, 1), interpolation="nearest")


def headline(figure: Figure, title: str, details: Sequence[str]) -> None:
    """The title of a figure and the lines under it."""
    text = figure.suptitle(title, x=0.012, ha="left", fontsize=12, fontweight="bold", color=_INK)
    if details:
        text.set_text(title + "\n" * len(details))
        height = figure.get_figheight()
        for line, detail in enumerate(details):
            figure.text(
                0.012,
                1 - (0.42 + 0.19 * line) / height,
                detail,
                fontsize=8.5,
                color=_INK,
                va="baseline",
                parse_math=False,
            )
