"""``srd explain``: a heatmap for each photo and class."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srd_jax.errors import ImageError, ShapeError
from srd_jax.files import check_folder, replacing, slug

from .options import MOST_AT_ONCE, Bias, Contrast, Head, Images, ModelName, Out, Size, Target, Weights
from .targets import Rank, parse, resolve
from .terminal import line, problem, progress_bar, show, table

if TYPE_CHECKING:
    import numpy as np
    from rich.table import Table

    from srd_jax.models import Model

    from .inputs import Outline, Photo, PhotoFile

__all__ = ["FAILED", "UNTRAINED", "explain"]

UNTRAINED = "Untrained weights: the network is random, so this says nothing about the photo."
FAILED = 2  # exit code where some photos were left out
_TOP = 5
_MAPS_AT_ONCE = 8


@dataclass(frozen=True)
class _Options:
    """How maps are made, and what a picture must say of it."""

    bias: Bias
    contrast: Contrast
    head: Head
    weights: str


@dataclass(frozen=True)
class _Explained:
    """One photo's result: logits (classes,), and a map (H, W) for each target class."""

    photo: "Photo"
    logits: "np.ndarray"
    heats: dict[int, "np.ndarray"]


def explain(
    *,
    images: Images = None,
    model: ModelName = "tiny_resnet",
    weights: Weights = None,
    target: Target = None,
    contrast: Annotated[Contrast, typer.Option(help="What the encoder's relevance is compared with.")] = "spatial",
    bias: Annotated[Bias, typer.Option(help="How biases are shared among contributions.")] = "norm",
    head: Annotated[Head, typer.Option(help="How the logit is divided at the encoder's output.")] = "linear",
    size: Size = None,
    batch: Annotated[int, typer.Option(min=1, max=MOST_AT_ONCE, help="Photos at a time.")] = 8,
    out: Out = Path("srd-out"),
) -> None:
    """Explain photos: for each, a heatmap of every target class as a picture and as raw numbers.

    A photo that cannot be read is named and left out; the exit code is then 2.
    """
    from .inputs import load_model, outline, photo_files, weights_label  # noqa: PLC0415

    wanted = parse(target or ["top1"])
    check_folder(out)
    files = photo_files(images)
    progress = progress_bar()
    photos = _readable(files, outline(model, size), lambda error: problem(str(error), progress))
    first = next(photos, None)  # before what may be a download
    if first is None:
        raise typer.Exit(FAILED)
    net = load_model(model, weights)
    classes = resolve(wanted, net.labels)
    options = _Options(bias, contrast, head, weights_label(model, weights))
    shown: list[Table] = []
    written: list[Path] = []
    # batches of one size, so that nothing is compiled twice
    rows = math.ceil(len(files) / math.ceil(len(files) / batch))
    with progress:
        task = progress.add_task("Explaining", total=len(files))
        for result in _explained(net, chain([first], photos), classes, options, rows):
            for index in result.heats:
                written += _write(net, result, index, options, out)
            shown.append(_predictions(net, result))
            progress.advance(task)
    show(*shown)
    for path in written:
        line(str(path))
    if not net.trained:
        line(f"{UNTRAINED} Give --weights FILE for a model that has learnt.", style="bold red")
    if len(shown) < len(files):
        line(f"{len(shown)} of {len(files)} photos explained")
        raise typer.Exit(FAILED)


def _readable(
    files: Sequence["PhotoFile"], model: "Outline", leave_out: Callable[[Exception], None]
) -> Iterator["Photo"]:
    """The photos that can be read, each when it is asked for."""
    from .inputs import read_photo  # noqa: PLC0415

    for file in files:
        try:
            photo = read_photo(file, model)
        except (ImageError, ShapeError) as error:
            leave_out(error)
        else:
            yield photo


