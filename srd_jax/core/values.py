"""What the interpreter knows of a value that depends on the image: a map of PFVs, an open sum, or a coefficient."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from srd_jax.core import layout as lay
from srd_jax.core.geometry import Copy, Regrid, Step, count_taps
from srd_jax.core.layout import CHANNEL, COPY, Dim, Layout
from srd_jax.core.taps import Tap

__all__ = ["Coefficient", "Linear", "Map", "Mix", "Sum", "Switches", "Term", "Value"]

Linear = Callable[[jax.Array], jax.Array]
"""A linear, position-wise function from one array to another."""


@dataclass(frozen=True)
class Map:
    """A node's PFVs or any position-wise function of them: v_i.

    Attributes:
        array: the value.
        layout: what its axes mean.
        node: index of the node whose PFVs it is a function of.
        ref: identifier of the value in the traced program.
        pool: the open sum that it was, where it only pools: a further pool is one step with it.
        shifts: whether it is a mean times a statistic, as the shift of a normalisation is.
    """

    array: jax.Array
    layout: Layout
    node: int
    ref: int = -1
    pool: "Sum | None" = None
    shifts: bool = False


@dataclass(frozen=True)
class Coefficient:
    """A value that depends on the images and carries no relevance: it says how much of other values is taken.

    Attention weights, gates and what the user holds fixed are coefficients. What they multiply is a map or a sum, and
    the product is linear in it.

    Attributes:
        array: the value.
        layout: what its axes mean; query and key positions of one map are two axes of positions.
        ref: identifier of the value in the traced program.
    """

    array: jax.Array
    layout: Layout
    ref: int = -1


@dataclass(frozen=True)
class Mix:
    """A linear step that mixes positions, one tap at a time: the sum over taps of ``local(gather(pad(x), tap), tap)``.

    Attributes:
        taps: how many taps there are.
        pad: ``(x, fill)`` to the array from which every tap reads.
        gather: ``(padded, tap)`` to what each later position reads at that tap; positions move, channels stay.
        local: ``(gathered, tap)`` to the tap's contribution in the layout of the step's output, position-wise.
        gathered: layout of what ``gather`` returns.
        position_invariant: whether ``local`` does the same at every position, on arrays of any batch and grid.
        summed: ``local`` in the form that is faster where nothing but one sum over channels is made of the result.
        pools: whether it only adds up, as a mean does: positions, and channels only together with them.
        all_to_all: closed forms of a step from all positions to all others, None for the loop over taps.
    """

    taps: int
    pad: Callable[[jax.Array, int | float], jax.Array]
    gather: Callable[[jax.Array, Tap], jax.Array]
    local: Callable[[jax.Array, Tap], jax.Array]
    gathered: Layout
    position_invariant: bool = False
    summed: Callable[[jax.Array, Tap], jax.Array] | None = None
    pools: bool = False
    all_to_all: Any = None


@dataclass(frozen=True)
class Switches:
    """Which offset of its window each channel of a max-pooled PFV came from.

    Attributes:
        index: integers of the pooled map's shape; -1 where padding was added later.
        taps: offsets in a window.
        floored: whether only what a max pool never chooses was padded since.
    """

    index: jax.Array
    taps: int
    floored: bool = False


@dataclass(frozen=True)
class Term:
    """The contributions of one earlier map to an open sum, waiting for its X_j: vhat_{i->j}, tap by tap.

    Attributes:
        source: the value the contributions start from.
        operand: what ``mix`` reads: the source after selections and a max pool.
        layout: of ``operand``.
        steps: how positions have moved since the source, for scalar maps.
        switches: of a max pool on the way, None without one.
        mix: the mixing step, None so far without one.
        chain: linear position-wise steps after ``mix``.
        after_mix: how many of ``steps`` come after the mixing step.
        position_invariant: whether ``chain`` does the same at every position, on arrays of any batch and grid.
        proportional: whether ``chain`` only multiplies by one number, selects, and adds up channels.
        uniform: whether ``chain`` does the same to each single position, as arrays of one position show.
    """

    source: Map
    operand: jax.Array
    layout: Layout
    steps: tuple[Step, ...] = ()
    switches: Switches | None = None
    mix: Mix | None = None
    chain: tuple[Linear, ...] = ()
    after_mix: int = 0
    position_invariant: bool = True
    proportional: bool = True
    uniform: bool = True

    @property
    def taps(self) -> int:
        """Contributions to every later position, those from padding included."""
        return count_taps(self.steps)

    @property
    def is_selection(self) -> bool:
        """Whether it only selects values, so that a mixing step can be composed with it."""
        return self.mix is None and not self.chain

    @property
    def pool_taps(self) -> int:
        """Offsets of the max pool on the way, 1 without one."""
        return self.switches.taps if self.switches is not None else 1

    @property
    def gathered(self) -> Layout:
        """Layout of what every later position reads at one tap."""
        return self.layout if self.mix is None else self.mix.gathered

    def after(self, array: jax.Array) -> jax.Array:
        """The chain applied to a contribution."""
        for step in self.chain:
            array = step(array)
        return array


@dataclass(frozen=True)
class Sum:
    """An open sum: terms and the values that were added to them on the way to X_j.

    Attributes:
        array: the value so far.
        layout: what its axes mean.
        parts: terms, and sums that came with biases of their own (the branches of a residual sum).
        biased: whether a constant was added at this level, to be shared among all terms below.
        scope: name of the step that last extended it.
        name: name given to it by the user.
        ref: identifier of the value in the traced program.
        only_in_padding: whether constants were added only where nothing was selected; for a mixing step, bias.
        origin: the mean or the selection that this one is only a multiple of, where it ends if it has to.
        shifts: whether its bias is that of the sum that it becomes a branch of, as that of a normalisation's shift is.
    """

    array: jax.Array
    layout: Layout
    parts: tuple["Sum | Term", ...]
    biased: bool = False
    scope: str = ""
    name: str | None = None
    ref: int = -1
    only_in_padding: bool = False
    origin: "Sum | None" = None
    shifts: bool = False

    @property
    def terms(self) -> tuple[Term, ...]:
        """Every term, in order."""
        return tuple(term for part in self.parts for term in (part.terms if isinstance(part, Sum) else (part,)))

    @property
    def scaled_pool(self) -> Term | None:
        """The one term of a sum that makes linear steps alike at every position of a max pool's output, else None.

        A mixing step is composed with these and the pool, as it is with the pool alone.
        """
        (part, *others) = self.parts
        if (
            others
            or not isinstance(part, Term)
            or part.mix is not None
            or part.switches is None
            or not part.position_invariant
        ):
            return None
        places = ([dim for dim in axis if dim.is_position] for axis in self.layout)
        own = ([dim for dim in axis if dim.is_position] for axis in part.layout)
        return part if len(self.layout) == len(part.layout) and list(places) == list(own) else None

    @property
    def is_free(self) -> bool:
        """Whether several readers may each start from it: a selection, alone or times a number."""
        (part, *others) = self.parts
        scaled = not others and isinstance(part, Term) and part.mix is None and part.proportional and not self.biased
        return scaled or self.selection is not None

    @property
    def selection(self) -> Term | None:
        """The one term of a sum that only selects values of one map (pad, slice, max pool), else None."""
        if len(self.parts) == 1 and self.biased == self.only_in_padding and isinstance(self.parts[0], Term):
            return self.parts[0] if self.parts[0].is_selection else None
        return None

    @property
    def is_pooled(self) -> bool:
        """Whether every term only adds up positions of a map, so that a further pool or mean is one step with it."""
        return all(term.mix is not None and term.mix.pools for term in self.terms)

    @property
    def is_mean(self) -> bool:
        """Whether it is pooled and nothing else, but for a factor: a mean over positions or over windows."""
        unbiased = not self.biased and not any(isinstance(part, Sum) for part in self.parts)
        return unbiased and self.is_pooled and all(term.proportional for term in self.terms)


Value = Map | Sum


def open_sum(value: Value) -> Sum:
    """A value as a sum: a map is a sum of one contribution from itself."""
    if isinstance(value, Sum):
        return value
    return Sum(value.array, value.layout, (Term(value, value.array, value.layout),))


def extend(
    value: Value,
    fn: Linear,
    layout: Layout,
    *,
    step: Step | None = None,
    position_invariant: bool = False,
    proportional: bool = False,
    uniform: bool | None = None,
    contribution: Linear | None = None,
) -> Value:
    """Apply a linear position-wise function to a value and to each of its contributions.

    Args:
        value: a map or an open sum.
        fn: linear, without a constant; may move positions as ``step`` says.
        layout: of the result.
        step: how ``fn`` moves positions, None if it does not.
        position_invariant: whether ``fn`` does the same at every position, on arrays of any batch and grid, as products
            with constant weights do: then contributions can be measured where they come from.
        proportional: whether ``fn`` only multiplies by one number, selects, or adds up channels.
        uniform: whether ``fn`` does the same to each single position, on arrays with any number of images and one
            position; as ``position_invariant`` where it is not said.
        contribution: ``fn`` in the form that is faster for contributions, which are many and are not kept.
    """
    array = fn(value.array)
    if isinstance(value, Map):
        if step is None:
            keeps = proportional and value.pool is not None
            pool = extend(value.pool, fn, layout, proportional=True) if keeps and value.pool is not None else None
            return replace(value, array=array, layout=layout, ref=-1, pool=pool if isinstance(pool, Sum) else None)
        return Sum(array, layout, (Term(value, array, layout, (step,)),))

    def longer(part: Sum | Term) -> Sum | Term:
        if isinstance(part, Sum):
            return replace(part, array=fn(part.array), layout=layout, parts=tuple(map(longer, part.parts)))
        return replace(
            part,
            chain=(*part.chain, contribution or fn),
            steps=part.steps if step is None else (*part.steps, step),
            after_mix=part.after_mix + (step is not None),
            position_invariant=part.position_invariant and position_invariant,
            proportional=part.proportional and proportional,
            uniform=part.uniform and (position_invariant if uniform is None else uniform),
        )

    same_positions = step is None or isinstance(step, Regrid)
    multiple = proportional and same_positions and (value.is_mean or value.is_free)
    origin = (value.origin or value) if multiple else None
    parts = tuple(map(longer, value.parts))
    return replace(value, array=array, layout=layout, parts=parts, ref=-1, only_in_padding=False, origin=origin)


def select(
    value: Any,
    fn: Callable[[jax.Array, int | float], jax.Array],
    layout: Layout,
    step: Step | None,
    *,
    uniform: bool = False,
) -> Any:
    """Apply a selection (of positions, channels or axes) that leaves an open selection open to composition.

    Args:
        value: a map or an open sum.
        fn: ``(array, fill)`` to the selected array, ``fill`` where nothing is selected.
        layout: of the result.
        step: how positions move, None if they do not.
        uniform: as in `extend`.
    """

    def linear(x: jax.Array) -> jax.Array:
        return fn(x, 0)

    term = value.selection if isinstance(value, Sum) and not value.biased else None
    if isinstance(value, Map) or term is None:
        return extend(value, linear, layout, step=step, proportional=True, uniform=uniform)
    steps = term.steps if step is None else (*term.steps, step)
    switches = term.switches and replace(term.switches, index=fn(term.switches.index, -1))
    selected = replace(term, operand=linear(term.operand), layout=layout, steps=steps, switches=switches)
    return replace(value, array=selected.operand, layout=layout, parts=(selected,), ref=-1)


def restructure(
    value: Any, fn: Callable[[jax.Array, int | float], jax.Array], layout: Layout, *, uniform: bool = False
) -> Any:
    """Apply a selection that leaves positions where they are, but for how many axes of the grid they lie on."""
    before, after = lay.grid(value.layout), lay.grid(layout)
    if isinstance(value, Map) or before == after:
        return select(value, fn, layout, None, uniform=uniform)
    return select(value, fn, layout, Regrid(after, len(before)), uniform=uniform)


def broadcast(value: Any, shape: Sequence[int], channel_axes: Collection[int] = ()) -> Any:
    """Repeat a value along axes of extent 1, as elementwise primitives do by themselves.

    Args:
        value: a map, an open sum or a coefficient.
        shape: of the result.
        channel_axes: axes along which the repeats will differ, so that they are channels.
    """
    if value.array.shape == tuple(shape):
        return value
    layout = tuple(
        (Dim(CHANNEL if axis in channel_axes else COPY, size),) if old == 1 and size != 1 else dims
        for axis, (dims, old, size) in enumerate(zip(value.layout, value.array.shape, shape, strict=True))
    )
    if isinstance(value, Coefficient):
        return replace(value, array=jnp.broadcast_to(value.array, shape), layout=layout)
    return replace(restructure(value, lambda x, _: jnp.broadcast_to(x, shape), layout), ref=value.ref)


def mixed(term: Term, array: jax.Array, layout: Layout, mix: Mix, *step: Step, biased: bool) -> Sum:
    """The open sum that a mixing step starts from a selection, or from linear steps after a max pool.

    Args:
        term: a selection of a map's values.
        array: the step's whole output.
        layout: of the output.
        mix: the step, tap by tap.
        *step: how the step moves positions, mostly one.
        biased: whether the selection came with constants outside it.
    """
    if term.chain:
        after, local, summed = term.after, mix.local, mix.summed
        mix = replace(
            mix,
            local=lambda read, tap: local(after(read), tap),
            summed=None if summed is None else lambda read, tap: summed(after(read), tap),
        )
    started = replace(term, mix=mix, steps=(*term.steps, *step), chain=(), proportional=True, uniform=True)
    return Sum(array, layout, (started,), biased=biased)


def copied_axes(value: Value, layout: Layout) -> tuple[int, ...]:
    """The axes of a layout's grid along which a value would be copied to become a part of a sum of that layout."""
    own = {dim.kind for dim in lay.position_dims(value.layout)}
    return tuple(axis for axis, dim in enumerate(lay.position_dims(layout)) if dim.kind not in own)


def align(value: Sum, layout: Layout) -> Sum:
    """Give a sum the layout it has as a part of a larger sum, copying single PFVs over positions where needed.

    Raises:
        LayoutError: one axis means different things in the two layouts.
    """
    lay.unify([value.layout, layout])
    added = copied_axes(value, layout)
    if not added:
        return replace(value, layout=layout)
    step = Copy(lay.grid(layout), added)
    aligned = extend(value, lambda x: x, layout, step=step)
    assert isinstance(aligned, Sum)
    return aligned


def joined(values: Sequence[Value], array: jax.Array, *, biased: bool = False) -> Sum:
    """The sum of values that depend on the image; each keeps the biases that it came with.

    Raises:
        LayoutError: one axis means positions in one and channels in another.
    """
    layout = lay.unify([value.layout for value in values])
    parts: list[Sum | Term] = []
    for value in values:
        branch = align(open_sum(value), layout)
        parts += [branch] if branch.biased and not branch.shifts else branch.parts
        biased = biased or (branch.biased and branch.shifts)
    return Sum(array, layout, tuple(parts), biased=biased)
