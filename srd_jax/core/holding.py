"""What a model says of its own values: that one is to be held fixed."""

from typing import TypeVar

from jax.ad_checkpoint import checkpoint_name

__all__ = ["HELD", "hold"]

HELD = "srd_jax.hold"
"""What `hold` calls a value in the traced program."""

T = TypeVar("T")


def hold(x: T) -> T:
    """In a model: treat a value as fixed where it multiplies others, so that no relevance goes through it.

    Gates, attention weights and statistics are held fixed by themselves where the program tells which factor they are;
    of a product of two maps it may not tell. Values and their derivatives stay as they are: it is the identity.

    Args:
        x: any array or pytree of arrays.

    Returns:
        The same.

    Example:
        >>> y = conv(x) * srd_jax.hold(conv_gate(x))  # doctest: +SKIP
    """
    held: T = checkpoint_name(x, HELD)
    return held
