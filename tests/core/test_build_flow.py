"""From nodes to layers: maps that are one are merged, names are unique, receptive fields widen step by step."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from jax.ad_checkpoint import checkpoint_name

import srd_jax as srd
from srd_jax.core.build_flow import build_flow, layer_refs
from srd_jax.core.interpreter import interpret
from srd_jax.core.tracing import trace

IMAGES = jnp.ones((2, 9, 8, 3))
KERNELS = [jnp.ones((3, 3, 3, 4)), jnp.ones((3, 3, 4, 4))]


def convolve(x, kernel, stride):
    return lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def network(kernels, x):
    x = checkpoint_name(jax.nn.relu(convolve(x, kernels[0], 2) + 0.1), "same")
    x = checkpoint_name(jax.nn.relu(convolve(x, kernels[1], 1)), "same")
    return jax.nn.relu(convolve(x, kernels[1], 1)).mean((1, 2))


@pytest.fixture(scope="module")
def interpretation():
    program = trace(jax.make_jaxpr(network, return_shape=True), KERNELS, IMAGES)
    return interpret(program, jax.tree.leaves(KERNELS), IMAGES, -1)


def test_a_named_activation_is_one_layer_and_names_are_unique(interpretation):
    flow = build_flow(interpretation)
    assert [layer.name for layer in flow.layers][:3] == ["input", "same", "same#2"]
    assert len(flow.layers) == 4
    assert [(edge.source, edge.target) for edge in flow.edges] == [(0, 1), (1, 2), (2, 3)]


def test_receptive_fields_widen_by_stride(interpretation):
    assert [layer.receptive_field for layer in build_flow(interpretation).layers] == [(1, 1), (3, 3), (7, 7), (9, 8)]


def test_every_layer_is_a_value_of_the_program(interpretation):
    refs = layer_refs(interpretation)
    shapes = [interpretation.array(ref).shape for ref in refs]
    assert shapes == [(2, 9, 8, 3), *[(2, 5, 4, 4)] * 3]


def test_without_recursion_there_are_layers_and_no_edges():
    program = trace(jax.make_jaxpr(network, return_shape=True), KERNELS, IMAGES)
    flow = build_flow(interpret(program, jax.tree.leaves(KERNELS), IMAGES, -1, recursion=False))
    assert flow.edges == ()
    assert flow.layers == srd.decompose(network)(KERNELS, IMAGES)[1].layers
