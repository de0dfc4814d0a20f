"""``srd attack``: photos changed so that nobody sees it and maps become others, and how far each method's gave way."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

import srd_jax
from srd_jax.files import check_folder

from .extras import needing
from .options import (
    MOST_AT_ONCE,
    BiasOption,
    Cache,
    ContrastOption,
    Count,
    DataDir,
    HeadOption,
    ManualDir,
    Methods,
    ModelName,
    Photos,
    Settings,
    Size,
    Split,
    Weights,
)
from .terminal import progress_bar

__all__ = ["attack"]

_METHODS = (
    "saliency", "input_x_gradient", "integrated_gradients", "guided_backprop", "lrp_epsilon_plus", "gradcam", "srd",
)  # fmt: skip
_INTEGRATED = {"steps": 10, "together": True}  # each point is a gradient of a gradient, in every step


def attack(
    *,
    images: Photos = None,
    model: ModelName = "tiny_resnet",
    weights: Weights = None,
    data: Annotated[str | None, typer.Option(metavar="NAME", help="A TFDS set of images, in place of photos.")] = None,
    split: Split = "validation",
    data_dir: DataDir = None,
    manual_dir: ManualDir = None,
    count: Count = None,
    method: Methods = None,
    settings: Settings = None,
    contrast: ContrastOption = "spatial",
    bias: BiasOption = "norm",
    head: HeadOption = "linear",
    steps: Annotated[int, typer.Option(min=1, max=10**6, help="Of the attack.")] = 1500,
    bound: Annotated[
        int, typer.Option(min=0, max=255, help="Largest change of a pixel's channel in levels of 255; 0 for any.")
    ] = 8,
    towards: Annotated[
        Literal["next", "frame"], typer.Option(help="Whether maps should become the next photo's, or a square frame.")
    ] = "next",
    size: Size = None,
    batch: Annotated[int, typer.Option(min=1, max=MOST_AT_ONCE, help="Photos at a time.")] = 8,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for what is made, new or to be resumed.")
    ] = Path("srd-attack"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what was begun, with the same options.")] = False,
    cache: Cache = True,
) -> None:
    """Manipulate explanations: change photos a little, so that their maps become others and the logits stay.

    By default seven methods. The class that the model sees is explained. Integrated gradients take 10 points where
    --set steps=... does not say otherwise.
    """
    check_folder(out)

    with needing("attack"):
        from srd_jax.data.checksums import checksum, weights_checksum  # noqa: PLC0415
        from srd_jax.evaluation import manipulability, manipulation_runs  # noqa: PLC0415
        from srd_jax.evaluation.manipulation import Attack  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    from srd_jax.evaluation.report import Subject  # noqa: PLC0415

    from .caching import keep_programs  # noqa: PLC0415
    from .inputs import load_model, outline, weights_label  # noqa: PLC0415
    from .labelled import from_data, from_photos  # noqa: PLC0415
    from .methods import chosen, given  # noqa: PLC0415
    from .reports import show_report  # noqa: PLC0415

    methods = chosen(method or _METHODS)
    options = given(methods, settings, contrast=contrast, bias=bias, head=head)
    if any("integrated_gradients" in name for name in methods):
        options = _INTEGRATED | options
    how = Attack(steps=steps, bound=bound or None)
    shown = outline(model, size)
    keep_programs(cache=cache)
    net = load_model(model, weights)
    if data is None:
        batches, total = from_photos(images, shown, batch)
    else:
        batches, total = from_data(
            data, split, count, net, batch, size=size, data_dir=data_dir, manual_dir=manual_dir, unlabelled=True
        )
    pixels = np.concatenate([each.images for each in batches])
    subject = Subject.of(net, weights_label(model, weights), data, split)
    told = {"methods": methods, "options": options, "towards": towards}
    run = {
        "srd_jax": srd_jax.__version__, **subject.record, "checksum": weights_checksum(net.variables),
        "photos": [checksum(image.tobytes()) for image in pixels], "batch": batch, "attack": asdict(how), **told,
    }  # fmt: skip
    with progress_bar() as progress:
        task = progress.add_task("Attacking", total=None)
        found = manipulation_runs.attack_all(
            net, methods, pixels, min(batch, total), out, run, resume=resume, options=options, attack=how,
            towards=towards, advance=lambda done, total: progress.update(task, advance=done, total=total),
        )  # fmt: skip
    show_report(manipulability.report(found, subject, attack=how, told=told), out)
