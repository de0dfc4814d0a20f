"""Networks of two layers whose second has any geometry."""

import numpy as np

from .description import Branch, Grid, Map, Network
from .draw import Draw, Padding, PerAxis, max_pool
from .networks import Example

__all__ = ["random_network"]


def random_network(
    seed: int,
    kernel: PerAxis = 3,
    stride: PerAxis = 1,
    padding: Padding = 1,
    dilation: PerAxis = 1,
    *,
    groups: int = 1,
    pool: tuple[int, int, int] | None = None,
    grid: Grid = (6, 6),
) -> Example:
    """A network of two layers with an image: a plain convolution, then the one the arguments describe.

    Args:
        seed: of the weights and the image.
        kernel: extent of the second convolution, for all axes or each.
        stride: its stride.
        padding: its padding, for all sides or (low, high) of each axis.
        dilation: its dilation.
        groups: its feature groups; 4 channels go in and 4 come out, so 1, 2 or 4.
        pool: (window, stride, padding) of a max pool before it.
        grid: of the image, one to three axes.

    Raises:
        ValueError: the second layer has no positions, or a window of its pool lies in the padding altogether.
    """
    draw, axes = Draw.seeded(seed), len(grid)
    first = draw.conv(3, 3, 4, padding=1, axes=axes)
    second = draw.conv(kernel, 4, 4, strides=stride, padding=padding, dilation=dilation, groups=groups, axes=axes)
    pooling = None if pool is None else max_pool(*pool, axes=axes)

    windows, extent = [second.window] if pooling is None else [pooling.window, second.window], grid
    for shape in windows:
        target = shape.target_grid(extent)
        if min(target) < 1:
            raise ValueError(f"A window {shape} has no place on the grid {extent}.")
        for j in np.ndindex(*target) if shape is not second.window else ():
            if all(shape.source(j, offset, extent) is None for offset in shape.offsets()):
                raise ValueError(f"The window {shape} at position {j} of the grid {target} sees nothing but padding.")
        extent = target

    maps = (
        Map("first", (Branch("input", first, then=(draw.bias(4),)),)),
        Map("second", (Branch("first", second, pooling, (draw.bias(4),)),)),
    )
    return Example(Network(maps, draw.global_pool_head(4)), draw.array(*grid, 3))
