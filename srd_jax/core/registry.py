"""The open registry of sharing rules: one rule per JAX primitive."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from jax.extend.core import Primitive

if TYPE_CHECKING:
    from srd_jax.core.interpreter import Interpreter
    from srd_jax.core.tracing import Equation

__all__ = ["Rule", "register_rule", "rule_for"]

Rule = Callable[["Interpreter", "Equation", Sequence[Any]], Any]
"""``(interpreter, equation, operands) -> result``: operands are `Map` or `Sum` where they depend on the images and
plain arrays where they do not; the result is a `Map` or a `Sum`, or a list of them for several results."""

_Rule = TypeVar("_Rule", bound=Rule)
_rules: dict[str, Rule] = {}


def register_rule(*primitives: Primitive | str) -> Callable[[_Rule], _Rule]:
    """Register the sharing rule of one or more primitives, replacing any earlier one.

    Use it as a decorator. The rule is called when at least one operand depends on the images. The name of a
    primitive serves where JAX does not export the primitive itself.

    Args:
        *primitives: from `jax.extend.core.primitives`, of your own, or their names.

    Example:
        >>> @srd_jax.register_rule("my_activation")
        ... def my_activation(interpreter, equation, operands):
        ...     return srd_jax.core.rules.positionwise(interpreter, equation, operands)
    """

    def register(rule: _Rule) -> _Rule:
        for primitive in primitives:
            _rules[primitive if isinstance(primitive, str) else primitive.name] = rule
        return rule

    return register


def rule_for(primitive: Primitive) -> Rule | None:
    """The rule of a primitive, None where there is none."""
    return _rules.get(primitive.name)
