"""``srd ablate``: what each of the method's choices changes, in numbers over many images and in pictures of a few."""

from pathlib import Path
from typing import Annotated

import typer

from srd_jax.files import check_folder

from .options import (
    MOST_AT_ONCE,
    Baseline,
    BiasOption,
    Cache,
    ContrastOption,
    Count,
    DataDir,
    HeadOption,
    ManualDir,
    Methods,
    ModelName,
    Out,
    Photos,
    Size,
    Split,
    Weights,
    finite,
)
from .terminal import progress_bar

__all__ = ["ablate"]


def ablate(
    *,
    images: Photos = None,
    model: ModelName = "tiny_resnet",
    weights: Weights = None,
    data: Annotated[
        str | None, typer.Option(metavar="NAME", help="A TFDS set of labelled images, in place of photos.")
    ] = None,
    split: Split = "validation",
    data_dir: DataDir = None,
    manual_dir: ManualDir = None,
    count: Count = None,
    method: Methods = None,
    contrast: ContrastOption = "spatial",
    bias: BiasOption = "norm",
    head: HeadOption = "linear",
    baseline: Baseline = "blur",
    steps: Annotated[int, typer.Option(min=1, max=1000, help="Points of the deletion and insertion curves.")] = 16,
    tolerance: Annotated[
        float | None,
        typer.Option(min=0, callback=finite, help="Pixels off a box that still hit it.", show_default="15 per 224"),
    ] = None,
    size: Size = None,
    batch: Annotated[int, typer.Option(min=1, max=MOST_AT_ONCE, help="Images at a time.")] = 16,
    out: Out = Path("srd-out"),
    cache: Cache = True,
) -> None:
    """Turn off each of the method's choices by itself: vectors, the value before the activation, recursion.

    With --method, compare these methods instead. The label is explained, or of photos and other images that have none,
    the ordinary prediction.
    """
    if head == "sharing" and not method:
        raise typer.BadParameter("single neurons have no such head; take linear or gradcam", param_hint="'--head'")
    check_folder(out)

    from srd_jax.evaluation import ablation  # noqa: PLC0415
    from srd_jax.evaluation.report import Subject  # noqa: PLC0415

    from .caching import keep_programs  # noqa: PLC0415
    from .inputs import load_model, outline, weights_label  # noqa: PLC0415
    from .labelled import from_data, from_photos  # noqa: PLC0415
    from .methods import chosen, given  # noqa: PLC0415
    from .reports import show_report  # noqa: PLC0415

    options = given(method, contrast=contrast, bias=bias, head=head)
    settings = ablation.settings_of(chosen(method)) if method else ablation.SETTINGS
    keep_programs(cache=cache)
    net = load_model(model, weights)
    if data is None:
        batches, total = from_photos(images, outline(model, size), batch)
        batch = min(batch, total)
    else:
        batches, total = from_data(
            data, split, count, net, batch, size=size, data_dir=data_dir, manual_dir=manual_dir, unlabelled=True
        )
    within = 15 * (size or net.size) / 224 if tolerance is None else tolerance
    with progress_bar() as progress:
        task = progress.add_task("Explaining under every setting", total=total)
        found = ablation.ablation(
            net,
            batches,
            batch,
            settings=settings,
            options=options,
            baseline=baseline,
            steps=steps,
            tolerance=within,
            advance=lambda done: progress.advance(task, done),
        )
    told = options | {"baseline": baseline, "steps": steps, "tolerance": within}
    subject = Subject.of(net, weights_label(model, weights), data, split)
    show_report(ablation.report(found, subject, settings=settings, options=told), out)
