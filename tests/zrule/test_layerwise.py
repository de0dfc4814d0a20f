"""Layer-wise relevance: the z-rule as a composite is that of single neurons, and rules keep what they should."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import srd_jax as srd
from srd_jax.attribution import METHODS
from srd_jax.attribution.lrp import by_lrp
from srd_jax.zrule.rules import alpha_beta, box, epsilon, gamma, in_proportion, z_plus

NUMBERS = ("NHWC", "HWIO", "NHWC")
KEYS = jax.random.split(jax.random.key(0), 8)
IMAGES = jax.random.normal(KEYS[0], (2, 9, 8, 3))
KERNELS = [
    jax.random.normal(key, shape) / 4
    for key, shape in zip(KEYS[1:], ((3, 3, 3, 4), (3, 3, 4, 4), (4, 3)), strict=False)
]
SHIFT, MEAN, SCALE = (jax.random.normal(key, (4,)) for key in KEYS[4:7])


def conv(x, kernel, stride=1):
    return lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=NUMBERS)


def network(biased):
    """With a batch norm whose scales have both signs, a max pool and a residual sum."""

    def f(kernels, x):
        first, second, dense = kernels
        x = jax.nn.relu((conv(x, first, 2) - biased * MEAN) * SCALE + biased * SHIFT)
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 1, 1, 1), "VALID")
        x = jax.nn.relu((conv(x, second) - biased * MEAN) * SCALE + biased * SHIFT + x)
        return x.mean((1, 2)) @ dense

    return f


def z_rule():
    rule = epsilon(1e-12)
    return {"first": rule, "convolution": rule, "dense": rule, "pool": rule}


@pytest.mark.parametrize("biased", [0.0, 1.0])
def test_single_neurons_are_the_z_rule_in_every_layer(biased):
    f = network(biased)
    with jax.enable_x64(True):
        kernels, images = (jax.tree.map(lambda a: np.asarray(a, np.float64), a) for a in (KERNELS, IMAGES))
        scalar = METHODS["srd_scalar"](f, bias="none", contrast=None)(kernels, images, 1)
        layers = by_lrp(z_rule, f, reduce="sum", channel_axis=-1)(kernels, images, 1)
        logit = f(kernels, images)[:, 1, None, None]
        # sums and means are kept 1e-6 away from zero in layers
        np.testing.assert_allclose(layers * logit, scalar, rtol=1e-4, atol=1e-6 * np.abs(scalar).max())


RULES = {
    "epsilon": epsilon(1e-9), "z_plus": z_plus, "alpha_beta": alpha_beta(2, 1), "gamma": gamma(0.3), "box": box(-4, 4),
}  # fmt: skip


def of(rule):
    return lambda: {"first": rule, "convolution": rule, "dense": epsilon(1e-9), "pool": in_proportion}


@pytest.mark.parametrize("name", ["epsilon", "z_plus", "gamma", "box"])
def test_without_biases_all_relevance_arrives(name):
    def plain(kernels, x):
        return jax.nn.relu(conv(jax.nn.relu(conv(x, kernels[0], 2)), kernels[1])).mean((1, 2)) @ kernels[2]

    with jax.enable_x64(True):
        kernels, images = (jax.tree.map(lambda a: np.asarray(a, np.float64), a) for a in (KERNELS, IMAGES))
        first = RULES[name]
        composite = of(first) if name != "box" else lambda: of(z_plus)() | {"first": first}
        heat = by_lrp(composite, plain, reduce="sum", channel_axis=-1)(kernels, images, 1)
        np.testing.assert_allclose(heat.sum((1, 2)), 1, rtol=1e-3)


def test_a_scale_of_its_own_is_merged_into_the_kernel():
    """The same layer, its batch norm written out and folded in."""
    first, second, dense = KERNELS
    folded = [first * SCALE, second, dense]

    def merged(kernels, x):
        return jax.nn.relu(conv(x, kernels[0]) + SHIFT - MEAN * SCALE).mean((1, 2)) @ kernels[2]

    def apart(kernels, x):
        return jax.nn.relu((conv(x, kernels[0]) - MEAN) * SCALE + SHIFT).mean((1, 2)) @ kernels[2]

    for name in ("lrp_zplus", "lrp_epsilon_alpha2_beta1", "lrp_epsilon_gamma_box"):
        got, expected = METHODS[name](apart)(KERNELS, IMAGES, 1), METHODS[name](merged)(folded, IMAGES, 1)
        np.testing.assert_allclose(got, expected, atol=2e-5 * float(jnp.abs(expected).max()), err_msg=name)


def test_a_learned_scale_is_merged_like_a_constant():
    def scaled(variables, x):
        kernels, scale = variables
        return jax.nn.relu(scale * conv(x, kernels[0])).mean((1, 2)) @ kernels[2]

    for name in ("lrp_zplus", "lrp_epsilon_alpha2_beta1"):
        got = METHODS[name](scaled)((KERNELS, jnp.float32(1.7)), IMAGES, 1)
        expected = METHODS[name](lambda kernels, x: scaled((kernels, 1.7), x))(KERNELS, IMAGES, 1)
        np.testing.assert_allclose(got, expected, atol=2e-5 * float(jnp.abs(expected).max()), err_msg=name)


def test_steps_without_a_rule_are_refused():
    def gated(kernels, x):
        x = conv(x, kernels[0])
        return (x * jnp.sin(x[..., ::-1])).mean((1, 2)) @ kernels[2]

    with pytest.raises(srd.UnsupportedPrimitiveError):
        METHODS["lrp_zplus"](gated)(KERNELS, IMAGES, 1)
