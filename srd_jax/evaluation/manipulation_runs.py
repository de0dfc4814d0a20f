"""Attacks on the maps of many photos by several methods, in a folder that survives a kill.

Each batch of each method is one file, which appears whole; a run that goes on makes those that are not there. What is
made depends on the run and on the batch alone.
"""

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from srd_jax.batch import check_logits, filled
from srd_jax.data.recipe import RUN, differences, encoded, parsed
from srd_jax.errors import DataError, SRDError
from srd_jax.evaluation.manipulation import Attack, Attacker, Changed, Problem, attacker
from srd_jax.files import check_folder, read_regular, replacing, slug
from srd_jax.models import sample_photo

if TYPE_CHECKING:
    from srd_jax.models import Network

__all__ = ["Attacked", "Towards", "attack_all", "predicted"]

Towards = Literal["next", "frame"]
"""What maps should become: that of the next photo, by the same method, or a square frame."""

_SAMPLES = ("chelsea", "coffee")
_MOST = 2**31  # bytes of a file
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True, eq=False)
class Attacked:
    """Photos before and after an attack on the maps of one method, all of the model itself.

    Attributes:
        images: (N, H, W, 3) as they were.
        changed: (N, H, W, 3) after the attack.
        classes: (N,) that are explained: those predicted before.
        maps: (N, H, W) before.
        changed_maps: (N, H, W) after.
        noisy_maps: (N, H, W) with the same change, its values in another order: what noise of that size does.
        goals: (N, H, W) what the maps should become.
        logits: (N, classes) before.
        changed_logits: (N, classes) after.
        softened: (N,) whether the attack that worked best went through softplus.
    """

    images: UInt8[np.ndarray, "n h w 3"]
    changed: UInt8[np.ndarray, "n h w 3"]
    classes: Int[np.ndarray, " n"]
    maps: Float[np.ndarray, "n h w"]
    changed_maps: Float[np.ndarray, "n h w"]
    noisy_maps: Float[np.ndarray, "n h w"]
    goals: Float[np.ndarray, "n h w"]
    logits: Float[np.ndarray, "n classes"]
    changed_logits: Float[np.ndarray, "n classes"]
    softened: Bool[np.ndarray, " n"]


def attack_all(
    net: "Network",
    methods: Sequence[str],
    images: UInt8[np.ndarray, "n h w 3"],
    batch: int,
    out: Path,
    run: Mapping[str, Any],
    *,
    resume: bool = False,
    options: Mapping[str, Any] = MappingProxyType({}),
    attack: Attack | None = None,
    towards: Towards = "next",
    advance: Callable[[int, int], object] = lambda done, total: None,
) -> dict[str, Attacked]:
    """Attack the maps that methods give of photos, but for what is in the folder already.

    Args:
        net: the model.
        methods: names of methods.
        images: in levels, as the model takes them.
        batch: how many are attacked at a time; the last batch is filled up.
        out: a folder, new or empty, or what a run like this one has begun.
        run: all that decides what is made, as JSON takes it; it is kept in the folder.
        resume: whether the run may have been begun.
        options: of the methods, as far as they have them.
        attack: how, None for the defaults.
        towards: what maps should become. The photo after the last one is the first; that of a single one is a sample.
        advance: called with how many steps were taken, and of how many in all.

    Returns:
        By method, all photos.

    Raises:
        MethodError: maps of a method cannot be attacked; this is found out before anything is made.
        WeightsError: the model's logits are not finite.
        SRDError: the folder may not be used, or a file cannot be written.
    """
    begun = _begun(out, run, resume=resume)
    attackers = {name: attacker(net, name, options=options, attack=attack) for name in methods}
    others = None if towards == "frame" else _following(net, images)
    photos = _Photos(
        images,
        predicted(net, images, batch),
        None if others is None else (others, predicted(net, others, batch)),
        batch,
    )
    places = [(name, number) for name in methods for number in range(photos.batches)]
    done = {
        place: found
        for place in places
        if (found := _read(_file(out, *place), images[photos.at(place[1])])) is not None
    }
    missing = [place for place in places if place not in done]
    ways = {name: attackers[name].ways(photos.problem(attackers[name], 0)) for name in dict(missing)}
    if not begun:
        with replacing(out / RUN) as file:
            file.write(encoded(run))
    total = sum(len(ways[name]) * attackers[name].attack.steps for name, _ in missing)
    for name, number in missing:
        problem = photos.problem(attackers[name], number)
        changed = attackers[name](problem, ways[name], lambda steps: advance(steps, total))
        found = _attacked(attackers[name], problem, changed, photos.at(number))
        _write(_file(out, name, number), found)
        done[name, number] = found
    return {name: _joined([done[name, number] for number in range(photos.batches)]) for name in methods}


def predicted(net: "Network", images: UInt8[np.ndarray, "n h w 3"], batch: int) -> Int[np.ndarray, " n"]:
    """The class that the model sees in every image.

    Raises:
        WeightsError: the logits are not finite.
    """
    predict = jax.jit(net.apply)
    found = []
    for first in range(0, len(images), batch):
        some = images[first : first + batch]
        logits = np.asarray(predict(net.variables, net.preprocess.normalise(filled(some, batch))))
        check_logits(logits, net.name)
        found.append(logits.argmax(-1)[: len(some)])
    return np.concatenate(found).astype(np.int32)


