"""``srd apop``: how much of the class is in which units are on, by layer and for the whole network."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srd_jax.errors import LayerError, SRDError
from srd_jax.files import check_folder, replacing, slug

from .explain import UNTRAINED
from .options import MOST_AT_ONCE, Count, DataDir, Images, ManualDir, ModelName, Out, Size, Split, Weights
from .terminal import line, progress_bar, show, table

if TYPE_CHECKING:
    import numpy as np

    from srd_jax.models import Model

    from .labelled import Labelled

__all__ = ["Result", "apop", "measure"]

PROBES = ("zeros", "ones", "mean", "noise", "other", "image")
ORDINARY = "ordinary"


@dataclass(frozen=True)
class Result:
    """What one way of predicting got right.

    Attributes:
        way: "ordinary", "layer" or "probe".
        name: of the layer or the probe.
        top1: share of images whose label it predicts.
        low: lower end of its 95 % bootstrap interval.
        high: upper end.
        agreement: share of images for which it predicts what the ordinary forward pass predicts.
        images: how many there were.
    """

    way: str
    name: str
    top1: float
    low: float
    high: float
    agreement: float
    images: int


def apop(
    *,
    images: Images = None,
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
) -> None:
    """Predict from activation patterns alone: accuracy by layer, and for probes through the whole network.

    With photos, which have no labels, the ordinary prediction counts as the label; a set's images without one are left
    out.
    """
    for each in probe or ():
        if each not in PROBES:
            raise typer.BadParameter(f"{each!r} is none of {', '.join(PROBES)}", param_hint="'--probe'")
    check_folder(out)

    from srd_jax.drawing.charts import draw_by_depth  # noqa: PLC0415
    from srd_jax.drawing.pictures import write_png  # noqa: PLC0415

    from .inputs import load_model, outline, weights_label  # noqa: PLC0415
    from .labelled import from_data, from_photos  # noqa: PLC0415

    net = load_model(model, weights)
    if len(net.labels) == 1:
        raise SRDError(f"{net.name} has one logit, and so no class to predict among others")
    layers = _layers(layer, net.layers)
    if data is None:
        batches, total = from_photos(images, outline(model, size), batch)
        batch, what = min(batch, total), "photos"
    else:
        batches, total = from_data(data, split, count, net, batch, size=size, data_dir=data_dir, manual_dir=manual_dir)
        what = f"images of {data} {split}"
    # of a single image there is no other
    probes = [p for p in (probe or PROBES) if p != "other" or total > 1]
    with progress_bar() as progress:
        task = progress.add_task("Predicting from patterns", total=total)
        results = measure(net, batches, layers, probes, batch, lambda done: progress.advance(task, done))

    ordinary, rest = results[0], results[1:]
    if ordinary.images < total:
        line(f"{total - ordinary.images} of {total} images have no label and are left out")
    total = ordinary.images
    chance = 1 / len(net.labels)
    label = weights_label(model, weights)
    name = f"{slug(data) if data else 'photos'}_{net.name}_apop"
    estimates = {way: {r.name: (r.top1, r.low, r.high) for r in rest if r.way == way} for way in ("layer", "probe")}
    figure = draw_by_depth(
        estimates["layer"],
        estimates["probe"],
        ordinary=ordinary.top1,
        chance=chance,
        title="What the pattern of active units alone predicts",
        details=(f"{net.name}, {label} weights  ·  {total} {what}  ·  bars: 95 % bootstrap intervals",),
    )
    picture, numbers = out / f"{name}.png", out / f"{name}.json"
    with replacing(picture) as file:
        write_png(figure, file)
    record = {
        "model": net.name,
        "weights": label,
        "trained": net.trained,
        "data": data,
        "split": split if data else None,
        "images": total,
        "classes": len(net.labels),
        "chance": chance,
        "results": [asdict(result) for result in results],
    }
    with replacing(numbers) as file:
        file.write(json.dumps(record, indent=2).encode())
    rows = [
        (r.way, r.name, f"{r.top1:.2%}", f"{r.low:.2%} to {r.high:.2%}", f"{r.top1 / chance:.1f}", f"{r.agreement:.2%}")
        for r in results
    ]
    headings = ("Way", "Layer or probe", "Top-1", "95 % interval", "Times chance", "As the ordinary")
    show(table(f"{net.name} on {total} {what}", headings, rows, text_columns=(0, 1)))
    for path in (picture, numbers):
        line(str(path))
    if not net.trained:
        line(f"{UNTRAINED} Give --weights FILE for a model that has learnt.", style="bold red")


def measure(
    net: "Model",
    batches: "Iterable[Labelled]",
    layers: Sequence[str],
    probes: Sequence[str],
    batch: int,
    advance: Callable[[int], object] = lambda done: None,
) -> list[Result]:
    """Accuracy of the ordinary forward pass, of every layer's pattern and of every probe, in that order.

    Args:
        net: the model.
        batches: images with labels.
        layers: names of PFV maps.
        probes: what runs through the whole network's pattern, as network input: zeros, ones, each image's mean colour,
            Gaussian noise, the image before it in its batch, the image itself.
        batch: how many images are run at a time; shorter batches are filled up.
        advance: called with the number of images after each batch.
    """
    import jax  # noqa: PLC0415
    import jax.numpy as jnp  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    import srd_jax as srd  # noqa: PLC0415
    from srd_jax.metrics import bootstrap  # noqa: PLC0415

    from .inputs import check_logits  # noqa: PLC0415
    from .labelled import filled, normalised  # noqa: PLC0415

    def first(logits: Any) -> Any:
        return jnp.argmax(logits, -1)

    ordinary = jax.jit(net.apply)
    ways: dict[tuple[str, str], Any] = {}
    for name in layers:
        pattern = srd.apop(net.apply, name)
        ways["layer", name] = jax.jit(lambda v, x, p, pattern=pattern: first(pattern(v, x)))
    run_held = srd.apop(net.apply)
    whole = jax.jit(lambda v, x, p: first(run_held(v, x, p)))
    ways |= {("probe", probe): whole for probe in probes}

    found: dict[tuple[str, str], list[np.ndarray]] = {way: [] for way in [(ORDINARY, ""), *ways]}
    labels: list[np.ndarray] = []
    for number, each in enumerate(batches):
        real = len(each.labels)
        images = normalised(net, filled(each.images, batch))
        inputs = _probes(images, jax.random.fold_in(jax.random.key(0), number), real)
        logits = np.asarray(ordinary(net.variables, images))
        check_logits(logits, net.name)
        found[ORDINARY, ""].append(logits[:real].argmax(-1))
        for (way, name), predict in ways.items():
            found[way, name].append(np.asarray(predict(net.variables, images, inputs.get(name, 0.0)))[:real])
        labels.append(np.asarray(each.labels))
        advance(real)
    truth = np.concatenate(labels)
    usual = np.concatenate(found[ORDINARY, ""])
    truth = np.where(truth < 0, usual, truth)
    results = []
    for (way, name), parts in found.items():
        predicted = np.concatenate(parts)
        right = (predicted == truth).astype(np.float32)
        mean, low, high = (float(x) for x in bootstrap(jax.random.key(0), right))
        results.append(Result(way, name, mean, low, high, float((predicted == usual).mean()), len(truth)))
    return results


def _probes(images: "np.ndarray", key: Any, real: int) -> Mapping[str, Any]:
    import jax  # noqa: PLC0415
    import jax.numpy as jnp  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    other = np.concatenate([np.roll(images[:real], 1, 0), images[real:]])
    return {
        "zeros": jnp.zeros(images.shape),
        "ones": jnp.ones(images.shape),
        "mean": np.broadcast_to(images.mean((1, 2), keepdims=True), images.shape),
        "noise": jax.random.normal(key, images.shape),
        "other": other,
        "image": images,
    }


def _layers(wanted: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    from srd_jax.suggest import did_you_mean  # noqa: PLC0415

    for name in wanted or ():
        if name not in known:
            raise LayerError(f"no PFV map is called {name!r}; {did_you_mean(name, list(known))}")
    return list(dict.fromkeys(wanted)) if wanted else list(known)
