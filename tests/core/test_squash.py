"""Functions that end in probabilities are recognised, and warned of where the map would be rounding noise."""

import warnings

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name

import srd_jax as srd
from srd_jax.core.squash import squash_of
from srd_jax.core.tracing import trace
from srd_jax.errors import SaturationWarning

IMAGES = jax.random.normal(jax.random.key(0), (2, 4, 3, 3))


def logits(scale, x):
    return scale * jnp.tanh(x).mean((1, 2))


def kind_of(f):
    return squash_of(trace(jax.make_jaxpr(f, return_shape=True), 1.0, IMAGES)).step


ENDS = {
    "softmax": (jax.nn.softmax, "softmax"),
    "Flax's softmax": (nn.softmax, "softmax"),
    "softmax by hand": (lambda y: (e := jnp.exp(y)) / e.sum(-1, keepdims=True), "softmax"),
    "log_softmax": (jax.nn.log_softmax, "log_softmax"),
    "Flax's log_softmax": (nn.log_softmax, "log_softmax"),
    "sigmoid": (jax.nn.sigmoid, "sigmoid"),
    "reshaped": (lambda y: jax.nn.softmax(y[:, None])[:, 0], "softmax"),
    "cast": (lambda y: jax.nn.sigmoid(y).astype(jnp.bfloat16).astype(jnp.float32), "sigmoid"),
    "named": (lambda y: checkpoint_name(jax.nn.log_softmax(y), "probabilities"), "log_softmax"),
    "jitted": (jax.jit(jax.nn.softmax), "softmax"),
    "logits": (lambda y: y, ""),
    "a sigmoid before the end": (lambda y: 3 * jax.nn.sigmoid(y), ""),
    "a softmax before the end": (lambda y: jax.nn.softmax(y) @ jnp.eye(3), ""),
}


@pytest.mark.parametrize("case", ENDS)
def test_what_a_function_ends_in(case):
    end, kind = ENDS[case]
    assert kind_of(lambda scale, x: end(logits(scale, x))) == kind


def test_a_constant_function_ends_in_nothing():
    assert kind_of(lambda scale, x: jnp.ones((2, 3))) == ""


@pytest.mark.parametrize("end", [jax.nn.softmax, jax.nn.log_softmax, jax.nn.sigmoid])
def test_saturated_probabilities_are_warned_of(end):
    def f(scale, x):
        return end(logits(scale, x))

    line = f.__code__.co_firstlineno + 1
    with pytest.warns(SaturationWarning, match=f"ends in a {end.__name__} at .*{__file__}:{line}.*return what goes"):
        srd.explain(f)(1e4, IMAGES, 0)
    with pytest.warns(SaturationWarning, match=end.__name__):
        srd.decompose(f)(1e4, IMAGES)
    srd.explain(f)(1.0, IMAGES, 0)  # a warning would be an error


def test_under_jit_it_is_warned_of_once_while_tracing():
    jitted = jax.jit(srd.explain(lambda scale, x: jax.nn.softmax(logits(scale, x))))
    with pytest.warns(SaturationWarning, match="softmax") as caught:
        jitted(1.0, IMAGES, 0)
    assert len(caught) == 1
    with warnings.catch_warnings(record=True) as again:
        jitted(1.0, 2 * IMAGES, 0)
    assert not again


def test_a_softmax_in_the_middle_is_not_warned_of():
    def f(scale, x):
        return jax.nn.softmax(scale * x).mean((1, 2)) @ jnp.asarray(np.eye(3), jnp.float32)

    srd.explain(f)(1e4, IMAGES, 0)
    jax.jit(srd.explain(f))(1e4, IMAGES, 0)
