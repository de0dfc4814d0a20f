"""Laws of relevance between single neurons; the oracle's tests hold its numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

import srd_jax as srd
from srd_jax import zrule

IMAGES = jax.random.normal(jax.random.key(0), (2, 8, 6, 3))


class Network(nn.Module):
    """A max pool, a residual block, batch norm, a gate and a layer norm."""

    @nn.compact
    def __call__(self, x):
        bias = nn.initializers.normal(0.5)
        x = nn.relu(nn.BatchNorm(True, bias_init=bias)(nn.Conv(4, (3, 3))(x)))
        x = nn.max_pool(x, (2, 2), (2, 2))
        main = nn.Conv(4, (3, 3), bias_init=bias)(nn.silu(nn.Conv(5, (1, 1), bias_init=bias)(x)))
        main = main * nn.sigmoid(nn.Dense(4)(x.mean((1, 2))))[:, None, None]
        x = nn.relu(main + x)
        x = nn.gelu(nn.Conv(5, (3, 3), bias_init=bias)(nn.LayerNorm(bias_init=bias)(x)))
        return nn.Dense(3)(x.mean((1, 2)))


NETWORK = Network()
VARIABLES = jax.jit(NETWORK.init)(jax.random.key(1), IMAGES)


@jax.jit
def plain(variables, images):
    logits, flow = zrule.decompose(NETWORK.apply)(variables, images)
    return logits, flow.relevance(1, contrast=None)


def test_every_layer_sums_to_the_logit():
    logits, relevance = plain(VARIABLES, IMAGES)
    _, flow = jax.eval_shape(srd.decompose(NETWORK.apply), VARIABLES, IMAGES)
    assert "input" in relevance
    assert set(relevance) <= {layer.name for layer in flow.layers}
    for name in ("input", flow.layers[1].name, flow.layers[-1].name):  # a cut through the network each
        np.testing.assert_allclose(relevance[name].sum((1, 2)), logits[:, 1], atol=1e-4)


@pytest.mark.parametrize(
    "options", [{"bias": "uniform"}, {"relevance": "post"}, {"relevance": "post", "bias": "uniform"}]
)
def test_other_options_sum_to_the_logit(options):
    def heat(variables, images):
        logits, flow = zrule.decompose(NETWORK.apply, **options)(variables, images)
        return logits, flow.relevance(1, contrast=None)["input"], flow.relevance(1)["input"]

    logits, ours, contrasted = jax.jit(heat)(VARIABLES, IMAGES)
    np.testing.assert_allclose(ours.sum((1, 2)), logits[:, 1], atol=1e-4)
    np.testing.assert_allclose(contrasted.sum((1, 2)), 0, atol=1e-4)


def test_a_batch_equals_its_images_and_many_targets_one_at_a_time():
    explained = jax.jit(srd.explain(NETWORK.apply, unit="scalar", contrast=None))
    many = explained(VARIABLES, IMAGES, jnp.tile(jnp.arange(3), (2, 1)))
    assert many.shape == (2, 3, 8, 6)
    _, relevance = plain(VARIABLES, IMAGES)
    np.testing.assert_allclose(many[:, 1], relevance["input"], atol=1e-4)
    for i in range(2):
        np.testing.assert_allclose(plain(VARIABLES, IMAGES[i : i + 1])[1]["input"][0], relevance["input"][i], atol=1e-4)


def test_without_jit_it_is_the_same_and_the_flow_is_a_pytree():
    _, flow = jax.jit(zrule.decompose(NETWORK.apply))(VARIABLES, IMAGES)
    _, expected = plain(VARIABLES, IMAGES)
    np.testing.assert_allclose(flow.relevance(1, contrast=None)["input"], expected["input"], atol=1e-4)


def test_one_channel_a_position_is_the_vectors_own_ratio():
    """Where every PFV has one channel, a neuron is its PFV."""

    def network(kernels, x):
        for kernel in kernels:
            x = jax.nn.leaky_relu(lax.conv(x, kernel, (1, 1), "SAME") + 0.3)
        return x.mean((2, 3)) @ jnp.ones((1, 2))

    kernels = [jax.random.normal(jax.random.key(i), (1, 1, 3, 3)) for i in range(2)]
    images = jax.random.normal(jax.random.key(3), (1, 1, 6, 5))
    ours = srd.explain(network, unit="scalar", channel_axis=1)(kernels, images, 0)
    np.testing.assert_allclose(ours, srd.explain(network, channel_axis=1)(kernels, images, 0), atol=1e-4)


@pytest.mark.parametrize("change", [lambda v, x: (v, 0 * x), lambda v, x: (jax.tree.map(lambda w: 0 * w, v), x)])
def test_dead_regions_lose_nothing_and_differentiate(change):
    variables, images = change(VARIABLES, IMAGES)

    @jax.jit
    def gradients(variables, images):
        def energy(v, x):
            return (srd.explain(NETWORK.apply, unit="scalar")(v, x, 1) ** 2).sum()

        return jax.grad(energy, argnums=(0, 1))(variables, images)

    logits, relevance = plain(variables, images)
    np.testing.assert_allclose(relevance["input"].sum((1, 2)), logits[:, 1], atol=1e-4)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(gradients(variables, images)))


def test_what_single_neurons_do_not_have():
    with pytest.raises(ValueError, match="head must be"):
        zrule.decompose(NETWORK.apply, head="sharing")
    with pytest.raises(ValueError, match="head must be"):
        srd.explain(NETWORK.apply, unit="scalar", head="sharing")


@pytest.mark.parametrize("activation", [jnp.sin, jnp.cbrt, jnp.atan])
def test_activations_that_few_networks_have(activation):
    def f(kernel, x):
        return activation(lax.conv(x, kernel, (1, 1), "SAME") + 0.3).mean((2, 3))

    kernel, images = jax.random.normal(jax.random.key(4), (3, 3, 3, 3)), jnp.moveaxis(IMAGES, -1, 1)
    after, before, single = (
        srd.explain(f, channel_axis=1, contrast=None, **options)(kernel, images, 1)
        for options in ({"relevance": "post"}, {}, {"unit": "scalar"})
    )
    for heat in (after, before, single):
        np.testing.assert_allclose(heat.sum((1, 2)), f(kernel, images)[:, 1], atol=1e-4)
    assert jnp.abs(after - before).max() > 1e-3
    assert jnp.abs(single - before).max() > 1e-3


def padded(x):
    return jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=1.0)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda x: jax.nn.relu(nn.avg_pool(padded(x), (3, 3))), "constant other than zero"),
        (lambda x: jnp.cumprod(x, -1), "no rule"),
    ],
)
def test_steps_that_are_refused(step, message):
    with pytest.raises(srd.UnsupportedPrimitiveError, match=message):
        srd.explain(lambda _, x: step(jax.nn.relu(x)).mean((1, 2)), unit="scalar")((), IMAGES, 0)
