"""A comparison on disk: for every method a store as ``srd batch`` writes it, with measures beside the maps."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from srd_jax import __version__
from srd_jax.attribution import find_method, with_options
from srd_jax.data import open_maps
from srd_jax.data.checksums import is_there, weights_checksum
from srd_jax.data.images import Images
from srd_jax.data.recipe import ids_checksum
from srd_jax.data.store import COST, UNREADABLE, Writer, prepare_store, write_file
from srd_jax.errors import MethodError
from srd_jax.evaluation.comparing import Comparison
from srd_jax.evaluation.measuring import FORMS, Cost, Protocol, Task
from srd_jax.files import slug

if TYPE_CHECKING:
    from srd_jax.models import Network
    from srd_jax.models.photos import Preprocessing

__all__ = ["Plan", "begin", "compared", "task", "write_cost"]

_LONGEST = 200  # letters of a folder's name
_COST = 2**10  # bytes at most of what is noted of it


@dataclass(frozen=True, eq=False)
class Plan:
    """What is compared, on what, and where.

    Attributes:
        net: the model.
        weights: what they are called.
        images: what is explained.
        shown: how the model wants them.
        targets: what is explained of each image, by name.
        methods: names as `srd_jax.attribution.find_method` takes them; the first is what others are compared with.
        options: of all methods, as far as they have them.
        protocol: what is measured.
        batch: images at a time.
        kept: how many images' maps are kept.
        folder: of the comparison.
    """

    net: "Network"
    weights: str
    images: Images
    shown: "Preprocessing"
    targets: tuple[str, ...]
    methods: tuple[str, ...]
    options: Mapping[str, Any]
    protocol: Protocol
    batch: int
    kept: int
    folder: Path

    @cached_property
    def folders(self) -> Mapping[str, Path]:
        """The store of each method.

        Raises:
            MethodError: two methods would have the same.
        """
        found = {name: self.folder / slug(name, _LONGEST) for name in self.methods}
        for name, folder in found.items():
            other = next(each for each in found if found[each] == folder)
            if other != name:
                raise MethodError(f"{other} and {name} would share the folder {folder}: compare them in two runs")
        return found

    @cached_property
    def recipes(self) -> Mapping[str, dict[str, Any]]:
        """How the maps of each method are made and measured."""
        common = {
            "srd_jax": __version__, "model": self.net.name, "weights": self.weights,
            "checksum": weights_checksum(self.net.variables), "source": self.images.name, "images": len(self.images),
            "ids": ids_checksum(self.images.ids), "targets": list(self.targets), "size": self.shown.size,
            "batch": self.batch, "dtype": "float32", "kept": self.kept, "variants": list(FORMS),
        }  # fmt: skip
        common |= asdict(self.protocol) | {"metrics": list(self.protocol.metrics)}
        return {name: {"method": name, "options": dict(self.options), **common} for name in self.methods}


def begin(plan: Plan, *, resume: bool) -> Mapping[str, tuple[str, ...]]:
    """Begin every store, once it is clear that each can be.

    Args:
        plan: what is compared.
        resume: whether stores may have been begun.

    Returns:
        By method, files of a store that was begun which were lost or damaged and are written again.

    Raises:
        SRDError: a store may not be used, or cannot be written to.
    """
    ids = plan.images.ids
    for name, folder in plan.folders.items():
        prepare_store(folder, plan.recipes[name], ids, resume=resume, write=False)
    return {
        name: prepare_store(folder, plan.recipes[name], ids, resume=True, write=True)
        for name, folder in plan.folders.items()
    }


def task(plan: Plan, name: str, writer: Writer, missing: Sequence[int]) -> Task:
    """What is left of a method: chunks to be made, and the first of them where its cost was not noted."""
    if not missing and not is_there(plan.folders[name] / COST):
        missing = (0,)
    explain = with_options(find_method(name), plan.options)(plan.net.apply)
    return Task(explain, writer, frozenset(missing))


def write_cost(plan: Plan, name: str, cost: Cost) -> None:
    """Note what a map of a method takes.

    Raises:
        SRDError: it cannot be written.
    """
    write_file(plan.folders[name], COST, json.dumps(asdict(cost)).encode())


def compared(plan: Plan, show: int) -> Comparison:
    """What the stores hold, once they are complete.

    Args:
        plan: what is compared.
        show: how many images to draw, of those whose maps are kept.

    Raises:
        DataError: a store is damaged.
    """
    values: dict[str, np.ndarray] = {}
    maps: dict[str, np.ndarray] = {}
    chosen: Sequence[int] = ()
    targets: np.ndarray = np.zeros((0, 1), int)
    for name, folder in plan.folders.items():
        found = open_maps(folder)
        assert found.measures is not None
        numbers = found.measures[:]
        known = np.isfinite(numbers).any(1)
        filled = np.where(np.isfinite(numbers), numbers, 0).sum(1) / np.maximum(np.isfinite(numbers).sum(1), 1)
        values[name] = np.where(known, filled, np.nan)
        if not maps:
            there = np.flatnonzero(found.status[:] != UNREADABLE)
            kept = there[there < plan.kept]
            chosen = kept[np.linspace(0, len(kept) - 1, min(show, len(kept))).round().astype(int)] if len(kept) else ()
            targets = found.targets[:]
        maps[name] = np.stack([found.maps[int(place)][0] for place in chosen]) if len(chosen) else np.zeros((0, 1, 1))
    crops = [plan.images.shown(int(place), plan.shown) for place in chosen]
    captions = tuple(plan.net.labels[int(targets[place][0])] for place in chosen)
    images = np.stack(crops) if crops else np.zeros((0, 1, 1, 3), np.uint8)
    return Comparison(plan.protocol, values, {name: _cost(plan, name) for name in plan.methods}, images, captions, maps)


def _cost(plan: Plan, name: str) -> Cost:
    try:
        content = json.loads((plan.folders[name] / COST).read_bytes()[:_COST])
        return Cost(content["forward_passes"], content["temporary_bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        return Cost(None, None)
