"""Which random networks are drawn."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from tests.oracle.description import Grid, Window

from .networks import SCALES, Act, Branches, Conv, Gate, Network, Norm, Pool, Step

__all__ = ["networks"]


@st.composite
def windows(draw: Callable[..., Any], grid: Grid, *, full: bool = False) -> Window:
    """Any window that has a place on a grid; ``full`` ones never lie in padding altogether."""
    axes = []
    for extent in grid:
        size, stride = draw(st.integers(1, 4)), draw(st.integers(1, 3))
        dilation = 1 if full else draw(st.integers(1, 2))
        pads = st.integers(0, size - 1 if full else size * dilation)
        low, high = draw(pads), draw(pads)
        if extent + low + high < dilation * (size - 1) + 1:
            size, dilation, low, high = 1, 1, 0, 0
        axes.append((size, stride, (low, high), dilation))
    return Window(*zip(*axes, strict=True))


def same(size: int, stride: int, axes: int, dilation: int = 1) -> Window:
    """A window of odd size that leaves a grid as it is, but for its stride."""
    edge = dilation * (size // 2)
    return Window((size,) * axes, (stride,) * axes, ((edge, edge),) * axes, (dilation,) * axes)


@st.composite
def convolutions(draw: Callable[..., Any], grid: Grid, channels: int) -> tuple[Conv, Grid]:
    """A convolution with the grid that it makes."""
    base = draw(st.sampled_from([(1,), (1,), (1,), (2,)])) * len(grid)
    spread = tuple((n - 1) * b + 1 for n, b in zip(grid, base, strict=True))
    window = draw(windows(spread))
    out = draw(st.integers(1, 2)) * 2
    return (
        Conv(
            window,
            base,
            draw(st.sampled_from([1, 1, 2])) if channels % 2 == 0 else 1,
            out,
            dead=draw(st.sampled_from([0, 0, 0, 1, out])),
            buried=draw(st.sampled_from([0, 0, 0, 1, out])),
            split=draw(st.integers(0, window.size[0] - 1)) if base == (1,) * len(grid) else 0,
        ),
        window.target_grid(spread),
    )


@st.composite
def pools(draw: Callable[..., Any], grid: Grid) -> tuple[Pool, Grid]:
    """A pool with the grid that it makes."""
    kind = draw(st.sampled_from(["max", "max", "average", "inside"]))
    window = draw(windows(grid, full=kind != "average"))
    return Pool(kind, window), window.target_grid(grid)


@st.composite
def branched(draw: Callable[..., Any], grid: Grid, channels: int) -> tuple[Branches, Grid]:
    """A residual sum, plain or with a stride, or a concatenation."""
    axes, stride = len(grid), draw(st.integers(1, 2))
    kind = draw(st.sampled_from(["sum", "concatenation"]))
    ways: list[tuple[Step, ...]] = []
    for _ in range(draw(st.integers(1, 2))):
        before = draw(st.sampled_from([(), (Act("relu"),), (Norm("batch"), Act("relu"))]))
        window = same(draw(st.sampled_from([1, 3])), stride, axes, draw(st.integers(1, 2)))
        dead = draw(st.sampled_from([0, 0, channels]))
        after = draw(st.sampled_from([(), (Norm("batch"),), (Norm("instance"),), (Gate(2),)]))
        ways.append((*before, Conv(window, (1,) * axes, 1, channels, dead=dead), *after))
    shortcut: tuple[Step, ...] = ()
    if stride > 1:
        shortcut = draw(
            st.sampled_from(
                [
                    (Conv(same(1, stride, axes), (1,) * axes, 1, channels),),
                    (Pool("max", same(3, stride, axes)),),
                    (Pool("inside", same(3, stride, axes)),),
                ]
            )
        )
    return Branches(kind, (shortcut, *ways)), same(1, stride, axes).target_grid(grid)


ACTS = st.sampled_from(["relu", "relu", "leaky_relu", "gelu", "silu", "tanh", "relu6", "identity"])
NORMS = st.sampled_from(["batch", "group", "instance", "layer"])


@st.composite
def networks(draw: Callable[..., Any]) -> Network:
    """Any small network."""
    size = draw(st.sampled_from([(6, 5), (5, 7), (4, 4), (8,)]))
    grid, channels = size, 2
    steps: list[Step] = []
    for _ in range(draw(st.integers(2, 4))):
        kind = draw(st.sampled_from(["convolution", "convolution", "convolution", "pool", "branches"]))
        made: Step
        if kind == "convolution":
            made, grid = draw(convolutions(grid, channels))
            channels = made.out
        elif kind == "pool":
            made, grid = draw(pools(grid))
        else:
            made, grid = draw(branched(grid, channels))
            channels *= len(made.ways) if made.kind == "concatenation" else 1
        steps.append(made)
        steps += draw(st.sampled_from([(), (), (Norm(draw(NORMS)),), (Gate(2),)]))
        steps += draw(st.sampled_from([(), (Act(draw(ACTS)),), (Act(draw(ACTS)),)]))
    dtype = draw(st.sampled_from(["float32", "float64", "float16", "bfloat16"]))
    return Network(
        tuple(steps),
        draw(st.sampled_from(["mean", "axiswise", "flatten", "mlp"])),
        draw(st.sampled_from([3, 3, 1])),
        size,
        draw(st.sampled_from([0, 0, 2])),
        dtype,
        draw(st.one_of(st.just(0), st.integers(*SCALES[dtype]))),
        draw(st.sampled_from(["none", "one", "images"])),
        draw(st.integers(0, 999)),
    )
