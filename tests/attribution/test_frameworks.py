"""Every method gives one network the same maps, whatever library it is written with."""

import os

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")  # before it is imported
import keras

from srd_jax.attribution import METHODS
from tests.core.test_frameworks import EPSILON, IMAGES, TARGETS, WEIGHTS, equinox, flax_linen, flax_nnx, haiku, plain


def in_keras():
    keras.config.set_floatx("float32")
    layers, inputs = keras.layers, keras.Input((8, 10, 3))
    x = layers.Conv2D(4, 3, name="conv1")(layers.ZeroPadding2D(1)(inputs))
    x = layers.ReLU()(layers.BatchNormalization(epsilon=EPSILON, name="norm")(x))
    x = layers.Conv2D(4, 3, strides=2, name="conv2")(layers.ZeroPadding2D(1)(layers.MaxPooling2D(2)(x)))
    net = keras.Model(inputs, layers.Dense(3, name="dense")(layers.GlobalAveragePooling2D()(layers.ReLU()(x))))
    for layer, weights in WEIGHTS.items():
        order = ("scale", "bias", "mean", "var") if layer == "norm" else ("kernel", "bias")
        net.get_layer(layer).set_weights([np.asarray(weights[name]) for name in order])
    state = [v.value for v in net.trainable_variables], [v.value for v in net.non_trainable_variables]
    return lambda state, x: net.stateless_call(*state, x, training=False)[0], state


FEW = {
    "rise": {"samples": 4, "cells": 3},
    "smoothgrad": {"samples": 2},
    "integrated_gradients": {"steps": 3},
    "occlusion": {"patch": 4},
}
IMAGE, TARGET = IMAGES[:1], TARGETS[:1]


EVERY = (plain, flax_linen, flax_nnx, equinox, haiku, in_keras)
UNLIKE = (plain, equinox, in_keras)
"""Channels first under `jax.vmap`, and padding of its own: what differs most from the plain one."""
WAYS = ("srd", "saliency", "fullgrad", "guided_backprop", "gradcam", "lrp_epsilon_gamma_box", "occlusion")
"""One method of each way to look at a network."""


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_the_same_network_has_the_same_maps(name):
    expected = None
    for network in EVERY if name in WAYS else UNLIKE:
        f, variables = network()
        heat = np.asarray(METHODS[name](f, **FEW.get(name, {}))(variables, IMAGE, TARGET))
        expected = heat if expected is None else expected
        np.testing.assert_allclose(heat, expected, atol=2e-5 * np.abs(expected).max(), err_msg=network.__name__)
        assert np.abs(heat).max() > 0
