"""Attention in its several writings, beside an explicit sum over pairs of positions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import srd_jax as srd
from tests.laws import draw, explained

IMAGES = (2, 3, 4, 4)
Q, K, V, OUT = (draw(4, 6, seed=seed) for seed in range(4))
HEADS = 2


def tokens(x):
    return jnp.tanh(x).reshape((len(x), 12, 4))


def by_head(y):
    return y.reshape((*y.shape[:-1], HEADS, 3))


def with_einsum(x):
    q, k, v = (by_head(x @ w) for w in (Q, K, V))
    weights = jax.nn.softmax(jnp.einsum("nthd,nshd->nhts", q, k), -1)
    return jnp.einsum("nhts,nshd->nthd", weights, v).reshape((*x.shape[:-1], 6)) @ OUT.T


def keys_first(x):
    q, k, v = (jnp.swapaxes(by_head(x @ w), 1, 2) for w in (Q, K, V))
    weights = jax.nn.softmax(k @ jnp.swapaxes(q, -1, -2), -2)
    z = jnp.swapaxes(jnp.swapaxes(v, -1, -2) @ weights, -1, -2)
    return jnp.swapaxes(z, 1, 2).reshape((*x.shape[:-1], 6)) @ OUT.T


def head_by_head(x):
    total = 0.0
    for head in range(HEADS):
        part = slice(3 * head, 3 * head + 3)
        q, k, v = (x @ w[:, part] for w in (Q, K, V))
        weights = jax.nn.softmax(q @ k.transpose(0, 2, 1), -1)
        total = total + weights @ v @ OUT.T[part]
    return total


def from_one_product(x):
    q, k, v = jnp.split((x @ jnp.concatenate([Q, K, V], 1)).reshape((len(x), 12, 3, HEADS, 3)), 3, 2)
    weights = jnp.exp(jnp.einsum("nthd,nshd->nhts", q[:, :, 0], k[:, :, 0]))
    weights = weights / weights.sum(-1, keepdims=True)
    return jnp.einsum("nhts,nshd->nthd", weights, v[:, :, 0]).reshape((*x.shape[:-1], 6)) @ OUT.T


def of_products(x):
    q, k, v = (by_head(x @ w) for w in (Q, K, V))
    scores = (q[:, :, None] * k[:, None]).sum(-1)
    weights = jax.nn.softmax(scores, 2)
    return (weights[..., None] * v[:, None]).sum(2).reshape((*x.shape[:-1], 6)) @ OUT.T


WRITINGS = (with_einsum, keys_first, head_by_head, from_one_product)


def block(attention):
    def f(_, images):
        x = tokens(images)
        y = jnp.tanh(x + attention(x) + 0.1)
        return y.mean(1) @ draw(4, 3)

    return f


def test_every_writing_is_the_same():
    flows = [srd.decompose(block(each))(None, draw(*IMAGES))[1] for each in WRITINGS]
    first, *others = (flow.relevance([[0, 2]] * 2, contrast=None)["input"] for flow in flows)
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-9)


@pytest.mark.parametrize("bias", ["norm", "uniform", "none"])
def test_ratios_are_those_of_every_pair_written_out(bias):
    """X_j = x_j + sum_i vhat_{i->j} + b, and what x_j brings by itself and to itself is one contribution."""
    images = draw(*IMAGES)
    x = np.asarray(tokens(images), np.float64)
    q, k, v = (np.asarray(by_head(x @ np.asarray(w))) for w in (Q, K, V))
    scores = np.einsum("nthd,nshd->nhts", q, k)
    a = np.exp(scores - scores.max(-1, keepdims=True))
    a /= a.sum(-1, keepdims=True)
    u = np.einsum("nshd,hdc->nshc", v, np.asarray(OUT.T).reshape(HEADS, 3, 4))
    vhat = np.einsum("nhts,nshc->ntsc", a, u)  # of i at j: [n, j, i]
    vhat[:, range(12), range(12)] += x
    total = vhat.sum(2) + 0.1
    size = np.linalg.norm(vhat, axis=-1)
    share = {"norm": size / size.sum(2, keepdims=True), "uniform": np.full_like(size, 1 / 12), "none": 0 * size}[bias]
    mu = np.einsum("ntsc,ntc->nts", vhat + share[..., None] * 0.1, total) / (total**2).sum(-1)[..., None]
    _, flow = srd.decompose(block(with_einsum), bias=bias)(None, images)
    fields = flow.erf(flow.layers[-1].name)
    np.testing.assert_allclose(np.reshape(fields, (2, 12, 12)), mu, atol=1e-9)


def test_what_a_query_from_elsewhere_weighs():
    """A learnt query has no positions; the mean of the image has none, either."""
    for query in (lambda x: draw(2, 6), lambda x: (x.mean(1) @ Q)[:, None]):

        def pooled(x, query=query):
            k, v = x @ K, x @ V
            scores = k @ jnp.swapaxes(jnp.broadcast_to(query(x), (2, *query(x).shape[-2:])), -1, -2)
            weights = jax.nn.softmax(scores, 1)
            return jnp.einsum("nsq,nsd->nqd", weights, v).reshape((2, -1))

        def f(_, images, pooled=pooled):
            y = pooled(tokens(images)) + 0.1
            return jnp.tanh(y) @ draw(y.shape[-1], 3)

        _, heat, _ = explained(f, draw(*IMAGES))
        assert heat.shape == IMAGES[:3]


def test_channels_that_attend_to_channels():
    """Statistics over positions weigh channels: every position keeps its own relevance."""

    def f(_, images):
        x = tokens(images)
        weights = jax.nn.softmax(jnp.einsum("ntc,ntd->ncd", x @ Q, x @ K), -1)
        return (jnp.einsum("ncd,ntd->ntc", weights, x @ V) + 0.1).mean(1) @ draw(6, 3)

    flow, _, _ = explained(f, draw(*IMAGES))
    assert [layer.grid for layer in flow.layers] == [(3, 4)]


def test_an_outer_product_with_a_mean_is_weighed_by_it():
    def f(_, images):
        x = jnp.tanh(images)
        return jnp.einsum("nhwc,nd->nhwcd", x, x.mean((1, 2))).mean((1, 2)).reshape((2, -1)) @ draw(16, 3)

    explained(f, draw(*IMAGES))


@pytest.mark.parametrize(
    ("f", "said"),
    [
        (lambda _, x: jnp.einsum("nhwc,mhwc->nm", x, x), "images must not mix"),
        (lambda _, x: jax.nn.softmax(jnp.einsum("nhwc,nhwd->ncd", x, x)).sum(1), "coefficients alone"),
    ],
)
def test_what_is_refused(f, said):
    with pytest.raises((srd.UnsupportedPrimitiveError, srd.ShapeError), match=said):
        srd.explain(f)(None, draw(*IMAGES), 0)
