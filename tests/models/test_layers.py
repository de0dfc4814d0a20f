"""What several families are made of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from srd_jax.models.layers import Excitation, batch_norm, convolution, multiple


@pytest.mark.parametrize(("padding", "side"), [("SYMMETRIC", 4), ("SAME", 4), ("VALID", 3)])
def test_a_convolution_is_padded_as_it_says(padding, side):
    layer = convolution(2, 3, 2, jnp.float32, "conv", padding=padding)
    image = jnp.zeros((1, 8, 8, 1)).at[0, 0, 0, 0].set(1.0)
    variables = {"params": {"kernel": jnp.arange(18.0).reshape(3, 3, 1, 2)}}
    out = layer.apply(variables, image)
    assert out.shape == (1, side, side, 2)
    taken = {"SYMMETRIC": 4, "SAME": 0, "VALID": 0}[padding]  # the kernel's tap over the first pixel
    np.testing.assert_array_equal(out[0, 0, 0], [2 * taken, 2 * taken + 1])


def test_batch_norm_uses_its_statistics_unless_it_trains():
    x = jnp.asarray(np.random.default_rng(0).normal(3, 2, (4, 5, 5, 2)), jnp.float32)
    variables = batch_norm(jnp.float32, "bn").init(jax.random.key(0), x)
    np.testing.assert_allclose(batch_norm(jnp.float32, "bn").apply(variables, x), x / np.sqrt(1 + 1e-5), rtol=1e-6)
    trained, _ = batch_norm(jnp.float32, "bn", train=True).apply(variables, x, mutable="batch_stats")
    np.testing.assert_allclose(trained.mean((0, 1, 2)), 0, atol=1e-5)


def test_a_gate_scales_every_channel_alike_everywhere():
    layer = Excitation(2, ("down", "up"), nn.relu, nn.sigmoid, jnp.float32)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4, 5)), jnp.float32)
    gate = np.asarray(layer.apply(layer.init(jax.random.key(0), x), x) / x)
    assert ((gate > 0) & (gate < 1)).all()
    np.testing.assert_allclose(gate, np.broadcast_to(gate[:, :1, :1], gate.shape), rtol=1e-5)


@pytest.mark.parametrize(("channels", "divisor", "expected"), [(35.2, 8, 32), (19, 8, 24), (3, 8, 8), (192, 56, 224)])
def test_multiples(channels, divisor, expected):
    assert multiple(channels, divisor) == expected
