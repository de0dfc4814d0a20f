"""``srd evaluate``: every metric of several methods' maps, on images of any source or on mosaics of photos."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from srd_jax.errors import DataError, MetricError, SRDError, TargetError
from srd_jax.files import check_folder

from .extras import needing
from .findings import checked, tell, tell_unreadable, what_is_left_out
from .options import (
    DEFAULT_MODEL,
    MOST_AT_ONCE,
    Baseline,
    Cache,
    DataDir,
    ManualDir,
    Methods,
    ModelName,
    Settings,
    Size,
    Split,
    Weights,
    finite,
)
from .terminal import throughput_bar

if TYPE_CHECKING:
    from rich.progress import Progress

    from srd_jax.data.images import Images
    from srd_jax.evaluation.stores import Plan
    from srd_jax.models import Network
    from srd_jax.models.photos import Preprocessing

__all__ = ["PLANTED", "evaluate"]

_METHODS = ("srd", "gradcam", "saliency", "guided_backprop", "lrp_epsilon_plus", "centre", "random")
_OF_CHANGES = ("self_correlation", "max_sensitivity", "randomisation")
_OF_MAPS = (
    "noise",
    "gini",
    "complexity",
    "deletion",
    "insertion",
    *_OF_CHANGES,
)
_OF_OBJECTS = ("mask_pointing", "energy_pointing", "rank_accuracy", "auc")
_OF_CELLS = ("pointing", "energy_pointing", "attribution_localisation", "rank_accuracy", "auc")
PLANTED = "planted"
_SHOWN, _MOSAICS, _PLANTED = 6, 200, 100


def evaluate(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A folder of photos by class, a .csv file of photos, any folder or list of images, a TFDS set, or "
            "planted: patches that alone decide the class.",
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for maps, measures and the report.")],
    *,
    split: Split = "validation",
    data_dir: DataDir = None,
    manual_dir: ManualDir = None,
    model: ModelName = DEFAULT_MODEL,
    weights: Weights = None,
    method: Methods = None,
    settings: Settings = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME", help="A metric of srd_jax.metrics.METRICS; repeatable."),
    ] = None,
    target: Annotated[
        Literal["label", "top1"] | None,
        typer.Option("--target", "-t", help="The class to explain.", show_default="label where there is one"),
    ] = None,
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="Images.", show_default="all")] = None,
    grid: Annotated[
        int | None, typer.Option(min=2, max=6, help="Explain mosaics of so many photos a side: the grid pointing game.")
    ] = None,
    cell: Annotated[
        int | None,
        typer.Option(min=8, max=1024, help="Side of a mosaic's photos in pixels.", show_default="the model's own size"),
    ] = None,
    confidence: Annotated[
        float, typer.Option(min=0, max=1, callback=finite, help="Least probability of the right class in a mosaic.")
    ] = 0.9,
    blur: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=64,
            callback=finite,
            help="Standard deviation in pixels of the blur that every map is measured under, too.",
            show_default="a 56th of the side",
        ),
    ] = None,
    baseline: Baseline = "blur",
    steps: Annotated[int, typer.Option(min=1, max=1000, help="Steps of curves such as deletion.")] = 16,
    runs: Annotated[int, typer.Option(min=2, max=10_000, help="Draws of metrics that draw at random.")] = 100,
    samples: Annotated[int, typer.Option(min=2, max=1000, help="Noisy copies of an image, for stability.")] = 5,
    tolerance: Annotated[
        float, typer.Option(min=0, max=4096, callback=finite, help="Of the pointing game, in pixels.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of all that is random.")] = 0,
    size: Size = None,
    batch: Annotated[
        int, typer.Option(min=1, max=MOST_AT_ONCE, help="Images at a time, and in each chunk of the stores.")
    ] = 8,
    keep: Annotated[int | None, typer.Option(min=0, help="Images whose maps are kept.", show_default="all")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what was begun, with the same options, and mend it.")
    ] = False,
    cache: Cache = True,
) -> None:
    """Compare attribution methods: metrics with intervals, ranks and costs, in a table, numbers and pictures.

    The first method is what the others are compared with. Every map is measured as it is, blurred, and less its mean.
    Each method's maps and measures lie in a store of their own in OUT, as `srd batch` writes them.
    """
    with needing("data"):
        from srd_jax.data.annotated import open_annotated  # noqa: PLC0415
        from srd_jax.evaluation import comparing, planted, stores  # noqa: PLC0415
        from srd_jax.evaluation.measuring import Protocol  # noqa: PLC0415
    from srd_jax.evaluation.report import Subject  # noqa: PLC0415

    from .caching import keep_programs  # noqa: PLC0415
    from .inputs import load_model, outline, weights_label  # noqa: PLC0415
    from .labelled import only_first  # noqa: PLC0415
    from .methods import chosen, given  # noqa: PLC0415
    from .reports import show_report  # noqa: PLC0415

    methods = chosen(method or _METHODS)
    options = given(methods, settings)
    check_folder(out)
    if grid and size:
        raise DataError("--size is the side of whole inputs, and a mosaic's is --grid times --cell: leave out --size")
    if source == PLANTED and (weights or model != DEFAULT_MODEL or grid or size):
        raise DataError(f"{PLANTED} patches come with a network and a size of their own: leave out other ones")
    outline(model, cell if grid else size)
    keep_programs(cache=cache)
    if source == PLANTED:
        net, images = planted.network(), planted.planted_images(count or _PLANTED, seed)
    else:
        net = load_model(model, weights)
        images = open_annotated(source, split, net.labels, out, data_dir=data_dir, manual_dir=manual_dir)
    what = ""
    what, remarks = "", []
    with throughput_bar() as progress:
        tell(progress, what_is_left_out(images))
        if grid:
            images, shown, what = _mosaics(net, images, grid, cell or net.size, confidence, count, seed, progress)
            targets = tuple(f"cell {k}" for k in range(grid**2))
        else:
            images, shown = only_first(images, count), net.preprocess.at(size)
            targets = (_target(net, images, target),)
        protocol = Protocol(
            _metrics(metric, images, mosaics=bool(grid)), blur or shown.size / 56, baseline, steps, runs, samples,
            tolerance, seed,
        )  # fmt: skip
        plan = stores.Plan(
            net, weights_label(model, weights), images, shown, targets, tuple(methods), options, protocol, batch,
            len(images) if keep is None else keep, out,
        )  # fmt: skip
        lost = _filled(plan, progress, resume=resume)
        if lost:
            remarks.append(f"{len(lost)} of {len(images)} images could not be read and are left out")
        found = stores.compared(plan, _SHOWN)
    data = None if Path(source).exists() else source
    split = "patches" if source == PLANTED else split
    subject = Subject.of(net, weights_label(model, weights), data, split)
    show_report(comparing.report(found, subject, options=options, remarks=remarks, what=what), out)
    if lost:
        raise SRDError(f"{len(lost)} of {len(images)} images could not be read: {images.ids[lost[0]]} is the first")


def _filled(plan: "Plan", progress: "Progress", *, resume: bool) -> list[int]:
    """Make and measure all maps that a plan's stores lack; the places of images that cannot be read."""
    from srd_jax.data import chunks  # noqa: PLC0415
    from srd_jax.data.checks import contents  # noqa: PLC0415
    from srd_jax.data.explaining import unreadable  # noqa: PLC0415
    from srd_jax.data.store import Writer, open_maps  # noqa: PLC0415
    from srd_jax.evaluation import stores  # noqa: PLC0415
    from srd_jax.evaluation.measuring import measured, noted  # noqa: PLC0415

    images = plan.images
    mended = stores.begin(plan, resume=resume)
    tasks, content = {}, contents(images)
    for name, folder in plan.folders.items():
        writer = Writer(folder, plan.recipes[name])
        check = checked(writer, images, mended[name], progress, content)
        tasks[name] = stores.task(plan, name, writer, check.missing)
    indices = sorted(set().union(*(task.missing for task in tasks.values())))
    found = chunks.chunks(
        images, indices, plan.batch, size=plan.shown.size, prepare=plan.shown,
        note=noted(images, plan.shown, labelled=plan.targets != ("top1",)),
    )  # fmt: skip
    bar = progress.add_task("Explaining", total=sum(len(task.missing) for task in tasks.values()))
    done = measured(
        plan.net, tasks, plan.protocol, found, several=len(plan.targets), kept=plan.kept,
        tell_cost=partial(stores.write_cost, plan),
    )  # fmt: skip
    told: set[int] = set()
    for chunk, name in done:
        progress.update(bar, advance=1, description=name)
        if chunk.index not in told:
            tell_unreadable(progress, images, {chunk.start + row: why for row, why in chunk.problems.items()})
            told.add(chunk.index)
    first = plan.folders[plan.methods[0]]
    return [int(place) for place in unreadable(open_maps(first).status[:])]


