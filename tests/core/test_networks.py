"""Small networks of the families that users will bring: nothing is lost, both directions agree, the rest is refused."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import srd_jax as srd

IMAGES = jax.random.normal(jax.random.key(0), (2, 9, 8, 3))
norm = partial(nn.BatchNorm, use_running_average=True)


def densenet(x):
    x = nn.Conv(4, (3, 3), 2, use_bias=False)(x)
    for _ in range(2):
        y = nn.Conv(4, (1, 1), use_bias=False)(nn.relu(norm()(x)))
        x = jnp.concatenate([x, nn.Conv(2, (3, 3), use_bias=False)(nn.relu(norm()(y)))], -1)
    x = nn.avg_pool(nn.Conv(4, (1, 1))(nn.relu(norm()(x))), (2, 2), (2, 2))
    return nn.Dense(3)(nn.relu(norm()(x)).mean((1, 2)))


def squeezenet(x):
    x = nn.max_pool(nn.relu(nn.Conv(4, (3, 3))(x)), (3, 3), (2, 2), ((0, 1), (0, 1)))
    for channels in (3, 2):
        x = nn.relu(nn.Conv(2, (1, 1))(x))
        x = jnp.concatenate([nn.relu(nn.Conv(channels, (k, k))(x)) for k in (1, 3)], -1)
    return nn.relu(nn.Conv(3, (1, 1))(nn.Dropout(0.5, deterministic=True)(x))).mean((1, 2))


def mobilenet(x):
    x = nn.relu6(norm()(nn.Conv(4, (3, 3), 2)(x)))
    for stride in (1, 2):
        y = nn.hard_swish(norm()(nn.Conv(6, (1, 1))(x)))
        y = nn.relu6(norm()(nn.Conv(6, (3, 3), stride, feature_group_count=6)(y)))
        gate = nn.Conv(6, (1, 1))(nn.relu(nn.Conv(2, (1, 1))(y.mean((1, 2), keepdims=True))))
        y = norm()(nn.Conv(4, (1, 1))(y * nn.hard_sigmoid(gate)))
        x = x + y if stride == 1 else y
    return nn.Dense(3)(x.mean((1, 2)))


def convnext(x):
    x = nn.LayerNorm()(nn.Conv(4, (2, 2), 2, padding="VALID")(x))
    y = nn.LayerNorm()(nn.Conv(4, (3, 3), feature_group_count=4)(x))
    y = nn.Dense(4)(nn.gelu(nn.Dense(6)(y)))
    x = x + 0.3 * y
    x = nn.Conv(5, (2, 2), 2, padding="VALID")(nn.LayerNorm()(x))
    return nn.Dense(3)(nn.LayerNorm()(x.mean((1, 2))))


def inception(x):
    x = nn.relu(norm()(nn.Conv(4, (3, 3))(x)))
    factored = nn.relu(norm()(nn.Conv(2, (5, 1))(nn.relu(norm()(nn.Conv(3, (1, 5))(x))))))
    averaged = nn.relu(norm()(nn.Conv(2, (1, 1))(nn.avg_pool(x, (3, 3), padding="SAME", count_include_pad=False))))
    reduced = nn.relu(norm()(nn.Conv(2, (1, 1))(x)))
    pooled = nn.max_pool(x, (3, 3), padding="SAME")
    x = jnp.concatenate([reduced, factored, averaged, pooled], -1)
    x = jnp.concatenate([nn.max_pool(x, (3, 3), (2, 2)), nn.relu(nn.Conv(2, (3, 3), 2, padding="VALID")(x))], -1)
    return nn.Dense(3)(x.mean((1, 2)))


def group_norm(x):
    x = nn.relu(nn.GroupNorm(2)(nn.Conv(4, (3, 3), 2)(x)))
    y = nn.GroupNorm(2)(nn.Conv(4, (3, 3))(x))
    return nn.Dense(3)(nn.relu(x + y).mean((1, 2)))


def multi_scale(x):
    fine = nn.relu(nn.Conv(4, (3, 3))(x))
    coarse = nn.relu(nn.Conv(4, (3, 3), 2)(nn.max_pool(fine, (2, 2), (2, 2)) + 0.1))
    return nn.Dense(3)(jnp.concatenate([fine.mean((1, 2)), coarse.max((1, 2))], -1)) + nn.Dense(3)(
        nn.tanh(coarse)[:, 0, 0]
    )


def shared_weights(x):
    again = nn.Conv(3, (3, 3), padding="CIRCULAR")
    return nn.Dense(3)(nn.relu(nn.Dense(5)(nn.relu(again(nn.relu(again(x)) + x)).reshape(x.shape[0], -1))))


def decoder(x):
    skip = nn.relu(nn.Conv(4, (3, 3))(x))
    small = nn.relu(nn.Conv(4, (1, 1), 3)(skip))
    large = nn.ConvTranspose(4, (3, 3), (3, 3))(small)[:, :, :8]
    tall = jnp.concatenate([skip, nn.relu(large)], 1)
    return nn.Dense(3)(nn.relu(nn.Conv(3, (3, 3))(tall)).mean((1, 2)))


def wrapped(call):
    class Network(nn.Module):
        @nn.compact
        def __call__(self, x):
            return call(x)

    module = Network()
    leaves, tree = jax.tree.flatten_with_path(jax.eval_shape(module.init, jax.random.key(0), IMAGES))
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        value = rng.normal(size=leaf.shape).astype(np.float32)
        positive = any(word in jax.tree_util.keystr(path) for word in ("var", "scale"))
        return jnp.asarray(0.5 + np.abs(value) if positive else 0.5 * value)

    return module.apply, jax.tree.unflatten(tree, [draw(*leaf) for leaf in leaves])


def transformer(x):
    x = nn.Conv(4, (4, 4), 4, padding="VALID")(x).reshape(2, 4, 4)
    x = x + nn.MultiHeadDotProductAttention(2)(nn.LayerNorm()(x))
    return nn.Dense(3)(x.mean(1))


def mixer(x):
    x = nn.Conv(4, (4, 4), 4, padding="VALID")(x).reshape(2, 4, 4)
    return nn.Dense(3)((x + nn.Dense(4)(x.swapaxes(1, 2)).swapaxes(1, 2)).mean(1))


def recurrent(x):
    rows = nn.relu(nn.Conv(4, (3, 3))(x)).mean(2)
    return nn.Dense(3)(nn.RNN(nn.SimpleCell(4))(rows)[:, -1])


@pytest.mark.parametrize(
    "network",
    [
        densenet,
        squeezenet,
        mobilenet,
        convnext,
        inception,
        group_norm,
        multi_scale,
        shared_weights,
        decoder,
        transformer,
        mixer,
        recurrent,
    ],
)
def test_nothing_is_lost_and_both_directions_agree(network):
    f, variables = wrapped(network)

    def everything(variables, images):
        logits, flow = srd.decompose(f)(variables, images)
        last = flow.layers[-1].name
        return logits, flow.relevance(1, contrast=None)["input"], flow.erf(last), flow.erf(last, direction="forward")

    logits, heat, backward, forward = jax.jit(everything)(variables, IMAGES)
    np.testing.assert_allclose(logits, f(variables, IMAGES), atol=1e-5)
    np.testing.assert_allclose(heat.sum((1, 2)), logits[:, 1], atol=1e-4)
    np.testing.assert_allclose(backward.sum((-2, -1)), 1, atol=1e-4)
    np.testing.assert_allclose(forward, backward, atol=1e-5)
