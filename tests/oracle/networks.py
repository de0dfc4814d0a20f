"""Small example networks that between them use every feature of a description, each with an image."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from .description import Affine, Branch, Conv, Identity, Map, Network, Slice
from .draw import Draw, avg_pool, max_pool, window

__all__ = ["EXAMPLES", "Example"]


@dataclass(frozen=True, eq=False)
class Example:
    """A network and an image to explain."""

    network: Network
    image: Float64[np.ndarray, "*grid c"]


def same(draw: Draw, size: int, c_in: int, c_out: int, *, strides: int = 1, groups: int = 1) -> Conv:
    """A convolution of odd size whose padding keeps the grid."""
    return draw.conv(size, c_in, c_out, strides=strides, padding=size // 2, groups=groups)


def stem(draw: Draw, c_out: int) -> Map:
    """A first layer on an RGB image: 3x3 convolution with bias, ReLU."""
    return Map("stem", (Branch("input", same(draw, 3, 3, c_out), then=(draw.bias(c_out),)),))


def plain() -> Example:
    """Two convolutions with strides, one with a bias and one with a batch norm."""
    draw = Draw.seeded(1)
    first = Branch("input", draw.conv(3, 3, 4, padding=1), then=(draw.bias(4),))
    second = Branch("first", draw.conv(3, 4, 5, strides=2, padding=1), then=(draw.batch_norm(5),))
    maps = (Map("first", (first,), "leaky_relu"), Map("second", (second,), "tanh"))
    return Example(Network(maps, draw.global_pool_head(5)), draw.array(7, 7, 3))


def residual() -> Example:
    """A basic residual block with an identity skip, then a 1x1 convolution: ratios of a branch and of a lone tap."""
    draw = Draw.seeded(2)
    maps = (
        stem(draw, 4),
        Map("block.relu1", (Branch("stem", same(draw, 3, 4, 4), then=(draw.batch_norm(4),)),)),
        Map("block.relu2", (Branch("block.relu1", same(draw, 3, 4, 4), then=(draw.batch_norm(4),)), Branch("stem"))),
        Map("last", (Branch("block.relu2", draw.conv(1, 4, 5), then=(draw.bias(5),)),)),
    )
    return Example(Network(maps, draw.global_pool_head(5)), draw.array(7, 6, 3))


def bottleneck() -> Example:
    """A residual network's beginning: one overlapping padded max pool read by two 1x1 convolutions, then stride 2."""
    draw = Draw.seeded(3)
    pool = max_pool(3, 2, 1)
    projected = Branch("stem", draw.conv(1, 4, 5), pool, (draw.batch_norm(5),))
    strided = Branch("a.relu3", draw.conv(1, 5, 4, strides=2), then=(draw.batch_norm(4),))
    maps = (
        stem(draw, 4),
        Map("a.relu1", (Branch("stem", draw.conv(1, 4, 3), pool, (draw.batch_norm(3),)),)),
        Map("a.relu2", (Branch("a.relu1", same(draw, 3, 3, 3), then=(draw.batch_norm(3),)),)),
        Map("a.relu3", (Branch("a.relu2", draw.conv(1, 3, 5), then=(draw.batch_norm(5),)), projected)),
        Map("b.relu1", (Branch("a.relu3", draw.conv(1, 5, 3), then=(draw.batch_norm(3),)),)),
        Map("b.relu2", (Branch("b.relu1", same(draw, 3, 3, 3, strides=2), then=(draw.batch_norm(3),)),)),
        Map("b.relu3", (Branch("b.relu2", draw.conv(1, 3, 4), then=(draw.batch_norm(4),)), strided)),
    )
    return Example(Network(maps, draw.global_pool_head(4)), draw.array(9, 9, 3))


def sliced_shortcuts() -> Example:
    """Shortcuts of residual networks on small images: a strided slice with zero channels beside it, one with a 1x1."""
    draw = Draw.seeded(4)
    padded = Branch("stem", Slice((2, 2)), channels=(1, 5))
    projected = Branch("a", Slice((2, 2)), then=(draw.channel_mix(5, 4), draw.batch_norm(4)))
    maps = (
        stem(draw, 3),
        Map("a", (Branch("stem", same(draw, 3, 3, 5, strides=2), then=(draw.batch_norm(5),)), padded)),
        Map("b", (Branch("a", same(draw, 3, 5, 4, strides=2), then=(draw.batch_norm(4),)), projected), "silu"),
    )
    return Example(Network(maps, draw.global_pool_head(4)), draw.array(8, 7, 3))


