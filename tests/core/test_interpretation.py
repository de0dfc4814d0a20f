"""What the forward pass leaves: a value that nothing changes, with the maps and where the head starts."""

from dataclasses import FrozenInstanceError

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from srd_jax.core.interpreter import interpret
from srd_jax.core.tracing import trace

IMAGES = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4, 5)), jnp.float32)
WEIGHTS = jnp.asarray(np.random.default_rng(1).normal(size=(5, 5)), jnp.float32)


def interpreted(head):
    def f(weights, x):
        return head(jax.nn.relu(x.mean(1) @ weights))

    program = trace(jax.make_jaxpr(f, return_shape=True), WEIGHTS, IMAGES)
    return interpret(program, [WEIGHTS], IMAGES, -1)


def test_it_is_frozen():
    found = interpreted(lambda v: v.mean(1))
    with pytest.raises(FrozenInstanceError):
        found.bias = "none"
    with pytest.raises(FrozenInstanceError):
        found.nodes[0].name = "x"
    assert isinstance(found.nodes, tuple)


def test_the_head_starts_at_the_last_map_with_positions():
    found = interpreted(lambda v: jax.nn.relu(v.mean(1) @ WEIGHTS))
    (source,) = found.encoder
    assert found.nodes[source.node].grid == (4,)
    assert found.upstream == (0, source.node)
    assert found.array(source.ref).shape == (2, 4, 5)


def test_which_positions_the_head_reads():
    (all_of,) = interpreted(lambda v: v.mean(1)).encoder
    assert interpreted(lambda v: v.mean(1)).read_by_head(all_of.node).tolist() == [True] * 4
    found = interpreted(lambda v: v[:, 1] + v[:, 3])
    assert found.read_by_head(found.encoder[0].node).tolist() == [False, True, False, True]


def test_no_ratios_are_computed_behind_the_encoders_output():
    found = interpreted(lambda v: jax.nn.relu(v.mean(1) @ WEIGHTS) @ WEIGHTS)
    behind = [node for i, node in enumerate(found.nodes) if i not in found.upstream]
    assert behind
    assert all(edge.ratios is None for node in behind for edge in node.edges)
