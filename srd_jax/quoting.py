"""How messages quote what they did not write: names, paths and what other libraries say."""

__all__ = ["shortened"]

_MOST = 160


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
