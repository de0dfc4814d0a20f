import socket

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from srd_jax.errors import ImageError, ShapeError
from srd_jax.models import SAMPLES, crop, preprocess, sample_photo
from srd_jax.models.photos import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (40, 50, 3), np.uint8)

# Figures from torchvision 0.29 with Pillow: Resize(256), CenterCrop(224). Pixels at (0, 0), (100, 50) and (223, 223).
TORCHVISION = {
    "astronaut": ([[24, 10, 54], [150, 127, 115], [0, 0, 0]], 17659763),
    "chelsea": ([[170, 132, 109], [81, 58, 23], [193, 168, 148]], 16351587),
    "coffee": ([[158, 63, 24], [106, 16, 6], [152, 82, 43]], 14237279),
    "rocket": ([[25, 40, 71], [52, 72, 109], [28, 30, 43]], 11137121),
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_the_crop_is_torchvisions_to_a_grey_level(name):
    pixels, total = TORCHVISION[name]
    found = crop(sample_photo(name)).astype(int)
    assert np.abs(found[[0, 100, 223], [0, 50, 223]] - pixels).max() <= 1
    assert abs(found.sum() - total) <= 0.001 * total


@pytest.mark.parametrize(("shape", "resize"), [((45, 100), 20), ((100, 45), 20), ((20, 31), 20), ((31, 20), 20)])
@pytest.mark.parametrize("size", [20, 11, 1])
def test_sizes_and_offsets_follow_torchvision(shape, resize, size):
    height, width = shape
    photo = RNG.integers(0, 256, (height, width, 3), np.uint8)
    # torchvision truncates the longer side and rounds half of the margin to even
    tall = height > width
    h, w = (int(resize * height / width), resize) if tall else (resize, int(resize * width / height))
    top, left = round((h - size) / 2.0), round((w - size) / 2.0)
    whole = np.asarray(Image.fromarray(photo).resize((w, h), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(crop(photo, size=size, resize=resize), whole[top : top + size, left : left + size])


def test_preprocess_normalises_the_crop():
    found = preprocess(NOISE, size=24, resize=32)
    assert found.shape == (24, 24, 3)
    assert found.dtype == np.float32
    expected = (crop(NOISE, size=24, resize=32) / 255.0 - IMAGENET_MEAN) / IMAGENET_STD
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_the_default_is_224():
    assert crop(NOISE).shape == (224, 224, 3)
    assert crop(NOISE).dtype == np.uint8


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_path_an_image_and_an_array_agree(tmp_path, kind):
    Image.fromarray(NOISE).save(tmp_path / "photo.png")
    expected = crop(NOISE, size=24, resize=32)
    np.testing.assert_array_equal(crop(kind(tmp_path / "photo.png"), size=24, resize=32), expected)
    np.testing.assert_array_equal(crop(Image.fromarray(NOISE), size=24, resize=32), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_in_0_to_1_are_read_as_grey_levels(dtype):
    np.testing.assert_array_equal(crop(NOISE.astype(dtype) / 255, size=24, resize=32), crop(NOISE, size=24, resize=32))


def test_jax_arrays_are_arrays():
    np.testing.assert_array_equal(crop(jnp.asarray(NOISE), size=24, resize=32), crop(NOISE, size=24, resize=32))


def test_grey_becomes_rgb():
    grey = NOISE[..., 0]
    expected = crop(np.stack([grey] * 3, -1), size=24, resize=32)
    for photo in (grey, grey[..., None], Image.fromarray(grey)):
        np.testing.assert_array_equal(crop(photo, size=24, resize=32), expected)


def test_transparency_is_dropped(tmp_path):
    rgba = np.dstack([NOISE, RNG.integers(0, 256, NOISE.shape[:2], np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "photo.png")
    expected = crop(NOISE, size=24, resize=32)
    np.testing.assert_array_equal(crop(rgba, size=24, resize=32), expected)
    np.testing.assert_array_equal(crop(tmp_path / "photo.png", size=24, resize=32), expected)


def test_a_transparent_palette_raises_no_warning(tmp_path):
    palette = Image.fromarray(NOISE).quantize(16)
    palette.save(tmp_path / "photo.png", transparency=bytes(range(16)))
    expected = crop(palette.convert("RGB"), size=24, resize=32)
    np.testing.assert_array_equal(crop(tmp_path / "photo.png", size=24, resize=32), expected)


def test_16_bit_grey_keeps_its_range(tmp_path):
    grey = NOISE[..., 0]
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "photo.png")
    np.testing.assert_array_equal(crop(tmp_path / "photo.png", size=24, resize=32), crop(grey, size=24, resize=32))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bit_images_have_no_known_range(mode):
    with pytest.raises(ImageError, match="32 bits"):
        crop(Image.new(mode, (40, 40)))


def test_exif_orientation_is_applied(tmp_path):
    image = Image.fromarray(NOISE)
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    image.save(tmp_path / "photo.png", exif=exif)
    expected = crop(np.rot90(NOISE, -1), size=24, resize=32)
    np.testing.assert_array_equal(crop(tmp_path / "photo.png", size=24, resize=32), expected)


def test_a_missing_file(tmp_path):
    with pytest.raises(ImageError, match="there is no image file"):
        preprocess(tmp_path / "none.png")


def test_a_folder(tmp_path):
    with pytest.raises(ImageError, match="cannot be read"):
        preprocess(tmp_path)


def test_a_file_that_is_no_image(tmp_path):
    (tmp_path / "photo.png").write_text("hello")
    with pytest.raises(ImageError, match="cannot be read"):
        preprocess(tmp_path / "photo.png")


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_truncated_file(tmp_path, suffix):
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(NOISE).save(path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ImageError, match="cannot be read"):
        preprocess(path)


@pytest.mark.parametrize("pixels", [1999, 900])  # Pillow warns above its limit and refuses above twice the limit
def test_a_decompression_bomb_is_not_decoded(tmp_path, monkeypatch, pixels):
    Image.fromarray(NOISE).save(tmp_path / "photo.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pixels)
    with pytest.raises(ImageError, match=f"more than {pixels} pixels and was not decoded"):
        preprocess(tmp_path / "photo.png")


@pytest.mark.parametrize("length", [999, 1000, 100_000])
@pytest.mark.parametrize("tall", [True, False])
def test_the_middle_of_a_strip_is_what_its_crop_shows(length, tall):
    strip = np.tile(np.arange(length)[None, :, None] % 251, (10, 1, 3)).astype(np.uint8)
    middle = strip[:, length // 2 - 100 : length // 2 + 100 + length % 2]
    strip, middle = (each.swapaxes(0, 1) if tall else each for each in (strip, middle))
    found = crop(strip, size=10, resize=10).astype(int)
    assert np.abs(found - crop(middle, size=10, resize=10)).max() <= 1
    assert found.std() > 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 1.1, 255.0])
def test_floats_that_are_no_pixels(value):
    photo = np.zeros((8, 8, 3), np.float32)
    photo[2, 3, 1] = value
    with pytest.raises(ImageError, match=r"finite values in \[0, 1\]"):
        preprocess(photo)


@pytest.mark.parametrize("dtype", [bool, np.int64, np.uint16, np.complex64])
def test_dtypes_that_are_no_pixels(dtype):
    with pytest.raises(ImageError, match="uint8 or floats"):
        preprocess(np.zeros((8, 8, 3), dtype))


@pytest.mark.parametrize("shape", [(8,), (3, 8, 8), (1, 8, 8, 3), (8, 8, 2), (8, 0, 3), ()])
def test_shapes_that_are_no_photos(shape):
    with pytest.raises(ShapeError, match="a photo is one array"):
        preprocess(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(("size", "resize"), [(0, 256), (-1, 256), (33, 32)])
def test_a_crop_must_fit(size, resize):
    with pytest.raises(ShapeError, match="the crop must have"):
        crop(NOISE, size=size, resize=resize)


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_come_without_a_network(name, monkeypatch):
    def refuse(*_):
        raise AssertionError("a sample photo must not be downloaded")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    photo = sample_photo(name)
    assert photo.ndim == 3
    assert photo.shape[-1] == 3
    assert photo.dtype == np.uint8


def test_an_unknown_sample_has_a_suggestion():
    with pytest.raises(ImageError, match="did you mean 'chelsea'"):
        sample_photo("chelsey")
    with pytest.raises(ImageError, match="there are astronaut, chelsea"):
        sample_photo("xyz")


def test_pixels_of_the_right_size_are_only_normalised():
    images = np.random.default_rng(0).integers(0, 255, (3, 8, 8, 3), np.uint8)
    preprocessing = Preprocessing(8, 16, (0.25,) * 3, (0.5,) * 3)
    np.testing.assert_allclose(preprocessing.normalise(images), images / 255 * 2 - 0.5, atol=1e-6)
