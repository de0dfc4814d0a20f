"""``srd batch``: maps of every image of a folder, a list or a data set, into one store that survives a kill."""

import time
from pathlib import Path
from typing import Annotated, Literal

import typer

import srd_jax
from srd_jax.errors import SRDError
from srd_jax.files import check_folder

from .extras import needing
from .findings import checked, tell, tell_unreadable, what_is_left_out
from .options import (
    DEFAULT_MODEL,
    MOST_AT_ONCE,
    BiasOption,
    Cache,
    ContrastOption,
    DataDir,
    HeadOption,
    ManualDir,
    Method,
    ModelName,
    Size,
    Split,
    TargetOrLabel,
    Weights,
)
from .sheet import draw_sheet
from .terminal import line, throughput_bar

__all__ = ["batch"]

_SHOWN_AT_MOST = 100


def batch(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="A folder of images, a text file that names one a line, or the name of a TFDS set."
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the maps, made if needed.")],
    *,
    split: Split = "validation",
    data_dir: DataDir = None,
    manual_dir: ManualDir = None,
    model: ModelName = DEFAULT_MODEL,
    weights: Weights = None,
    target: TargetOrLabel = None,
    method: Method = "srd",
    contrast: ContrastOption = "spatial",
    bias: BiasOption = "norm",
    head: HeadOption = "linear",
    size: Size = None,
    batch: Annotated[
        int, typer.Option(min=1, max=MOST_AT_ONCE, help="Images at a time, and in each chunk of the store.")
    ] = 32,
    dtype: Annotated[
        Literal["float16", "float32"], typer.Option(help="Of the stored maps; float16 keeps three digits above 6e-5.")
    ] = "float32",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what was begun, with the same options, and mend it.")
    ] = False,
    distributed: Annotated[
        bool, typer.Option("--distributed", help="Share the work with the other processes of a cluster that JAX finds.")
    ] = False,
    show: Annotated[
        int, typer.Option(min=0, max=_SHOWN_AT_MOST, help="How many maps to draw beside their images as sheet.png.")
    ] = 0,
    cache: Cache = True,
) -> None:
    """Explain every image of a folder, a list or a data set; `srd_jax.data.open_maps` reads the result."""
    import jax  # noqa: PLC0415

    with needing("data"):
        from srd_jax.data import checksums, chunks, explaining, processes, recipe, store  # noqa: PLC0415
        from srd_jax.data.images import open_images  # noqa: PLC0415
    from srd_jax.models.ranks import Rank, parse  # noqa: PLC0415

    from .caching import keep_programs  # noqa: PLC0415
    from .inputs import load_model, outline  # noqa: PLC0415
    from .labelled import LABEL, classes_to_explain, only_labelled  # noqa: PLC0415
    from .methods import given  # noqa: PLC0415

    if distributed:
        processes.join()
    options = given([method], contrast=contrast, bias=bias, head=head)
    check_folder(out)
    wanted = parse(target or ["top1"])
    side = outline(model, size).images.shape[1]
    images = open_images(source, split, out, data_dir=data_dir, manual_dir=manual_dir)
    keep_programs(cache=cache)
    net = load_model(model, weights)
    classes = classes_to_explain(wanted, net, images)
    images = only_labelled(images) if LABEL in wanted else images
    names = [f"top{c.rank}" if isinstance(c, Rank) else LABEL if c == explaining.TRUE_LABEL else c for c in classes]
    run = {
        "srd_jax": srd_jax.__version__, "model": model, "weights": weights or "default",
        "checksum": checksums.weights_checksum(net.variables), "source": images.name, "images": len(images),
        "ids": recipe.ids_checksum(images.ids), "targets": names, "method": method, "contrast": contrast, "bias": bias,
        "head": head, "size": side, "batch": batch, "dtype": dtype,
    }  # fmt: skip
    first = jax.process_index() == 0
    store.prepare_store(out, run, images.ids, resume=resume, write=False)
    processes.together("looked")  # nobody begins before everybody has found that it may
    mended = store.prepare_store(out, run, images.ids, resume=True, write=True) if first else ()
    processes.together("begun")
    writer = store.Writer(out, run)

    with throughput_bar() as progress:
        if first:
            tell(progress, what_is_left_out(images))
        check = checked(writer, images, mended, progress)
        began = time.monotonic()
        found = chunks.chunks(images, check.missing, batch, size=side, prepare=net.preprocess.at(side))
        left = sum(min(batch, len(images) - index * batch) for index in check.missing)
        task = progress.add_task("Explaining", total=left)
        for chunk in explaining.explained(net, classes, method, options, found, writer):
            tell_unreadable(progress, images, {chunk.start + row: why for row, why in chunk.problems.items()})
            progress.advance(task, chunk.count)
    seconds = time.monotonic() - began
    processes.together("done")
    lost = explaining.unreadable(store.open_maps(out).status[:])
    if first:
        speed = f", {left / seconds:.1f} images a second" if left else ""
        line(f"{len(images) - len(lost)} of {len(images)} images explained, {len(lost)} could not be read{speed}")
        line(str(out))
        if show and len(lost) < len(images):
            line(str(draw_sheet(out, images, net, show, side)))
    if len(lost):
        raise SRDError(f"{len(lost)} of {len(images)} images have no map: {images.ids[lost[0]]} is the first")
