"""Convolutions: the taps of a kernel are its contributions, vhat_{i->j} = W_tap v_i."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import primitives as jp

from srd_jax.core import layout as lay
from srd_jax.core.agreement import on_own_axis
from srd_jax.core.depthwise import is_depthwise
from srd_jax.core.interpreter import Interpreter
from srd_jax.core.layout import BATCH, CHANNEL, COPY, Dim, Layout
from srd_jax.core.registry import register_rule
from srd_jax.core.rules.windows import AxisWindow, sliding
from srd_jax.core.taps import Tap, box_of, offsets_of
from srd_jax.core.tracing import Equation, bind
from srd_jax.core.values import Map, Mix, Sum, Term, Value, extend, mixed, restructure


def selection(interpreter: Interpreter, value: Value, *, other_channels: bool = False) -> tuple[Term, jax.Array, bool]:
    """What a mixing step starts from: a map, a selection of one (a lazy max pool, a slice, padding), a scaled max pool.

    Args:
        interpreter: in progress.
        value: that the step reads.
        other_channels: whether the step can read a max pool after a product over channels.

    Returns:
        The selection, the array that the step reads, and whether that holds constants outside the selection, which
        become a bias of the step.
    """
    if isinstance(value, Sum) and value.selection is not None:
        return value.selection, value.array, value.only_in_padding
    scaled = value.scaled_pool if isinstance(value, Sum) else None
    if scaled is not None and (other_channels or value.layout == scaled.layout):
        return scaled, value.array, isinstance(value, Sum) and value.biased
    value = interpreter.close(value)
    return Term(value, value.array, value.layout), value.array, False


@register_rule(jp.conv_general_dilated_p, action="mixing")
def convolution(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value:
    """A convolution with constant kernels, of any rank, stride, padding, dilation and number of groups.

    A 1 x 1 convolution with stride 1 is position-wise.
    """
    value, kernel = operands
    if isinstance(kernel, Map | Sum) or not isinstance(value, Map | Sum):
        interpreter.unsupported(equation, "the kernel depends on the images")
    params = equation.params
    if params["batch_group_count"] != 1:
        interpreter.unsupported(equation, "batch groups mix images")
    numbers = params["dimension_numbers"]
    value = _with_positions(interpreter, equation, value, numbers.lhs_spec)
    spatial_in, spatial_out, spatial_kernel = numbers.lhs_spec[2:], numbers.out_spec[2:], numbers.rhs_spec[2:]
    windows = {
        axis: AxisWindow(kernel.shape[tap_axis], stride, tuple(padding), dilation, base)
        for axis, tap_axis, stride, padding, dilation, base in zip(
            spatial_in, spatial_kernel, params["window_strides"], params["padding"], params["rhs_dilation"],
            params["lhs_dilation"], strict=True,
        )
    }  # fmt: skip

    def out_layout(source: Layout) -> Layout:
        layout: list[lay.Axis] = [()] * value.array.ndim
        layout[numbers.out_spec[0]] = source[numbers.lhs_spec[0]]
        layout[numbers.out_spec[1]] = (Dim(CHANNEL, kernel.shape[numbers.rhs_spec[0]]),)
        for axis_in, axis_out in zip(spatial_in, spatial_out, strict=True):
            layout[axis_out] = source[axis_in]
        return tuple(layout)

    ungrouped = params["feature_group_count"] == 1
    on_positions = any(dim.is_position for axis in spatial_in for dim in value.layout[axis])
    if not on_positions or all(window.is_trivial for window in windows.values()):
        layout = out_layout(value.layout)
        if not on_positions:
            shape = equation.out_shapes[0].shape
            layout = tuple(
                (Dim(CHANNEL, n),) if axis in spatial_out and n > 1 else dims
                for axis, (dims, n) in enumerate(zip(layout, shape, strict=True))
            )
        return extend(
            value,
            lambda x: bind(equation, x, kernel)[0],
            layout,
            position_invariant=on_positions and ungrouped,
            contribution=(lambda vhat: _by_channels(equation, vhat, kernel)) if on_positions else None,
        )

    term, operand, biased = selection(interpreter, value, other_channels=True)
    window = sliding(term.layout, windows)
    order = sorted(range(len(spatial_in)), key=lambda i: lay.grid_axis(term.layout, spatial_in[i]))
    sizes = [kernel.shape[spatial_kernel[i]] for i in order]

    def at(tap: Tap) -> jax.Array:
        starts: list[Tap] = [0] * kernel.ndim
        extents = list(kernel.shape)
        for i, offset in zip(order, offsets_of(tap, sizes), strict=True):
            starts[spatial_kernel[i]], extents[spatial_kernel[i]] = offset, 1
        return box_of(kernel, starts, extents)

    def local(read: jax.Array, tap: Tap) -> jax.Array:
        return _by_channels(equation, read, at(tap))

    plain = dict(params, window_strides=(1,) * len(spatial_in), padding=((0, 0),) * len(spatial_in))
    plain |= {"lhs_dilation": (1,) * len(spatial_in), "rhs_dilation": (1,) * len(spatial_in)}
    one_tap = replace(equation, params=plain)

    def summed(read: jax.Array, tap: Tap) -> jax.Array:
        return bind(one_tap, read, at(tap))[0]

    mix = Mix(
        window.step.taps,
        window.pad,
        window.gather,
        local,
        window.layout,
        position_invariant=ungrouped,
        summed=summed if ungrouped else None,
    )
    array = bind(equation, operand, kernel)[0]
    return mixed(term, array, out_layout(window.layout), mix, window.step, biased=biased)


def _by_channels(equation: Equation, read: jax.Array, tap: jax.Array) -> jax.Array:
    """One tap of a convolution as a matrix product: on a CPU, half the time of a 1 x 1 convolution."""
    params = equation.params
    numbers, groups = params["dimension_numbers"], params["feature_group_count"]
    made, taken, *spatial = numbers.rhs_spec
    weights, axis = jnp.squeeze(tap, spatial), int(taken > made)
    v = jnp.transpose(read, (numbers.lhs_spec[0], *numbers.lhs_spec[2:], numbers.lhs_spec[1]))
    places = v.shape[:-1]
    product = partial(
        lax.dot_general, precision=params["precision"], preferred_element_type=params["preferred_element_type"]
    )
    if is_depthwise(tap, numbers, groups):
        vhat = v * weights.reshape(-1)
    elif groups == 1:
        vhat = product(v.reshape((-1, v.shape[-1])), weights, (((1,), (axis,)), ((), ())))
    else:
        weights = jnp.moveaxis(weights, axis, 1)
        weights = weights.reshape((groups, -1, weights.shape[1]))
        by_group = product(v.reshape((prod(places), groups, -1)), weights, (((2,), (2,)), ((1,), (0,))))
        vhat = jnp.moveaxis(by_group, 0, 1)
    order = np.argsort((numbers.out_spec[0], *numbers.out_spec[2:], numbers.out_spec[1]))
    return jnp.transpose(vhat.reshape((*places, -1)), tuple(order))


def _with_positions(interpreter: Interpreter, equation: Equation, value: Value, spec: Sequence[int]) -> Value:
    """Check what the axes mean, and call spatial axes of extent 1 positions where others are."""
    batch, feature, *spatial = spec
    for axis in spatial:
        value = on_own_axis(value, axis)
    if lay.kinds(value.layout[batch]) - {BATCH} or lay.kinds(value.layout[feature]) - {CHANNEL, COPY}:
        interpreter.unsupported(equation, "its batch or feature axis runs over positions")
    kinds = [lay.kinds(value.layout[axis]) for axis in spatial]
    if any(BATCH in kind for kind in kinds):
        interpreter.unsupported(equation, "a spatial axis runs over the batch")
    if any(kind and kind <= {CHANNEL, COPY} for kind in kinds):
        if any(kind - {CHANNEL, COPY} for kind in kinds):
            interpreter.unsupported(equation, "some of its spatial axes run over channels")
        return value
    used = {dim.kind for dim in lay.position_dims(value.layout)}
    free = iter(kind for kind in range(len(value.layout) + len(used)) if kind not in used)
    layout = tuple(
        (Dim(next(free), 1),) if axis in spatial and not dims else dims for axis, dims in enumerate(value.layout)
    )
    if layout == value.layout:
        return value
    if isinstance(value, Sum) and value.selection is None:
        value = interpreter.close(value)
    return replace(restructure(value, lambda x, _: x, layout), ref=value.ref)
