"""What a message offers in place of a name that does not exist."""

from collections.abc import Sequence
from difflib import get_close_matches

__all__ = ["did_you_mean"]

_MOST = 8


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """The close matches of a name, or the beginning of the list of what there is."""
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(repr(match) for match in close) + "?"
    shown = ", ".join(known[:_MOST])
    return f"there are {shown}" + (f" and {len(known) - _MOST} more" if len(known) > _MOST else "")
