"""The grid pointing game: photos of different classes side by side, in which a class's relevance has one right place.

Source: Böhle, Fritz, Schiele, Convolutional dynamic alignment networks, arXiv 2104.00032; Rao, Böhle, Schiele, Towards
better understanding attribution methods, arXiv 2205.10435.
"""

import io
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import jax
import numpy as np
from PIL import Image

from srd_jax.data.annotations import OBJECT, OUTSIDE, Annotation
from srd_jax.data.chunks import chunks
from srd_jax.data.images import NO_LABEL, Images
from srd_jax.errors import DataError

if TYPE_CHECKING:
    from srd_jax.models import Network
    from srd_jax.models.photos import Preprocessing

__all__ = ["confident", "mosaics", "shown_whole"]


def confident(
    net: "Network",
    images: Images,
    cell: int,
    *,
    threshold: float = 0.9,
    batch: int = 32,
    advance: Callable[[int], object] = lambda done: None,
) -> dict[int, int]:
    """The photos that a model names rightly and is sure of, where they are as small as in a mosaic.

    Args:
        net: the model.
        images: with labels.
        cell: side of a photo in the mosaic in pixels.
        threshold: least probability of the right class.
        batch: how many are run at a time.
        advance: called with the number of photos after each batch.

    Returns:
        Class by place; photos that cannot be read are not among them.
    """
    predict = jax.jit(lambda variables, x: jax.nn.softmax(net.apply(variables, x)))
    found: dict[int, int] = {}
    count = -(-len(images) // batch)
    for chunk in chunks(images, range(count), batch, size=cell, prepare=net.preprocess.at(cell)):
        probabilities = np.asarray(predict(net.variables, chunk.inputs))
        for row in range(chunk.count):
            label = int(chunk.labels[row])
            if (
                row not in chunk.problems
                and label == probabilities[row].argmax()
                and probabilities[row].max() >= threshold
            ):
                found[chunk.start + row] = label
        advance(chunk.count)
    return found


def mosaics(
    images: Images,
    classes: dict[int, int],
    shown: "Preprocessing",
    *,
    cells: int = 2,
    count: int = 200,
    seed: int = 0,
) -> Images:
    """Mosaics of cells x cells photos of different classes, each with the classes and the masks of its cells.

    A photo comes back only when all have been used.

    Args:
        images: the photos.
        classes: class by place of those that may be used, as `confident` finds them.
        shown: how a cell shows its photo.
        cells: along each side.
        count: how many mosaics.
        seed: of the choice.

    Raises:
        DataError: there are too few classes.
    """
    several = cells**2
    if (found := len(set(classes.values()))) < several:
        raise DataError(
            f"a mosaic of {cells} x {cells} takes photos of {several} classes, and those of {images.name} that the "
            f"model names rightly and is sure of are of {found}: ask for less certainty, or bring more photos"
        )
    groups = _groups(classes, several, count, np.random.default_rng(seed))
    side = cells * shown.size
    masks = np.full((several, side, side), OUTSIDE, np.uint8)
    for k, (row, column) in enumerate(product(range(cells), repeat=2)):
        corner = row * shown.size, column * shown.size
        masks[k, corner[0] : corner[0] + shown.size, corner[1] : corner[1] + shown.size] = OBJECT

    def read(place: int) -> tuple[bytes, int]:
        crops = [images.shown(each, shown) for each in groups[place]]
        whole = np.block([[[c] for c in crops[r * cells : (r + 1) * cells]] for r in range(cells)])
        file = io.BytesIO()
        Image.fromarray(whole).save(file, "PPM")
        return file.getvalue(), NO_LABEL

    def annotation(place: int) -> Annotation:
        return Annotation(tuple(classes[each] for each in groups[place]), masks=masks)

    ids = tuple(" | ".join(images.ids[each] for each in group) for group in groups)
    return Images(f"mosaics of {images.name}", ids, images.labels, read, annotation=annotation)


def shown_whole(shown: "Preprocessing", side: int) -> "Preprocessing":
    """The same preprocessing for mosaics, of which nothing is cut off."""
    return replace(shown, size=side, resize=side)


def _groups(classes: dict[int, int], several: int, count: int, rng: np.random.Generator) -> list[Sequence[int]]:
    """Places for each mosaic, of different classes; of those that are left in a shuffled row the first that fit."""
    left: deque[int] = deque()
    groups: list[Sequence[int]] = []
    for _ in range(count):
        group: list[int] = []
        passed: list[int] = []
        while len(group) < several:
            if not left:
                left.extend(int(place) for place in rng.permutation(sorted(classes)))
            place = left.popleft()
            (passed if classes[place] in {classes[each] for each in group} else group).append(place)
        left.extendleft(reversed(passed))
        groups.append(group)
    return groups
