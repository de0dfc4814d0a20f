"""``srd pointing``: how often the highest point of a map lies on the object, for SRD and for simpler answers."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srd_jax.errors import DataError
from srd_jax.files import check_folder, replacing, slug

from .options import (
    MOST_AT_ONCE,
    Bias,
    Contrast,
    Count,
    DataDir,
    DataSet,
    Head,
    ManualDir,
    ModelName,
    Out,
    Size,
    Split,
    Weights,
    finite,
)
from .terminal import line, progress_bar, show, table

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool, Float, Int, UInt8

    from srd_jax.models import Model

    from .labelled import Labelled

__all__ = ["Played", "measure", "pointing"]

SRD, GRADIENT, CENTRE, ANYWHERE = "SRD", "gradient", "the centre", "anywhere"
SMOOTHED = ", smoothed"
MAPS = (SRD, SRD + SMOOTHED, GRADIENT, GRADIENT + SMOOTHED)
METHODS = (*MAPS, CENTRE, ANYWHERE)
_EXAMPLES = 8


@dataclass(frozen=True, eq=False)
class Played:
    """The game on many images.

    Attributes:
        hits: by method, for each image whether its highest point is in the box; for ``"anywhere"`` the box's share of
            the image, which is how often a point drawn at random hits it.
        right: for each image whether its class is the predicted one.
        images: a random few.
        boxes: of those: row and column of the first pixel, row and column after the last.
        maps: of those by method.
        targets: classes of those.
    """

    hits: "dict[str, Float[np.ndarray, ' N']]"
    right: "Bool[np.ndarray, ' N']"
    images: "UInt8[np.ndarray, 'n H W 3']"
    boxes: "Int[np.ndarray, 'n 4']"
    maps: "dict[str, Float[np.ndarray, 'n H W']]"
    targets: "Int[np.ndarray, ' n']"


def pointing(
    *,
    data: DataSet = "tiny_imagenet200",
    split: Split = "validation",
    data_dir: DataDir = None,
    manual_dir: ManualDir = None,
    count: Count = None,
    model: ModelName = "tiny_resnet",
    weights: Weights = None,
    contrast: Annotated[Contrast, typer.Option(help="What the encoder's relevance is compared with.")] = "spatial",
    bias: Annotated[Bias, typer.Option(help="How biases are shared among contributions.")] = "norm",
    head: Annotated[Head, typer.Option(help="How the logit is divided at the encoder's output.")] = "linear",
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
) -> None:
    """Play the pointing game on a set with boxes: does the highest point of the true class's map lie in the box?

    Images without a label are left out.
    """
    check_folder(out)

    from srd_jax.drawing.charts import draw_contact_sheet  # noqa: PLC0415
    from srd_jax.drawing.pictures import write_png  # noqa: PLC0415

    from .inputs import load_model, weights_label  # noqa: PLC0415
    from .labelled import from_data  # noqa: PLC0415

    net = load_model(model, weights)
    batches, total = from_data(data, split, count, net, batch, size=size, data_dir=data_dir, manual_dir=manual_dir)
    sigma = (size or net.size) / 32 if smooth is None else smooth
    options = {"contrast": None if contrast == "none" else contrast, "bias": bias, "head": head}
    with progress_bar() as progress:
        task = progress.add_task("Pointing", total=total)
        played = measure(
            net, batches, batch, options=options, sigma=sigma, seed=seed,
            advance=lambda done: progress.advance(task, done),
        )  # fmt: skip

    if len(played.right) < total:
        line(f"{total - len(played.right)} of {total} images have no label and are left out")
    total = len(played.right)
    label = weights_label(model, weights)
    summary = {name: _summary(hits, played) for name, hits in played.hits.items()}
    name = f"{slug(data)}_{net.name}_pointing"
    record = {
        "model": net.name,
        "weights": label,
        "trained": net.trained,
        "data": data,
        "split": split,
        "images": total,
        "options": options | {"smooth": sigma},
        "top1": float(played.right.mean()),
        "results": summary,
    }
    figure = draw_contact_sheet(
        list(played.images),
        {method: list(maps) for method, maps in played.maps.items()},
        captions=[net.labels[int(target)] for target in played.targets],
        title="The pointing game on random images",
        details=(f"{net.name}, {label} weights  ·  {data} {split}  ·  box of the object, highest point of the map",),
        boxes=played.boxes,
    )
    picture, numbers = out / f"{name}.png", out / f"{name}.json"
    with replacing(picture) as file:
        write_png(figure, file)
    with replacing(numbers) as file:
        file.write(json.dumps(record, indent=2).encode())
    rows = [
        (
            method,
            f"{s['mean']:.1%}",
            f"{s['low']:.1%} to {s['high']:.1%}",
            f"{s['of_right']:.1%}",
            f"{s['of_small']:.1%}",
        )
        for method, s in summary.items()
    ]
    headings = (
        "The highest point of",
        "In the box",
        "95 % interval",
        "Where the model is right",
        "Box below a quarter",
    )
    show(table(f"{net.name} on {total} images of {data} {split}, the true class", headings, rows))
    for path in (picture, numbers):
        line(str(path))


def measure(
    net: "Model",
    batches: "Iterable[Labelled]",
    batch: int,
    *,
    options: Mapping[str, Any],
    sigma: float,
    seed: int = 0,
    advance: Callable[[int], object] = lambda done: None,
) -> Played:
    """Play the game with SRD, the gradient's magnitude (Simonyan et al., arXiv 1312.6034), both smoothed, and no map.

    Args:
        net: the model.
        batches: images with labels and boxes.
        batch: how many are run at a time; shorter batches are filled up.
        options: of `srd_jax.explain`.
        sigma: standard deviation of the smoothing in pixels.
        seed: of the choice of examples.
        advance: called with the number of images after each batch.

    Raises:
        DataError: an image has no box.
    """
    import jax  # noqa: PLC0415
    import jax.numpy as jnp  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    import srd_jax as srd  # noqa: PLC0415
    from srd_jax.metrics import blurred, pointing_game  # noqa: PLC0415

    from .inputs import check_logits  # noqa: PLC0415
    from .labelled import filled, normalised  # noqa: PLC0415

    explain = srd.explain(net.apply, **options)

    def own_logits(images: Any, variables: Any, labels: Any) -> tuple[Any, Any]:
        logits = net.apply(variables, images)
        return jnp.sum(jnp.take_along_axis(logits, labels[:, None], 1)), logits

    @jax.jit
    def play(variables: Any, images: Any, labels: Any, boxes: Any) -> tuple[dict[str, Any], dict[str, Any], Any]:
        gradient, logits = jax.grad(own_logits, has_aux=True)(images, variables, labels)
        maps = {SRD: explain(variables, images, labels), GRADIENT: jnp.max(jnp.abs(gradient), -1)}
        maps |= {name + SMOOTHED: blurred(heat[..., None], sigma=sigma)[..., 0] for name, heat in maps.items()}
        _, height, width = maps[SRD].shape
        middle = jnp.zeros((height, width)).at[height // 2, width // 2].set(1)
        hits = {name: pointing_game(heat, boxes) for name, heat in maps.items()}
        hits[CENTRE] = pointing_game(jnp.broadcast_to(middle, maps[SRD].shape), boxes)
        hits[ANYWHERE] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / (height * width)
        return hits, maps, logits

    rng = np.random.default_rng(seed)
    found: dict[str, list[np.ndarray]] = {name: [] for name in METHODS}
    right: list[np.ndarray] = []
    examples: list[tuple[np.ndarray, np.ndarray, int, dict[str, np.ndarray]]] = []
    count = 0
    for each in batches:
        real = len(each.labels)
        if each.boxes is None or not np.isfinite(each.boxes).all():
            raise DataError("the pointing game needs a box for every image, and this set has images without one")
        boxes = np.round(each.boxes).astype(np.int32)
        images = normalised(net, filled(each.images, batch))
        hits, maps, logits = play(net.variables, images, filled(each.labels, batch), filled(boxes, batch))
        check_logits(np.asarray(logits), net.name)
        for name, values in hits.items():
            found[name].append(np.asarray(values, np.float32)[:real])
        right.append(np.asarray(logits)[:real].argmax(-1) == each.labels)
        for row in range(real):
            count += 1
            # a sample of a sequence whose length is not known before it ends: Vitter's algorithm R
            place = len(examples) if count <= _EXAMPLES else int(rng.integers(count))
            if place < _EXAMPLES:
                own = {name: np.asarray(heat)[row] for name, heat in maps.items()}
                examples[place : place + 1] = [(each.images[row], boxes[row], int(each.labels[row]), own)]
        advance(real)
    pixels, corners, targets, shown = zip(*examples, strict=True)
    return Played(
        {name: np.concatenate(parts) for name, parts in found.items()},
        np.concatenate(right),
        np.stack(pixels),
        np.stack(corners),
        {name: np.stack([maps[name] for maps in shown]) for name in MAPS},
        np.array(targets),
    )


def _summary(hits: "np.ndarray", played: Played) -> dict[str, float]:
    """The share of hits with its interval, among images the model gets right, and among small objects."""
    import jax  # noqa: PLC0415

    from srd_jax.metrics import bootstrap  # noqa: PLC0415

    mean, low, high = (float(x) for x in bootstrap(jax.random.key(0), hits))
    small = played.hits[ANYWHERE] < 1 / 4
    parts = {"of_right": played.right, "of_small": small}
    shares = {name: float(hits[chosen].mean()) if chosen.any() else 0.0 for name, chosen in parts.items()}
    return {"mean": mean, "low": low, "high": high, **shares}