def _explained(
    net: "Model", photos: Iterable["Photo"], wanted: Sequence[int | Rank], options: _Options, batch: int
) -> Iterator[_Explained]:
    """Results in order; every batch goes through the same compiled functions."""
    import jax  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    import srd_jax as srd  # noqa: PLC0415

    from .inputs import check_logits, pixels_of  # noqa: PLC0415

    contrast = None if options.contrast == "none" else options.contrast
    decompose = jax.jit(srd.decompose(net.apply, bias=options.bias, head=options.head))
    relevance = jax.jit(lambda flow, targets: flow.relevance(targets, contrast=contrast)[flow.layers[0].name])
    rest = iter(photos)
    while some := list(islice(rest, batch)):
        # the last batch is filled up with its last photo
        filled = [*some, *[some[-1]] * (batch - len(some))]
        logits, flow = decompose(net.variables, pixels_of(net, filled))
        logits = np.asarray(logits)
        check_logits(logits, net.name)
        order = np.argsort(-logits, axis=1, kind="stable")
        targets = np.stack(
            [order[:, each.rank - 1] if isinstance(each, Rank) else np.full(batch, each) for each in wanted], 1
        )
        heats = [
            np.asarray(relevance(flow, targets[:, at : at + _MAPS_AT_ONCE].astype(np.int32)))
            for at in range(0, targets.shape[1], _MAPS_AT_ONCE)
        ]
        for row, photo in enumerate(some):
            maps = [heat for part in heats for heat in part[row]]
            # a class may be asked for by name and be among the likeliest
            yield _Explained(photo, logits[row], dict(zip(map(int, targets[row]), maps, strict=True)))


def _write(net: "Model", result: _Explained, target: int, options: _Options, out: Path) -> list[Path]:
    """The picture and the numbers of one map."""
    import numpy as np  # noqa: PLC0415

    from srd_jax.drawing.pictures import draw_explanation, write_png  # noqa: PLC0415

    label, photo, heat = net.labels[target], result.photo, result.heats[target]
    logit, probability = float(result.logits[target]), float(_probabilities(result.logits)[target])
    rank = int((result.logits > result.logits[target]).sum()) + 1
    choices = f"contrast {options.contrast}, bias {options.bias}, head {options.head}"
    figure = draw_explanation(
        photo.crop,
        heat,
        title=label,
        details=(
            f"class {target}  ·  logit {logit:.2f}  ·  probability {_percent(probability)}  ·  "
            f"rank {rank} of {len(net.labels)}",
            f"{photo.name}  ·  {net.name}, {options.weights} weights  ·  {choices}",
        ),
        notice="" if net.trained else UNTRAINED,
        sharp=photo.sharp,
    )
    name = f"{photo.stem}_{net.name}_{'-'.join((str(target), slug(label.split(',')[0]))).strip('-')}"
    picture, numbers = out / f"{name}.png", out / f"{name}.npz"
    with replacing(picture) as file:
        write_png(figure, file)
    with replacing(numbers) as file:
        np.savez_compressed(
            file,
            map=heat,
            target=target,
            label=label,
            logit=logit,
            probability=probability,
            model=net.name,
            weights=options.weights,
            trained=net.trained,
            contrast=options.contrast,
            bias=options.bias,
            head=options.head,
            image=photo.name,
            crop=photo.crop,
        )
    return [picture, numbers]


def _predictions(net: "Model", result: _Explained) -> "Table":
    """The likeliest classes, and below them the explained ones that are not among them."""
    probabilities = _probabilities(result.logits)
    order = [int(index) for index in (-result.logits).argsort(kind="stable")]
    likeliest = order[:_TOP]
    rows = [
        (
            str(order.index(index) + 1),
            str(index),
            net.labels[index],
            f"{result.logits[index]:.2f}",
            _percent(float(probabilities[index])),
            "yes" if index in result.heats else "",
        )
        for index in [*likeliest, *(index for index in result.heats if index not in likeliest)]
    ]
    weights = "" if net.trained else ", untrained weights"
    headings = ("Rank", "Index", "Class", "Logit", "Probability", "Explained")
    return table(f"{result.photo.name}: {net.name}{weights}", headings, rows, text_columns=(2, 5))


def _probabilities(logits: "np.ndarray") -> "np.ndarray":
    """The softmax, or of a single logit the sigmoid."""
    import numpy as np  # noqa: PLC0415

    if logits.size == 1:
        return np.exp(-np.logaddexp(0, -logits.astype(np.float64)))
    shifted = np.exp(logits.astype(np.float64) - logits.max())
    return shifted / shifted.sum()


def _percent(probability: float) -> str:
    percent = 100 * probability
    return f"{percent:.1f} %" if percent >= 0.1 else f"{percent:.2g} %"
