"""``srd apop``: how much of the class is in which units are on, by layer and for the whole network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from srd_jax.errors import LayerError, SRDError
from srd_jax.files import check_folder

from .options import MOST_AT_ONCE, Cache, Count, DataDir, ManualDir, ModelName, Out, Photos, Size, Split, Weights
from .terminal import progress_bar

__all__ = ["apop"]

PROBES = ("zeros", "ones", "mean", "noise", "other", "image")


def apop(
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
    layer: Annotated[
        list[str] | None,
        typer.Option("--layer", "-l", metavar="NAME", help="A PFV map; repeatable.", show_default="every layer"),
    ] = None,
    probe: Annotated[
        list[str] | None,
        typer.Option("--probe", metavar="|".join(PROBES), help="What runs through; repeatable.", show_default="all"),
    ] = None,
    size: Size = None,
    batch: Annotated[int, typer.Option(min=1, max=MOST_AT_ONCE, help="Images at a time.")] = 32,
    out: Out = Path("srd-out"),
    cache: Cache = True,
) -> None:
    """Predict from activation patterns alone: accuracy by layer, and for probes through the whole network.

    With photos, which have no labels, the ordinary prediction counts as the label; a set's images without one are left
    out.
    """
    for each in probe or ():
        if each not in PROBES:
            raise typer.BadParameter(f"{each!r} is none of {', '.join(PROBES)}", param_hint="'--probe'")
    check_folder(out)

    from srd_jax.evaluation import patterns  # noqa: PLC0415
    from srd_jax.evaluation.report import Subject  # noqa: PLC0415
    from srd_jax.patterns import active_layers  # noqa: PLC0415

    from .caching import keep_programs  # noqa: PLC0415
    from .inputs import load_model, outline, weights_label  # noqa: PLC0415
    from .labelled import from_data, from_photos  # noqa: PLC0415
    from .reports import show_report  # noqa: PLC0415

    keep_programs(cache=cache)
    net = load_model(model, weights)
    if len(net.labels) == 1:
        raise SRDError(f"{net.name} has one logit, and so no class to predict among others")
    shown = outline(model, size)
    layers = _known(layer, net.layers) if layer else active_layers(net.apply, net.layers, net.variables, shown.images)
    if data is None:
        batches, total = from_photos(images, shown, batch)
        batch = min(batch, total)
    else:
        batches, total = from_data(data, split, count, net, batch, size=size, data_dir=data_dir, manual_dir=manual_dir)
    # of a single image there is no other
    probes = [p for p in (probe or PROBES) if p != "other" or total > 1]
    with progress_bar() as progress:
        task = progress.add_task("Predicting from patterns", total=total)
        results = patterns.patterns(
            net, batches, batch, layers=layers, probes=probes, advance=lambda done: progress.advance(task, done)
        )
    subject = Subject.of(net, weights_label(model, weights), data, split)
    show_report(patterns.report(results, subject, total), out)


def _known(wanted: Sequence[str], known: Sequence[str]) -> list[str]:
    from srd_jax.messages import did_you_mean  # noqa: PLC0415

    for name in wanted:
        if name not in known:
            raise LayerError(f"no PFV map is called {name!r}; {did_you_mean(name, list(known))}")
    return list(dict.fromkeys(wanted))