def dense_block() -> Example:
    """DenseNet: concatenation, then batch norm over all of it, also where that norm is part of the sum."""
    draw = Draw.seeded(5)
    maps = (
        stem(draw, 3),
        Map("norm1", (Branch("stem", then=(draw.batch_norm(3),)),)),
        Map(
            "cat1", (Branch("stem", channels=(0, 5)), Branch("norm1", same(draw, 3, 3, 2), channels=(3, 5))), "identity"
        ),
        Map("norm2", (Branch("cat1", then=(draw.batch_norm(5),)),)),
        Map(
            "norm3",
            (Branch("cat1", channels=(0, 7)), Branch("norm2", same(draw, 3, 5, 2), channels=(5, 7))),
            post=draw.batch_norm(7),
        ),
        Map("transition", (Branch("norm3", avg_pool(2, 2), then=(draw.channel_mix(7, 4), draw.bias(4))),)),
    )
    return Example(Network(maps, draw.global_pool_head(4)), draw.array(6, 7, 3))


def squeeze() -> Example:
    """SqueezeNet: two convolutions concatenated, once before their ReLU and once after it."""
    draw = Draw.seeded(6)
    narrow = Branch("stem", draw.conv(1, 4, 2), then=(draw.bias(2),), channels=(0, 5))
    wide = Branch("stem", same(draw, 3, 4, 3), then=(draw.bias(3),), channels=(2, 5))
    maps = (
        stem(draw, 4),
        Map("fire1", (narrow, wide)),
        Map("fire2.squeeze", (Branch("fire1", draw.conv(1, 5, 3), max_pool(3, 2), (draw.bias(3),)),)),
        Map("fire2.expand1", (Branch("fire2.squeeze", draw.conv(1, 3, 2), then=(draw.bias(2),)),)),
        Map("fire2.expand3", (Branch("fire2.squeeze", same(draw, 3, 3, 2), then=(draw.bias(2),)),)),
        Map("fire2", (Branch("fire2.expand1", channels=(0, 4)), Branch("fire2.expand3", channels=(2, 4))), "identity"),
        Map("last", (Branch("fire2", same(draw, 3, 4, 4), then=(draw.bias(4),)),)),
    )
    return Example(Network(maps, draw.global_pool_head(4)), draw.array(9, 8, 3))


def inception() -> Example:
    """Four ways side by side: 1x1, 5x5, a max pool alone, an average pool. One average counts its padding, one not."""
    draw = Draw.seeded(7)
    maps = (
        stem(draw, 3),
        Map(
            "mixed",
            (
                Branch("stem", draw.conv(1, 3, 2), then=(draw.batch_norm(2),), channels=(0, 9)),
                Branch("stem", same(draw, 5, 3, 1), then=(draw.batch_norm(1),), channels=(2, 9)),
                Branch("stem", pool=max_pool(3, 1, 1), channels=(3, 9)),
                Branch("stem", avg_pool(3, 1, 1), then=(draw.channel_mix(3, 3), draw.bias(3)), channels=(6, 9)),
            ),
        ),
        Map("pooled", (Branch("mixed", pool=max_pool(2, 2)),), "relu"),
        Map(
            "last", (Branch("pooled", avg_pool(3, 2, 1, count_padding=False), then=(draw.channel_mix(9, 4),)),), "gelu"
        ),
    )
    return Example(Network(maps, draw.global_pool_head(4)), draw.array(7, 7, 3))


def pooled_convolutions() -> Example:
    """Max pools and convolutions as one step, both of them with windows that overlap; an MLP head."""
    draw = Draw.seeded(8)
    padded = draw.conv(3, 4, 3, zero_pad=((0, 1), (2, 0)))
    maps = (
        Map("stem", (Branch("input", same(draw, 3, 3, 4), max_pool(2, 1, ((0, 1), (1, 0))), (draw.bias(4),)),)),
        Map("overlap", (Branch("stem", same(draw, 3, 4, 4), max_pool(3, 1, 1), (draw.bias(4),)), Branch("stem"))),
        Map("strided", (Branch("overlap", padded, max_pool(3, 2, 1), (draw.batch_norm(3),)),), "relu6"),
    )
    return Example(Network(maps, draw.mlp_head((3, 4), 3)), draw.array(8, 7, 3))


