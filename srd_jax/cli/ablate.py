"""``srd ablate``: what each of the method's choices changes, in numbers over many images and in pictures of a few."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from srd_jax.files import check_folder, replacing, slug

from .explain import UNTRAINED
from .options import (
    MOST_AT_ONCE,
    Bias,
    Contrast,
    Count,
    DataDir,
    Head,
    Images,
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
    from jaxtyping import Float, UInt8

    from srd_jax.models import Model

    from .labelled import Labelled

__all__ = ["SETTINGS", "Ablation", "ablate", "measure"]

SETTINGS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "as published": {},
        "scalar": {"unit": "scalar"},
        "post": {"relevance": "post"},
        "no recursion": {"recursion": False},
    }
)
"""The method, and each of its three choices turned off by itself."""

METRICS: Mapping[str, str] = MappingProxyType(
    {"noise": "less is better", "gini": "", "deletion": "less is better", "insertion": "more is better", "pointing": ""}
)
_SHOWN = 6


@dataclass(frozen=True, eq=False)
class Ablation:
    """What was measured.

    Attributes:
        values: by setting and metric, one number for each image; NaN where there is none (pointing without a box).
        images: the first few images.
        maps: their maps by setting.
        targets: the classes that were explained.
        unlabelled: how many of them were predicted, as the images have no label.
    """

    values: "dict[str, dict[str, Float[np.ndarray, ' N']]]"
    images: "UInt8[np.ndarray, 'n H W 3']"
    maps: "dict[str, Float[np.ndarray, 'n H W']]"
    targets: "np.ndarray"
    unlabelled: int


def ablate(
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
    contrast: Annotated[Contrast, typer.Option(help="What the encoder's relevance is compared with.")] = "spatial",
    bias: Annotated[Bias, typer.Option(help="How biases are shared among contributions.")] = "norm",
    head: Annotated[Head, typer.Option(help="How the logit is divided at the encoder's output.")] = "linear",
    baseline: Annotated[
        Literal["blur", "mean"], typer.Option(help="What stands for pixels that are not there.")
    ] = "blur",
    steps: Annotated[int, typer.Option(min=1, max=1000, help="Points of the deletion and insertion curves.")] = 16,
    tolerance: Annotated[
        float | None,
        typer.Option(min=0, callback=finite, help="Pixels off a box that still hit it.", show_default="15 per 224"),
    ] = None,
    size: Size = None,
    batch: Annotated[int, typer.Option(min=1, max=MOST_AT_ONCE, help="Images at a time.")] = 16,
    out: Out = Path("srd-out"),
) -> None:
    """Turn off each of the method's choices by itself: vectors, the value before the activation, recursion.

    The label is explained, or of photos and other images that have none, the ordinary prediction.
    """
    if head == "sharing":
        raise typer.BadParameter("single neurons have no such head; take linear or gradcam", param_hint="'--head'")
    check_folder(out)

    from srd_jax.drawing.charts import draw_contact_sheet  # noqa: PLC0415
    from srd_jax.drawing.pictures import write_png  # noqa: PLC0415

    from .inputs import load_model, outline, weights_label  # noqa: PLC0415
    from .labelled import from_data, from_photos  # noqa: PLC0415

    net = load_model(model, weights)
    side = size or net.size
    if data is None:
        batches, total = from_photos(images, outline(model, size), batch)
        batch, what = min(batch, total), "photos"
    else:
        batches, total = from_data(
            data, split, count, net, batch, size=size, data_dir=data_dir, manual_dir=manual_dir, unlabelled=True
        )
        what = f"images of {data} {split}"
    within = 15 * side / 224 if tolerance is None else tolerance
    options = {"bias": bias, "head": head, "contrast": None if contrast == "none" else contrast}
    with progress_bar() as progress:
        task = progress.add_task("Explaining under every setting", total=total)
        found = measure(
            net,
            batches,
            batch,
            options=options,
            baseline=baseline,
            steps=steps,
            tolerance=within,
            advance=lambda done: progress.advance(task, done),
        )

    label = weights_label(model, weights)
    summary = {setting: _summary(found, setting) for setting in found.values}
    name = f"{slug(data) if data else 'photos'}_{net.name}_ablations"
    record = {
        "model": net.name,
        "weights": label,
        "trained": net.trained,
        "data": data,
        "split": split if data else None,
        "images": total,
        "unlabelled": found.unlabelled,
        "options": options | {"baseline": baseline, "steps": steps, "tolerance": within},
        "settings": {setting: dict(given) for setting, given in SETTINGS.items()},
        "results": summary,
    }
    figure = draw_contact_sheet(
        list(found.images),
        {setting: list(maps) for setting, maps in found.maps.items()},
        captions=[net.labels[int(target)] for target in found.targets[: len(found.images)]],
        title="The same images under every setting",
        details=(f"{net.name}, {label} weights  ·  contrast {contrast}, bias {bias}, head {head}",),
    )
    picture, numbers = out / f"{name}.png", out / f"{name}.json"
    with replacing(picture) as file:
        write_png(figure, file)
    with replacing(numbers) as file:
        file.write(json.dumps(record, indent=2).encode())
    if data is not None and found.unlabelled:
        line(f"{found.unlabelled} of {total} images have no label: of them the ordinary prediction is explained")
    metrics = [metric for metric in METRICS if any(summary[setting].get(metric) for setting in summary)]
    rows = [
        (f"{m}, {METRICS[m]}" if METRICS[m] else m, *(_cell(each.get(m)) for each in summary.values())) for m in metrics
    ]
    show(table(f"{net.name} on {total} {what}, means with 95 % bootstrap intervals", ("Metric", *summary), rows))
    for path in (picture, numbers):
        line(str(path))
    if not net.trained:
        line(f"{UNTRAINED} Give --weights FILE for a model that has learnt.", style="bold red")


def measure(
    net: "Model",
    batches: "Iterable[Labelled]",
    batch: int,
    *,
    options: Mapping[str, Any],
    baseline: Literal["blur", "mean"],
    steps: int,
    tolerance: float,
    advance: Callable[[int], object] = lambda done: None,
) -> Ablation:
    """Every metric of the maps that every setting gives of the same images.

    Args:
        net: the model.
        batches: images with labels, and boxes where there are some.
        batch: how many images are run at a time; shorter batches are filled up.
        options: of `srd_jax.explain`, for all settings.
        baseline: what stands for pixels that are not there: the image blurred (with a standard deviation of a
            fortieth of its side), or its mean colour.
        steps: of the deletion and insertion curves.
        tolerance: of the pointing game, in pixels.
        advance: called with the number of images after each batch.
    """
    import jax  # noqa: PLC0415
    import jax.numpy as jnp  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    import srd_jax as srd  # noqa: PLC0415
    from srd_jax import metrics  # noqa: PLC0415

    from .inputs import check_logits  # noqa: PLC0415
    from .labelled import filled, normalised  # noqa: PLC0415

    predict = jax.jit(net.apply)
    explain = {setting: jax.jit(srd.explain(net.apply, **options, **given)) for setting, given in SETTINGS.items()}
    values: dict[str, dict[str, list[np.ndarray]]] = {
        setting: {metric: [] for metric in METRICS} for setting in SETTINGS
    }
    shown: list[np.ndarray] = []
    maps: dict[str, list[np.ndarray]] = {setting: [] for setting in SETTINGS}
    targets: list[np.ndarray] = []
    unlabelled = 0
    for each in batches:
        real = len(each.labels)
        x = jnp.asarray(normalised(net, filled(each.images, batch)))
        logits = np.asarray(predict(net.variables, x))
        check_logits(logits, net.name)
        labels = filled(each.labels, batch)
        target = jnp.where(labels < 0, logits.argmax(-1), labels)
        without = metrics.mean_colour(x) if baseline == "mean" else metrics.blurred(x, sigma=x.shape[1] / 40)
        boxes = np.full((real, 4), np.nan) if each.boxes is None else np.asarray(each.boxes, np.float64)
        known = np.isfinite(boxes).all(1)
        corners = filled(np.round(np.where(known[:, None], boxes, 0)).astype(np.int32), batch)
        for setting, run in explain.items():
            heat = run(net.variables, x, target)
            curves = [
                curve(net.apply, net.variables, x, heat, target, without, steps=steps)
                for curve in (metrics.deletion, metrics.insertion)
            ]
            hits = metrics.pointing_game(heat, corners, tolerance)
            row = {
                "noise": metrics.noise_level(heat),
                "gini": metrics.gini(heat),
                "deletion": metrics.area(curves[0]),
                "insertion": metrics.area(curves[1]),
                "pointing": np.where(filled(known, batch), np.asarray(hits, float), np.nan),
            }
            for metric, numbers in row.items():
                values[setting][metric].append(np.asarray(numbers)[:real])
            if len(shown) < _SHOWN:
                maps[setting] += list(np.asarray(heat)[: min(real, _SHOWN - len(shown))])
        shown += list(each.images[: _SHOWN - len(shown)])
        targets.append(np.asarray(target)[:real])
        unlabelled += int(np.sum(each.labels < 0))
        advance(real)
    joined = {setting: {m: np.concatenate(parts) for m, parts in row.items()} for setting, row in values.items()}
    return Ablation(
        joined, np.stack(shown), {s: np.stack(m) for s, m in maps.items()}, np.concatenate(targets), unlabelled
    )


def _summary(found: Ablation, setting: str) -> dict[str, dict[str, float]]:
    """By metric the mean of a setting and its difference to the first one, image by image, with their intervals."""
    import jax  # noqa: PLC0415
    import jax.numpy as jnp  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    from srd_jax.metrics import bootstrap  # noqa: PLC0415

    first = next(iter(found.values.values()))
    summary = {}
    for metric, numbers in found.values[setting].items():
        known = np.isfinite(numbers)
        if not known.any():
            continue
        mean, low, high = bootstrap(jax.random.key(0), jnp.asarray(numbers[known]))
        change, lower, upper = bootstrap(jax.random.key(0), jnp.asarray((numbers - first[metric])[known]))
        summary[metric] = {
            "mean": float(mean), "low": float(low), "high": float(high),
            "change": float(change), "change_low": float(lower), "change_high": float(upper),
            "images": int(known.sum()),
        }  # fmt: skip
    return summary


def _cell(estimate: Mapping[str, float] | None) -> str:
    return "" if estimate is None else f"{estimate['mean']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"
