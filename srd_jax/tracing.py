"""All contact with JAX's intermediate representation: trace a function, inline its calls, name its values.

The layouts of primitives' parameters that the rules rely on are pinned by ``tests/test_tracing.py``.
"""

import sysconfig
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.extend.core as jex
from jax.extend.core import primitives as jp

from srd_jax.errors import ShapeError

__all__ = [
    "Constant",
    "Equation",
    "Program",
    "bind",
    "body",
    "evaluate",
    "is_elementwise",
    "runs_a_program",
    "trace",
]

_INLINED: dict[str, str] = {
    jp.jit_p.name: "jaxpr",
    jp.remat_p.name: "jaxpr",
    jp.call_p.name: "call_jaxpr",
    jp.closed_call_p.name: "call_jaxpr",
    jp.custom_jvp_call_p.name: "call_jaxpr",
    jp.custom_vjp_call_p.name: "call_jaxpr",
}
"""Calls that are inlined, and the parameter that holds what they call."""

_ELEMENTWISE = frozenset(
    p.name
    for p in (
        jp.add_p, jp.sub_p, jp.mul_p, jp.div_p, jp.neg_p, jp.max_p, jp.min_p, jp.exp_p, jp.log_p, jp.log1p_p,
        jp.expm1_p, jp.tanh_p, jp.logistic_p, jp.erf_p, jp.erfc_p, jp.sqrt_p, jp.rsqrt_p, jp.square_p,
        jp.integer_pow_p, jp.pow_p, jp.abs_p, jp.sign_p, jp.select_n_p, jp.clamp_p, jp.gt_p, jp.ge_p, jp.lt_p,
        jp.le_p, jp.eq_p, jp.ne_p, jp.and_p, jp.or_p, jp.not_p, jp.convert_element_type_p, jp.is_finite_p,
        jp.stop_gradient_p,
    )
)  # fmt: skip
"""What a custom_jvp may be made of to be kept whole, as activations are: their derivative then stays the author's."""

_JAX = str(Path(jax.__file__).parent)
_INSTALLED = (sysconfig.get_path("purelib"), sysconfig.get_path("stdlib"), _JAX, str(Path(__file__).parent))


@dataclass(frozen=True)
class Constant:
    """An operand that is known while tracing."""

    value: Any


Ref = int
Operand = Ref | Constant


@dataclass(frozen=True, eq=False)
class Equation:
    """One step of a program after inlining.

    Attributes:
        primitive: what it does.
        params: the primitive's parameters.
        operands: references to earlier values, or constants.
        results: references to the values it makes.
        shapes: `jax.ShapeDtypeStruct` of the operands, None for what is no array.
        out_shapes: of the results.
        scope: name stack, as ``Model/layer1/conv1``.
        where: the user's line.
    """

    primitive: jex.Primitive
    params: dict[str, Any]
    operands: tuple[Operand, ...]
    results: tuple[Ref, ...]
    shapes: tuple[Any, ...]
    out_shapes: tuple[Any, ...]
    scope: str
    where: str


@dataclass(frozen=True, eq=False)
class Program:
    """A traced function as a list of equations in order, without calls and without dead code.

    Attributes:
        equations: the steps.
        arguments: references to the arguments' leaves.
        constants: references and values of arrays that the function closes over.
        image: reference to the images.
        output: reference to the logits.
        uses: how many equations (and the output) read each value.
        from_image: the values that depend on the images.
    """

    equations: tuple[Equation, ...]
    arguments: tuple[Ref, ...]
    constants: tuple[tuple[Ref, Any], ...]
    image: Ref
    output: Operand
    uses: dict[Ref, int]
    from_image: frozenset[Ref]