def vgg() -> Example:
    """Convolutions with disjoint max pools between them, the last of them in the MLP head."""
    draw = Draw.seeded(9)
    pool = max_pool(2, 2)
    maps = (
        stem(draw, 3),
        Map("conv2", (Branch("stem", same(draw, 3, 3, 4), pool, (draw.bias(4),)),)),
        Map("conv3", (Branch("conv2", same(draw, 3, 4, 4), then=(draw.bias(4),)),)),
    )
    return Example(Network(maps, draw.mlp_head((4, 4), 4, pool=pool)), draw.array(8, 8, 3))


def inverted_residual() -> Example:
    """Expansion, a depthwise convolution, a squeeze-and-excite gate, projection, and the skip around them."""
    draw = Draw.seeded(10)
    depthwise = Branch("expand", same(draw, 3, 5, 5, groups=5), then=(draw.batch_norm(5),))
    project = Branch("gated", draw.conv(1, 5, 3), then=(draw.batch_norm(3),))
    maps = (
        stem(draw, 3),
        Map("expand", (Branch("stem", draw.conv(1, 3, 5), then=(draw.batch_norm(5),)),), "relu6"),
        Map("depthwise", (depthwise,), "silu"),
        Map("gated", (Branch("depthwise", gate=draw.gate("depthwise", 5, 2, 5)),), "identity"),
        Map("sum", (project, Branch("stem")), "identity"),
        Map("last", (Branch("sum", same(draw, 3, 3, 4, strides=2), then=(draw.bias(4),)),)),
    )
    return Example(Network(maps, draw.global_pool_head(4)), draw.array(6, 7, 3))


def gated_residual() -> Example:
    """A residual branch with batch norm, multiplied by a gate: the branch's own bias is gated with it."""
    draw = Draw.seeded(11)
    main = Branch("half", same(draw, 3, 3, 4), then=(draw.batch_norm(4),), gate=draw.gate("stem", 4, 2, 4))
    maps = (
        stem(draw, 4),
        Map("half", (Branch("stem", same(draw, 3, 4, 3), then=(draw.batch_norm(3),)),)),
        Map("block", (main, Branch("stem"))),
    )
    return Example(Network(maps, draw.global_pool_head(4)), draw.array(6, 6, 3))


def layer_norms() -> Example:
    """A patch stem, layer norms, depthwise convolutions, channel mixing with GELU, and a post-sum affine."""
    draw = Draw.seeded(12)
    maps = (
        Map("patches", (Branch("input", draw.conv(2, 3, 4, strides=2), then=(draw.bias(5, 4, 4),)),), "identity"),
        Map(
            "mixed",
            (Branch("patches", same(draw, 3, 4, 4, groups=4), then=(draw.bias(4),)),),
            "identity",
            layer_norm=draw.layer_norm(4),
        ),
        Map("hidden", (Branch("mixed", then=(draw.channel_mix(4, 5), draw.bias(5))),), "gelu"),
        Map(
            "block",
            (Branch("hidden", then=(draw.channel_mix(5, 4), draw.bias(4), draw.bias(4))), Branch("patches")),
            "relu",
            post=Affine(scale=draw.array(4)),
            layer_norm=draw.layer_norm(4),
        ),
        Map("last", (Branch("block", draw.conv(2, 4, 5, strides=1), then=(draw.bias(5),)),), "identity"),
    )
    return Example(Network(maps, draw.global_pool_head(5)), draw.array(10, 8, 3))


def grouped_dilated() -> Example:
    """Grouped and depthwise-multiplied convolutions, dilation, unlike axes, padding on one side."""
    draw = Draw.seeded(13)
    dilated = draw.conv((3, 2), 4, 4, padding=((2, 1), (0, 2)), dilation=(2, 3), groups=2)
    multiplied = draw.conv((2, 3), 4, 8, strides=(2, 1), padding=((1, 0), (1, 1)), groups=4)
    maps = (
        stem(draw, 4),
        Map("dilated", (Branch("stem", dilated, then=(draw.bias(4),)),), "leaky_relu"),
        Map("multiplied", (Branch("dilated", multiplied, then=(draw.batch_norm(8),)),)),
    )
    return Example(Network(maps, draw.global_pool_head(8)), draw.array(8, 7, 3))


