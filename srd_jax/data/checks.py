"""Whether what a store holds is what was written, of the images that there are now.

A chunk is whole when the SHA-256 of every one of its files is the one noted beside them, and up to date when that of
every image is, too: images are read for it, which takes a small part of the time that their maps took. No time stamp
proves as much: a folder that was put in another's place brings old ones.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

import grain

from srd_jax.errors import DataError, SRDError

from .checksums import image_checksum
from .images import Images
from .reading import ahead
from .store import Noted, Writer

__all__ = ["Check", "Content", "check", "contents"]


@dataclass(frozen=True)
class Check:
    """What there is of several chunks.

    Attributes:
        missing: those to be made, in order.
        damaged: which of them were made before, and a file of each that is lost or not as it was written.
        changed: which of them are whole, and a place of each whose image is another now.
        unreadable: places without maps in the chunks that stay.
    """

    missing: tuple[int, ...]
    damaged: Mapping[int, str]
    changed: Mapping[int, int]
    unreadable: tuple[int, ...]


Content = Callable[[int, str | None], str | None]
"""A place and the checksum that its image had, to the one that it has."""


def contents(images: Images) -> Content:
    """What `check` asks of images, each read once however many stores hold maps of it."""
    return cache(partial(_content, images))


def check(
    writer: Writer,
    images: Images,
    indices: Sequence[int],
    advance: Callable[[], None],
    content: Content | None = None,
) -> Check:
    """Compare chunks with what was noted of them, and their images with what they were.

    Args:
        writer: of the store that they are in.
        images: all that there are now.
        indices: which chunks.
        advance: called after each.
        content: `contents` of the images, where several stores are of the same ones.

    Raises:
        DataError: there is something else in the place of a file, or an image cannot be read any more.
    """
    if not indices:
        return Check((), {}, {}, ())
    found = ahead(grain.MapDataset.source(indices).map(partial(_found, writer, content or partial(_content, images))))
    missing: list[int] = []
    damaged: dict[int, str] = {}
    changed: dict[int, int] = {}
    unreadable: list[int] = []
    for index, result in zip(indices, found, strict=True):
        if isinstance(result, SRDError):
            raise result
        noted, others = result
        if noted.damaged:
            damaged[index] = noted.damaged
        if others:
            changed[index] = others[0]
        if noted.images is None or others:
            missing.append(index)
        else:
            unreadable += [index * writer.chunk + row for row in noted.unreadable]
        advance()
    return Check(tuple(missing), damaged, changed, tuple(unreadable))


def _found(writer: Writer, content: Content, index: int) -> tuple[Noted, list[int]] | SRDError:
    """What there is of a chunk, and the places whose images are others; an error is handed over to be raised."""
    try:
        noted = writer.noted(index)
        before = dict(enumerate(noted.images or (), index * writer.chunk))
        now = {place: content(place, checksum) for place, checksum in before.items()}
    except SRDError as error:
        return error
    return noted, [place for place in before if now[place] != before[place]]


def _content(images: Images, place: int, before: str | None) -> str | None:
    try:
        return image_checksum(*images.read(place))
    except Exception as error:  # as where it is decoded: what is raised depends on where the image is from
        if before is None:
            return None
        reason = str(getattr(error, "strerror", None) or error).rstrip(".") or type(error).__name__
        raise DataError(
            f"{images.ids[place]} could be read when its map was made and cannot be now ({reason}): bring it back, or "
            "choose another folder for the maps"
        ) from error
