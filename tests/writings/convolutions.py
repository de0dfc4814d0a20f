"""Writings of convolutions: layouts, padding, kernels in parts, groups, dilation, strides."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from tests.writings.agreement import Family
from tests.writings.network import CHANNELS, Network, Part, conv, max_pool, no_block, no_pool, strided_stem

BORDER = ((0, 0), (1, 1), (1, 1), (0, 0))


def in_layout(x: Array, kernel: Array, images: str, kernels: str, results: str) -> Array:
    """The convolution with axes in other orders, in which x and the result are turned."""
    x = jnp.transpose(x, ["NHWC".index(axis) for axis in images])
    kernel = jnp.transpose(kernel, ["HWIO".index(axis) for axis in kernels])
    found = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=(images, kernels, results))
    return jnp.transpose(found, [results.index(axis) for axis in "NHWC"])


def shifted(x: Array) -> list[Array]:
    """What each of the nine taps reads."""
    rows, columns = x.shape[1:3]
    padded = jnp.pad(x, BORDER)
    return [padded[:, i : i + rows, j : j + columns] for i in range(3) for j in range(3)]


def taps(kernel: Array) -> list[Array]:
    return list(jnp.reshape(kernel, (9, *kernel.shape[2:])))


def added(parts: list[Array]) -> Array:
    return sum(parts[1:], parts[0])


def patches(x: Array, kernel: Array) -> Array:
    numbers = ("NHWC", "HWIO", "NHWC")
    found = lax.conv_general_dilated_patches(x, (3, 3), (1, 1), "SAME", dimension_numbers=numbers)
    return found @ jnp.transpose(kernel, (2, 0, 1, 3)).reshape((-1, kernel.shape[-1]))


def among_zeros(kernel: Array) -> Array:
    """3 x 3 to 5 x 5."""
    return jnp.pad(kernel, ((1, 1), (1, 1), (0, 0), (0, 0)))


def flipped(x: Array, kernel: Array) -> Array:
    return conv(x[:, ::-1, ::-1], kernel[::-1, ::-1])[:, ::-1, ::-1]


def equinox(x: Array, kernel: Array) -> Array:
    made = eqx.nn.Conv2d(kernel.shape[2], CHANNELS, 3, padding=1, use_bias=False, key=jax.random.key(0))
    made = eqx.tree_at(lambda c: c.weight, made, jnp.transpose(kernel, (3, 2, 0, 1)))
    return jnp.moveaxis(jax.vmap(made)(jnp.moveaxis(x, -1, 1)), 1, -1)


def as_3d(x: Array, kernel: Array) -> Array:
    numbers = ("NDHWC", "DHWIO", "NDHWC")
    return lax.conv_general_dilated(x[:, None], kernel[None], (1, 1, 1), "SAME", dimension_numbers=numbers)[:, 0]


def with_a_matrix_after(x: Array, kernel: Array) -> Array:
    matrix = jnp.asarray(np.eye(CHANNELS) + 0.5)
    return conv(x, kernel @ jnp.linalg.inv(matrix)) @ matrix


def with_a_matrix_before(x: Array, kernel: Array) -> Array:
    matrix = jnp.asarray(np.eye(x.shape[-1]) + 0.5)
    return conv(x @ matrix, jnp.linalg.inv(matrix) @ kernel)


CONVOLUTIONS = {
    "channels first": lambda x, k: in_layout(x, k, "NCHW", "OIHW", "NCHW"),
    "from one layout to another": lambda x, k: in_layout(x, k, "CNWH", "OWHI", "WNHC"),
    "padded before": lambda x, k: conv(jnp.pad(x, BORDER), k, padding="VALID"),
    "padded by a concatenation": lambda x, k: conv(
        jnp.concatenate([jnp.zeros_like(x[:, :1]), x, jnp.zeros_like(x[:, :1])], 1), k, padding=((0, 0), (1, 1))
    ),
    "halves of the input channels": lambda x, k: conv(x[..., :2], k[:, :, :2]) + conv(x[..., 2:], k[:, :, 2:]),
    "the kernel in two halves": lambda x, k: conv(x, k / 3) + conv(x, 2 * k / 3),
    "the kernel's sign in two parts": lambda x, k: conv(x, jnp.maximum(k, 0)) - conv(x, jnp.maximum(-k, 0)),
    "the kernel's middle alone": lambda x, k: x @ k[1, 1] + conv(x, jnp.asarray(k).at[1, 1].set(0)),
    "halves of the output channels": lambda x, k: jnp.concatenate([conv(x, k[..., :2]), conv(x, k[..., 2:])], -1),
    "shifted slices": lambda x, k: added([v @ tap for v, tap in zip(shifted(x), taps(k), strict=True)]),
    "slices side by side": lambda x, k: jnp.concatenate(shifted(x), -1) @ jnp.concatenate(taps(k)),
    "patches": patches,
    "a larger kernel with zeros": lambda x, k: conv(x, among_zeros(k)),
    "flipped": flipped,
    "a matrix after": with_a_matrix_after,
    "a matrix before": with_a_matrix_before,
    "vmap over output channels": lambda x, k: jax.vmap(lambda o: conv(x, o[..., None])[..., 0], -1, -1)(k),
    "Equinox": equinox,
}  # fmt: skip


def reparameterised(kernel: Array, pointwise: Array) -> Array:
    """One kernel for a 3 x 3 and a 1 x 1 convolution and the identity."""
    return jnp.asarray(kernel).at[1, 1].add(pointwise + jnp.eye(CHANNELS))


SUMS = {
    "three branches": lambda x, k, p: conv(x, k) + conv(x, p[None, None]) + x,
    "two branches": lambda x, k, p: conv(x, k) + x @ (p + jnp.eye(CHANNELS)),
    "the identity in halves": lambda x, k, p: x / 2 + conv(x, k) + conv(x, p[None, None]) + x / 2,
}


def by_group(x: Array, kernel: Array) -> Array:
    return jnp.concatenate([conv(x[..., :2], kernel[..., :2]), conv(x[..., 2:], kernel[..., 2:])], -1)


def vmap_over_groups(x: Array, kernel: Array) -> Array:
    x, kernel = jnp.reshape(x, (*x.shape[:3], 2, 2)), jnp.reshape(kernel, (*kernel.shape[:3], 2, 2))
    return jax.vmap(conv, (-2, -2), -2)(x, kernel).reshape((*x.shape[:3], -1))


def block_diagonal(kernel: Array) -> Array:
    whole = jnp.zeros((3, 3, CHANNELS, CHANNELS))
    return whole.at[:, :, :2, :2].set(kernel[..., :2]).at[:, :, 2:, 2:].set(kernel[..., 2:])


GROUPED = {
    "one convolution a group": by_group,
    "a kernel with zeros": lambda x, k: conv(x, block_diagonal(k)),
    "vmap over groups": vmap_over_groups,
}

DEPTHWISE = {
    "shifted slices": lambda x, k: added([v * tap[0] for v, tap in zip(shifted(x), taps(k), strict=True)]),
    "a diagonal kernel": lambda x, k: conv(x, k * jnp.eye(CHANNELS)),
    "one convolution a channel": lambda x, k: jnp.concatenate(
        [conv(x[..., c : c + 1], k[..., c : c + 1]) for c in range(CHANNELS)], -1
    ),
    "vmap over channels": jax.vmap(lambda v, t: conv(v[..., None], t[..., None])[..., 0], (-1, -1), -1),
    "two kernels": lambda x, k: conv(x, k / 4, feature_group_count=4) + conv(x, 3 * k / 4, feature_group_count=4),
}

DILATED = {
    "a larger kernel with zeros": lambda x, k: conv(x, lax.pad(k, 0.0, [(0, 0, 1), (0, 0, 1), (0, 0, 0), (0, 0, 0)])),
    "padded before": lambda x, k: conv(
        jnp.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0))), k, padding="VALID", rhs_dilation=(2, 2)
    ),
}

STRIDED = {
    "a slice of all positions": lambda x, k: conv(x, k, padding=((0, 1), (0, 1)))[:, ::2, ::2],
    "padded before": lambda x, k: conv(
        jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0))), k, stride=2, padding="VALID"
    ),
    "strided slices": lambda x, k: added(
        [jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))[:, i : i + 7 : 2, j : j + 11 : 2] @ k[i, j]
         for i in range(3) for j in range(3)]
    ),
}  # fmt: skip

TRANSPOSED = {
    "spread, then convolved": lambda x, k: conv(
        lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), (2, 1, 1), (2, 1, 1), (0, 0, 0)]), k, padding="VALID"
    ),
    "lax.conv_transpose": lambda x, k: lax.conv_transpose(
        x, k, (2, 2), ((2, 1), (2, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    ),
}


def stem(write: Any, key: str = "stem") -> Network:
    return Network(stem=lambda w, x: write(x, w[key]), block=no_block)


def single(write: Any, key: str, pool: Part = no_pool) -> Network:
    """A convolution on 4 x 6 positions, whose sum gets the bias of a norm."""
    first = {"stem": strided_stem} if pool is no_pool else {}
    return Network(**first, pool=pool, block=lambda w, x: write(x, w[key]))


def reparameterisation(write: Any, pool: Part) -> Network:
    return single(lambda x, w: write(x, w["kernel"], w["pointwise"]), "single", pool)


def one_kernel(x: Array, kernel: Array, pointwise: Array) -> Array:
    return conv(x, reparameterised(kernel, pointwise))


def dilated(x: Array, kernel: Array) -> Array:
    return conv(x, kernel, rhs_dilation=(2, 2))


def transposed(x: Array, kernel: Array) -> Array:
    return conv(x, kernel, padding=((2, 1), (2, 1)), lhs_dilation=(2, 2))


def family(name: str, reference: Any, key: str, writings: dict[str, Any], **options: Any) -> Family:
    return Family(name, single(reference, key), {n: single(write, key) for n, write in writings.items()}, **options)


def first_kernel(write: Any) -> Any:
    return lambda x, w: write(x, w["kernel"])


FAMILIES = (
    Family("convolution", stem(conv), {name: stem(write) for name, write in CONVOLUTIONS.items()}),
    Family(
        "sum of convolutions",
        reparameterisation(one_kernel, no_pool),
        {name: reparameterisation(write, no_pool) for name, write in SUMS.items()},
        ("norm", "uniform", "none"),
    ),
    Family(
        "sum of convolutions after a max pool",
        reparameterisation(one_kernel, max_pool),
        {name: reparameterisation(write, max_pool) for name, write in SUMS.items()},
    ),
    family("grouped convolution", lambda x, k: conv(x, k, feature_group_count=2), "grouped", GROUPED),
    family("depthwise convolution", lambda x, k: conv(x, k, feature_group_count=4), "depthwise", DEPTHWISE),
    family("dilated convolution", first_kernel(dilated), "single", {n: first_kernel(f) for n, f in DILATED.items()}),
    Family(
        "strided convolution",
        Network(stem=strided_stem, pool=no_pool, block=no_block),
        {
            name: Network(stem=lambda w, x, write=write: write(x, w["stem"]), pool=no_pool, block=no_block)
            for name, write in STRIDED.items()
        },
    ),
    family(
        "transposed convolution",
        first_kernel(transposed),
        "single",
        {n: first_kernel(f) for n, f in TRANSPOSED.items()},
    ),
)
