"""Primitives without a rule are refused by name; what is known of them holds."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

import srd_jax as srd
from srd_jax.core.registry import facts_of, rule_for

IMAGES = jnp.ones((2, 4, 5, 3))


@pytest.mark.parametrize(("name", "action", "pattern"), [
    ("gather", "selection", "probe"), ("dynamic_slice", "selection", "probe"), ("sort", "other", "refused"),
    ("random_bits", "random", "probe"),
])  # fmt: skip
def test_they_are_known_and_have_no_rule(name, action, pattern):
    assert rule_for(name) is None
    assert (facts_of(name).action, facts_of(name).pattern) == (action, pattern)


def test_a_sort_is_refused_by_name_everywhere():
    def f(_, x):
        return jax.nn.relu(lax.sort(x, dimension=1)).mean((1, 2))

    with pytest.raises(srd.UnsupportedPrimitiveError, match="no sharing rule for primitive 'sort'"):
        srd.explain(f)((), IMAGES, 0)
    with pytest.raises(srd.UnsupportedPrimitiveError, match="'sort' cannot be held"):
        srd.apop(f)((), IMAGES, 0.0)
