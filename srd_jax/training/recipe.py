"""How a model is trained: every choice in one value, which is written beside the result."""

from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Phase", "Recipe"]

_LARGEST_SIDE = 4096


@dataclass(frozen=True)
class Phase:
    """Steps with images of one size.

    Attributes:
        start: first step.
        stop: step after the last.
        size: side of the images in pixels.
    """

    start: int
    stop: int
    size: int


@dataclass(frozen=True)
class Recipe:
    """Stochastic gradient descent with Nesterov momentum on cross-entropy, averaged weights, growing images.

    Attributes:
        epochs: how often every image is seen, on average.
        batch: images a step, over all devices.
        learning_rate: the largest, for a batch of 128; it rises linearly with the batch.
        warmup: share of the steps over which the learning rate rises from 0, before it falls to 0 along a cosine.
        momentum: of the gradient.
        weight_decay: of kernels only.
        label_smoothing: share of the target that is spread over all classes.
        average: decay of the moving average of weights and statistics, which is what is evaluated and kept.
        sizes: (share of the steps, side in pixels) from which images have that size, starting at 0.
        smallest_area: smallest share of an image that a random crop takes.
        mixup: how strongly pairs of images and their targets are mixed: the parameter of the Beta distribution that
            their shares are drawn from (Zhang et al., arXiv 1710.09412), 0 for not at all.
        initial: path of a weights file to start from, empty for random weights.
        seed: of initial weights, order and crops.
    """

    epochs: float = 16
    batch: int = 128
    learning_rate: float = 0.1
    warmup: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    average: float = 0.998
    sizes: tuple[tuple[float, int], ...] = ((0.0, 32), (0.35, 48), (0.9, 64))
    smallest_area: float = 0.5
    mixup: float = 0.0
    initial: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            ValueError: an attribute out of range.
        """
        shares = [share for share, _ in self.sizes]
        if not self.sizes or shares[0] != 0 or not all(a < b for a, b in pairwise([*shares, 1.0])):
            raise ValueError(f"sizes must start at share 0 and rise below 1, not {self.sizes}")
        if not all(1 <= side <= _LARGEST_SIDE for _, side in self.sizes):
            raise ValueError(f"sizes must be between 1 and {_LARGEST_SIDE} pixels, not {self.sizes}")
        for name, low, high in (
            ("epochs", 0, 1e6),
            ("batch", 1, 2**20),
            ("learning_rate", 0, 1e6),
            ("warmup", 0, 1),
            ("momentum", 0, 1),
            ("label_smoothing", 0, 1),
            ("average", 0, 1),
            ("smallest_area", 0, 1),
            ("weight_decay", 0, 1e6),
            ("mixup", 0, 1e6),
            ("seed", 0, 2**31 - 1),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be between {low} and {high}, not {getattr(self, name)}")

    def steps(self, images: int) -> int:
        """Steps of the whole training on a set of so many images."""
        return max(1, round(self.epochs * images / self.batch))

    def phases(self, images: int) -> tuple[Phase, ...]:
        """The steps by image size."""
        total = self.steps(images)
        starts = [round(share * total) for share, _ in self.sizes]
        each = zip(starts, [*starts[1:], total], self.sizes, strict=True)
        return tuple(Phase(start, stop, size) for start, stop, (_, size) in each if start < stop)