def norm_after_sum() -> Example:
    """One batch norm over the sum of a convolution, a lone 1x1 convolution with a bias and a max pool."""
    draw = Draw.seeded(14)
    maps = (
        stem(draw, 4),
        Map(
            "sum",
            (
                Branch("stem", same(draw, 3, 4, 4), then=(draw.bias(4),)),
                Branch("stem", draw.conv(1, 4, 4), then=(draw.bias(4),)),
                Branch("stem", pool=max_pool(3, 1, 1)),
            ),
            post=draw.batch_norm(4),
        ),
        Map("last", (Branch("sum", draw.conv(1, 4, 4), then=(draw.bias(4),)),), post=draw.batch_norm(4)),
    )
    return Example(Network(maps, draw.mlp_head((6, 6), 4)), draw.array(6, 6, 3))


def one_axis() -> Example:
    """Sequences: a grid with one axis."""
    draw = Draw.seeded(15)
    first = draw.conv(3, 2, 4, padding=1, axes=1)
    second = draw.conv(2, 4, 4, strides=2, dilation=2, padding=1, axes=1)
    maps = (
        Map("first", (Branch("input", first, then=(draw.bias(4),)),)),
        Map("second", (Branch("first", second, max_pool(3, 1, 1, axes=1), (draw.bias(4),)),)),
    )
    return Example(Network(maps, draw.global_pool_head(4)), draw.array(9, 2))


def three_axes() -> Example:
    """Volumes: a grid with three axes."""
    draw = Draw.seeded(16)
    maps = (
        Map("first", (Branch("input", draw.conv((2, 3, 1), 2, 3, axes=3), then=(draw.bias(3),)),)),
        Map("second", (Branch("first", draw.conv(2, 3, 3, axes=3), max_pool(2, axes=3), (draw.bias(3),)),)),
    )
    return Example(Network(maps, draw.global_pool_head(3)), draw.array(5, 5, 4, 2))


def zero_image() -> Example:
    """An image of zeros: every contribution to the first layer is zero, its biases are not."""
    return Example(bottleneck().network, np.zeros((9, 9, 3)))


def black_corner() -> Example:
    """A dead region without biases: X is zero there, and stays so through max pool, sum and concatenation."""
    draw = Draw.seeded(17)
    maps = (
        Map("first", (Branch("input", same(draw, 3, 3, 3)),)),
        Map("pooled", (Branch("first", same(draw, 3, 3, 3), max_pool(3, 1, 1)), Branch("first"))),
        Map("both", (Branch("pooled", channels=(0, 5)), Branch("pooled", same(draw, 3, 3, 2), channels=(3, 5)))),
    )
    image = draw.array(9, 9, 3)
    image[:6, 2:] = 0
    return Example(Network(maps, draw.global_pool_head(5)), image)


def zero_filters() -> Example:
    """Filters that are all zero: with a bias, contributions are zero and X is not; without one, X is zero."""
    draw = Draw.seeded(18)
    kernel = np.zeros((3, 3, 4, 4))
    silent = Conv(kernel, window(3, padding=1))
    maps = (
        stem(draw, 4),
        Map("bias_only", (Branch("stem", silent, max_pool(2), (draw.bias(4),)),)),
        Map("block", (Branch("bias_only", silent, then=(draw.bias(4),)), Branch("bias_only"))),
        Map("half_silent", (Branch("block", Conv(same(draw, 3, 4, 4).kernel * [1, 0, 1, 0], window(3, padding=1))),)),
    )
    return Example(Network(maps, draw.global_pool_head(4)), draw.array(6, 7, 3))


