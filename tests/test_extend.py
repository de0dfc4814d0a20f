"""What authors of rules may import is there, and enough for a rule of every sort."""

from functools import partial

import jax
import numpy as np

import srd_jax as srd
from srd_jax import extend


def test_what_is_published_is_there():
    assert all(hasattr(extend, name) for name in extend.__all__)
    assert sorted(extend.__all__) == extend.__all__


def test_what_a_rule_may_ask_of_the_interpreter():
    for method in ("close", "name", "hold", "unsupported"):
        assert getattr(extend.Interpreter, method).__doc__


def test_a_linear_rule_keeps_a_sum_open():
    """Twice a sum, by a rule of one's own in place of the package's."""
    earlier = extend.rule_for("neg")

    def rule(interpreter, equation, operands):
        (value,) = operands
        return extend.extend(value, lambda x: extend.bind(equation, x)[0], value.layout, position_invariant=True)

    def network(weights, x):
        return jax.nn.relu(-(x @ weights)).mean((1, 2))

    images, weights = jax.random.normal(jax.random.key(0), (2, 3, 4, 5)), jax.random.normal(jax.random.key(1), (5, 3))
    expected = srd.explain(network)(weights, images, 1)
    extend.register_rule("neg")(rule)
    try:
        heat = srd.explain(partial(network))(weights, images, 1)
    finally:
        extend.register_rule("neg")(earlier)
    np.testing.assert_allclose(heat, expected, atol=1e-6)
    assert extend.facts_of("neg").action == "scale"
