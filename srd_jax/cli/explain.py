"""``srd explain``: a heatmap for each photo and class."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srd_jax.errors import ImageError, ShapeError
from srd_jax.files import check_folder

from .options import (
    DEFAULT_MODEL,
    MOST_AT_ONCE,
    BiasOption,
    Cache,
    ContrastOption,
    HeadOption,
    Methods,
    ModelName,
    Out,
    Photos,
    Settings,
    Size,
    Target,
    Weights,
)
from .terminal import line, problem, progress_bar, show, table

if TYPE_CHECKING:
    from srd_jax.evaluation.photos import PhotoCrop, PhotoFile

    from .inputs import Outline

__all__ = ["FAILED", "explain"]

FAILED = 2  # exit code where some photos were left out


def explain(
    *,
    images: Photos = None,
    model: ModelName = DEFAULT_MODEL,
    weights: Weights = None,
    target: Target = None,
    method: Methods = None,
    settings: Settings = None,
    contrast: ContrastOption = "spatial",
    bias: BiasOption = "norm",
    head: HeadOption = "linear",
    size: Size = None,
    batch: Annotated[int, typer.Option(min=1, max=MOST_AT_ONCE, help="Photos at a time.")] = 8,
    out: Out = Path("srd-out"),
    cache: Cache = True,
) -> None:
    """Explain photos: for each, a heatmap of every target class as a picture and as raw numbers.

    Several methods come side by side in one picture; "a*b" is the product of two methods' maps.

    A photo that cannot be read is named and left out; the exit code is then 2.
    """
    from srd_jax.evaluation.photos import (  # noqa: PLC0415
        Asked,
        explain_photos,
        photo_files,
        predictions,
        write_explanation,
    )
    from srd_jax.models.ranks import parse, resolve  # noqa: PLC0415

    from .caching import keep_programs  # noqa: PLC0415
    from .inputs import load_model, outline, weights_label  # noqa: PLC0415
    from .methods import chosen, given  # noqa: PLC0415
    from .reports import show_notice  # noqa: PLC0415

    methods = chosen(method or ["srd"])
    options = given(methods, settings, contrast=contrast, bias=bias, head=head)
    wanted = parse(target or ["top1"])
    check_folder(out)
    files = photo_files(images)
    progress = progress_bar()
    crops = _readable(files, outline(model, size), lambda error: problem(str(error), progress))
    first = next(crops, None)  # before what may be a download
    if first is None:
        raise typer.Exit(FAILED)
    keep_programs(cache=cache)
    net = load_model(model, weights)
    classes = resolve(wanted, net.labels)
    asked = Asked(tuple(methods), options, weights_label(model, weights))
    tables = []
    written: list[Path] = []
    # batches of one size, so that nothing is compiled twice
    rows = math.ceil(len(files) / math.ceil(len(files) / batch))
    with progress:
        task = progress.add_task("Explaining", total=len(files))
        for result in explain_photos(net, chain([first], crops), classes, asked, rows):
            for index in result.maps:
                written += write_explanation(net, result, index, asked, out)
            tables.append(table(*predictions(net, result), text_columns=(2, 5)))
            progress.advance(task)
    show(*tables)
    for path in written:
        line(str(path))
    show_notice(net)
    if len(tables) < len(files):
        line(f"{len(tables)} of {len(files)} photos explained")
        raise typer.Exit(FAILED)


def _readable(
    files: Sequence["PhotoFile"], model: "Outline", leave_out: Callable[[Exception], None]
) -> Iterator["PhotoCrop"]:
    """The photos that can be read, each when it is asked for."""
    from srd_jax.evaluation.photos import read_photo  # noqa: PLC0415

    for file in files:
        try:
            crop = read_photo(file, model.name, model.images.shape[1])
        except (ImageError, ShapeError) as error:
            leave_out(error)
        else:
            yield crop
