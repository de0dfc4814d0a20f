"""Writings of pools inside the network: maxima and averages over windows of positions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from tests.writings.agreement import Family
from tests.writings.network import Network, Part, Weights, branch, conv, max_pool, no_block, no_pool, stem


def reduce_max(x: Array, rows: int, columns: int) -> Array:
    size = (1, rows, columns, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, size, size, "VALID")


def reduce_sum(x: Array, rows: int, columns: int, strides: tuple[int, int] | None = None) -> Array:
    size = (1, rows, columns, 1)
    return lax.reduce_window(x, 0.0, lax.add, size, (1, *strides, 1) if strides else size, "VALID")


def squares(x: Array) -> Array:
    """(N, H / 2, 2, W / 2, 2, C)."""
    n, rows, columns, channels = x.shape
    return x.reshape((n, rows // 2, 2, columns // 2, 2, channels))


def corners(x: Array) -> list[Array]:
    return [x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]


def padded_max(x: Array) -> Array:
    """Over the grid with a border that is never chosen, of which one row and column are then left out."""
    padded = jnp.pad(x, ((0, 0), (2, 0), (0, 2), (0, 0)), constant_values=-jnp.inf)
    return reduce_max(padded, 2, 2)[:, 1:, :-1]


def channels_first(pool: Part) -> Part:
    """A pool of (N, C, H, W)."""
    return lambda w, x: jnp.moveaxis(pool(w, jnp.moveaxis(x, -1, 1)), 1, -1)


def patches(x: Array) -> Array:
    """(N, H / 2, W / 2, C, 4)."""
    found = lax.conv_general_dilated_patches(
        x, (2, 2), (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"), precision=lax.Precision.HIGHEST
    )
    return found.reshape((*found.shape[:3], x.shape[-1], 4))


def pooled_in_the_block(w: Weights, x: Array) -> Array:
    return max_pool(w, x) + branch(w, max_pool(w, x))


def scaled_and_undone(w: Weights, x: Array) -> Array:
    """The pool's scale is undone by the kernel after it."""
    return conv(max_pool(w, x) * 2, w["single"]["kernel"] / 2)


def negated_and_undone(w: Weights, x: Array) -> Array:
    return conv(-max_pool(w, x), -w["single"]["kernel"])


MAX = {
    "Equinox": channels_first(lambda _, x: jax.vmap(eqx.nn.MaxPool2d(2, 2))(x)),
    "the lowest number in place of infinity": lambda _, x: lax.reduce_window(
        x, np.finfo(np.float64).min, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"
    ),
    "a border that is never chosen": lambda _, x: padded_max(x),
    "rows, then columns": lambda _, x: reduce_max(reduce_max(x, 2, 1), 1, 2),
    "flipped": lambda w, x: max_pool(w, x[:, ::-1, ::-1])[:, ::-1, ::-1],
    "every second window of all": lambda _, x: lax.reduce_window(
        x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 1, 1, 1), "VALID"
    )[:, ::2, ::2],
    "vmap over channels": lambda w, x: jax.vmap(lambda v: max_pool(w, v[..., None])[..., 0], -1, -1)(x),
    "pairwise maxima": lambda _, x: jnp.maximum(
        jnp.maximum(*corners(x)[:2]), jnp.maximum(*corners(x)[2:])
    ),
    "maximum of squares": lambda _, x: squares(x).max((2, 4)),
    "minimum of the negated": lambda _, x: -lax.reduce_window(
        -x, jnp.inf, lax.min, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"
    ),
    "twice the values, halved": lambda w, x: max_pool(w, 2 * x) / 2,
}  # fmt: skip

