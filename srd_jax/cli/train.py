"""``srd train``: train a model on a data set, and keep its weights and the course of the training."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srd_jax.errors import SRDError
from srd_jax.files import check_folder

from .options import Cache, DataDir, DataSet, ManualDir, ModelName
from .terminal import line, progress_bar

if TYPE_CHECKING:
    from srd_jax.training import Recipe

__all__ = ["train"]


def train(
    *,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for checkpoints and results.")],
    data: DataSet = "tiny_imagenet200",
    data_dir: DataDir = None,
    manual_dir: ManualDir = None,
    split: Annotated[str, typer.Option(help="Split to train on.")] = "train",
    validation: Annotated[str, typer.Option(help="Split to evaluate on.")] = "validation",
    model: ModelName = "tiny_resnet",
    epochs: Annotated[float | None, typer.Option(min=0, help="Passes over the images.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Images a step, over all devices.")] = None,
    learning_rate: Annotated[float | None, typer.Option(min=0, help="The largest, for a batch of 128.")] = None,
    weight_decay: Annotated[float | None, typer.Option(min=0, help="Of kernels.")] = None,
    initial: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights to start from.", show_default="random")
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(metavar="SHARE:PIXELS,...", help="Images of so many pixels from such a share of the steps on."),
    ] = None,
    smallest_area: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least share of an image in a crop.")
    ] = None,
    mixup: Annotated[float | None, typer.Option(min=0, help="How strongly pairs of images are mixed.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of initial weights, order and crops.")] = None,
    checkpoints: Annotated[int, typer.Option(min=1, help="How often the state is written and evaluated.")] = 16,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the latest checkpoint.")] = False,
    cache: Cache = True,
) -> None:
    """Train a model on any TFDS set of labelled images; without options, as the bundled weights were made."""
    check_folder(out)
    from srd_jax import models  # noqa: PLC0415

    from .caching import keep_programs  # noqa: PLC0415
    from .extras import needing  # noqa: PLC0415

    with needing("train"):
        from srd_jax.data import open_source  # noqa: PLC0415
        from srd_jax.training import Recipe  # noqa: PLC0415
        from srd_jax.training import train as run  # noqa: PLC0415

    keep_programs(cache=cache)
    shown = models.preprocessing(model)
    if not models.can_train(model):
        able = [name for name in models.names() if models.can_train(name)]
        raise SRDError(f"{model} has no training mode; there are {', '.join(able)}")
    changes = {
        "epochs": epochs,
        "batch": batch,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "initial": initial and str(initial),
        "sizes": sizes and _parse_sizes(sizes),
        "smallest_area": smallest_area,
        "mixup": mixup,
        "seed": seed,
    }
    recipe = _recipe(Recipe(), shown.size, {name: value for name, value in changes.items() if value is not None})
    images = open_source(data, split, data_dir=data_dir, manual_dir=manual_dir)
    held_out = open_source(data, validation, data_dir=data_dir, manual_dir=manual_dir)
    module = models.build(model, num_classes=len(images.labels))
    with progress_bar() as progress:
        task = progress.add_task("Training", total=recipe.steps(len(images)))

        def report(done: int, total: int, metrics: dict[str, float]) -> None:
            known = f", top 1 {metrics['validation_top1']:.1%}" if metrics else ""
            progress.update(task, completed=done, total=total, description=f"Training{known}")

        weights = run(
            module,
            recipe,
            images,
            held_out,
            out,
            resize=shown.resize,
            checkpoints=checkpoints,
            resume=resume,
            report=report,
        )
    line(str(weights))


def _recipe(default: "Recipe", size: int, changes: dict[str, Any]) -> "Recipe":
    """The default recipe with what was asked for, its images growing to the model's size."""
    largest = default.sizes[-1][1]
    sizes = tuple((share, round(side * size / largest)) for share, side in default.sizes)
    try:
        return dataclasses.replace(default, **{"sizes": sizes, **changes})
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _parse_sizes(text: str) -> tuple[tuple[float, int], ...]:
    try:
        return tuple((float(share), int(side)) for share, side in (part.split(":") for part in text.split(",")))
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is not SHARE:PIXELS,... such as 0:32,0.5:64", param_hint="'--sizes'"
        ) from error
