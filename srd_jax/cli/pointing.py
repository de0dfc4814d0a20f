"""``srd pointing``: how often the highest point of a map lies on the object, for methods and for simpler answers."""

from pathlib import Path
from typing import Annotated

import typer

from srd_jax.files import check_folder

from .options import (
    MOST_AT_ONCE,
    BiasOption,
    Cache,
    ContrastOption,
    Count,
    DataDir,
    DataSet,
    HeadOption,
    ManualDir,
    Methods,
    ModelName,
    Out,
    Size,
    Split,
    Weights,
    finite,
)
from .terminal import progress_bar

__all__ = ["pointing"]


def pointing(
    *,
    data: DataSet = "tiny_imagenet200",
    split: Split = "validation",
    data_dir: DataDir = None,
    manual_dir: ManualDir = None,
    count: Count = None,
    model: ModelName = "tiny_resnet",
    weights: Weights = None,
    method: Methods = None,
    contrast: ContrastOption = "spatial",
    bias: BiasOption = "norm",
    head: HeadOption = "linear",
    smooth: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=64,
            callback=finite,
            help="Standard deviation of the smoothing in pixels.",
            show_default="a 32nd of the side",
        ),
    ] = None,
    size: Size = None,
    batch: Annotated[int, typer.Option(min=1, max=MOST_AT_ONCE, help="Images at a time.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of examples.")] = 0,
    out: Out = Path("srd-out"),
    cache: Cache = True,
) -> None:
    """Play the pointing game on a set with boxes: does the highest point of the true class's map lie in the box?

    By default with SRD and saliency, the gradient's magnitude. Images without a label are left out.
    """
    check_folder(out)

    from srd_jax.evaluation import pointing  # noqa: PLC0415
    from srd_jax.evaluation.report import Subject  # noqa: PLC0415

    from .caching import keep_programs  # noqa: PLC0415
    from .inputs import load_model, weights_label  # noqa: PLC0415
    from .labelled import from_data  # noqa: PLC0415
    from .methods import chosen, given  # noqa: PLC0415
    from .reports import show_report  # noqa: PLC0415

    methods = chosen(method or ("srd", "saliency"))
    options = given(methods, contrast=contrast, bias=bias, head=head)
    keep_programs(cache=cache)
    net = load_model(model, weights)
    batches, total = from_data(data, split, count, net, batch, size=size, data_dir=data_dir, manual_dir=manual_dir)
    sigma = (size or net.size) / 32 if smooth is None else smooth
    with progress_bar() as progress:
        task = progress.add_task("Pointing", total=total)
        played = pointing.pointing(
            net, batches, batch, methods=methods, options=options, sigma=sigma, seed=seed,
            advance=lambda done: progress.advance(task, done),
        )  # fmt: skip
    told = options | {"methods": methods, "smooth": sigma}
    subject = Subject.of(net, weights_label(model, weights), data, split)
    show_report(pointing.report(played, subject, options=told, total=total), out)
