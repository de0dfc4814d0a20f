"""The pointing game: how often the highest point of a map lies on the object, for methods and for simpler answers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from srd_jax.attribution import find_method, with_options
from srd_jax.batch import Batch, check_logits, filled
from srd_jax.drawing.charts import draw_contact_sheet
from srd_jax.errors import DataError
from srd_jax.evaluation.patterns import left_out
from srd_jax.evaluation.report import Report, Subject, untrained_notice
from srd_jax.metrics import blurred, bootstrap, pointing_game

if TYPE_CHECKING:
    from srd_jax.models import Network

__all__ = ["ANYWHERE", "CENTRE", "SMOOTHED", "Played", "pointing", "report"]

CENTRE, ANYWHERE, SMOOTHED = "the centre", "anywhere", ", smoothed"
_EXAMPLES = 8


@dataclass(frozen=True, eq=False)
class Played:
    """The game on many images.

    Attributes:
        hits: by answer, for each image whether its highest point is in the box; for ``"anywhere"`` the box's share of
            the image, which is how often a point drawn at random hits it.
        right: for each image whether its class is the predicted one.
        images: a random few.
        boxes: of those: row and column of the first pixel, row and column after the last.
        maps: of those by answer.
        targets: classes of those.
    """

    hits: dict[str, Float[np.ndarray, " N"]]
    right: Bool[np.ndarray, " N"]
    images: UInt8[np.ndarray, "n H W 3"]
    boxes: Int[np.ndarray, "n 4"]
    maps: dict[str, Float[np.ndarray, "n H W"]]
    targets: Int[np.ndarray, " n"]


def pointing(
    net: "Network",
    batches: Iterable[Batch],
    batch: int,
    *,
    methods: Sequence[str] = ("srd", "saliency"),
    options: Mapping[str, Any] = MappingProxyType({}),
    sigma: float = 2.0,
    seed: int = 0,
    advance: Callable[[int], object] = lambda done: None,
) -> Played:
    """Play the game with attribution methods, each also smoothed, and with no map: the centre, and anywhere.

    Args:
        net: the model.
        batches: images with labels and boxes.
        batch: how many are run at a time; shorter batches are filled up.
        methods: names in `srd_jax.attribution.METHODS`.
        options: of the methods, as far as they have them.
        sigma: standard deviation of the smoothing in pixels.
        seed: of the choice of examples.
        advance: called with the number of images after each batch.

    Raises:
        DataError: an image has no box.

    Source: Zhang et al., Top-down neural attention by excitation backprop, arXiv 1608.00507.
    """
    explain = {name: with_options(find_method(name), options)(net.apply) for name in methods}
    answers = (*(answer for name in methods for answer in (name, name + SMOOTHED)), CENTRE, ANYWHERE)

    @jax.jit
    def play(variables: Any, images: Any, labels: Any, boxes: Any) -> tuple[dict[str, Any], dict[str, Any], Any]:
        maps = {}
        for name, run in explain.items():
            maps[name] = run(variables, images, labels)
            maps[name + SMOOTHED] = blurred(maps[name][..., None], sigma=sigma)[..., 0]
        n, height, width = images.shape[:3]
        middle = jnp.zeros((n, height, width)).at[:, height // 2, width // 2].set(1)
        hits = {name: pointing_game(heat, boxes) for name, heat in maps.items()}
        hits[CENTRE] = pointing_game(middle, boxes)
        hits[ANYWHERE] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / (height * width)
        return hits, maps, net.apply(variables, images)

    rng = np.random.default_rng(seed)
    found: dict[str, list[np.ndarray]] = {name: [] for name in answers}
    right: list[np.ndarray] = []
    examples: list[tuple[np.ndarray, np.ndarray, int, dict[str, np.ndarray]]] = []
    count = 0
    for each in batches:
        real = len(each.labels)
        if each.boxes is None or not np.isfinite(each.boxes).all():
            raise DataError("the pointing game needs a box for every image, and this set has images without one")
        boxes = np.round(each.boxes).astype(np.int32)
        images = net.preprocess.normalise(filled(each.images, batch))
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
        {name: np.stack([maps[name] for maps in shown]) for name in answers[:-2]},
        np.array(targets),
    )


def report(
    played: Played, subject: Subject, *, options: Mapping[str, Any] = MappingProxyType({}), total: int | None = None
) -> Report:
    """Shares of hits with their intervals, and the maps of a random few with their boxes.

    Args:
        played: the game.
        subject: on what.
        options: as it was played, to be told.
        total: how many images there were, those without a label that were left out included.
    """
    counted = len(played.right)
    summary = {name: _summary(hits, played) for name, hits in played.hits.items()}
    figure = draw_contact_sheet(
        list(played.images),
        {method: list(maps) for method, maps in played.maps.items()},
        captions=[subject.labels[int(target)] for target in played.targets],
        title="The pointing game on random images",
        details=(
            f"{subject.model}, {subject.weights} weights  ·  {subject.images}  ·  box of the object, highest point of "
            "the map",
        ),
        boxes=played.boxes,
    )
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
    return Report(
        subject.stem("pointing"),
        f"{subject.model} on {counted} {subject.images}, the true class",
        ("The highest point of", "In the box", "95 % interval", "Where the model is right", "Box below a quarter"),
        rows,
        {
            **subject.record,
            "images": counted,
            "options": dict(options),
            "top1": float(played.right.mean()),
            "results": summary,
        },
        figure,
        remarks=left_out(counted, total),
        notice=untrained_notice(trained=subject.trained),
    )


def _summary(hits: Float[np.ndarray, " N"], played: Played) -> dict[str, float]:
    """The share of hits with its interval, among images the model gets right, and among small objects."""
    mean, low, high = (float(x) for x in bootstrap(jax.random.key(0), hits))
    small = played.hits[ANYWHERE] < 1 / 4
    parts = {"of_right": played.right, "of_small": small}
    shares = {name: float(hits[chosen].mean()) if chosen.any() else 0.0 for name, chosen in parts.items()}
    return {"mean": mean, "low": low, "high": high, **shares}
