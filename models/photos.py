"""Photos to normalised network inputs, with Pillow.

Of torchvision's ImageNet networks, the shorter side is resized to 256 with an antialiased bilinear filter, the centre
224 x 224 cropped, scaled to [0, 1] and normalised with ImageNet's channel means and standard deviations; others have a
`Preprocessing` of their own. `decoded` is the one way from a file's bytes to pixels, for explanations, batches and
training alike.
"""

import difflib
import io
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

import jax
import numpy as np
import skimage.data
from jaxtyping import Float32, Shaped, UInt8
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from srd_jax.errors import ImageError, ShapeError, SRDError
from srd_jax.files import is_address, read_regular

from .framing import Frame, frame

__all__ = [
    "FORMATS",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "LARGEST_FILE",
    "SAMPLES",
    "Photo",
    "Preprocessing",
    "Resample",
    "crop",
    "decoded",
    "mask_samples",
    "preprocess",
    "read",
    "sample_photo",
    "stored",
]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # no other of Pillow's plug-ins sees a file
LARGEST_FILE = 2**29  # bytes: what the most pixels that Pillow decodes take at 16 bits a channel
SAMPLES = ("astronaut", "chelsea", "coffee", "rocket")  # the colour photos of things in scikit-image's wheel

_DEEP = 4095  # 12 bits
_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC = 256, 257, 258, 262  # of TIFF's tags

_T = TypeVar("_T")
Photo: TypeAlias = str | os.PathLike[str] | Image.Image | np.ndarray | jax.Array


Resample = Literal["bilinear", "bicubic"]
"""Pillow's antialiased filter that photos are resized with."""


