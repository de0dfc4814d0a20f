"""The sharing ratios of one sum, by hand: mu = < vhat + s b , X > / ||X||^2."""

import jax.numpy as jnp
import numpy as np
import pytest

from srd_jax.core import layout as lay
from srd_jax.core.paths import paths_of
from srd_jax.core.sharing import is_lone, sharing_ratios
from srd_jax.core.values import Map, Sum, Term

RNG = np.random.default_rng(0)
A, B = (jnp.asarray(RNG.normal(size=(2, 3, 4)), jnp.float32) for _ in range(2))
BIAS = jnp.asarray(RNG.normal(size=4), jnp.float32)
LAYOUT = lay.of_images(A.shape, -1)


def ratios(a, b, bias, mode):
    terms = tuple(Term(Map(x, LAYOUT, node), x, LAYOUT) for node, x in enumerate((a, b)))
    total = Sum(a + b + bias, LAYOUT, terms, biased=True)
    found = sharing_ratios(total, mode, paths_of(terms, [0, 1], [None, None]))
    return [np.asarray(ratio)[0] for ratio in found]


@pytest.mark.parametrize("mode", ["norm", "uniform", "none"])
def test_two_branches_and_a_bias(mode):
    x = np.asarray(A + B + BIAS)
    norms = [np.linalg.norm(each, axis=-1) for each in (A, B)]
    shares = {"norm": [n / sum(norms) for n in norms], "uniform": [0.5, 0.5], "none": [0, 0]}[mode]
    square = (x * x).sum(-1)
    for found, vhat, share in zip(ratios(A, B, BIAS, mode), (A, B), shares, strict=True):
        expected = (np.asarray(vhat) * x).sum(-1) / square + share * (np.asarray(BIAS) * x).sum(-1) / square
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e18])
def test_ratios_sum_to_one_at_any_scale(scale):
    found = ratios(scale * A, scale * B, scale * BIAS, "norm")
    np.testing.assert_allclose(sum(found), 1, atol=1e-5)


def test_a_sum_of_zeros_is_split_evenly():
    zero = jnp.zeros_like(A)
    np.testing.assert_allclose(ratios(zero, zero, jnp.zeros(4), "norm"), 0.5)


def test_one_contributor_has_it_all():
    alone = Sum(A, LAYOUT, (Term(Map(A, LAYOUT, 0), A, LAYOUT),))
    assert is_lone(alone)
    assert sharing_ratios(alone, "norm", paths_of(alone.terms, [0], [None])) == [None]
