"""Which contributions to a sum come from one PFV along several paths: known while tracing, from shapes alone.

vhat_{i->j} is all that X_j receives from v_i in one step. Where a step reaches j from i along several taps (a kernel
written as two, a 1 x 1 convolution beside a 3 x 3 one, windows that overlap), it is the sum over these. The offsets of
a max pool are the exception: each is a contribution of its own, as it chooses channels of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from srd_jax.core import layout as lay
from srd_jax.core.geometry import Window, count_taps, reads
from srd_jax.core.values import Term

__all__ = ["Group", "Meeting", "Paths", "paths_of"]


@dataclass(frozen=True, eq=False)
class Group:
    """Contributions that add up to one vhat.

    Attributes:
        taps: (number of the term, tap) of those whose vhat this is.
        members: (number of the term, tap) of all that are added up.
        masks: (members, *grid) bool, where each of them is of the same PFV.
    """

    taps: tuple[tuple[int, int], ...]
    members: tuple[tuple[int, int], ...]
    masks: np.ndarray


@dataclass(frozen=True, eq=False)
class Meeting:
    """A step from all positions, and contributions of the same PFVs beside it, as a residual sum has them.

    Attributes:
        wide: number of the step's term.
        places: for each (number of the term, tap) beside it, which tap of the step reads the same PFV at each later
            position, -1 for none: (*grid).
    """

    wide: int
    places: Mapping[tuple[int, int], np.ndarray]


@dataclass(frozen=True, eq=False)
class Paths:
    """Which PFV every tap of some terms of a sum comes from.

    Attributes:
        spaces: for each term, what its keys count; keys of different spaces are never of one PFV.
        keys: for each term (taps, *grid), a number for every PFV (of a max pool, and every offset) and 0 where there is
            no contributor.
        constant: whether some tap reads a PFV that no pixel reaches.
        wide: for each term, whether it is a step from all positions that measures them in closed form.
    """

    spaces: tuple[object, ...]
    keys: tuple[np.ndarray, ...]
    constant: bool
    wide: tuple[bool, ...] = ()

    def of(self, numbers: Sequence[int]) -> "Paths":
        """The paths of some of the terms."""
        wide = tuple(self.wide[i] for i in numbers) if self.wide else ()
        return Paths(tuple(self.spaces[i] for i in numbers), tuple(self.keys[i] for i in numbers), self.constant, wide)

    @property
    def live(self) -> list[np.ndarray]:
        """Which taps are contributors: one (taps, 1, *grid) bool array a term."""
        return [(keys > 0)[:, None] for keys in self.keys]

    @property
    def reached(self) -> np.ndarray:
        """Which positions have a contributor at all: (*grid) bool."""
        return np.any([np.any(keys > 0, 0) for keys in self.keys], 0)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The contributions that are of one PFV with another."""
        return tuple(
            group
            for numbers in self._by_space.values()
            for group in self._groups([number for number in numbers if number != self._wide_of(numbers)])
        )

    @property
    def _by_space(self) -> dict[object, list[int]]:
        by_space: dict[object, list[int]] = {}
        for number, space in enumerate(self.spaces):
            by_space.setdefault(space, []).append(number)
        return by_space

    def _wide_of(self, numbers: Sequence[int]) -> int | None:
        """The one step from all positions among some terms, None where there is none or there are several."""
        wide = [number for number in numbers if self.wide and self.wide[number]]
        return wide[0] if len(wide) == 1 else None

    @cached_property
    def meetings(self) -> tuple[Meeting, ...]:
        """The contributions that are of one PFV with another of a step from all positions."""
        found = []
        for numbers in self._by_space.values():
            wide = self._wide_of(numbers)
            if wide is not None and len(numbers) > 1:
                taps = [(number, tap) for number in numbers if number != wide for tap in range(len(self.keys[number]))]
                places = {(number, tap): _place(self.keys[wide], self.keys[number][tap]) for number, tap in taps}
                places = {key: place for key, place in places.items() if (place >= 0).any()}
                found += [Meeting(wide, places)] if places else []
        return tuple(found)

    @property
    def partial(self) -> bool:
        """Whether a contribution is of the same PFV as another at some positions only."""
        return not all(
            np.array_equal(self.keys[number][tap] > 0, mask)
            for group in self.groups
            for (number, tap), mask in zip(group.members, group.masks, strict=True)
        )

    @property
    def once(self) -> list[np.ndarray]:
        """One over the number of paths from the same PFV, 0 where there is no contributor: (taps, 1, *grid) a term."""
        shares = [(keys > 0).astype(np.float64) for keys in self.keys]
        for group in self.groups:
            count = np.maximum(group.masks.sum(0), 1)
            for number, tap in group.taps:
                shares[number][tap] /= count
        for meeting in self.meetings:
            for (number, tap), place in meeting.places.items():
                met = place >= 0
                others = sum((other == place) & met for other in meeting.places.values())
                shares[number][tap][met] = 1 / (1 + others[met])
                where = np.nonzero(met)
                shares[meeting.wide][(place[met], *where)] = 1 / (1 + others[met])
        return [share[:, None] for share in shares]

    def _groups(self, numbers: Sequence[int]) -> list[Group]:
        taps = [(number, tap) for number in numbers for tap in range(len(self.keys[number]))]
        if not numbers:
            return []
        rows = np.concatenate([self.keys[number] for number in numbers])
        flat = rows.reshape((len(taps), -1))
        if not _meet(flat):
            return []
        same: dict[bytes, list[int]] = {}
        for place, row in enumerate(flat):
            if row.any():
                same.setdefault(row.tobytes(), []).append(place)
        classes = list(same.values())
        firsts = flat[[places[0] for places in classes]]
        partial = _meet(firsts)
        groups = []
        for first, own in zip(firsts, classes, strict=True):
            meets = (firsts == first) & (first > 0) if partial else first[None] > 0
            others = [k for k in np.flatnonzero(meets.any(1)) if classes[k] is not own] if partial else []
            members = [(place, first > 0) for place in own]
            members += [(place, meets[k]) for k in others for place in classes[k]]
            if len(members) > 1:
                masks = np.stack([mask for _, mask in members]).reshape((len(members), *rows.shape[1:]))
                places = tuple(taps[place] for place, _ in members)
                groups.append(Group(tuple(taps[place] for place in own), places, masks))
        return groups