AVERAGE = {
    "Equinox": channels_first(lambda _, x: jax.vmap(eqx.nn.AvgPool2d(2, 2))(x)),
    "rows, then columns": lambda _, x: reduce_sum(reduce_sum(x, 2, 1) / 2, 1, 2) / 2,
    "a sum of four slices": lambda _, x: sum(corners(x)[1:], corners(x)[0]) / 4,
    "a mean over squares": lambda _, x: squares(x).mean((2, 4)),
    "a mean over patches": lambda _, x: patches(x).mean(-1),
    "every second window of all": lambda _, x: reduce_sum(x, 2, 2, (1, 1))[:, ::2, ::2] / 4,
    "a convolution by channel": lambda _, x: conv(
        x, jnp.full((2, 2, 1, 4), 0.25), stride=2, padding="VALID", feature_group_count=4
    ),
}

LARGE_AVERAGE = {
    "squares of squares": lambda _, x: reduce_sum(reduce_sum(x, 2, 2) / 4, 2, 2) / 4,
    "rows, then columns": lambda _, x: reduce_sum(reduce_sum(x, 4, 1), 1, 4) / 16,
}

LARGE_MAX = {
    "squares of squares": lambda _, x: reduce_max(reduce_max(x, 2, 2), 2, 2),
    "rows, then columns": lambda _, x: reduce_max(reduce_max(x, 4, 1), 1, 4),
}

OVERLAPPING = {
    "as a convolution": lambda _, x: conv(
        x, jnp.outer(*[jnp.array([1.0, 2.0, 1.0])] * 2)[:, :, None, None] * jnp.ones(4) / 16,
        padding="VALID", feature_group_count=4,
    ),
    "rows, then columns": lambda _, x: (
        reduce_sum(reduce_sum(reduce_sum(reduce_sum(x, 2, 1, (1, 1)), 2, 1, (1, 1)), 1, 2, (1, 1)), 1, 2, (1, 1)) / 16
    ),
}  # fmt: skip


def overlapping(_: Weights, x: Array) -> Array:
    return reduce_sum(reduce_sum(x, 2, 2, (1, 1)) / 4, 2, 2, (1, 1)) / 4


def as_pool(writings: dict[str, Part], inner: Part) -> dict[str, Network]:
    return {name: Network(pool=pool, block=inner) for name, pool in writings.items()}


def single(w: Weights, x: Array) -> Array:
    return conv(x, w["single"]["kernel"])


FAMILIES = (
    Family(
        "max pool",
        Network(block=single),
        as_pool(MAX, single),
    ),
    Family(
        "max pool of a residual block",
        Network(),
        {
            "twice, once for each reader": Network(pool=no_pool, block=pooled_in_the_block),
            "twice the values, halved": Network(pool=lambda w, x: max_pool(w, 2 * x) / 2),
        },
    ),
    Family(
        "max pool before a convolution",
        Network(block=single),
        {
            "scaled, which the kernel undoes": Network(pool=no_pool, block=scaled_and_undone),
            "negated, which the kernel undoes": Network(pool=no_pool, block=negated_and_undone),
            "with zero added": Network(pool=lambda w, x: max_pool(w, x) + 0, block=single),
            "with a matrix that the kernel holds": Network(
                block=lambda w, x: conv(
                    x @ jnp.diag(jnp.arange(1.0, 5)), w["single"]["kernel"] / jnp.arange(1.0, 5)[:, None]
                )
            ),
        },
    ),
    Family(
        "average pool", Network(pool=lambda _, x: reduce_sum(x, 2, 2) / 4, block=no_block), as_pool(AVERAGE, no_block)
    ),
    Family("large max pool", Network(pool=lambda _, x: reduce_max(x, 4, 4), block=single), as_pool(LARGE_MAX, single)),
    Family(
        "large average pool",
        Network(pool=lambda _, x: reduce_sum(x, 4, 4) / 16, block=single),
        as_pool(LARGE_AVERAGE, single),
    ),
    Family(
        "overlapping average pools",
        Network(stem=stem, pool=overlapping, block=no_block),
        as_pool(OVERLAPPING, no_block),
    ),
)
