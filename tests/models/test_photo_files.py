"""Which files are read as photos, and how what is in them becomes 8 bits of RGB."""

import io
import os
import struct
import subprocess
import zlib

import numpy as np
import pytest
from PIL import Image

from srd_jax.errors import ImageError
from srd_jax.models import crop
from srd_jax.models.photos import decoded, mask_samples, read, stored

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (40, 50, 3), np.uint8)
GREY = NOISE[..., 0]
DEEP = RNG.integers(0, 4096, (40, 50), np.uint16)
DEEP[0, 0] = 4095
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"


def encoded(image, kind, **options):
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def tiff(samples, bits, data, photometric=1):
    """A TIFF of one strip."""
    height, width = samples.shape
    values = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: height, 279: len(data)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values.items())
    return struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + struct.pack("<H", len(values)) + entries + bytes(4)


def twelve_bits(samples):
    """Two samples in three bytes."""
    first, second = samples.reshape(-1, 2).T
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], -1)
    return packed.astype(np.uint8).tobytes()


def colour_png(samples):
    """A PNG of 16 bits a channel, which Pillow cannot write."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width, _ = samples.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def pixels(content):
    return np.asarray(decoded(content, "photo"))


@pytest.mark.parametrize("kind", ["BMP", "GIF", "PNG", "PPM", "TIFF", "WEBP"])
def test_formats_that_lose_nothing(kind):
    few = NOISE // 64 * 64
    image = Image.fromarray(few).quantize(256) if kind == "GIF" else few
    options = {"lossless": True} if kind == "WEBP" else {}
    np.testing.assert_array_equal(pixels(encoded(image, kind, **options)), few)


def test_a_photo_of_several_pictures_is_a_jpeg():
    image = Image.fromarray(NOISE)
    found = pixels(encoded(image, "MPO", save_all=True, append_images=[image]))
    np.testing.assert_array_equal(found, pixels(encoded(image, "JPEG")))


def test_no_other_format_is_tried(monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("started a process"))
    contents = [EPS, encoded(NOISE, "ICO"), encoded(NOISE, "TGA"), encoded(NOISE, "PDF"), b"", b"photo"]
    Image.init()
    if "AVIF" in Image.SAVE:
        contents.append(encoded(NOISE, "AVIF"))
    for content in contents:
        with pytest.raises(ImageError, match=r"^photo\.jpg cannot be read as an image \(it is no BMP, GIF, JPEG"):
            decoded(content, "photo.jpg")


def test_whatever_pillow_raises_names_the_file(monkeypatch):
    def broken(*_):
        raise RuntimeError("decoder\nbroke")

    monkeypatch.setattr(Image.Image, "convert", broken)
    with pytest.raises(ImageError, match=r"photo\.png cannot be read as an image \(decoder"):
        decoded(encoded(NOISE, "PNG"), "photo.png")


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bits_keep_their_range(kind):
    content = encoded(GREY.astype(np.uint16) * 257, kind)
    np.testing.assert_array_equal(pixels(content), np.dstack([GREY] * 3))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_12_bits_in_16_are_not_black(kind):
    np.testing.assert_array_equal(pixels(encoded(DEEP, kind))[..., 0], np.rint(DEEP / 4095 * 255))
    brighter = DEEP.copy()
    brighter[0, 0] = 4096  # no longer 12 bits
    np.testing.assert_array_equal(pixels(encoded(brighter, kind))[..., 0], np.rint(brighter / 257))


def test_a_stated_white_is_taken():
    dark = DEEP // 8
    np.testing.assert_array_equal(pixels(tiff(dark, 12, twelve_bits(dark)))[..., 0], np.rint(dark / 4095 * 255))
    pgm = b"P5 50 40 1000 " + np.minimum(DEEP, 1000).astype(">u2").tobytes()
    assert np.abs(pixels(pgm)[..., 0] - np.minimum(DEEP, 1000) / 1000 * 255).max() <= 0.51
    pgm = b"P5 50 40 65535 " + DEEP.astype(">u2").tobytes()
    assert pixels(pgm).max() == 16


def test_white_may_be_zero():
    found = pixels(tiff(DEEP, 16, DEEP.astype("<u2").tobytes(), photometric=0))
    np.testing.assert_array_equal(found[..., 0], 255 - np.rint(DEEP / 4095 * 255))


def test_deep_colour_is_read_or_refused():
    np.testing.assert_array_equal(pixels(colour_png(NOISE.astype(np.uint16) * 257)), NOISE)
    with pytest.raises(ImageError, match="photo has 16 bits a channel and uses 12 of them"):
        pixels(colour_png(np.dstack([DEEP] * 3)))


@pytest.mark.parametrize(("kind", "options"), [("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("PNG", {})])
def test_16_bits_are_turned_as_exif_says(kind, options):
    image = Image.fromarray(GREY.astype(np.uint16) * 257)
    exif = image.getexif()
    exif[0x0112] = 6
    found = pixels(encoded(image, kind, exif=exif, **options))
    np.testing.assert_array_equal(found[..., 0], np.rot90(GREY, -1))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_what_was_decoded_is_not_turned_again(kind):
    exif = Image.Exif()
    exif[0x0112] = 8
    image = decoded(encoded(NOISE, kind, exif=exif), "photo")
    assert image.size == (40, 50)
    assert not image.info
    assert not image.getexif()
    np.testing.assert_array_equal(crop(image, size=40, resize=40), np.asarray(image)[5:45])


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", "/dev/zero", tmp_path):
        with pytest.raises(ImageError, match=r"cannot be read as an image \((a folder|not a regular file)\)"):
            crop(path)


def test_a_huge_file_is_not_read(tmp_path):
    with (tmp_path / "huge.tif").open("wb") as file:
        file.truncate(20 * 2**30)
    with pytest.raises(ImageError, match=r"huge\.tif cannot be read as an image \(more than 512 MiB\)"):
        crop(tmp_path / "huge.tif")


@pytest.mark.parametrize("name", ["a" * 300, "a/" * 3000, "nul\0", "no\nsuch.jpg", "\udcff.jpg", ""])
def test_names_that_no_file_has(name, tmp_path):
    with pytest.raises(ImageError):
        read(tmp_path / name if name else tmp_path)


def test_an_address_is_no_file():
    with pytest.raises(ImageError, match="this is an address; download it first"):
        crop("https://example.org/cat.jpg")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_how_a_photo_lies_in_its_file(form, orientation):
    image, file = Image.new("RGB", (6, 4)), io.BytesIO()
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(file, form, exif=exif)
    assert stored(file.getvalue(), "photo") == ((4, 6), orientation)
    assert decoded(file.getvalue(), "photo").size == ((4, 6) if orientation == 6 else (6, 4))


def test_an_orientation_that_is_none():
    image, file = Image.new("RGB", (6, 4)), io.BytesIO()
    exif = image.getexif()
    exif[0x0112] = 9
    image.save(file, "PNG", exif=exif)
    assert stored(file.getvalue(), "photo") == ((4, 6), 1)


def test_samples_of_a_mask_are_no_colours():
    palette = Image.new("P", (3, 2), 2)
    palette.putpalette([255, 255, 255] * 256)
    turned = palette.getexif()
    turned[0x0112] = 6
    file = io.BytesIO()
    palette.save(file, "PNG", exif=turned)
    np.testing.assert_array_equal(mask_samples(file.getvalue(), "mask"), np.full((2, 3), 2))


@pytest.mark.parametrize(("form", "message"), [("JPEG", r"it is no PNG"), ("BMP", r"it is no PNG")])
def test_masks_are_png_files(form, message):
    file = io.BytesIO()
    Image.new("L", (3, 2)).save(file, form)
    with pytest.raises(ImageError, match=rf"^mask cannot be read as an image \({message}"):
        mask_samples(file.getvalue(), "mask")
