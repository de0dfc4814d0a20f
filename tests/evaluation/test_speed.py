"""What is compared, and that costs are told of what was run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import srd_jax as srd
from srd_jax.evaluation.speed import FORWARD, Cost, measure, subjects

CLASSES, SIDE = 12, 32


def conv(x, kernel, stride):
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=numbers)


def f(variables, images):
    first, second, dense = variables
    x = jnp.maximum(conv(images, first, 8), 0)
    x = jnp.maximum(conv(x, second, 2), 0)
    return jnp.mean(x, (1, 2)) @ dense


@pytest.fixture(scope="module")
def variables():
    keys = jax.random.split(jax.random.key(0), 3)
    shapes = (8, 8, 3, 6), (3, 3, 6, 8), (8, CLASSES)
    return [jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True)]


@pytest.fixture(scope="module")
def images():
    return jax.random.normal(jax.random.key(1), (2, SIDE, SIDE, 3))


@pytest.mark.slow
def test_subjects_are_what_their_names_say(variables, images):
    compared = subjects(f, variables, jax.ShapeDtypeStruct(images.shape, images.dtype))
    got = {name: jax.jit(fn)(variables, images) for name, fn in compared.items()}
    _, flow = srd.decompose(f)(variables, images)
    finer, encoder = flow.layers[1].name, flow.layers[2].name
    wanted = {
        FORWARD: f(variables, images),
        "jax.grad of a logit": jax.grad(lambda x: f(variables, x)[:, 0].sum())(images),
        "SRD, one map": srd.explain(f)(variables, images, 0),
        "SRD, 10 classes": srd.explain(f)(variables, images, jnp.tile(jnp.arange(10), (2, 1))),
        f"SRD, 4 ERFs of {encoder}": flow.erf(encoder),
        f"SRD, 16 ERFs of {finer}": flow.erf(finer),
    }
    assert list(got) == list(wanted)
    for name, expected in wanted.items():
        np.testing.assert_allclose(got[name], expected, rtol=1e-4, atol=1e-5, err_msg=name)


def test_the_bias_is_the_one_asked_for(variables, images):
    shape = jax.ShapeDtypeStruct(images.shape, images.dtype)
    got = subjects(f, variables, shape, bias="uniform")["SRD, one map"](variables, images)
    np.testing.assert_allclose(got, srd.explain(f, bias="uniform")(variables, images, 0), rtol=1e-4, atol=1e-5)


def test_a_finer_layer_only_where_there_is_one(variables):
    small = jax.ShapeDtypeStruct((1, SIDE + 8, SIDE, 3), jnp.float32)
    pooled = subjects(lambda v, x: f(v, x[:, 4:-4]), variables, small)
    assert len(pooled) == 5


def test_costs_are_of_every_round_and_of_the_arrays(variables, images):
    calls = []
    compared = {FORWARD: f, "twice": lambda v, x: jnp.concatenate([f(v, x), f(v, 2 * x)])}
    costs = measure(compared, variables, images, rounds=3, advance=calls.append)
    assert list(costs) == list(compared)
    assert len(calls) == 2 * (1 + 1 + 3)
    for cost in costs.values():
        assert len(cost.seconds) == len(cost.ratios) == 3
        assert min(cost.seconds) > 0
        assert cost.temporary_bytes >= 0
        assert cost.trace_seconds > 0
        assert cost.compile_seconds > 0
    assert costs["twice"].lines > costs[FORWARD].lines > 5
    assert costs[FORWARD].ratios == (1, 1, 1)
    assert costs[FORWARD].output_bytes == 2 * CLASSES * 4
    assert costs["twice"].output_bytes == 2 * 2 * CLASSES * 4
    pairs = zip(costs["twice"].seconds, costs[FORWARD].seconds, strict=True)
    assert costs["twice"].ratios == tuple(a / b for a, b in pairs)


def test_the_spread_is_the_median_and_the_quartiles():
    cost = Cost((4.0, 1.0, 2.0, 3.0, 5.0), (1.0,) * 5, None, 0, None, 0.1, 0.2, 3)
    assert cost.spread() == (3, 2, 4)
    assert cost.spread("ratios") == (1, 1, 1)
