"""Pools: max pools keep their switches and stay lazy; sums and means over positions weigh every position alike."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import primitives as jp

from srd_jax.core import layout as lay
from srd_jax.core.agreement import on_own_axis
from srd_jax.core.geometry import Pad, Step, Window, reads
from srd_jax.core.interpreter import Interpreter
from srd_jax.core.layout import CHANNEL, COPY, Dim, Layout
from srd_jax.core.registry import register_rule
from srd_jax.core.rules.convolution import selection
from srd_jax.core.rules.positionwise import reduce_channels, require_channels, without
from srd_jax.core.rules.reduce_positions import reduce_positions
from srd_jax.core.rules.windows import AxisWindow, SlidingWindow, sliding
from srd_jax.core.taps import Tap, divided, offsets_of
from srd_jax.core.tracing import Equation, bind
from srd_jax.core.values import Linear, Map, Mix, Sum, Switches, Term, Value, extend, mixed, restructure


@register_rule(jp.reduce_window_max_p, action="pool", pattern="switches")
def max_pool(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value | list[Map]:
    """A channel of the pooled PFV comes from one position, the first maximum in row-major order.

    The pool stays lazy: a mixing step after it is composed with it.
    """
    value = _own_axes(equation, operands[0])
    windows = _windows(interpreter, equation, value.layout)
    if not windows:
        return _over_channels(interpreter, equation, operands)
    return _pooled(interpreter, value, windows)


def _pooled(interpreter: Interpreter, value: Value, windows: dict[int, AxisWindow]) -> Sum:
    term, _, biased = selection(interpreter, value)
    if term.switches is not None and not term.chain and not biased:
        again = _pooled_again(term, windows)
        if again is not None:
            return again
    if term.switches is not None or biased:
        closed = interpreter.close(value)
        term = Term(closed, closed.array, closed.layout)
    window = sliding(term.layout, windows)
    pooled, index = _first_maximum(term.operand, window)
    steps = (*term.steps, window.step)
    switches = Switches(index, window.step.taps)
    lazy = replace(term, operand=pooled, layout=window.layout, steps=steps, switches=switches)
    return Sum(pooled, window.layout, (lazy,))


def _pooled_again(term: Term, windows: dict[int, AxisWindow]) -> Sum | None:
    """A max pool of a max pool as one with larger windows, None where no window is the union of theirs."""
    steps, switches = term.steps, term.switches
    second = sliding(term.layout, windows)
    later: Window | None = second.step
    if switches is not None and switches.floored and isinstance(steps[-1], Pad):
        later, steps = second.step.after(steps[-1]), steps[:-1]
    *before, first = steps
    if switches is None or later is None or not isinstance(first, Window):
        return None
    both = first.then(later, reads(before, lay.grid(term.source.layout)).shape[1:])
    if both is None:
        return None
    pooled, offset = _first_maximum(term.operand, second)
    padded = second.pad(switches.index, 0)
    inner = jnp.zeros_like(switches.index, shape=pooled.shape)
    for tap in range(second.step.taps):
        inner = jnp.where(offset == tap, second.gather(padded, tap), inner)
    index = jnp.zeros(pooled.shape, np.min_scalar_type(-both.taps))
    own, ahead = offsets_of(inner, first.size), offsets_of(offset, later.size)
    for axis, size in enumerate(both.size):
        place = jnp.asarray(own[axis], index.dtype) + jnp.asarray(ahead[axis], index.dtype) * first.stride[axis]
        index = index * size + place
    chosen = Switches(lax.stop_gradient(index), both.taps)
    lazy = replace(term, operand=pooled, layout=second.layout, steps=(*before, both), switches=chosen)
    return Sum(pooled, second.layout, (lazy,))


def _first_maximum(x: jax.Array, window: SlidingWindow) -> tuple[jax.Array, jax.Array]:
    """The maximum of every window and the offset of its first occurrence."""
    whole = window.whole_axis(x.shape)
    if whole is not None:
        index = jnp.argmax(x, whole, keepdims=True).astype(np.min_scalar_type(-window.step.taps))
        return jnp.max(x, whole, keepdims=True), lax.stop_gradient(index)
    padded = window.pad(x, -jnp.inf)
    reads = [window.gather(padded, tap) for tap in range(window.step.taps)]
    highest, index = reads[0], jnp.zeros(reads[0].shape, np.min_scalar_type(-window.step.taps))
    for tap, read in enumerate(reads[1:], 1):
        # no test for equality: a compiler may compute a value again for each of its readers, and round it another way
        later = (read > highest) | jnp.isnan(read)
        highest, index = jnp.where(later, read, highest), jnp.where(later, tap, index)
    return highest, lax.stop_gradient(index)


@register_rule(jp.reduce_max_p, action="pool", pattern="extremum")
def reduce_max(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value | list[Map]:
    """Over channels a function of one PFV, over positions a global max pool."""
    value, axes = operands[0], equation.params["axes"]
    for axis in axes:
        value = on_own_axis(value, axis)
    if not any(dim.is_position and dim.size > 1 for axis in axes for dim in value.layout[axis]):
        return reduce_channels(interpreter, equation, operands)
    if lay.runs_over_images(value.layout, axes) or any(
        lay.kinds(value.layout[axis]) & {CHANNEL, COPY} for axis in axes
    ):
        interpreter.unsupported(equation, "a maximum over positions together with channels or images")
    pooled = _pooled(interpreter, value, {axis: AxisWindow(value.array.shape[axis]) for axis in axes})
    return restructure(pooled, lambda x, _: jnp.squeeze(x, axes), without(pooled.layout, axes))


@register_rule(jp.reduce_window_sum_p, action="mixing", averages=True)
def sum_pool(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value:
    """An average pool is a sum over windows, then a division by the count."""
    value = _own_axes(equation, operands[0])
    windows = _windows(interpreter, equation, value.layout)
    if not windows:
        return extend(value, lambda x: bind(equation, x)[0], _layout_over_channels(equation, value.layout))

    def pool(layout: Layout) -> tuple[Layout, Mix, Step]:
        window = sliding(layout, windows)
        mix = Mix(window.step.taps, window.pad, window.gather, lambda read, _: read, window.layout, pools=True)
        return window.layout, mix, window.step

    return _summed(interpreter, equation, value, pool)


def _summed(
    interpreter: Interpreter, equation: Equation, value: Value, pool: Callable[[Layout], tuple[Layout, Mix, Step]]
) -> Sum:
    """A sum over positions: of what only pools it is one step with it, else it starts from a map."""
    if isinstance(value, Map) and value.pool is not None:
        value = value.pool
    if isinstance(value, Sum) and value.is_pooled:
        return _summed_again(value, lambda x: bind(equation, x)[0], *pool(value.layout))
    term, operand, biased = selection(interpreter, value)
    return mixed(term, bind(equation, operand)[0], *pool(term.layout), biased=biased)


def _summed_again(value: Sum, fn: Linear, layout: Layout, mix: Mix, step: Step) -> Sum:
    """A pool of what only pools: one step from the same maps, whose taps are pairs of the taps of both.

    Args:
        value: an open sum that is pooled.
        fn: the second pool, whole.
        layout: of the result.
        mix: the second pool, tap by tap.
        step: how it moves positions.
    """

    def again(part: Sum | Term) -> Sum | Term:
        if isinstance(part, Sum):
            return replace(part, array=fn(part.array), layout=layout, parts=tuple(map(again, part.parts)))
        first = part.mix
        assert first is not None

        def gather(padded: jax.Array, tap: Tap) -> jax.Array:
            return first.gather(padded, divided(tap, mix.taps)[0])

        def local(read: jax.Array, tap: Tap) -> jax.Array:
            own, later = divided(tap, mix.taps)
            pooled = part.after(first.local(read, own))
            return mix.local(mix.gather(mix.pad(pooled, 0), later), later)

        both = Mix(first.taps * mix.taps, first.pad, gather, local, first.gathered, pools=True)
        return replace(
            part, mix=both, steps=(*part.steps, step), chain=(), after_mix=part.after_mix + 1, position_invariant=True
        )

    made = again(value)
    assert isinstance(made, Sum)
    return replace(made, ref=-1, only_in_padding=False, origin=None)


@register_rule(jp.reduce_window_min_p, action="pool", pattern="switches")
@register_rule("reduce_window", action="other", pattern="refused")
def other_pool(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> list[Map]:
    """Other windowed reductions, over channels only."""
    if _windows(interpreter, equation, operands[0].layout):
        interpreter.unsupported(equation, "only maxima and sums over windows of positions are supported")
    return _over_channels(interpreter, equation, operands)


def _over_channels(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> list[Map]:
    """A window over channels is a function of one PFV at a time."""
    value, *initial = interpreter.close(operands[0]), *operands[1:]
    layout = _layout_over_channels(equation, value.layout)
    return [Map(array, layout, value.node) for array in bind(equation, value.array, *initial)]


def _layout_over_channels(equation: Equation, layout: Layout) -> Layout:
    shape = equation.out_shapes[0].shape
    return tuple(
        dims if lay.shape_of((dims,)) == (size,) else (Dim(CHANNEL, size),)
        for dims, size in zip(layout, shape, strict=True)
    )


def _own_axes(equation: Equation, value: Value) -> Value:
    """A value whose positions lie on axes of their own where windows slide."""
    for axis, size in enumerate(equation.params["window_dimensions"]):
        value = on_own_axis(value, axis) if size > 1 else value
    return value


def _windows(interpreter: Interpreter, equation: Equation, layout: Layout) -> dict[int, AxisWindow]:
    """The windows over position axes, by array axis; empty where the window runs over channels alone."""
    params = equation.params
    each = [
        AxisWindow(*window)
        for window in zip(
            params["window_dimensions"], params["window_strides"], map(tuple, params["padding"]),
            params["window_dilation"], params["base_dilation"], strict=True,
        )
    ]  # fmt: skip
    on_positions = {
        axis: window
        for axis, window in enumerate(each)
        if not window.is_trivial and any(dim.is_position for dim in layout[axis])
    }
    others = [axis for axis, window in enumerate(each) if not window.is_trivial and axis not in on_positions]
    require_channels(interpreter, equation, layout, others)
    if on_positions and others:
        interpreter.unsupported(equation, "a window over positions and channels at once")
    return on_positions


@register_rule(jp.reduce_sum_p, action="mixing", averages=True)
def reduce_sum(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value:
    """Over channels position-wise; over positions (a global average pool) every position contributes.

    A mean over channels of a mean over positions is the mean over both.
    """
    value, axes = operands[0], equation.params["axes"]
    if lay.runs_over_images(value.layout, axes):
        interpreter.unsupported(
            equation, "it sums over the batch, and images must not mix: call the model in evaluation mode"
        )
    if not any(dim.is_position for axis in axes for dim in value.layout[axis]):
        summed = extend(value, lambda x: bind(equation, x)[0], without(value.layout, axes), proportional=True)
        return replace(summed, origin=None) if isinstance(summed, Sum) else replace(summed, pool=None)

    def pool(layout: Layout) -> tuple[Layout, Mix, Step]:
        step, gather, gathered = reduce_positions(layout, axes)
        mix = Mix(step.taps, lambda x, _: x, gather, lambda read, _: bind(equation, read)[0], gathered, pools=True)
        return without(layout, axes), mix, step

    return _summed(interpreter, equation, value, pool)
