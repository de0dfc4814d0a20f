"""Every error this package raises on purpose: one message that says what was wrong and what to do."""

__all__ = [
    "DataError",
    "ImageError",
    "LayerError",
    "LogitsError",
    "MethodError",
    "MetricError",
    "SRDError",
    "SaturationWarning",
    "ShapeError",
    "TargetError",
    "UnsupportedPrimitiveError",
    "WeightsError",
]


class SRDError(Exception):
    """Base of the errors that a caller can act on; the command line prints its message and exits 2."""


class ShapeError(SRDError, ValueError):
    """An array has the wrong rank, channels or extent."""


class ImageError(SRDError, ValueError):
    """An image cannot be read or holds values that cannot be explained (NaN, too many pixels)."""


class DataError(SRDError, ValueError):
    """A data set does not exist, is incomplete, or holds something else than images with labels."""


class LayerError(SRDError, LookupError):
    """A PFV map, a position in it, or a model of that name does not exist."""


class LogitsError(SRDError, FloatingPointError):
    """The model's logits are NaN or infinite, so that nothing can be said of why."""


class MethodError(SRDError, LookupError):
    """An attribution method of that name, or an option of one, does not exist."""


class MetricError(SRDError, ValueError):
    """A metric of that name does not exist, lacks what it needs, or would mean nothing of such maps."""


class TargetError(SRDError, LookupError):
    """A class that the model does not have was asked for."""


class WeightsError(SRDError, ValueError):
    """Weights are missing, unexpected, misshapen, or in a file that must not be read."""


class UnsupportedPrimitiveError(SRDError, NotImplementedError):
    """The traced function uses a primitive, or a form of one, that has no sharing rule."""


class SaturationWarning(UserWarning):
    """A probability that is all but 0 or 1 is explained, whose map is rounding noise."""