def _mosaics(
    net: "Network",
    images: "Images",
    grid: int,
    cell: int,
    confidence: float,
    count: int | None,
    seed: int,
    progress: "Progress",
) -> tuple["Images", "Preprocessing", str]:
    """Mosaics of photos that the model is sure of, how it is to see them, and what they are in words."""
    from srd_jax.evaluation import grids  # noqa: PLC0415

    from .labelled import check_classes  # noqa: PLC0415

    if images.labels is None:
        raise TargetError(f"{images.name} has no labels, and mosaics need photos that the model names rightly")
    check_classes(net, images.name, images.labels)
    bar = progress.add_task("Looking for photos", total=len(images))
    classes = grids.confident(net, images, cell, threshold=confidence, advance=partial(progress.advance, bar))
    progress.remove_task(bar)
    made = grids.mosaics(images, classes, net.preprocess.at(cell), cells=grid, count=count or _MOSAICS, seed=seed)
    what = f"mosaics of {grid} x {grid} photos of {cell} pixels"
    return made, grids.shown_whole(net.preprocess.at(cell), grid * cell), what


def _target(net: "Network", images: "Images", target: str | None) -> str:
    """What is explained: the label where there is one and the model knows it, unless the predicted class is asked for.

    Raises:
        TargetError: labels are asked for, and there are none.
        DataError: the images have other classes than the model.
    """
    from .labelled import check_classes  # noqa: PLC0415

    if target == "label" and images.labels is None:
        raise TargetError(f"{images.name} has no labels: leave out --target, or give top1")
    if target == "top1" or images.labels is None:
        return "top1"
    check_classes(net, images.name, images.labels)
    return "label"


def _metrics(names: Sequence[str] | None, images: "Images", *, mosaics: bool) -> tuple[str, ...]:
    """Metrics, each once; by default those that the images have what it takes for.

    Raises:
        MetricError: there is no such metric, or it needs to know where objects lie and the images do not say it.
    """
    from srd_jax.metrics import find_metric  # noqa: PLC0415

    if names is None:
        placed = _OF_OBJECTS if images.annotation is not None else ()
        return _OF_CELLS if mosaics else (*_OF_MAPS, *placed)
    for name in names:
        if {"boxes", "masks"} & set(find_metric(name).needs) and images.annotation is None:
            raise MetricError(
                f"{name} asks where objects lie, and {images.name} has neither boxes nor masks: leave it out, or "
                "explain mosaics with --grid"
            )
    return tuple(dict.fromkeys(names))
