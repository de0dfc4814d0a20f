"""Loops of a length that is known while tracing, and branches that the images do not choose, to be inlined."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.extend.core as jex
import numpy as np
from jax import lax
from jax.extend.core import primitives as jp

__all__ = ["unrolled"]

_MOST_TURNS = 4096


def _place(shape: jax.ShapeDtypeStruct, index: int) -> jex.ClosedJaxpr:
    """What takes one element along the first axis of an array."""
    return jax.make_jaxpr(lambda x: lax.index_in_dim(x, index, 0, keepdims=False))(shape)


def _stacked(shape: jax.ShapeDtypeStruct, count: int) -> jex.ClosedJaxpr:
    """What puts so many arrays beside each other along a new first axis."""
    return jax.make_jaxpr(lambda *xs: lax.concatenate([lax.expand_dims(x, (0,)) for x in xs], 0))(*[shape] * count)


def _chosen(index: jax.ShapeDtypeStruct, shape: jax.ShapeDtypeStruct, count: int) -> jex.ClosedJaxpr:
    """What takes one of so many arrays by an index."""

    def choose(which: jax.Array, *cases: jax.Array) -> jax.Array:
        return lax.select_n(which if count > 2 else which == 1, *cases)

    return jax.make_jaxpr(choose)(index, *[shape] * count)


def _turns(eqn: jex.JaxprEqn, known: Mapping[int, Any]) -> int | None:
    """How often the body of a while loop runs; None where only its values tell.

    Args:
        eqn: a `jax.lax.while_loop`.
        known: those of its operands that are known while tracing, by place.
    """
    condition, body = eqn.params["cond_jaxpr"], eqn.params["body_jaxpr"]
    first, second = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    carried = {place - first - second: value for place, value in known.items() if place >= first + second}
    own = {place: value for place, value in known.items() if place < first}
    count = len(condition.jaxpr.invars) - first
    asked = _leading_to(condition.jaxpr, [0])[1]
    needed = {place - first for place in asked if place >= first}
    if any(place < first and place not in own for place in asked):
        return None
    while True:
        before = _leading_to(body.jaxpr, sorted(needed))[1]
        if any(place < second for place in before):
            return None
        more = needed | {place - second for place in before}
        if more == needed:
            break
        needed = more
    if not needed <= set(carried) or not needed <= set(range(count)):
        return None
    state = {place: carried[place] for place in needed}
    for turn in range(_MOST_TURNS):
        (goes_on,) = _values(condition, [0], {**own, **{first + place: value for place, value in state.items()}})
        if not bool(goes_on):
            return turn
        found = _values(body, sorted(needed), {second + place: value for place, value in state.items()})
        state = dict(zip(sorted(needed), found, strict=True))
    return None


def _values(closed: jex.ClosedJaxpr, results: Sequence[int], known: Mapping[int, Any]) -> list[Any]:
    """Some results from the arguments that they need."""
    jaxpr = closed.jaxpr
    env: dict[Any, Any] = {jaxpr.invars[place]: value for place, value in known.items()}
    env.update(zip(jaxpr.constvars, closed.consts, strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, jex.Literal) else env[atom]

    with jax.ensure_compile_time_eval():
        for eqn in _leading_to(jaxpr, results)[0]:
            made = eqn.primitive.bind(*map(read, eqn.invars), **eqn.primitive.get_bind_params(eqn.params))
            env.update(zip(eqn.outvars, made if eqn.primitive.multiple_results else [made], strict=True))
        return [np.asarray(read(jaxpr.outvars[place])) for place in results]


def _leading_to(jaxpr: jex.Jaxpr, results: Sequence[int]) -> tuple[list[jex.JaxprEqn], set[int]]:
    """The equations that some results depend on, and the places of the arguments."""
    wanted = {jaxpr.outvars[place] for place in results if isinstance(jaxpr.outvars[place], jex.Var)}
    kept = []
    for eqn in reversed(jaxpr.eqns):
        if any(var in wanted for var in eqn.outvars):
            kept.append(eqn)
            wanted.update(atom for atom in eqn.invars if isinstance(atom, jex.Var))
    return kept[::-1], {place for place, var in enumerate(jaxpr.invars) if var in wanted}


Run = Callable[..., list[Any]]
"""``(jaxpr, constants, operands, scope)`` to results."""


def unrolled(eqn: jex.JaxprEqn, operands: Sequence[Any], known: Mapping[int, Any], run: Run) -> list[Any] | None:
    """A loop turn by turn, or all branches of a conditional; None for what cannot be inlined.

    Args:
        eqn: the loop or the conditional.
        operands: its operands.
        known: those that are known while tracing, by place.
        run: inlines a program. Its turns are named by their numbers.
    """
    if eqn.primitive is jp.scan_p:
        return _scan(eqn, operands, run)
    if eqn.primitive is jp.while_p:
        return _while(eqn, operands, known, run)
    return _branches(eqn, operands, run) if eqn.primitive is jp.cond_p else None


def _shape(atom: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(atom.aval.shape, atom.aval.dtype)


def _scan(eqn: jex.JaxprEqn, operands: Sequence[Any], run: Run) -> list[Any]:
    params = eqn.params
    closed, length = params["jaxpr"], params["length"]
    # versions of JAX differ in how they say what is carried; what is stacked has one axis more than in the body
    same = [
        sum(len(_shape(own).shape) == len(_shape(inner).shape) for own, inner in zip(outer, body, strict=True))
        for outer, body in ((eqn.invars, closed.jaxpr.invars), (eqn.outvars, closed.jaxpr.outvars))
    ]
    consts, carried = same[0] - same[1], same[1]
    fixed, state, each = operands[:consts], operands[consts : consts + carried], operands[consts + carried :]
    shapes = [_shape(atom) for atom in eqn.invars[consts + carried :]]
    rows: dict[int, list[Any]] = {}
    for turn in reversed(range(length)) if params["reverse"] else range(length):
        own = []
        for operand, shape in zip(each, shapes, strict=True):
            taken = _place(shape, turn)
            own += run(taken.jaxpr, taken.consts, [operand], "", turn)
        results = run(closed.jaxpr, closed.consts, [*fixed, *state, *own], str(turn), None)
        state, rows[turn] = results[:carried], results[carried:]
    made = list(state)
    for column, var in enumerate(eqn.outvars[carried:]):
        one = jax.ShapeDtypeStruct(_shape(var).shape[1:], _shape(var).dtype)
        together = _stacked(one, length)
        made += run(together.jaxpr, together.consts, [rows[turn][column] for turn in range(length)], "", None)
    return made


def _while(eqn: jex.JaxprEqn, operands: Sequence[Any], known: Mapping[int, Any], run: Run) -> list[Any] | None:
    count = _turns(eqn, known)
    if count is None:
        return None
    first, second = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    body, fixed, state = eqn.params["body_jaxpr"], operands[first : first + second], list(operands[first + second :])
    for turn in range(count):
        state = run(body.jaxpr, body.consts, [*fixed, *state], str(turn), None)
    return state


def _branches(eqn: jex.JaxprEqn, operands: Sequence[Any], run: Run) -> list[Any]:
    index, *rest = operands
    branches = eqn.params["branches"]
    cases = [run(branch.jaxpr, branch.consts, rest, "", None) for branch in branches]
    made = []
    for place, var in enumerate(eqn.outvars):
        choice = _chosen(_shape(eqn.invars[0]), _shape(var), len(branches))
        made += run(choice.jaxpr, choice.consts, [index, *(case[place] for case in cases)], "", None)
    return made
