"""Photos, lists, names and targets that are damaged or made up."""

import io
import resource
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

import srd_jax as srd
from srd_jax.cli.terminal import one_line
from srd_jax.data.images import from_list
from srd_jax.files import unique_stems
from srd_jax.models import crop, imagenet_labels, photos
from srd_jax.models.ranks import Rank, parse, resolve

from . import fuzzed

MOST = 2**20  # pixels that are decoded here
RGB = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
GREY = RGB[..., 0].astype(np.uint16) * 257
EXIF = Image.Exif()
EXIF[0x0112] = 6


def encoded(pixels, kind, **options):
    file = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(file, kind, **options)
    return file.getvalue()


SOUND = {
    "bmp": encoded(RGB, "BMP"),
    "gif": encoded(Image.fromarray(RGB).quantize(16), "GIF", transparency=3),
    "jpeg": encoded(RGB, "JPEG", exif=EXIF),
    "mpo": encoded(Image.fromarray(RGB), "MPO", save_all=True, append_images=[Image.fromarray(RGB)]),
    "png": encoded(RGB, "PNG", exif=EXIF),
    "png of 16 bits": encoded(GREY, "PNG"),
    "ppm": encoded(RGB, "PPM"),
    "pgm of 16 bits": encoded(GREY, "PPM"),
    "tiff": encoded(RGB, "TIFF", exif=EXIF),
    "tiff of 16 bits": encoded(GREY, "TIFF", compression="tiff_lzw"),
    "webp": encoded(RGB, "WEBP", exif=EXIF),
}


@pytest.fixture(scope="module", autouse=True)
def few_pixels():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image, "MAX_IMAGE_PIXELS", MOST)
        yield


def result(function, *arguments):
    """What a call gives, and what its error says if it is ours."""
    try:
        return function(*arguments), ""
    except srd.SRDError as error:
        return None, str(error)


def check_photo(content):
    """It is a photo, or refused with its name in one short error, and takes little memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as for users: an error where Pillow warns would hide what follows
        image, problem = result(photos.decoded, content, "photo")
    if image is None:
        assert problem.startswith("photo ")
        assert len(one_line(problem)) < 1000
    else:
        assert image.mode == "RGB"
        assert image.width * image.height <= MOST
        assert crop(image, size=8, resize=9).shape == (8, 8, 3)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


@st.composite
def damaged(draw):
    """A photo's bytes, some of them others, cut out, doubled or put in."""
    content = bytearray(SOUND[draw(st.sampled_from(sorted(SOUND)))])
    for _ in range(draw(st.integers(1, 4))):
        # what a file says of itself lies at its beginning
        start = draw(st.integers(0, 64) | st.integers(0, len(content)))
        stop = start + draw(st.sampled_from([0, 1, 1, 2, 4, 64]))
        content[start:stop] = draw(
            st.binary(max_size=4) | st.sampled_from([bytes(4), b"\xff" * 4, bytes(content[:40])])
        )
    return bytes(content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content)


@fuzzed(300)
@given(damaged())
def test_a_damaged_photo_is_read_or_refused(content):
    check_photo(content)


@fuzzed(150)
@given(
    tags=st.dictionaries(
        st.sampled_from(
            [254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 317, 320, 322, 323, 338, 339]
        ),
        st.integers(0, 9) | st.sampled_from([12, 16, 32, 64, 4096, 2**16 - 1, 2**31, 2**32 - 1]),
        max_size=5,
    ),
    bits=st.sampled_from([1, 8, 12, 16, 32]),
)
@example({}, 12)
def test_a_tiff_that_says_anything_is_read_or_refused(tags, bits):
    data = bytes(range(240)) * 4
    said = {256: 24, 257: 20, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: 20, 279: len(data), **tags}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(said.items()))
    head = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    check_photo(head + data + struct.pack("<H", len(said)) + entries + bytes(4))


@fuzzed(150)
@given(
    header=st.tuples(
        st.integers(0, 64) | st.integers(0, 2**32 - 1), st.integers(0, 64) | st.integers(0, 2**32 - 1),
        st.sampled_from([1, 2, 4, 8, 16, 99]), st.integers(0, 7), st.integers(0, 1), st.integers(0, 1),
        st.integers(0, 2),
    ),
    more=st.lists(
        st.tuples(
            st.sampled_from([b"PLTE", b"tRNS", b"eXIf", b"sBIT", b"gAMA", b"iCCP", b"acTL", b"fcTL", b"tEXt", b"zTXt"]),
            st.binary(max_size=40),
        ),
        max_size=3,
    ),
    pixels=st.binary(max_size=200),
)  # fmt: skip
def test_a_png_that_says_anything_is_read_or_refused(header, more, pixels):
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", *header)), *more, (b"IDAT", zlib.compress(pixels * 20)), (b"IEND", b"")]
    check_photo(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in chunks
        )
    )


@fuzzed(100)
@given(content=st.binary(max_size=60) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace")))
@example(b"\xff\xfe\0")
@example(b"\xef\xbb\xbf")
@example(b"none\xff.png\r\n\tpipe.png\r" + b"a" * 300)
def test_a_list_that_says_anything_names_images_or_is_refused(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / "list.txt"
    file.write_bytes(content)
    images, problem = result(from_list, file)
    assert images is not None or "list.txt" in problem
    for place, name in enumerate(images.ids if images else ()):
        assert name.strip(" \t")
        assert not set(name) & set("\0\r\n")
        _, problem = result(images.read, place)
        assert one_line(problem).isprintable()


@fuzzed(60)
@given(
    st.text(max_size=20)
    | st.from_regex(r"\A\s*(top)?[+-]*\d{1,30}\s*\Z")
    | st.sampled_from(imagenet_labels()).flatmap(lambda label: st.sampled_from([*label.split(", "), label[:5]]))
)
def test_a_target_is_a_class_or_refused(target):
    labels = imagenet_labels()
    found, problem = result(lambda: resolve(parse([target]), labels))
    assert found or 0 < len(problem) < 2000
    for each in found or ():
        assert each.rank <= len(labels) if isinstance(each, Rank) else 0 <= each < len(labels)


@fuzzed(100)
@given(st.lists(st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=120), max_size=6))
@example(["cat", "cat-2", "CAT", "cat"])
def test_stems_are_different_and_fit(names):
    stems = unique_stems([Path(f"{name}.png") for name in names])
    assert len({stem.casefold() for stem in stems}) == len(names)
    assert all(len(stem.encode()) <= 90 and stem.isprintable() for stem in stems)
