"""Ratios of single neurons by hand: R_i = sum_j (w_ij x_i + s_ij b_j) / z_j R_j."""

import jax
import numpy as np
import pytest

from srd_jax.zrule import decompose

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 2, 3, 4))
W, B = RNG.normal(size=(4, 5)), RNG.normal(size=5)


def network(_, x):
    return jax.nn.relu(x @ W + B).mean((1, 2))


@pytest.mark.parametrize("bias", ["norm", "uniform", "none"])
def test_a_dense_layer_with_a_bias(bias):
    with jax.enable_x64(True):
        logits, flow = decompose(network, bias=bias)((), X)
        heat = np.asarray(flow.relevance(2, contrast=None)["input"])
    z = X @ W + B
    top = np.maximum(z, 0)[..., 2] / 6
    contributions = X[..., None] * W
    shares = {
        "norm": np.abs(contributions) / np.abs(contributions).sum(-2, keepdims=True), "uniform": 1 / 4, "none": 0
    }[bias]  # fmt: skip
    ratios = (contributions + shares * B) / z[..., None, :]
    np.testing.assert_allclose(heat, ratios[..., 2].sum(-1) * top, atol=1e-12)
    if bias != "none":
        np.testing.assert_allclose(heat.sum((1, 2)), logits[:, 2], atol=1e-12)


def test_a_gate_is_held_fixed():
    def gated(_, x):
        return jax.nn.relu(x * jax.nn.sigmoid(x.mean((1, 2), keepdims=True))).mean((1, 2))

    with jax.enable_x64(True):
        _, flow = decompose(gated)((), X)
        heat = flow.relevance(1, contrast=None)["input"]
        gate = np.asarray(jax.nn.sigmoid(X.mean((1, 2), keepdims=True)))
    np.testing.assert_allclose(heat, np.maximum(X * gate, 0)[..., 1] / 6, atol=1e-12)
