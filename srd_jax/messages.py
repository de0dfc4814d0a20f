"""How messages quote what they did not write, and what they offer in place of a name that does not exist."""

from collections.abc import Sequence
from difflib import get_close_matches

__all__ = ["did_you_mean", "shortened"]

_MOST = 160
_LISTED = 8


def shortened(quoted: object, most: int = _MOST) -> str:
    """What is quoted in one line: of a long text its two ends, and escapes for what cannot be printed.

    Args:
        quoted: a text, or what has one.
        most: characters of the text that are kept.

    Example:
        ``shortened("a" * 10**6, 8)`` is ``"aaaa…aaaa"``.
    """
    text = str(quoted)
    if len(text) > most:
        text = f"{text[: most // 2]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - most // 2 :]}"
    return text if text.isprintable() else repr(text)[1:-1]


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """The close matches of a name, or the beginning of the list of what there is."""
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(repr(match) for match in close) + "?"
    shown = ", ".join(known[:_LISTED])
    return f"there are {shown}" + (f" and {len(known) - _LISTED} more" if len(known) > _LISTED else "")