def _place(keys: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Which of (taps, *grid) keys is the same at each position, -1 for none."""
    same = (keys == own) & (own > 0)
    return np.where(same.any(0), same.argmax(0), -1)


def _meet(keys: np.ndarray) -> bool:
    """Whether one key stands twice in a column of (taps, positions)."""
    ordered = np.sort(keys, 0)
    return bool(np.any((ordered[1:] == ordered[:-1]) & (ordered[1:] > 0)))


def paths_of(terms: Sequence[Term], roots: Sequence[int], live: Sequence[np.ndarray | None]) -> Paths:
    """The paths of the terms of a sum.

    Args:
        terms: of the sum.
        roots: for each term the PFV map that its source is, under whatever name.
        live: for each term which positions of its source a pixel reaches, (*grid) bool; None for all of them.
    """
    spaces: list[object] = []
    keys: list[np.ndarray] = []
    constant = False
    for term, root, reached in zip(terms, roots, live, strict=True):
        grid = lay.grid(term.source.layout)
        read = reads(term.steps, grid)
        valid = read > 0
        if reached is not None:
            own = valid & np.concatenate([[False], reached.ravel()])[read]
            constant |= bool((own != valid).any())
            valid = own
        space: object = root
        if term.switches is not None:
            pool = next(i for i, step in enumerate(term.steps) if isinstance(step, Window))
            before, after = term.steps[: pool + 1], term.steps[pool + 1 :]
            pooled = reads(before, grid).shape[1:]
            place = reads(after, pooled)
            offset = np.arange(term.switches.taps).reshape((-1, *[1] * place.ndim))
            read = (place + offset * (int(np.prod(pooled)) + 1)).reshape((count_taps(term.steps), *place.shape[1:]))
            space = (root, before)
        spaces.append(space)
        keys.append(np.where(valid, read, 0))
    wide = tuple(term.mix is not None and term.mix.all_to_all is not None and term.uniform for term in terms)
    return Paths(tuple(spaces), tuple(keys), constant, wide)
