"""Maps drawn over photos, as matplotlib figures that belong to no global state.

Maps are signed: colours are symmetric about zero, red for positive and blue for negative, and more opaque the farther
from zero. Their limit is a high percentile of the magnitudes, so that one pixel does not wash out the rest.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

__all__ = ["draw_explanation", "draw_methods", "draw_receptive_field", "robust_limit", "smoothed", "write_png"]

PERCENTILE = 99.5
_FINE = 128  # pixels a side from which one pixel is too small to be looked at by itself
_DPI = 150
_COLUMNS = 4  # panels side by side
_INK, _GREY, _ALARM = "#1a1a1a", "#606060", "#b00020"
_POSITION = "#00a04a"


def robust_limit(values: Float[np.ndarray, "..."], percentile: float = PERCENTILE) -> float:
    """The magnitude at which colours saturate: a percentile of the absolute values that are not zero.

    Args:
        values: a map of any shape.
        percentile: between 0 and 100.

    Returns:
        A positive number, 1 for a map of zeros.
    """
    magnitudes = np.abs(np.asarray(values, np.float64))
    live = magnitudes[magnitudes > 0]
    return float(np.percentile(live, percentile)) if live.size else 1.0


def smoothed(heat: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """A map to look at: one of 128 pixels a side or more under a Gaussian of one pixel, others as they are."""
    if min(heat.shape) < _FINE:
        return heat
    from skimage.filters import gaussian  # noqa: PLC0415

    return np.asarray(gaussian(heat, 1, mode="nearest", preserve_range=True))


def draw_explanation(
    photo: UInt8[np.ndarray, "H W 3"],
    heat: Float[np.ndarray, "H W"],
    *,
    title: str,
    details: Sequence[str] = (),
    notice: str = "",
    sharp: UInt8[np.ndarray, "h w 3"] | None = None,
) -> Figure:
    """The photo as the model saw it, and the relevance of one class over it, `smoothed`.

    Args:
        photo: (H, W, 3) uint8.
        heat: relevance of the photo's pixels, (H, W) finite floats.
        title: what the map explains, mostly the class.
        details: lines under the title.
        notice: what must not be overlooked, such as untrained weights.
        sharp: the same part of the photo in more pixels, to draw under the map.
    """
    figure, (left, right) = _panels(photo, title, details, notice)
    left.set_title("What the model saw", **_caption())
    fine = min(heat.shape) >= _FINE
    right.set_title("Why: relevance of each pixel" + (", drawn smoothed by one" if fine else ""), **_caption())
    under, ends = photo if sharp is None else sharp, ("against", "for the class")
    _overlay(figure, right, under, smoothed(heat), label="relevance", ends=ends)
    return figure


def draw_methods(
    photo: UInt8[np.ndarray, "H W 3"],
    maps: Mapping[str, Float[np.ndarray, "H W"]],
    *,
    title: str,
    details: Sequence[str] = (),
    notice: str = "",
    sharp: UInt8[np.ndarray, "h w 3"] | None = None,
) -> Figure:
    """The photo as the model saw it, and several methods' maps over it, each `smoothed` and in its own scale.

    Args:
        photo: (H, W, 3) uint8.
        maps: (H, W) finite floats by method.
        title: what the maps explain, mostly the class.
        details: lines under the title.
        notice: what must not be overlooked, such as untrained weights.
        sharp: the same part of the photo in more pixels, to draw under the maps.
    """
    columns = min(_COLUMNS, len(maps) + 1)
    rows = -(-(len(maps) + 1) // columns)
    lines = len(details) + bool(notice)
    head, cell = 0.42 + 0.21 * lines, 9.2 / _COLUMNS
    figure = Figure(figsize=(max(cell * columns, 5.5), head + rows * (cell + 0.2) + 0.1))
    width, height = figure.get_size_inches()
    _head(figure, title, details, notice, round(74 * width / 9.2))
    grey = _grey(photo if sharp is None else sharp)
    colours = _signed_colours()
    for number, (name, heat) in enumerate([("What the model saw", None), *maps.items()]):
        left, top = number % columns * cell, head + number // columns * (cell + 0.2) + 0.2
        box = ((left + 0.06) / width, 1 - (top + cell - 0.12) / height, (cell - 0.12) / width, (cell - 0.12) / height)
        axes = figure.add_axes(box)
        axes.set_axis_off()
        axes.set_title(_fit(name, 34), fontsize=8, color=_GREY, loc="left", pad=3, parse_math=False)
        if heat is None:
            axes.imshow(photo, interpolation="bilinear")
            continue
        shown = smoothed(heat)
        limit = robust_limit(shown)
        extent = (-0.5, heat.shape[1] - 0.5, heat.shape[0] - 0.5, -0.5)
        axes.imshow(grey, cmap="gray", vmin=0, vmax=1, interpolation="bilinear", extent=extent)
        axes.imshow(shown, cmap=colours, norm=Normalize(-limit, limit), interpolation="nearest")
    return figure


def draw_receptive_field(
    photo: UInt8[np.ndarray, "H W 3"],
    field: Float[np.ndarray, "H W"],
    *,
    grid: tuple[int, int],
    position: tuple[int, int],
    title: str,
    details: Sequence[str] = (),
    notice: str = "",
    sharp: UInt8[np.ndarray, "h w 3"] | None = None,
) -> Figure:
    """The photo with one position's cell, and the effective receptive field of the PFV there, enlarged where small.

    Args:
        photo: (H, W, 3) uint8.
        field: share of each pixel in the PFV, (H, W) finite floats.
        grid: extents (h, w) of the PFV map.
        position: (row, column) in it.
        title: which PFV.
        details: lines under the title.
        notice: what must not be overlooked, such as untrained weights.
        sharp: the same part of the photo in more pixels, to draw under the map.
    """
    figure, (left, right) = _panels(photo, title, details, notice)
    high, wide = photo.shape[0] / grid[0], photo.shape[1] / grid[1]
    cell = (position[1] * wide, position[0] * high, wide, high)
    rows, columns = _surroundings(field, cell)
    enlarged = rows.stop - rows.start < photo.shape[0]
    left.set_title("What the model saw, and the position's cell", **_caption())
    right.set_title("Its effective receptive field" + (", enlarged" if enlarged else ""), **_caption())
    under = photo if sharp is None else sharp
    _overlay(figure, right, under, field, label="share of the PFV", ends=("opposing", "composing"))
    for axes in (left, right):
        _outline(axes, cell, _POSITION)
    if enlarged:
        side = rows.stop - rows.start
        _outline(left, (columns.start, rows.start, columns.stop - columns.start, side), _INK, linestyle=(0, (4, 3)))
        right.set_xlim(columns.start - 0.5, columns.stop - 0.5)
        right.set_ylim(rows.stop - 0.5, rows.start - 0.5)
    return figure


def write_png(figure: Figure, file: BinaryIO) -> None:
    """Write a figure as a PNG."""
    with warnings.catch_warnings():
        # a name in a script that the font does not have is drawn as boxes
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        FigureCanvasAgg(figure)
        figure.savefig(file, format="png", dpi=_DPI, facecolor="white")


def _caption() -> dict[str, Any]:
    return {"fontsize": 9, "color": _GREY, "loc": "left", "pad": 4}


def _panels(photo: np.ndarray, title: str, details: Sequence[str], notice: str) -> tuple[Figure, tuple[Axes, Axes]]:
    """A figure with its head lines, the photo in the first of two panels and the second empty."""
    lines = len(details) + bool(notice)
    head, body = 0.42 + 0.21 * lines, 4.1
    figure = Figure(figsize=(9.2, head + body + 0.15))
    height = figure.get_figheight()
    _head(figure, title, details, notice, 74)
    bottom, tall = 0.12 / height, (body - 0.25) / height
    left = figure.add_axes((0.022, bottom, 0.416, tall))
    right = figure.add_axes((0.455, bottom, 0.416, tall))
    for axes in (left, right):
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_anchor("NW")
        for spine in axes.spines.values():
            spine.set_color("#c0c0c0")
    left.imshow(photo, interpolation="bilinear")
    return figure, (left, right)


def _head(figure: Figure, title: str, details: Sequence[str], notice: str, longest: int) -> None:
    """The lines at the top of a figure, cut to what fits: ``longest`` letters of the title."""
    height = figure.get_figheight()

    def write(text: str, y: float, **style: Any) -> None:
        text = _printable(text)
        figure.text(0.022, 1 - y / height, text, va="baseline", parse_math=False, **style)

    write(_fit(title, longest), 0.31, fontsize=13, fontweight="bold", color=_INK)
    for index, line in enumerate(details):
        write(_fit(line, round(1.7 * longest)), 0.54 + 0.21 * index, fontsize=9, color=_INK)
    if notice:
        style = {"fontsize": 9, "fontweight": "bold", "color": _ALARM}
        write(_fit(notice, round(1.5 * longest)), 0.54 + 0.21 * len(details), **style)


def _grey(photo: np.ndarray) -> np.ndarray:
    """A photo in light greys, for maps to be drawn over."""
    return np.asarray(0.5 + 0.45 * (photo.astype(np.float64) @ np.array([0.299, 0.587, 0.114]) / 255))


def _overlay(
    figure: Figure, axes: Axes, photo: np.ndarray, heat: np.ndarray, *, label: str, ends: tuple[str, str]
) -> None:
    """A map over the greyed photo, with its colour bar on the right."""
    extent = (-0.5, heat.shape[1] - 0.5, heat.shape[0] - 0.5, -0.5)
    axes.imshow(_grey(photo), cmap="gray", vmin=0, vmax=1, interpolation="bilinear", extent=extent)
    limit = robust_limit(heat)
    colours, scale = _signed_colours(), Normalize(-limit, limit)
    axes.imshow(heat, cmap=colours, norm=scale, interpolation="nearest")
    axes.apply_aspect()  # places the panel, whose height the bar takes
    box = axes.get_position()
    bar_axes = figure.add_axes((box.x1 + 0.014, box.y0 + 0.05, 0.014, box.height - 0.1))
    bar = figure.colorbar(ScalarMappable(scale, colours), cax=bar_axes, extend="both")
    bar.set_ticks([-limit, 0, limit])
    bar.set_ticklabels([f"\N{MINUS SIGN}{limit:.2g}", "0", f"{limit:.2g}"])
    bar.ax.tick_params(labelsize=8, colors=_INK)
    bar.ax.text(2.0, 0.25, label, transform=bar.ax.transAxes, fontsize=8, color=_GREY, rotation=90, va="center")
    low, high = ends
    bar.ax.text(0, 1.075, high, transform=bar.ax.transAxes, va="bottom", fontsize=8, color="#b2182b")
    bar.ax.text(0, -0.075, low, transform=bar.ax.transAxes, va="top", fontsize=8, color="#2166ac")


def _surroundings(
    field: np.ndarray, cell: tuple[float, float, float, float], margin: float = 0.15, largest: float = 0.6
) -> tuple[slice, slice]:
    """Rows and columns around a cell and 99 % of a map's magnitude, as wide as high; all where that is much of it."""
    ends = []
    for axis, (start, extent) in enumerate(((cell[1], cell[3]), (cell[0], cell[2]))):
        profile = np.cumsum(np.abs(field).sum(1 - axis, dtype=np.float64))
        low, high = np.searchsorted(profile, np.array([0.005, 0.995]) * profile[-1])
        ends.append((min(int(low), math.floor(start)), max(int(high) + 1, math.ceil(start + extent))))
    side = round(max(high - low for low, high in ends) * (1 + 2 * margin))
    if side > largest * min(field.shape):
        return slice(0, field.shape[0]), slice(0, field.shape[1])
    starts = [
        int(np.clip((low + high - side) // 2, 0, size - side))
        for (low, high), size in zip(ends, field.shape, strict=True)
    ]
    return slice(starts[0], starts[0] + side), slice(starts[1], starts[1] + side)


def _outline(axes: Axes, box: tuple[float, float, float, float], colour: str, **style: Any) -> None:
    """A rectangle (column, row, width, height) in pixels, with a white line under it that shows on any photo."""
    column, row, width, height = box
    for edge, line, own in (("white", 2.6, {}), (colour, 1.3, style)):
        corner = (column - 0.5, row - 0.5)
        axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=edge, linewidth=line, **own))


def _signed_colours() -> ListedColormap:
    """Blue, nothing, red: a diverging map that is transparent at zero."""
    strength = np.linspace(-1, 1, 511)
    colours = mpl.colormaps["RdBu_r"](0.5 + 0.44 * strength + 0.06 * np.sign(strength))
    colours[:, 3] = 0.95 * np.abs(strength) ** 0.6
    return ListedColormap(colours, name="signed")


def _fit(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