@dataclass(frozen=True)
class Preprocessing:
    """How a network wants its photos, by default as torchvision's ImageNet weights do.

    Attributes:
        size: side of the input in pixels.
        resize: length of the photo's shorter side before the centre is cropped.
        mean: of every channel, in [0, 1], which is taken away.
        std: of every channel, by which it is divided then.
        resample: the filter that photos are resized with.

    Example:
        >>> Preprocessing()(sample_photo("chelsea")).shape
        (224, 224, 3)
    """

    size: int = 224
    resize: int = 256
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    resample: Resample = "bilinear"

    def at(self, size: int | None) -> "Preprocessing":
        """The same for inputs of another size, of which a photo shows as much; None leaves it as it is."""
        return self if size is None else replace(self, size=size, resize=round(size * self.resize / self.size))

    def crop(self, photo: Photo) -> UInt8[np.ndarray, "size size 3"]:
        """The part of a photo that the network is shown, as `crop`."""
        return crop(photo, size=self.size, resize=self.resize, resample=self.resample)

    def frame(self, extents: tuple[int, int]) -> Frame:
        """Which part that is of a photo of some height and width; raises what `srd_jax.models.framing.frame` does."""
        return frame(extents, size=self.size, resize=self.resize)

    def normalise(self, pixels: UInt8[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
        """Pixels (..., 3) as the network's input."""
        scaled = pixels.astype(np.float32) / np.float32(255)
        return (scaled - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)

    def __call__(self, photo: Photo) -> Float32[np.ndarray, "size size 3"]:
        """The network's input for a photo, (size, size, 3); raises what `crop` does."""
        return self.normalise(self.crop(photo))


def preprocess(photo: Photo, *, size: int = 224, resize: int = 256) -> Float32[np.ndarray, "size size 3"]:
    """The input of torchvision's ImageNet networks for a photo.

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
    return Preprocessing(size, resize)(photo)


def crop(
    photo: Photo, *, size: int = 224, resize: int = 256, resample: Resample = "bilinear"
) -> UInt8[np.ndarray, "size size 3"]:
    """The part of a photo that the model is shown, not normalised: what to draw under a heatmap.

    Args:
        photo: a path, a Pillow image, or an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), of uint8 or of floats in
            [0, 1]. Files and Pillow images become RGB as `decoded` says, grey arrays too, transparency is dropped.
        size: side of the crop in pixels.
        resize: length of the photo's shorter side before the centre is cropped.
        resample: the filter.

    Returns:
        (size, size, 3) uint8.

    Raises:
        ImageError: if the photo is missing, unreadable, too large to decode safely, or holds values that are no pixels.
        ShapeError: if an array is no image, or `size` exceeds `resize`.
    """
    image = _as_rgb(photo)
    shown = frame((image.height, image.width), size=size, resize=resize)
    return np.asarray(shown.crop(image, Image.Resampling[resample.upper()]))


def decoded(encoded: bytes, name: str) -> Image.Image:
    """The photo in a file's bytes, as upright RGB of 8 bits a channel.

    Only `FORMATS` are tried, whatever the file is called; of several frames it is the first. The EXIF orientation is
    applied, grey becomes RGB, transparency is dropped. Of grey with more than 8 bits, white is what the file states:
    BitsPerSample in TIFF, the maximum in PGM. Where that says 16 bits and no sample exceeds 4095, it is taken for the
    12 bits of a camera or a scanner in a file of 16. (PNG's sBIT and TIFF's MaxSampleValue state no white: samples
    span all bits whatever they say.) A colour file of 16 bits a channel, of which Pillow keeps the upper 8, is refused
    where these hold next to nothing.

    Args:
        encoded: the whole file.
        name: what to call it in errors.

    Raises:
        ImageError: if it is no image, damaged, or too large to decode safely; the message begins with ``name``.
        ShapeError: if it has no pixels.
    """
    return _taken(encoded, name, lambda image: _to_rgb(image, name))


def stored(encoded: bytes, name: str) -> tuple[tuple[int, int], int]:
    """How the photo in a file's bytes lies in it, before it is turned upright.

    Args:
        encoded: the whole file.
        name: what to call it in errors.

    Returns:
        Its height and width there, and the EXIF orientation that makes it upright: 1 where it is.

    Raises:
        ImageError: see `decoded`.
    """

    def found(image: Image.Image) -> tuple[tuple[int, int], int]:
        tags = getattr(image, "tag_v2", {})  # of a TIFF, some of Pillow's versions tell the size of what they will turn
        extents = int(tags.get(_HEIGHT, image.height)), int(tags.get(_WIDTH, image.width))
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        return extents, orientation if orientation in range(1, 9) else 1

    return _taken(encoded, name, found)


def mask_samples(encoded: bytes, name: str) -> Shaped[np.ndarray, "H W *C"]:
    """The samples of a PNG as they lie in it, of a palette its indices: for masks, whose numbers are no colours.

    Args:
        encoded: the whole file.
        name: what to call it in errors.

    Raises:
        ImageError: see `decoded`, or it is another kind of file.
    """
    return _taken(encoded, name, np.asarray, ("PNG",))


def read(path: str | os.PathLike[str]) -> bytes:
    """The bytes of an image file, to be `decoded`.

    Raises:
        ImageError: if there is no such file, it is no regular file, larger than `LARGEST_FILE`, or unreadable.
    """
    try:
        return read_regular(Path(path), LARGEST_FILE)
    except FileNotFoundError as error:
        hint = ": this is an address; download it first." if is_address(str(path)) else "."
        raise ImageError(f"there is no image file {path}{hint}") from error
    except (OSError, ValueError) as error:
        raise ImageError(f"{path} cannot be read as an image ({getattr(error, 'strerror', None) or error}).") from error


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
        return decoded(read(photo), str(photo))
    if isinstance(photo, Image.Image):
        return _taken(photo, "the image", lambda image: _to_rgb(image, "the image"))
    return _from_array(np.asarray(photo))


def _taken(
    source: bytes | Image.Image, what: str, take: Callable[[Image.Image], _T], formats: tuple[str, ...] = FORMATS
) -> _T:
    """What is taken of an image, with one kind of error whatever is wrong with it."""
    too_many = (
        f"{what} has more than {Image.MAX_IMAGE_PIXELS} pixels and was not decoded; make it smaller, or raise "
        "PIL.Image.MAX_IMAGE_PIXELS if you trust it."
    )
    try:
        if isinstance(source, Image.Image):
            return take(source)
        if len(source) > LARGEST_FILE:
            raise ImageError(f"{what} cannot be read as an image (more than {LARGEST_FILE // 2**20} MiB).")
        with Image.open(io.BytesIO(source), formats=formats) as image:
            # Pillow itself warns from its limit on and refuses only at twice the limit
            if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > Image.MAX_IMAGE_PIXELS:
                raise ImageError(too_many)
            return take(image)
    except SRDError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ImageError(too_many) from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{what} cannot be read as an image (it is no {', '.join(formats)}).") from error
    except Exception as error:  # what decoders raise of a damaged file depends on the format and on the damage
        raise ImageError(f"{what} cannot be read as an image ({str(error) or type(error).__name__}).") from error


def _to_rgb(image: Image.Image, what: str) -> Image.Image:
    if 0 in image.size:
        raise ShapeError(f"{what} has no pixels.")
    deep_colour = _has_deep_colour(image)
    upright = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return _from_16_bits(np.asarray(upright), image).convert("RGB")
    if image.mode in ("I", "F"):
        raise ImageError(f"{what} has 32 bits a pixel and no known range; convert it to 8 bits.")
    if "transparency" in image.info:
        upright = upright.convert("RGBA")  # Pillow warns where it goes from a transparent palette to RGB at once
    rgb = upright.convert("RGB")
    if deep_colour and max(high for _, high in rgb.getextrema()) <= _DEEP >> 8:  # type: ignore[misc]
        raise ImageError(f"{what} has 16 bits a channel and uses 12 of them at the most; convert it to 8 bits.")
    rgb.info.clear()  # with the orientation, which must not be applied again
    return rgb


def _has_deep_colour(image: Image.Image) -> bool:
    """Whether Pillow will keep the upper half of 16 bits a channel; to be asked before the image is loaded."""
    parts = (part.args for part in getattr(image, "tile", ()))
    layouts = (args if isinstance(args, str) else str(args[0]) for args in parts if args)
    return image.format in ("PNG", "TIFF") and image.mode[0] != "I" and any(";16" in layout for layout in layouts)


def _from_16_bits(samples: Shaped[np.ndarray, "H W"], image: Image.Image) -> Image.Image:
    """Grey of 8 bits, of more that have the white `decoded` speaks of."""
    tags = getattr(image, "tag_v2", {})
    bits = min(np.ravel(tags.get(_BITS, 16)))
    if bits == 16 and samples.max() <= _DEEP and image.format != "PPM":  # Pillow scales PGM to 16 bits
        bits = 12
    grey = np.rint(samples * (255 / (2**bits - 1))).astype(np.uint8)
    return Image.fromarray(255 - grey if tags.get(_PHOTOMETRIC) == 0 else grey)


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
