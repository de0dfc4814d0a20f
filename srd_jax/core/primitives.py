"""What is known of a JAX primitive beside its sharing rule; it is said once, where the rule is registered."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

__all__ = ["Action", "Facts", "Limits", "Pattern"]

Action = Literal[
    "identity", "selection", "mixing", "linear", "pool", "sum", "scale", "elementwise", "other", "random", "unknown"
]  # fmt: skip
"""What a primitive does to the neurons of values that depend on the images.

- ``identity``: hands them on, as casts, names and placements do;
- ``selection``: moves, leaves out, copies or joins them, whatever they are;
- ``mixing``: sums of them, or of products with weights that are operands, several for each result;
- ``linear``: any other linear function, such as one whose weights are no operands;
- ``pool``: an extremum of several;
- ``sum``: adds two values or a constant; ``scale``: multiplies by a constant, or by a value that is held fixed;
- ``elementwise``: any other function of each of them by itself;
- ``other``: none of these, such as a product over channels;
- ``random``: makes random numbers;
- ``unknown``: nobody has said so. Then only what the sharing rule alone decides is computed, and the rest refused.
"""


_ACTIONS: tuple[str, ...] = get_args(Action)


class Limits(NamedTuple):
    """The values that a function of one argument saturates at, for negative and for positive ones; at 0 the smaller."""

    negative: float
    positive: float


Kept = Literal[
    "probe", "larger", "smaller", "clamp", "sign", "constant", "expm1", "remainder", "extremum", "switches", "refused",
    "unknown",
]  # fmt: skip
Pattern = Kept | Limits
"""What a step keeps of the images when another input runs through under their activation pattern.

- ``probe``: nothing, it runs on the probe as usual;
- ``larger``, ``smaller``: which operand was chosen; ``clamp``: which side; ``sign``: the sign;
- ``constant``: its whole value; `Limits`: the side on which it saturates; ``expm1``: its limit where it was negative;
- ``remainder``: how many divisors were taken away;
- ``extremum``, ``switches``: the place of the extremum along axes, or in every window;
- ``refused``: a state that cannot be held; ``unknown``: nobody has said so, and it is refused too.
"""
_PATTERNS: tuple[str, ...] = get_args(Kept)


@dataclass(frozen=True)
class Facts:
    """What is known of a primitive.

    Attributes:
        action: what it does to neurons.
        pattern: what it keeps under an activation pattern.
        rearranges: whether it only rearranges axes, so that a sum keeps the name of the step before.
        averages: whether a mean over positions may still be one after it, beside those that scale or hand it on.

    Raises:
        ValueError: there is no such action or pattern.
    """

    action: Action = "unknown"
    pattern: Pattern = "unknown"
    rearranges: bool = False
    averages: bool = False

    def __post_init__(self) -> None:
        """Refuse a word that nothing would ask for."""
        for name, word, words in (("action", self.action, _ACTIONS), ("pattern", self.pattern, _PATTERNS)):
            if word not in words and not isinstance(word, Limits):
                raise ValueError(f"{name} must be one of {', '.join(words)}, not {word!r}")

    @property
    def is_elementwise(self) -> bool:
        """Whether each element of the results depends on the same element of the operands alone."""
        return self.action in ("identity", "sum", "scale", "elementwise")

    @property
    def keeps_a_mean(self) -> bool:
        """Whether a mean over positions may still be one after it; it ends at any other step."""
        return self.averages or self.rearranges or self.action in ("identity", "scale")
