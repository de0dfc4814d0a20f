"""What ``srd batch`` says of the images and of the store that it finds, one line each on stderr."""

from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .terminal import problem

if TYPE_CHECKING:
    from rich.progress import Progress

    from srd_jax.data.checks import Check, Content
    from srd_jax.data.images import Images
    from srd_jax.data.store import Writer

__all__ = ["checked", "tell", "tell_unreadable", "what_is_left_out"]


def tell(progress: "Progress", *texts: str) -> None:
    """Texts that are not empty."""
    for text in filter(None, texts):
        problem(text, progress)


def tell_unreadable(progress: "Progress", images: "Images", problems: Mapping[int, str]) -> None:
    """Each image that cannot be read."""
    tell(progress, *(f"{images.ids[place]} is left out: {reason}" for place, reason in problems.items()))


def what_is_left_out(images: "Images") -> str:
    """What there is besides images, empty for nothing."""
    return images.left_out and f"not taken from {images.name}: {images.left_out}"


def _what_is_mended(
    out: Path, images: "Images", check: "Check", mended: Collection[str], others: Collection[str]
) -> str:
    """What a store was found to lack when a run went on with it, by number and with an example; empty for nothing."""
    found = {
        "damaged files written again": mended,
        "damaged chunks made again": list(check.damaged.values()),
        "chunks of changed images made again": [images.ids[place] for place in check.changed.values()],
        "files of others left alone": others,
    }
    told = [f"{what}: {len(each)} (first {next(iter(each))})" for what, each in found.items() if each]
    return f"in {out}, {', '.join(told)}" if told else ""


def checked(
    writer: "Writer",
    images: "Images",
    mended: Collection[str],
    progress: "Progress",
    content: "Content | None" = None,
) -> "Check":
    """What there is of the chunks of this process, without what cannot stay, and told of.

    Args:
        writer: of the store.
        images: that it holds maps of.
        mended: files of the store that were written again.
        progress: the bar above which it is told.
        content: `srd_jax.data.checks.contents` of the images, where several stores are of the same ones.

    Raises:
        SRDError: the maps or the images of a process are in a state in which it cannot go on.
    """
    import jax  # noqa: PLC0415

    from srd_jax.data import checks, processes, store  # noqa: PLC0415

    mine = range(jax.process_index(), writer.chunks, jax.process_count())
    task = progress.add_task("Checking", total=len(mine))
    check = processes.agreed(
        "checked", lambda: checks.check(writer, images, mine, partial(progress.advance, task), content)
    )
    progress.remove_task(task)
    writer.withdraw([*check.damaged, *check.changed])
    others = store.strangers(writer.folder, writer.chunks) if jax.process_index() == 0 else []
    tell(progress, _what_is_mended(writer.folder, images, check, mended, others))
    tell_unreadable(progress, images, dict.fromkeys(check.unreadable, "it could not be read before"))
    return check
