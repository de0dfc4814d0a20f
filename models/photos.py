"""Photos to normalised network inputs, as torchvision's ImageNet evaluation does with Pillow.

The shorter side is resized to 256 with Pillow's antialiased bilinear filter, the centre 224 x 224 cropped, scaled to
[0, 1] and normalised with ImageNet's channel means and standard deviations.
"""

import difflib
import io
import os
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO, TypeAlias

import jax
import numpy as np
import skimage.data
from jaxtyping import Float32, Shaped, UInt8
from PIL import Image, ImageOps

from srd_jax.errors import ImageError, ShapeError

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "SAMPLES", "Photo", "crop", "decoded", "preprocess", "sample_photo"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
SAMPLES = ("astronaut", "chelsea", "coffee", "rocket")  # the colour photos of things in scikit-image's wheel

Photo: TypeAlias = str | os.PathLike[str] | Image.Image | np.ndarray | jax.Array


def preprocess(photo: Photo, *, size: int = 224, resize: int = 256) -> Float32[np.ndarray, "size size 3"]:
    """The normalised network input for a photo.

    Args:
        photo: see `crop`.
        size: side of the input in pixels.
        resize: length of the photo's shorter side before the centre is cropped.

    Returns:
        (size, size, 3) float32.

    Raises:
        ImageError: see `crop`.
        ShapeError: see `crop`.
    """
    pixels = crop(photo, size=size, resize=resize).astype(np.float32) / np.float32(255)
    return (pixels - np.array(IMAGENET_MEAN, np.float32)) / np.array(IMAGENET_STD, np.float32)


def crop(photo: Photo, *, size: int = 224, resize: int = 256) -> UInt8[np.ndarray, "size size 3"]:
    """The part of a photo that the model is shown, not normalised: what to draw under a heatmap.

    Args:
        photo: a path, a Pillow image, or an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), of uint8 or of floats in
            [0, 1]. The EXIF orientation is applied, grey becomes RGB, transparency is dropped.
        size: side of the crop in pixels.
        resize: length of the photo's shorter side before the centre is cropped.

    Returns:
        (size, size, 3) uint8.

    Raises:
        ImageError: if the photo is missing, unreadable, too large to decode safely, or holds values that are no pixels.
        ShapeError: if an array is no image, or `size` exceeds `resize`.
    """
    if not 0 < size <= resize:
        raise ShapeError(f"the crop must have between 1 and resize={resize} pixels a side, not size={size}.")
    image = _as_rgb(photo)
    width, height = image.size
    short, long = sorted((width, height))
    long = int(resize * long / short)  # truncated, as torchvision does
    if Image.MAX_IMAGE_PIXELS is not None and resize * long > Image.MAX_IMAGE_PIXELS:
        raise ImageError(f"a photo of {width} x {height} pixels is too long and thin to resize; crop it first.")
    width, height = (resize, long) if width <= height else (long, resize)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return np.asarray(image.crop((left, top, left + size, top + size)))


def sample_photo(name: str = "chelsea") -> UInt8[np.ndarray, "H W 3"]:
    """A photo that comes with scikit-image, read from its installed files.

    Args:
        name: one of `SAMPLES`; "chelsea" is a cat.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ImageError: if there is no sample of that name.
    """
    if name not in SAMPLES:
        close = difflib.get_close_matches(name, SAMPLES, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(SAMPLES)}."
        raise ImageError(f"there is no sample photo {name!r}: {hint}")
    return getattr(skimage.data, name)()


def _as_rgb(photo: Photo) -> Image.Image:
    """An upright RGB image of 8 bits a channel."""
    if isinstance(photo, str | os.PathLike):
        return _to_rgb(_upright(Path(photo), str(photo)), str(photo))
    if isinstance(photo, Image.Image):
        return _to_rgb(_upright(photo, "the image"), "the image")
    return _from_array(np.asarray(photo))


def _upright(source: Path | BinaryIO | Image.Image, what: str) -> Image.Image:
    """The decoded image, turned as its EXIF orientation says."""
    try:
        with warnings.catch_warnings():
            # Pillow warns from its limit on and refuses at twice the limit; neither should be decoded here
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with nullcontext(source) if isinstance(source, Image.Image) else Image.open(source) as image:
                return ImageOps.exif_transpose(image)
    except FileNotFoundError as error:
        raise ImageError(f"there is no image file {what}.") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ImageError(
            f"{what} has more than {Image.MAX_IMAGE_PIXELS} pixels and was not decoded; make it smaller, or raise "
            "PIL.Image.MAX_IMAGE_PIXELS if you trust it."
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"{what} cannot be read as an image ({error}).") from error


def decoded(encoded: bytes, name: str) -> Image.Image:
    """The image in a file's bytes, upright.

    Args:
        encoded: the whole file.
        name: what to call it in errors.

    Raises:
        ImageError: if it is no image or too large to decode safely.
    """
    return _upright(io.BytesIO(encoded), name)


def _to_rgb(image: Image.Image, what: str) -> Image.Image:
    if 0 in image.size:
        raise ShapeError(f"{what} has no pixels.")
    if image.mode.startswith("I;16"):  # Pillow's own conversion to RGB would clip to 255
        return Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ImageError(f"{what} has 32 bits a pixel and no known range; convert it to 8 bits.")
    if "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow warns where it goes from a transparent palette to RGB at once
    return image.convert("RGB")


def _from_array(array: Shaped[np.ndarray, "..."]) -> Image.Image:
    grey = array[..., None] if array.ndim == 2 else array
    if grey.ndim != 3 or grey.shape[-1] not in (1, 3, 4) or 0 in grey.shape:
        raise ShapeError(
            "a photo is one array (height, width, 3), or of 1 or 4 channels, or (height, width) for grey; "
            f"not {array.shape}."
        )
    if np.issubdtype(grey.dtype, np.floating):
        if not (np.isfinite(grey).all() and grey.min() >= 0 and grey.max() <= 1):
            raise ImageError("a photo of floats must hold finite values in [0, 1]; divide by 255, or pass uint8.")
        grey = np.rint(grey * 255).astype(np.uint8)
    elif grey.dtype != np.uint8:
        raise ImageError(f"a photo array is uint8 or floats in [0, 1], not {grey.dtype}.")
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(grey[..., :3], (*grey.shape[:2], 3))))
