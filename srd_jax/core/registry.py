"""The open registry: for every JAX primitive its sharing rule and what else is known of it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from jax.extend.core import Primitive

from srd_jax.core.primitives import Action, Facts, Pattern

if TYPE_CHECKING:
    from srd_jax.core.interpreter import Interpreter
    from srd_jax.core.tracing import Equation

__all__ = ["Rule", "describe", "facts_of", "register_rule", "rule_for"]

Rule = Callable[["Interpreter", "Equation", Sequence[Any]], Any]
"""``(interpreter, equation, operands) -> result``: operands are `Map` or `Sum` where they depend on the images and
plain arrays where they do not; the result is a `Map` or a `Sum`, or a list of them for several results."""

_Rule = TypeVar("_Rule", bound=Rule)


class _Entry(NamedTuple):
    rule: Rule | None
    facts: Facts


_entries: dict[str, _Entry] = {}
_LINEAR = ("identity", "selection", "mixing", "linear", "sum", "scale")


def register_rule(
    *primitives: Primitive | str,
    action: Action | None = None,
    pattern: Pattern | None = None,
    rearranges: bool = False,
    averages: bool = False,
) -> Callable[[_Rule], _Rule]:
    """Register the sharing rule of one or more primitives, replacing any earlier one.

    Use it as a decorator. The rule is called when at least one operand depends on the images. The name of a
    primitive serves where JAX does not export the primitive itself.

    Args:
        *primitives: from `jax.extend.core.primitives`, of your own, or their names.
        action: what it does to neurons, as `srd_jax.core.primitives.Action` says. It is needed for ratios of single
            neurons and against the value after the activation, which refuse a primitive of which it is unknown. By
            default what is known of the primitive already, else nothing: `positionwise` serves softmax over channels,
            too, which is no function of single neurons.
        pattern: what it keeps under an activation pattern, as `srd_jax.core.primitives.Pattern` says; `srd_jax.apop`
            refuses a primitive of which it is unknown. By default linear actions keep nothing.
        rearranges: whether it only rearranges axes.
        averages: whether a mean over positions may still be one after it.

    Example:
        >>> register = srd_jax.register_rule("my_activation", action="elementwise", pattern="probe")
        >>> register(srd_jax.rules.positionwise)
    """

    def register(rule: _Rule) -> _Rule:
        for primitive in primitives:
            known = facts_of(primitive)
            described = rule_for(primitive) is None and known is not None and known.action == "other"
            if known is None or described or action is not None:
                own = action or "unknown"
                known = Facts(own, "probe" if own in _LINEAR else "unknown", rearranges, averages)
            _entries[_name(primitive)] = _Entry(rule, known if pattern is None else replace(known, pattern=pattern))
        return rule

    return register


def describe(*primitives: Primitive | str, action: Action = "other", pattern: Pattern = "probe") -> None:
    """Say what is known of primitives that have no sharing rule.

    Raises:
        ValueError: one of them has a rule, which would be lost.
    """
    for primitive in primitives:
        if rule_for(primitive) is not None:
            raise ValueError(f"primitive {_name(primitive)!r} has a sharing rule: say what is known of it there")
        _entries[_name(primitive)] = _Entry(None, Facts(action, pattern))


def rule_for(primitive: Primitive | str) -> Rule | None:
    """The rule of a primitive, None where there is none."""
    entry = _entries.get(_name(primitive))
    return None if entry is None else entry.rule


def facts_of(primitive: Primitive | str) -> Facts | None:
    """What is known of a primitive, None where that is nothing at all."""
    entry = _entries.get(_name(primitive))
    return None if entry is None else entry.facts


def _name(primitive: Primitive | str) -> str:
    return primitive if isinstance(primitive, str) else primitive.name
