"""All contact with JAX's intermediate representation: trace a function, inline its calls, name its values.

The layouts of primitives' parameters that the rules rely on are pinned by ``tests/core/test_jax_parameters.py``.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from inspect import signature
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp
from jax.extend.core import primitives as jp

from srd_jax.core.depthwise import convolve, is_depthwise
from srd_jax.core.loops import unrolled
from srd_jax.core.meshes import varying_alike
from srd_jax.core.naming import label_of, module_of, user_line
from srd_jax.core.registry import facts_of
from srd_jax.errors import ShapeError, UnsupportedPrimitiveError

__all__ = [
    "Constant",
    "Equation",
    "Program",
    "bind",
    "body",
    "hands_on",
    "is_elementwise",
    "refuse_random",
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

_OF_CONVOLUTIONS = [name for name in signature(convolve).parameters if name not in ("lhs", "rhs")]

_TOGETHER = ("optimization_barrier", "pvary")
"""What hands on several values at once, each by itself."""


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
        label: what to call its result: the scope, or the path of the variables it reads where that says more.
    """

    primitive: jex.Primitive
    params: dict[str, Any]
    operands: tuple[Operand, ...]
    results: tuple[Ref, ...]
    shapes: tuple[Any, ...]
    out_shapes: tuple[Any, ...]
    scope: str
    where: str
    label: str


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

    def reads_without(self, held: Collection[tuple[Ref, int]]) -> dict[Ref, int]:
        """How often each value is read on the way to the output, but through some operands.

        Args:
            held: these operands, as the first result of their equation and their place in it.
        """
        reads: dict[Ref, int] = {self.output: 1} if isinstance(self.output, int) else {}
        for equation in reversed(self.equations):
            if any(ref in reads for ref in equation.results):
                for place, operand in enumerate(equation.operands):
                    if isinstance(operand, int) and (equation.results[0], place) not in held:
                        reads[operand] = reads.get(operand, 0) + 1
        return reads


