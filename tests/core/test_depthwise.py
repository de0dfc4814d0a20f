"""Depthwise convolutions tap by tap are convolutions, of any stride, padding, dilation, rank and order of axes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import srd_jax as srd
from srd_jax.core.depthwise import convolve, is_depthwise

RNG = np.random.default_rng(0)
IMAGES = jnp.asarray(RNG.normal(size=(2, 9, 8, 6)), jnp.float32)
KERNEL = jnp.asarray(RNG.normal(size=(3, 2, 1, 6)), jnp.float32)
LAST = ("NHWC", "HWIO", "NHWC")

CASES = {
    "plain": {"window_strides": (1, 1), "padding": "VALID"},
    "padded": {"window_strides": (1, 1), "padding": "SAME"},
    "strided": {"window_strides": (2, 3), "padding": ((1, 2), (0, 1))},
    "SAME and strided": {"window_strides": (2, 2), "padding": "SAME"},
    "dilated": {"window_strides": (1, 2), "padding": ((2, 2), (1, 1)), "rhs_dilation": (2, 3)},
    "cropped": {"window_strides": (1, 1), "padding": ((-1, 2), (0, -2))},
    "spread": {"window_strides": (1, 1), "padding": ((1, 1), (1, 1)), "lhs_dilation": (2, 1)},
    "no window fits": {"window_strides": (2, 2), "padding": ((-4, -4), (0, 0))},
}


@pytest.mark.parametrize("how", CASES.values(), ids=CASES)
def test_it_is_a_convolution(how):
    options = {**how, "dimension_numbers": LAST, "feature_group_count": 6}
    expected = lax.conv_general_dilated(IMAGES, KERNEL, **options)
    got = convolve(IMAGES, KERNEL, **options)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, atol=2e-6)


@pytest.mark.parametrize("numbers", [("NCHW", "OIHW", "NHWC"), ("NHWC", "IOWH", "NCHW"), ("HWNC", "HWOI", "WHCN")])
def test_axes_in_any_order(numbers):
    x = jnp.transpose(IMAGES, ["NHWC".index(axis) for axis in numbers[0]])
    kernel = jnp.transpose(KERNEL, ["HWIO".index(axis) for axis in numbers[1]])
    options = {"window_strides": (2, 1), "padding": ((1, 0), (0, 1)), "feature_group_count": 6}
    expected = lax.conv_general_dilated(x, kernel, dimension_numbers=numbers, **options)
    np.testing.assert_allclose(convolve(x, kernel, dimension_numbers=numbers, **options), expected, atol=2e-6)


def test_lines_and_volumes():
    for axes, spec in (("W", ("NWC", "WIO", "NWC")), ("DHW", ("NDHWC", "DHWIO", "NDHWC"))):
        x = jnp.asarray(RNG.normal(size=(2, *[5] * len(axes), 4)), jnp.float32)
        kernel = jnp.asarray(RNG.normal(size=(*[3] * len(axes), 1, 4)), jnp.float32)
        options = {"window_strides": (2,) * len(axes), "padding": "SAME", "dimension_numbers": spec}
        expected = lax.conv_general_dilated(x, kernel, feature_group_count=4, **options)
        np.testing.assert_allclose(convolve(x, kernel, feature_group_count=4, **options), expected, atol=2e-6)


def test_derivatives_and_batches():
    def of(fn, x, kernel):
        return jnp.sum(jnp.sin(fn(x, kernel, (2, 1), "SAME", dimension_numbers=LAST, feature_group_count=6)))

    for place in (0, 1):
        expected = jax.grad(lambda *a: of(lax.conv_general_dilated, *a), place)(IMAGES, KERNEL)
        np.testing.assert_allclose(jax.grad(lambda *a: of(convolve, *a), place)(IMAGES, KERNEL), expected, atol=1e-5)
    kernels = jnp.stack([KERNEL, 2 * KERNEL])
    mapped = jax.vmap(lambda kernel: of(convolve, IMAGES, kernel))(kernels)
    np.testing.assert_allclose(mapped, [of(convolve, IMAGES, kernel) for kernel in kernels], rtol=1e-5)


@pytest.mark.parametrize(
    ("groups", "kernel", "dtype"),
    [(1, (3, 2, 6, 6), "float32"), (3, (3, 2, 2, 6), "float32"), (6, (3, 2, 1, 12), "float32"),
     (6, (3, 2, 1, 6), "bfloat16")],
)  # fmt: skip
def test_what_is_no_such_convolution_is_left_to_jax(groups, kernel, dtype):
    x, kernel = IMAGES.astype(dtype), jnp.asarray(RNG.normal(size=kernel), dtype)
    options = {"dimension_numbers": LAST, "feature_group_count": groups}
    expected = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", **options)
    np.testing.assert_array_equal(convolve(x, kernel, (1, 1), "SAME", **options), expected)
    numbers = lax.conv_dimension_numbers(x.shape, kernel.shape, LAST)
    assert is_depthwise(kernel, numbers, groups) == (dtype == "bfloat16")


def test_called_again_outside_jit_it_compiles_nothing():
    compiled = []
    convolve(IMAGES, KERNEL, (1, 1), "SAME", dimension_numbers=LAST, feature_group_count=6)
    jax.monitoring.register_event_duration_secs_listener(
        listener := lambda event, *_, **__: compiled.append(event) if "backend_compile" in event else None
    )
    try:
        convolve(IMAGES + 1, KERNEL, (1, 1), "SAME", dimension_numbers=LAST, feature_group_count=6)
    finally:
        jax.monitoring.unregister_event_duration_listener(listener)
    assert len(compiled) <= 1  # the addition


def test_a_network_of_either_has_the_same_map():
    dense = jnp.asarray(RNG.normal(size=(6, 4)), jnp.float32)

    def network(fn):
        def f(kernel, x):
            x = fn(x, kernel, (2, 1), "SAME", dimension_numbers=LAST, feature_group_count=6)
            return jnp.maximum(x + 0.1, 0).mean((1, 2)) @ dense

        return f

    def by_group(x, kernel, *args, **options):
        parts = [
            lax.conv_general_dilated(x[..., i : i + 1], kernel[..., i : i + 1], *args, dimension_numbers=LAST)
            for i in range(6)
        ]
        return jnp.concatenate(parts, -1)

    expected = srd.explain(network(by_group))(KERNEL, IMAGES, 1)
    for fn in (convolve, lax.conv_general_dilated):
        np.testing.assert_allclose(srd.explain(network(fn))(KERNEL, IMAGES, 1), expected, atol=2e-5)
