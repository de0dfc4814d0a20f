"""Photos explained one after the other: read, mapped for the classes asked for, drawn and written."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Float, Float32, UInt8

from srd_jax.attribution import find_method, with_options
from srd_jax.batch import check_logits
from srd_jax.drawing.pictures import draw_explanation, draw_methods, write_png
from srd_jax.evaluation.report import UNTRAINED
from srd_jax.files import replacing, slug, unique_stems
from srd_jax.models import photos, preprocessing, sample_photo
from srd_jax.models.ranks import Rank

if TYPE_CHECKING:
    from srd_jax import models

__all__ = [
    "Asked",
    "ExplainedPhoto",
    "PhotoCrop",
    "PhotoFile",
    "explain_photos",
    "photo_files",
    "pixels_of",
    "predictions",
    "read_photo",
    "write_explanation",
]

_SAMPLE = "chelsea"
_SHARP = 512  # pixels a side, about what a picture shows
_MAPS_AT_ONCE = 8
_TOP = 5


@dataclass(frozen=True)
class PhotoFile:
    """A photo that has not been read.

    Attributes:
        source: its path, or what comes with scikit-image.
        name: where it is from.
        stem: what its files' names begin with; no two photos share it.
    """

    source: "models.Photo"
    name: str
    stem: str


@dataclass(frozen=True)
class PhotoCrop:
    """A photo as the model sees it.

    Attributes:
        name: where it is from.
        stem: what its files' names begin with; no two photos share it.
        crop: (size, size, 3) uint8.
        sharp: the same part of the photo in more pixels, for pictures.
    """

    name: str
    stem: str
    crop: UInt8[np.ndarray, "H W 3"]
    sharp: UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class Asked:
    """How maps are made, and what a picture must say of it.

    Attributes:
        methods: names in `srd_jax.attribution.METHODS`, or products of them.
        options: of the methods; each takes those that it has.
        weights: what to call the model's weights.
    """

    methods: tuple[str, ...]
    options: Mapping[str, Any]
    weights: str

    @property
    def choices(self) -> str:
        """The method, where it is one, and the options in words."""
        words = [f"{name} {'none' if value is None else value}" for name, value in self.options.items()]
        return ", ".join(words if self.methods == ("srd",) else [*self.methods, *words])


@dataclass(frozen=True, eq=False)
class ExplainedPhoto:
    """One photo's result.

    Attributes:
        photo: what was explained.
        logits: (classes,).
        maps: for each target class, (H, W) by method.
    """

    photo: PhotoCrop
    logits: Float[np.ndarray, " classes"]
    maps: dict[int, dict[str, Float[np.ndarray, "H W"]]]


def photo_files(paths: Sequence[Path] | None) -> list[PhotoFile]:
    """The photos to read, each once; without paths, one that comes with scikit-image."""
    if not paths:
        return [PhotoFile(sample_photo(_SAMPLE), f"{_SAMPLE} (scikit-image)", _SAMPLE)]
    once = list(dict.fromkeys(paths))
    return [PhotoFile(path, str(path), stem) for path, stem in zip(once, unique_stems(once), strict=True)]


def read_photo(file: PhotoFile, model: str, size: int) -> PhotoCrop:
    """A photo, resized and cropped as a model wants it.

    Args:
        file: the photo.
        model: name of the model.
        size: side of its input in pixels.

    Raises:
        ImageError: it cannot be read.
        ShapeError: it has no pixels.
    """
    shown = preprocessing(model).at(size)
    enlarge = max(1, _SHARP // size)
    image = file.source
    if isinstance(image, Path):
        image = photos.decoded(photos.read(image), file.name)
    sharp = replace(shown, size=enlarge * size, resize=enlarge * shown.resize).crop(image)
    return PhotoCrop(file.name, file.stem, shown.crop(image), sharp)


def pixels_of(net: "models.Network", crops: Sequence[PhotoCrop]) -> Float32[np.ndarray, "N H W 3"]:
    """The normalised network input for photos: (N, H, W, 3)."""
    return net.preprocess.normalise(np.stack([photo.crop for photo in crops]))


def explain_photos(
    net: "models.Network", crops: Iterable[PhotoCrop], wanted: Sequence[int | Rank], asked: Asked, batch: int
) -> Iterator[ExplainedPhoto]:
    """Explain photos in order; every batch goes through the same compiled functions.

    Args:
        net: the model.
        crops: photos as it sees them.
        wanted: classes, or ranks among the likeliest.
        asked: how.
        batch: how many photos at a time; the last batch is filled up.
    """
    predict = jax.jit(net.apply)
    explain = {name: jax.jit(with_options(find_method(name), asked.options)(net.apply)) for name in asked.methods}
    rest = iter(crops)
    while some := list(islice(rest, batch)):
        pixels = pixels_of(net, [*some, *[some[-1]] * (batch - len(some))])
        logits = np.asarray(predict(net.variables, pixels))
        check_logits(logits, net.name)
        order = np.argsort(-logits, axis=1, kind="stable")
        targets = np.stack(
            [order[:, each.rank - 1] if isinstance(each, Rank) else np.full(batch, each) for each in wanted], 1
        )
        maps = {
            name: [
                np.asarray(run(net.variables, pixels, targets[:, at : at + _MAPS_AT_ONCE].astype(np.int32)))
                for at in range(0, targets.shape[1], _MAPS_AT_ONCE)
            ]
            for name, run in explain.items()
        }
        for row, photo in enumerate(some):
            own = {name: [heat for part in parts for heat in part[row]] for name, parts in maps.items()}
            # a class may be asked for by name and be among the likeliest
            found = {int(t): {name: each[k] for name, each in own.items()} for k, t in enumerate(targets[row])}
            yield ExplainedPhoto(photo, logits[row], found)


def write_explanation(
    net: "models.Network", result: ExplainedPhoto, target: int, asked: Asked, out: Path
) -> list[Path]:
    """Write the picture and the numbers of one class's maps, several methods' side by side.

    Returns:
        The two files.

    Raises:
        SRDError: they cannot be written.
    """
    label, photo, maps = net.labels[target], result.photo, result.maps[target]
    logit, probability = float(result.logits[target]), float(_probabilities(result.logits)[target])
    rank = int((result.logits > result.logits[target]).sum()) + 1
    single = len(maps) == 1
    head: dict[str, Any] = {
        "title": label,
        "details": (
            f"class {target}  ·  logit {logit:.2f}  ·  probability {_percent(probability)}  ·  "
            f"rank {rank} of {len(net.labels)}",
            f"{photo.name}  ·  {net.name}, {asked.weights} weights"
            + (f"  ·  {asked.choices}" if single else "  ·  every map in its own scale"),
        ),
        "notice": "" if net.trained else UNTRAINED,
        "sharp": photo.sharp,
    }
    (heat, *_) = maps.values()
    figure = draw_explanation(photo.crop, heat, **head) if single else draw_methods(photo.crop, maps, **head)
    method = "" if asked.methods == ("srd",) else f"_{slug(asked.methods[0])}" if single else "_methods"
    name = f"{photo.stem}_{net.name}{method}_{'-'.join((str(target), slug(label.split(',')[0]))).strip('-')}"
    picture, numbers = out / f"{name}.png", out / f"{name}.npz"
    with replacing(picture) as file:
        write_png(figure, file)
    with replacing(numbers) as file:
        np.savez_compressed(
            file,
            **dict[str, Any]({"map": heat} if single else {f"map_{name}": each for name, each in maps.items()}),
            target=target,
            label=label,
            logit=logit,
            probability=probability,
            model=net.name,
            weights=asked.weights,
            trained=net.trained,
            method=", ".join(asked.methods),
            image=photo.name,
            crop=photo.crop,
            **dict[str, Any]({option: "none" if value is None else value for option, value in asked.options.items()}),
        )
    return [picture, numbers]


def predictions(net: "models.Network", result: ExplainedPhoto) -> tuple[str, tuple[str, ...], list[tuple[str, ...]]]:
    """A table of the likeliest classes, and below them explained ones that are not among them.

    Returns:
        Its title, headings and rows.
    """
    probabilities = _probabilities(result.logits)
    order = [int(index) for index in (-result.logits).argsort(kind="stable")]
    likeliest = order[:_TOP]
    rows: list[tuple[str, ...]] = [
        (
            str(order.index(index) + 1),
            str(index),
            net.labels[index],
            f"{result.logits[index]:.2f}",
            _percent(float(probabilities[index])),
            "yes" if index in result.maps else "",
        )
        for index in [*likeliest, *(index for index in result.maps if index not in likeliest)]
    ]
    weights = "" if net.trained else ", untrained weights"
    headings = ("Rank", "Index", "Class", "Logit", "Probability", "Explained")
    return f"{result.photo.name}: {net.name}{weights}", headings, rows


def _probabilities(logits: np.ndarray) -> np.ndarray:
    """The softmax, or of a single logit the sigmoid."""
    if logits.size == 1:
        return np.exp(-np.logaddexp(0, -logits.astype(np.float64)))
    shifted = np.exp(logits.astype(np.float64) - logits.max())
    return shifted / shifted.sum()


def _percent(probability: float) -> str:
    percent = 100 * probability
    return f"{percent:.1f} %" if percent >= 0.1 else f"{percent:.2g} %"