@dataclass
class _Inliner:
    equations: list[Equation] = field(default_factory=list)
    constants: list[tuple[Ref, Any]] = field(default_factory=list)
    modules: dict[Ref, str] = field(default_factory=dict)
    moving: set[Ref] = field(default_factory=set)
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
            line = user_line(eqn.source_info) or where
            called = _called(eqn)
            unrolled = None if called is not None else self._unrolled(eqn, operands, inner_scope, line)
            if called is not None:
                results = self.run(*called, operands[len(operands) - len(called[0].invars) :], inner_scope, line)
            elif unrolled is not None:
                results = unrolled
            else:
                made = [self.fresh() for _ in eqn.outvars]
                label = label_of(inner_scope, self._module(operands, made))
                if any(operand in self.moving for operand in operands if isinstance(operand, int)):
                    self.moving.update(made)
                self.equations += _one_by_one(_equation(eqn, operands, made, inner_scope, line, label))
                results = list[Operand](made)
            env.update(zip(eqn.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _unrolled(self, eqn: jex.JaxprEqn, operands: Sequence[Operand], scope: str, where: str) -> list[Operand] | None:
        """A loop over values that depend on the images turn by turn, or all branches; None for any other step."""
        if not any(operand in self.moving for operand in operands if isinstance(operand, int)):
            return None

        def run(
            jaxpr: jex.Jaxpr, consts: Sequence[Any], args: Sequence[Operand], name: str, turn: int | None
        ) -> list[Operand]:
            results = self.run(jaxpr, consts, args, "/".join(part for part in (scope, name) if part), where)
            for ref in results:
                if turn is not None and isinstance(ref, int) and ref in self.modules:
                    self.modules[ref] = f"{self.modules[ref]}.{turn}"
            return results

        known = {place: operand.value for place, operand in enumerate(operands) if isinstance(operand, Constant)}
        if eqn.primitive is jp.cond_p and isinstance(operands[0], int) and operands[0] in self.moving:
            return None
        return unrolled(eqn, operands, known, run)

    def _module(self, operands: Sequence[Operand], made: Sequence[Ref]) -> str:
        """The module whose variable is read; what is made of that variable alone is the module's too."""
        refs = [operand for operand in operands if isinstance(operand, int)]
        known = {self.modules[ref] for ref in refs if ref in self.modules}
        module = known.pop() if len(known) == 1 else ""
        if module and all(ref in self.modules for ref in refs):
            self.modules.update(dict.fromkeys(made, module))
        return module


def _called(eqn: jex.JaxprEqn) -> tuple[jex.Jaxpr, Sequence[Any]] | None:
    """What an equation calls with the last of its operands, None for a step of its own.

    Of `jax.lax.platform_dependent`, whose branches do the same on different platforms, it is the last: the general one.
    """
    if eqn.primitive is jp.cond_p and eqn.params.get("branches_platforms") is not None:
        general = eqn.params["branches"][-1]
        return general.jaxpr, general.consts
    parameter = _INLINED.get(eqn.primitive.name)
    if parameter is None:
        return None
    jaxpr = eqn.params[parameter]
    inner, consts = (jaxpr.jaxpr, jaxpr.consts) if isinstance(jaxpr, jex.ClosedJaxpr) else (jaxpr, ())
    if eqn.primitive is jp.custom_jvp_call_p and all(map(_may_be_inside, _primitives(inner))):
        return None
    return inner, consts


def _may_be_inside(primitive: jex.Primitive) -> bool:
    """Whether a custom_jvp may hold a step and be kept whole, so that its derivative stays the author's."""
    facts = facts_of(primitive)
    return facts is not None and facts.is_elementwise and primitive is not jp.name_p


def _primitives(jaxpr: jex.Jaxpr) -> Iterator[jex.Primitive]:
    for eqn in jaxpr.eqns:
        called = eqn.params.get(_INLINED.get(eqn.primitive.name, ""))
        if called is None:
            yield eqn.primitive
        else:
            yield from _primitives(called.jaxpr if isinstance(called, jex.ClosedJaxpr) else called)


def _equation(
    eqn: jex.JaxprEqn, operands: Sequence[Operand], results: Sequence[Ref], scope: str, where: str, label: str
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
        label,
    )


def _one_by_one(equation: Equation) -> list[Equation]:
    """An equation that hands several values on together, as one for each."""
    if equation.primitive.name not in _TOGETHER:
        return [equation]
    parts = zip(equation.operands, equation.results, equation.shapes, equation.out_shapes, strict=True)
    return [
        replace(equation, operands=(operand,), results=(result,), shapes=(shape,), out_shapes=(out_shape,))
        for operand, result, shape, out_shape in parts
    ]


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
    inliner.moving.add(arguments[-1])
    paths = (module_of(path) for path, _ in jax.tree_util.tree_leaves_with_path(variables))
    inliner.modules.update((ref, module) for ref, module in zip(arguments, paths, strict=False) if module)
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


def refuse_random(program: Program) -> None:
    """Refuse a program whose output depends on random numbers: it would be explained as it came out this once.

    Raises:
        UnsupportedPrimitiveError: it draws some.
    """
    known = ((equation, facts_of(equation.primitive)) for equation in program.equations)
    drawn = next((equation for equation, facts in known if facts is not None and facts.action == "random"), None)
    if drawn is not None:
        raise UnsupportedPrimitiveError(
            f"the logits depend on random numbers (primitive '{drawn.primitive.name}'): dropout or stochastic depth is "
            f"on. Call the model in evaluation mode; random weights are to be passed as variables. It is at "
            f"{drawn.where}" + (f", in {drawn.scope}" if drawn.scope else "")
        )


def downstream(
    equations: Sequence[Equation], start: Sequence[Ref], output: Operand, known: Collection[Ref] = ()
) -> tuple[Equation, ...]:
    """The equations that lie between some values and the output, without those that make what is known."""
    reached, aside = set(start), set(known)
    between = []
    for equation in equations:
        depends = any(operand in reached for operand in equation.operands if isinstance(operand, int))
        if depends and not reached.issuperset(equation.results) and not aside.issuperset(equation.results):
            between.append(equation)
            reached.update(equation.results)
    live, _ = _live(between, output)
    return live


def bind(equation: Equation, *args: Any) -> list[Any]:
    """Run one equation on arrays; always a list of results.

    Raises:
        UnsupportedPrimitiveError: JAX has no derivative or no batching rule of a primitive of one's own.
    """
    primitive, params = equation.primitive, equation.params
    args = tuple(varying_alike(args))
    if primitive is jp.conv_general_dilated_p and is_depthwise(
        args[1], params["dimension_numbers"], params["feature_group_count"]
    ):
        return [convolve(*args, **{name: params[name] for name in _OF_CONVOLUTIONS})]
    try:
        results = primitive.bind(*args, **primitive.get_bind_params(params))
    except NotImplementedError as error:
        raise UnsupportedPrimitiveError(
            f"primitive '{primitive.name}' lacks what maps need of JAX: {str(error).splitlines()[0]}. It is at "
            f"{equation.where}"
        ) from error
    return list(results) if primitive.multiple_results else [results]


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
    facts = facts_of(equation.primitive)
    return facts is not None and facts.is_elementwise


def hands_on(equation: Equation) -> bool:
    """Whether each result is the operand at its place, in another type at most: an integer of a float is another."""
    facts = facts_of(equation.primitive)
    if facts is None or facts.action != "identity":
        return False
    floats = (jnp.issubdtype(shape.dtype, jnp.inexact) for shape in (equation.shapes[0], equation.out_shapes[0]))
    return list(floats) != [True, False]


def runs_a_program(equation: Equation) -> bool:
    """Whether an equation is a loop, a branch or another call that holds a program of its own."""
    values = [item for value in equation.params.values() for item in (value if isinstance(value, tuple) else (value,))]
    return any(isinstance(value, jex.Jaxpr | jex.ClosedJaxpr) for value in values)