def _begun(out: Path, run: Mapping[str, Any], *, resume: bool) -> bool:
    """Whether a run was begun in a folder, which is this one and goes on.

    Raises:
        SRDError: it may not go on, or there is another run, or something else.
    """
    check_folder(out)
    if not (out / RUN).exists():
        # what a kill leaves of a file is no obstacle
        if out.exists() and not all(file.suffix == ".part" for file in out.iterdir()):
            raise SRDError(f"{out} holds other files than attacks: choose another folder")
        return False
    if not resume:
        raise SRDError(f"{out} exists already: --resume goes on with it, or choose another folder")
    try:
        other = differences(out, parsed(read_regular(out / RUN, _MOST)), parsed(encoded(run)), ())
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{out / RUN} does not say what was begun there ({error}): choose another folder") from error
    if other:
        raise SRDError(f"{out} was begun with {other}: --resume goes on with the same only")
    return True


@dataclass(frozen=True, eq=False)
class _Photos:
    """All photos with the classes seen in them, and the same of those whose maps are the targets, None for a frame."""

    images: UInt8[np.ndarray, "n h w 3"]
    classes: Int[np.ndarray, " n"]
    others: tuple[UInt8[np.ndarray, "n h w 3"], Int[np.ndarray, " n"]] | None
    batch: int

    @property
    def batches(self) -> int:
        """How many there are."""
        return -(-len(self.images) // self.batch)

    def at(self, number: int) -> slice:
        """Where a batch lies."""
        return slice(number * self.batch, min((number + 1) * self.batch, len(self.images)))

    def problem(self, attacker: Attacker, number: int) -> Problem:
        """What is asked for a batch, filled up."""
        images, classes = self._filled(number, self.images, self.classes)
        if self.others is None:
            maps, _ = attacker.explain(images, classes)
            return attacker.problem(images, classes, np.broadcast_to(_frame(*maps.shape[1:]), maps.shape))
        return attacker.problem(images, classes, attacker.explain(*self._filled(number, *self.others))[0])

    def _filled(self, number: int, *arrays: np.ndarray) -> list[np.ndarray]:
        return [filled(array[self.at(number)], self.batch) for array in arrays]


def _following(net: "Network", images: UInt8[np.ndarray, "n h w 3"]) -> UInt8[np.ndarray, "n h w 3"]:
    """The photo after each; after a single one the first sample that is another photo."""
    if len(images) > 1:
        return np.roll(images, -1, 0)
    crop = net.preprocess.at(images.shape[1]).crop
    samples = (crop(sample_photo(name)) for name in _SAMPLES)
    return next(sample for sample in samples if not np.array_equal(sample, images[0]))[None]


def _frame(height: int, width: int) -> Float[np.ndarray, "h w"]:
    """A square around the middle, half as wide as the image."""
    rows, columns = (np.abs(np.arange(n) - (n - 1) / 2) / n for n in (height, width))
    away = np.maximum(rows[:, None], columns)
    return ((away <= 1 / 4) & (away > 1 / 4 - 1 / 16)).astype(np.float32)


def _attacked(attacker: Attacker, problem: Problem, changed: Changed, rows: slice) -> Attacked:
    """What an attack on a batch came to, without what fills it up."""
    images, classes = np.asarray(problem.images).astype(np.uint8), np.asarray(problem.classes)
    noisy = np.stack(
        [_shuffled(*pair, seed) for seed, pair in enumerate(zip(images, changed.images, strict=True), rows.start)]
    )
    made = Attacked(
        images, changed.images, classes, np.asarray(problem.maps), changed.maps, attacker.explain(noisy, classes)[0],
        np.asarray(problem.goals), np.asarray(problem.logits), changed.logits, changed.softened,
    )  # fmt: skip
    return Attacked(**{name: array[: rows.stop - rows.start] for name, array in vars(made).items()})


def _shuffled(
    image: UInt8[np.ndarray, "h w 3"], changed: UInt8[np.ndarray, "h w 3"], seed: int
) -> UInt8[np.ndarray, "h w 3"]:
    """An image with the same changes, each somewhere else."""
    change = np.random.default_rng(seed).permutation(changed.astype(np.int16).ravel() - image.ravel())
    return np.clip(image + change.reshape(image.shape), 0, 255).astype(np.uint8)


def _file(out: Path, name: str, number: int) -> Path:
    return out / f"{slug(name, 100)}_{number:04d}.npz"


def _write(path: Path, attacked: Attacked) -> None:
    with replacing(path) as file:
        np.savez(file, **vars(attacked))


def _read(path: Path, images: UInt8[np.ndarray, "n h w 3"]) -> Attacked | None:
    """What was made of a batch of images, None where it was not, or is damaged."""
    try:
        with np.load(io.BytesIO(read_regular(path, _MOST)), allow_pickle=False) as stored:
            found = Attacked(**{field.name: stored[field.name] for field in fields(Attacked)})
    except _UNREADABLE:
        return None
    whole = all(len(array) == len(images) for array in vars(found).values())
    return found if whole and np.array_equal(found.images, images) else None


def _joined(parts: Sequence[Attacked]) -> Attacked:
    return Attacked(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Attacked)})
