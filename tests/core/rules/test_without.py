"""Primitives without a rule are refused by name; what is known of them holds."""

import jax
import jax.numpy as jnp
import pytest

import srd_jax as srd
from srd_jax.core.registry import facts_of, rule_for

IMAGES = jnp.ones((2, 4, 5, 3))


@pytest.mark.parametrize(("name", "action", "pattern"), [
    ("fft", "linear", "probe"), ("qr", "other", "probe"), ("random_bits", "random", "probe"),
])  # fmt: skip
def test_they_are_known_and_have_no_rule(name, action, pattern):
    assert rule_for(name) is None
    assert (facts_of(name).action, facts_of(name).pattern) == (action, pattern)


def test_one_without_a_rule_is_refused_by_name():
    def f(_, x):
        return jax.nn.relu(jnp.real(jnp.fft.fft(x, axis=1))).mean((1, 2))

    with pytest.raises(srd.UnsupportedPrimitiveError, match="no sharing rule for primitive 'fft'"):
        srd.explain(f)((), IMAGES, 0)