@dataclass
class _Inliner:
    equations: list[Equation] = field(default_factory=list)
    constants: list[tuple[Ref, Any]] = field(default_factory=list)
    count: int = 0

    def fresh(self) -> Ref:
        self.count += 1
        return self.count - 1

    def run(
        self, jaxpr: jex.Jaxpr, consts: Sequence[Any], args: Sequence[Operand], scope: str = "", where: str = ""
    ) -> list[Operand]:
        env: dict[jex.Var, Operand] = dict(zip(jaxpr.invars, args, strict=True))
        for var, value in zip(jaxpr.constvars, consts, strict=True):
            ref = self.fresh()
            env[var] = ref
            self.constants.append((ref, value))

        def read(atom: jex.Var | jex.Literal) -> Operand:
            return Constant(atom.val) if isinstance(atom, jex.Literal) else env[atom]

        for eqn in jaxpr.eqns:
            operands = [read(atom) for atom in eqn.invars]
            inner_scope = "/".join(part for part in (scope, str(eqn.source_info.name_stack)) if part)
            line = _user_line(eqn.source_info) or where
            called = _called(eqn)
            if called is not None:
                results = self.run(*called, operands, inner_scope, line)
            else:
                made = [self.fresh() for _ in eqn.outvars]
                self.equations.append(_equation(eqn, operands, made, inner_scope, line))
                results = list[Operand](made)
            env.update(zip(eqn.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]


def _called(eqn: jex.JaxprEqn) -> tuple[jex.Jaxpr, Sequence[Any]] | None:
    parameter = _INLINED.get(eqn.primitive.name)
    if parameter is None:
        return None
    jaxpr = eqn.params[parameter]
    inner, consts = (jaxpr.jaxpr, jaxpr.consts) if isinstance(jaxpr, jex.ClosedJaxpr) else (jaxpr, ())
    if eqn.primitive is jp.custom_jvp_call_p and all(name in _ELEMENTWISE for name in _primitives(inner)):
        return None
    return inner, consts


def _primitives(jaxpr: jex.Jaxpr) -> Iterator[str]:
    for eqn in jaxpr.eqns:
        called = eqn.params.get(_INLINED.get(eqn.primitive.name, ""))
        if called is None:
            yield eqn.primitive.name
        else:
            yield from _primitives(called.jaxpr if isinstance(called, jex.ClosedJaxpr) else called)


def _equation(
    eqn: jex.JaxprEqn, operands: Sequence[Operand], results: Sequence[Ref], scope: str, where: str
) -> Equation:
    def shapes(atoms: Sequence[Any]) -> tuple[jax.ShapeDtypeStruct | None, ...]:
        return tuple(
            jax.ShapeDtypeStruct(a.aval.shape, a.aval.dtype) if isinstance(a.aval, jax.core.ShapedArray) else None
            for a in atoms
        )

    return Equation(
        eqn.primitive,
        eqn.params,
        tuple(operands),
        tuple(results),
        shapes(eqn.invars),
        shapes(eqn.outvars),
        scope,
        where or "an unknown line",
    )


def _user_line(source_info: Any) -> str:
    """The innermost line outside installed packages, else outside JAX; empty for a step of a library's own jit."""
    frames = getattr(source_info.traceback, "frames", ()) or ()
    own = next((f for f in frames if not f.file_name.startswith(_INSTALLED) and "-packages/" not in f.file_name), None)
    frame = own or next((f for f in frames if not f.file_name.startswith(_JAX)), None)
    return f"{frame.file_name}:{frame.line_num} ({frame.function_name})" if frame else ""


def trace(tracer: Callable[..., Any], variables: Any, images: jax.Array) -> Program:
    """Trace ``f(variables, images)`` to a program.

    Args:
        tracer: ``jax.make_jaxpr(f, return_shape=True)``; JAX caches its traces by shapes and dtypes.
        variables: pytree of the function's parameters.
        images: (N, *grid, C) or another axis order.

    Raises:
        ShapeError: the function does not return one array of logits (N, classes).
    """
    closed, out = tracer(variables, images)
    leaves = jax.tree.leaves(out)
    if len(leaves) != 1 or len(leaves[0].shape) != 2 or leaves[0].shape[0] != images.shape[0]:
        got = ", ".join(str(leaf.shape) for leaf in leaves) or "nothing"
        raise ShapeError(
            f"the function must return one array of logits of shape (N, classes) with N = {images.shape[0]}; it "
            f"returns {got}. Wrap it: lambda variables, images: f(variables, images)[...]"
        )
    inliner = _Inliner()
    arguments = [inliner.fresh() for _ in closed.jaxpr.invars]
    (output,) = inliner.run(closed.jaxpr, closed.consts, arguments)
    equations, uses = _live(inliner.equations, output)
    image = arguments[-1]
    return Program(
        equations,
        tuple(arguments),
        tuple((ref, value) for ref, value in inliner.constants if ref in uses),
        image,
        output,
        uses,
        _reachable(equations, image),
    )


def _live(equations: Sequence[Equation], output: Operand) -> tuple[tuple[Equation, ...], dict[Ref, int]]:
    """The equations that the output needs, and how often each value is read by them."""
    uses: dict[Ref, int] = {}
    if isinstance(output, int):
        uses[output] = 1
    live: list[Equation] = []
    for equation in reversed(equations):
        if any(ref in uses for ref in equation.results):
            live.append(equation)
            for operand in equation.operands:
                if isinstance(operand, int):
                    uses[operand] = uses.get(operand, 0) + 1
    return tuple(reversed(live)), uses


def _reachable(equations: Sequence[Equation], start: Ref) -> frozenset[Ref]:
    reached = {start}
    for equation in equations:
        if any(operand in reached for operand in equation.operands if isinstance(operand, int)):
            reached.update(equation.results)
    return frozenset(reached)


def downstream(equations: Sequence[Equation], start: Sequence[Ref], output: Operand) -> tuple[Equation, ...]:
    """The equations that lie between some values and the output."""
    reached = set(start)
    between = []
    for equation in equations:
        depends = any(operand in reached for operand in equation.operands if isinstance(operand, int))
        if depends and not reached.issuperset(equation.results):
            between.append(equation)
            reached.update(equation.results)
    live, _ = _live(between, output)
    return live


def bind(equation: Equation, *args: Any) -> list[Any]:
    """Run one equation on arrays; always a list of results."""
    results = equation.primitive.bind(*args, **equation.primitive.get_bind_params(equation.params))
    return list(results) if equation.primitive.multiple_results else [results]


def body(equation: Equation) -> tuple[tuple[Equation, ...], tuple[Ref, ...], tuple[Operand, ...]] | None:
    """What an activation that was kept whole (a custom_jvp) is made of, None for any other equation.

    Returns:
        Its equations, the references of its arguments and its results. They are its own, not the program's.
    """
    if equation.primitive is not jp.custom_jvp_call_p:
        return None
    inner = equation.params["call_jaxpr"]
    inliner = _Inliner()
    arguments = tuple(inliner.fresh() for _ in inner.jaxpr.invars)
    results = inliner.run(inner.jaxpr, inner.consts, arguments, equation.scope, equation.where)
    return tuple(inliner.equations), arguments, tuple(results)


def is_elementwise(equation: Equation) -> bool:
    """Whether each element of the results depends on the same element of the operands alone."""
    return equation.primitive is jp.custom_jvp_call_p or equation.primitive.name in _ELEMENTWISE


def runs_a_program(equation: Equation) -> bool:
    """Whether an equation is a loop, a branch or another call that holds a program of its own."""
    values = [item for value in equation.params.values() for item in (value if isinstance(value, tuple) else (value,))]
    return any(isinstance(value, jex.Jaxpr | jex.ClosedJaxpr) for value in values)


def evaluate(equations: Sequence[Equation], known: dict[Ref, Any], output: Operand) -> Any:
    """Run equations from known values to the output."""
    env = dict(known)

    def read(operand: Operand) -> Any:
        return operand.value if isinstance(operand, Constant) else env[operand]

    for equation in equations:
        env.update(zip(equation.results, bind(equation, *map(read, equation.operands)), strict=True))
    return read(output)
