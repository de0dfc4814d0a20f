"""Multiply-adds, counted over the jaxpr: position-wise steps and sums of branches cost nothing."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

import srd_jax as srd
from srd_jax import models
from srd_jax.evaluation.cost import multiply_adds


def test_a_loops_body_counts_as_often_as_it_runs():
    def f(x, w):
        return lax.map(lambda _: x @ w, jnp.arange(5))

    assert multiply_adds(f, jnp.ones((2, 3)), jnp.ones((3, 4))) == 5 * 2 * 3 * 4


@pytest.mark.parametrize(
    ("name", "bias", "most"),
    [("resnet50", "norm", 1.8), ("resnet50", "uniform", 1.7), ("vgg16", "norm", 2.8), ("vgg16", "uniform", 2.1)],
)
def test_one_map_costs_little_more_than_a_forward_pass(name, bias, most):
    net = models.load(name, "untrained")
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), net.variables)
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    forward = multiply_adds(net.apply, shapes, images)
    explained = srd.explain(net.apply, bias=bias)
    assert forward < multiply_adds(lambda v, x: explained(v, x, 281), shapes, images) <= most * forward
