"""Position-wise steps: a function of one PFV at a time has one contributor per output, so relevance passes unchanged.

Activations, normalisation over channels, casts and names. A linear one keeps an open sum open; any other closes it.
"""

from collections.abc import Sequence
from math import pi
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import primitives as jp

from srd_jax.core import layout as lay
from srd_jax.core.agreement import agreeing
from srd_jax.core.holding import HELD
from srd_jax.core.interpreter import Interpreter
from srd_jax.core.layout import CHANNEL, COPY, Layout
from srd_jax.core.primitives import Limits
from srd_jax.core.registry import register_rule
from srd_jax.core.tracing import Equation, bind
from srd_jax.core.values import Coefficient, Map, Sum, Value, broadcast, extend, restructure

__all__ = ["positionwise", "reduce_channels"]


@register_rule(jp.stop_gradient_p, action="identity")
@register_rule(jp.max_p, action="elementwise", pattern="larger")
@register_rule(jp.min_p, action="elementwise", pattern="smaller")
@register_rule(jp.clamp_p, action="elementwise", pattern="clamp")
@register_rule(jp.abs_p, action="elementwise", pattern="sign")
@register_rule(jp.sign_p, jp.floor_p, jp.ceil_p, jp.round_p, action="elementwise", pattern="constant")
@register_rule(jp.logistic_p, action="elementwise", pattern=Limits(0, 1))
@register_rule(jp.tanh_p, jp.erf_p, action="elementwise", pattern=Limits(-1, 1))
@register_rule(jp.erfc_p, action="elementwise", pattern=Limits(2, 0))
@register_rule(jp.atan_p, action="elementwise", pattern=Limits(-pi / 2, pi / 2))
@register_rule(jp.expm1_p, action="elementwise", pattern="expm1")
@register_rule(jp.rem_p, action="elementwise", pattern="remainder")
@register_rule(
    jp.acos_p, jp.acosh_p, jp.and_p, jp.asin_p, jp.asinh_p, jp.atan2_p, jp.atanh_p, jp.bessel_i0e_p, jp.bessel_i1e_p,
    jp.cbrt_p, jp.clz_p, jp.cos_p, jp.cosh_p, jp.custom_jvp_call_p, jp.digamma_p, jp.eq_p, jp.erf_inv_p, jp.exp2_p,
    jp.exp_p, jp.ge_p, jp.gt_p, jp.igamma_grad_a_p, jp.igamma_p, jp.igammac_p, jp.integer_pow_p, jp.is_finite_p,
    jp.le_p, jp.lgamma_p, jp.log1p_p, jp.log_p, jp.lt_p, jp.ne_p, jp.nextafter_p, jp.not_p, jp.or_p, jp.polygamma_p,
    jp.population_count_p, jp.pow_p, jp.regularized_incomplete_beta_p, jp.rsqrt_p, jp.shift_left_p,
    jp.shift_right_arithmetic_p, jp.shift_right_logical_p, jp.sin_p, jp.sinh_p, jp.sqrt_p, jp.square_p, jp.tan_p,
    jp.xor_p, jp.zeta_p,
    action="elementwise", pattern="probe",
)  # fmt: skip
def positionwise(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> list[Map]:
    """Any elementwise function of one PFV map (and constants): it closes an open sum and stays on the map's node.

    The rule to register for an activation of your own.
    """
    maps = spread(equation, [interpreter.close(x) if isinstance(x, Map | Sum) else x for x in operands])
    inputs = [x for x in maps if isinstance(x, Map)]
    node = same_node(interpreter, inputs)
    if node is None:
        interpreter.unsupported(
            equation, "a nonlinear function of two different PFV maps has no sharing ratios that this method defines"
        )
    layout = lay.unify([x.layout for x in inputs])
    arrays = bind(equation, *(x.array if isinstance(x, Map) else x for x in maps))
    return [Map(array, layout, node) for array in arrays]


def spread(equation: Equation, operands: Sequence[Any]) -> list[Any]:
    """Operands that depend on the images, repeated to the shape of a result, their axes meaning the same."""
    shape = equation.out_shapes[0].shape
    constants = [jnp.shape(x) for x in operands if not isinstance(x, Map | Sum | Coefficient)]
    differ = {axis for other in constants if len(other) == len(shape) for axis, size in enumerate(other) if size > 1}
    return agreeing([broadcast(x, shape, differ) if isinstance(x, Map | Sum | Coefficient) else x for x in operands])


def same_node(interpreter: Interpreter, maps: Sequence[Map]) -> int | None:
    """The one node that all maps are position-wise functions of, None if they differ."""
    nodes = {x.node for x in maps}
    if len(nodes) == 1:
        return nodes.pop()
    roots = {interpreter.root(node) for node in nodes}
    return roots.pop() if len(roots) == 1 else None


@register_rule(jp.neg_p, action="scale")
def negative(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value:
    """-x is linear."""
    del interpreter
    return extend(
        operands[0], lambda x: bind(equation, x)[0], operands[0].layout, position_invariant=True, proportional=True
    )


@register_rule(jp.convert_element_type_p, action="identity", rearranges=True)
@register_rule(jp.reduce_precision_p, jp.copy_p, jp.sharding_constraint_p, jp.device_put_p, action="identity")
def cast(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value | list[Map]:
    """Casts between floating types, copies and placements are the identity; a max pool stays lazy through them."""
    dtype = equation.out_shapes[0].dtype
    if not (jnp.issubdtype(dtype, jnp.floating) and jnp.issubdtype(equation.shapes[0].dtype, jnp.floating)):
        return positionwise(interpreter, equation, operands)

    def convert(x: jax.Array, fill: int | float) -> jax.Array:
        del fill
        return bind(equation, x)[0] if jnp.issubdtype(x.dtype, jnp.floating) else x

    return restructure(operands[0], convert, operands[0].layout, uniform=True)


@register_rule("optimization_barrier", "pvary", "reshard", action="identity")
def barrier(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> list[Any]:
    """The identity on each operand, wherever it lies."""
    del interpreter, equation
    return list(operands)


@register_rule(jp.name_p, action="identity")
def name(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value | Coefficient:
    """`jax.ad_checkpoint.checkpoint_name` names a PFV map, and `srd_jax.hold` makes a coefficient of one."""
    if equation.params["name"] == HELD:
        interpreter.hold(equation, 0)
        return Coefficient(operands[0].array, operands[0].layout)
    return interpreter.name(operands[0], equation.params["name"])


@register_rule(
    jp.reduce_prod_p, jp.reduce_and_p, jp.reduce_or_p, jp.reduce_xor_p, jp.argmax_p, jp.argmin_p,
    action="other", pattern="probe",
)  # fmt: skip
@register_rule(jp.reduce_min_p, action="pool", pattern="extremum")
def reduce_channels(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> list[Map]:
    """Any reduction over channels is a function of one PFV at a time."""
    value = interpreter.close(operands[0])
    axes = equation.params["axes"]
    require_channels(interpreter, equation, value.layout, axes)
    layout = without(value.layout, axes)
    return [Map(array, layout, value.node) for array in bind(equation, value.array)]


@register_rule(jp.cumsum_p, action="mixing")
@register_rule(jp.cumprod_p, jp.cumlogsumexp_p, action="other", pattern="probe")
@register_rule(jp.cummax_p, jp.cummin_p, action="other", pattern="refused")
def cumulate(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Map:
    """Cumulative functions over channels."""
    value = interpreter.close(operands[0])
    require_channels(interpreter, equation, value.layout, (equation.params["axis"],))
    return Map(bind(equation, value.array)[0], value.layout, value.node)


def require_channels(interpreter: Interpreter, equation: Equation, layout: Layout, axes: Sequence[int]) -> None:
    """Refuse an equation that works along positions or the batch."""
    for axis in axes:
        if lay.runs_over_images(layout, [axis]):
            interpreter.unsupported(
                equation, f"axis {axis} is the batch, and images must not mix: call the model in evaluation mode"
            )
        if lay.kinds(layout[axis]) - {CHANNEL, COPY}:
            interpreter.unsupported(equation, f"axis {axis} runs over positions, and only channels are supported there")


def without(layout: Layout, axes: Sequence[int]) -> Layout:
    """The layout after axes are removed."""
    return tuple(dims for axis, dims in enumerate(layout) if axis not in axes)
