"""How much of the class is in which units are on, by layer and for the whole network."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32

from srd_jax.batch import Batch, check_logits, filled
from srd_jax.drawing.charts import draw_by_depth
from srd_jax.evaluation.report import Report, Subject, untrained_notice
from srd_jax.metrics import bootstrap
from srd_jax.patterns import apop

if TYPE_CHECKING:
    from srd_jax.models import Network

__all__ = ["PROBES", "Result", "patterns", "report"]

PROBES = ("zeros", "ones", "mean", "noise", "other", "image")
"""What runs through the whole network's pattern, as network input: zeros, ones, each image's mean colour, Gaussian
noise, the image before it in its batch, the image itself."""

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


def patterns(
    net: "Network",
    batches: Iterable[Batch],
    batch: int,
    *,
    layers: Sequence[str],
    probes: Sequence[str] = PROBES,
    advance: Callable[[int], object] = lambda done: None,
) -> list[Result]:
    """Accuracy of the ordinary forward pass, of every layer's pattern and of every probe, in that order.

    Args:
        net: the model.
        batches: images with labels; without one the ordinary prediction counts as the label.
        batch: how many images are run at a time; shorter batches are filled up.
        layers: names of PFV maps.
        probes: some of `PROBES`.
        advance: called with the number of images after each batch.

    Source: Han, Kim, Kwak, ICLR 2024, arXiv 2402.03348.
    """

    def first(logits: Any) -> Any:
        return jnp.argmax(logits, -1)

    ordinary = jax.jit(net.apply)
    ways: dict[tuple[str, str], Any] = {}
    for name in layers:
        pattern = apop(net.apply, name)
        ways["layer", name] = jax.jit(lambda v, x, p, pattern=pattern: first(pattern(v, x)))
    run_held = apop(net.apply)
    whole = jax.jit(lambda v, x, p: first(run_held(v, x, p)))
    ways |= {("probe", probe): whole for probe in probes}

    found: dict[tuple[str, str], list[np.ndarray]] = {way: [] for way in [(ORDINARY, ""), *ways]}
    labels: list[np.ndarray] = []
    for number, each in enumerate(batches):
        real = len(each.labels)
        images = net.preprocess.normalise(filled(each.images, batch))
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


def report(results: Sequence[Result], subject: Subject, total: int | None = None) -> Report:
    """Accuracies with their intervals, and a picture of them by depth.

    Args:
        results: from `patterns`.
        subject: on what they were measured.
        total: how many images there were, those without a label that were left out included.
    """
    ordinary, rest = results[0], results[1:]
    counted = ordinary.images
    chance = 1 / len(subject.labels)
    estimates = {way: {r.name: (r.top1, r.low, r.high) for r in rest if r.way == way} for way in ("layer", "probe")}
    figure = draw_by_depth(
        estimates["layer"],
        estimates["probe"],
        ordinary=ordinary.top1,
        chance=chance,
        title="What the pattern of active units alone predicts",
        details=(
            f"{subject.model}, {subject.weights} weights  ·  {counted} {subject.images}  ·  bars: 95 % bootstrap "
            "intervals",
        ),
    )
    rows = [
        (r.way, r.name, f"{r.top1:.2%}", f"{r.low:.2%} to {r.high:.2%}", f"{r.top1 / chance:.1f}", f"{r.agreement:.2%}")
        for r in results
    ]
    record = {
        **subject.record,
        "images": counted,
        "classes": len(subject.labels),
        "chance": chance,
        "results": [asdict(result) for result in results],
    }
    return Report(
        subject.stem("apop"),
        f"{subject.model} on {counted} {subject.images}",
        ("Way", "Layer or probe", "Top-1", "95 % interval", "Times chance", "As the ordinary"),
        rows,
        record,
        figure,
        text_columns=(0, 1),
        remarks=left_out(counted, total),
        notice=untrained_notice(trained=subject.trained),
    )


def left_out(counted: int, total: int | None) -> tuple[str, ...]:
    """What to say where images without a label were left out."""
    if total is None or counted >= total:
        return ()
    return (f"{total - counted} of {total} images have no label and are left out",)


def _probes(images: Float32[np.ndarray, "N H W 3"], key: Array, real: int) -> Mapping[str, Any]:
    other = np.concatenate([np.roll(images[:real], 1, 0), images[real:]])
    return {
        "zeros": jnp.zeros(images.shape),
        "ones": jnp.ones(images.shape),
        "mean": np.broadcast_to(images.mean((1, 2), keepdims=True), images.shape),
        "noise": jax.random.normal(key, images.shape),
        "other": other,
        "image": images,
    }