def zero_layer() -> Example:
    """A layer that is zero everywhere, weights and bias, and what reads it: alone, beside others, through pools."""
    draw = Draw.seeded(19)
    silent = Branch(
        "stem", Conv(np.zeros((3, 3, 4, 3)), window(3, 2, 1)), max_pool(3, 1, 1), (Affine(shift=np.zeros(3)),)
    )
    maps = (
        stem(draw, 4),
        Map("silent", (silent,)),
        Map("after", (Branch("silent", same(draw, 3, 3, 4), then=(draw.bias(4),)), Branch("silent", channels=(1, 4)))),
        Map("still", (Branch("silent", pool=max_pool(2, 1, 1)), Branch("silent", avg_pool(2, 1, 1)))),
        Map(
            "last",
            (Branch("after", avg_pool(2, 2, 1), then=(draw.bias(4),)), Branch("still", Slice((2, 2)), channels=(0, 4))),
        ),
    )
    return Example(Network(maps, draw.mlp_head((3, 3), 4)), draw.array(7, 8, 3))


def split_kernels() -> Example:
    """PFVs that reach a sum along several paths: kernels of several sizes beside the identity, pools of one pool."""
    draw = Draw.seeded(20)
    pool = max_pool(2, 1)
    branches = (Branch("stem", same(draw, 3, 4, 4)), Branch("stem", draw.conv(1, 4, 4)), Branch("stem"))
    pooled = (
        Branch("sum", draw.conv(2, 4, 3), pool),
        Branch("sum", draw.conv(1, 4, 3, padding=((0, -1), (0, -1))), pool),
    )
    strided = (
        Branch("pooled", draw.conv(3, 3, 4, strides=2, padding=1), then=(draw.bias(4),)),
        Branch("pooled", draw.conv(5, 3, 4, strides=2, padding=2)),
        Branch("pooled", avg_pool(3, 2, 1), then=(draw.channel_mix(3, 4),)),
    )
    maps = (
        stem(draw, 4),
        Map("sum", branches, post=draw.bias(4)),
        Map("pooled", pooled, post=draw.bias(3)),
        Map("last", strided, post=draw.batch_norm(4)),
    )
    return Example(Network(maps, draw.global_pool_head(4)), draw.array(7, 8, 3))


def unreached() -> Example:
    """Windows that lie in padding: PFVs that are constant, beside others in sums, pools and the head."""
    draw = Draw.seeded(21)
    maps = (
        stem(draw, 4),
        Map("framed", (Branch("stem", draw.conv(1, 4, 4, padding=2), then=(draw.bias(4),)),)),
        Map("wide", (Branch("framed", same(draw, 3, 4, 4)), Branch("framed", draw.conv(1, 4, 4))), post=draw.bias(4)),
        Map(
            "branches",
            (
                Branch("wide", same(draw, 3, 4, 4), then=(draw.bias(4),)),
                Branch("framed", same(draw, 3, 4, 4), max_pool(3, 1, 1)),
                Branch("stem", draw.conv(1, 4, 4, padding=2), then=(draw.bias(4),)),
            ),
        ),
        Map("pooled", (Branch("branches", avg_pool(2, 2), then=(draw.bias(4),)),)),
    )
    return Example(Network(maps, draw.global_pool_head(4)), draw.array(6, 5, 3))


def partly_read() -> Example:
    """A head that reads a box of the encoder's output."""
    draw = Draw.seeded(22)
    last = Map("last", (Branch("stem", same(draw, 3, 4, 4)), Branch("stem", Identity())), post=draw.bias(4))
    head = replace(draw.global_pool_head(4), box=((1, 3), (2, 5)))
    return Example(Network((stem(draw, 4), last), head), draw.array(5, 6, 3))


def one_read() -> Example:
    """A head that reads one position, others of which no pixel reaches."""
    draw = Draw.seeded(23)
    framed = Map("framed", (Branch("stem", draw.conv(3, 4, 4, padding=2), then=(draw.bias(4),)),))
    head = replace(draw.global_pool_head(4), box=((2, 3), (3, 4)))
    return Example(Network((stem(draw, 4), framed), head), draw.array(5, 6, 3))


EXAMPLES: dict[str, Callable[[], Example]] = {
    example.__name__: example
    for example in (
        plain,
        residual,
        bottleneck,
        sliced_shortcuts,
        dense_block,
        squeeze,
        inception,
        pooled_convolutions,
        vgg,
        inverted_residual,
        gated_residual,
        layer_norms,
        grouped_dilated,
        norm_after_sum,
        one_axis,
        three_axes,
        zero_image,
        black_corner,
        zero_filters,
        zero_layer,
        split_kernels,
        unreached,
        partly_read,
        one_read,
    )
}
"""The examples by name."""
