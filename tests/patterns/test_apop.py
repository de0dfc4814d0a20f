"""Activation-pattern-only prediction: against hand-written networks, by its laws, for every kind of activation."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.ad_checkpoint import checkpoint_name

import srd_jax as srd
from srd_jax import models
from srd_jax.core.evaluate import evaluate
from srd_jax.core.tracing import trace
from srd_jax.patterns import active_layers

IMAGES = jax.random.normal(jax.random.key(0), (2, 9, 8, 3))
PROBE = jax.random.normal(jax.random.key(1), (2, 9, 8, 3))


class Network(nn.Module):
    """Residual, with a max pool. ``states`` are the ReLUs' and the pool's; None runs the ReLUs as usual."""

    patterns: tuple[str, ...] = ()

    @nn.compact
    def __call__(self, x, states=None):
        found, bias = {}, nn.initializers.normal(0.5)

        def relu(x, name):
            found[name] = x > 0
            on = found[name] if states is None else states[name]
            out = jnp.where(on, x, 0.0)
            return checkpoint_name(on.astype(x.dtype) if name in self.patterns else out, name)

        x = relu(nn.Conv(4, (3, 3), bias_init=bias)(x), "stem")
        windows = jnp.stack([x[:, i : i + 7 : 2, j : j + 6 : 2] for i in range(3) for j in range(3)])
        found["pool"] = jnp.argmax(windows, 0)
        switch = found["pool"] if states is None else states["pool"]
        x = jnp.take_along_axis(windows, switch[None], 0)[0]
        main = relu(nn.BatchNorm(True, bias_init=bias)(nn.Conv(5, (3, 3))(x)), "block.relu1")
        x = relu(nn.Conv(4, (1, 1), bias_init=bias)(main) + x, "block.relu2")
        return nn.Dense(3)(x.mean((1, 2))), found


class Ordinary(nn.Module):
    """The same, as one would write it."""

    @nn.compact
    def __call__(self, x):
        bias = nn.initializers.normal(0.5)
        x = checkpoint_name(nn.relu(nn.Conv(4, (3, 3), bias_init=bias)(x)), "stem")
        x = nn.max_pool(x, (3, 3), (2, 2))
        main = nn.relu(nn.BatchNorm(True, bias_init=bias)(nn.Conv(5, (3, 3))(x)))
        main = checkpoint_name(main, "block.relu1")
        x = checkpoint_name(nn.relu(nn.Conv(4, (1, 1), bias_init=bias)(main) + x), "block.relu2")
        return nn.Dense(3)(x.mean((1, 2)))


ORDINARY = Ordinary()
VARIABLES = jax.jit(ORDINARY.init)(jax.random.key(2), IMAGES)
whole = jax.jit(srd.apop(ORDINARY.apply))


def test_the_hand_written_network_is_the_same_network():
    by_hand = Network().apply(VARIABLES, IMAGES)[0]
    np.testing.assert_allclose(by_hand, ORDINARY.apply(VARIABLES, IMAGES), atol=1e-6)


def test_the_images_as_their_own_probe_give_the_logits_bit_by_bit():
    logits = srd.apop(ORDINARY.apply)(VARIABLES, IMAGES, IMAGES)
    # step by step, as steps that are compiled together may round in another way
    program = trace(jax.make_jaxpr(ORDINARY.apply, return_shape=True), VARIABLES, IMAGES)
    known = dict(program.constants) | dict(zip(program.arguments, [*jax.tree.leaves(VARIABLES), IMAGES], strict=True))
    np.testing.assert_array_equal(logits, evaluate(program.equations, known, program.output))
    np.testing.assert_allclose(logits, ORDINARY.apply(VARIABLES, IMAGES), atol=1e-6)


@pytest.mark.parametrize("probe", [PROBE, PROBE[:1], jnp.zeros(()), jnp.array([0.3, -1, 2])], ids=str)
def test_the_whole_network_agrees_with_the_hand_written_one(probe):
    _, states = Network().apply(VARIABLES, IMAGES)
    expected, _ = Network().apply(VARIABLES, jnp.broadcast_to(probe, IMAGES.shape), states)
    ours = whole(VARIABLES, IMAGES, probe)
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    assert jnp.abs(ours - ORDINARY.apply(VARIABLES, IMAGES)).max() > 1e-2


@pytest.mark.parametrize("layer", ["stem", "block.relu1", "block.relu2"])
def test_one_layer_agrees_with_the_hand_written_network(layer):
    expected, _ = Network((layer,)).apply(VARIABLES, IMAGES)
    ours = jax.jit(srd.apop(ORDINARY.apply, layer))(VARIABLES, IMAGES)
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_with_every_unit_on_it_is_the_linear_network():
    def network(weights, x, act):
        first, second, dense = weights
        x = act(x @ first + 50.0)
        return act(x @ second + 500.0).mean((1, 2)) @ dense

    keys = jax.random.split(jax.random.key(4), 3)
    weights = [jax.random.normal(k, s) for k, s in zip(keys, ((3, 6), (6, 5), (5, 4)), strict=True)]
    ours = srd.apop(partial(network, act=jax.nn.relu))(weights, IMAGES, 100 * PROBE)
    np.testing.assert_allclose(ours, network(weights, 100 * PROBE, lambda x: x), rtol=1e-5)
    assert jnp.abs(ours - network(weights, 100 * PROBE, jax.nn.relu)).max() > 1


def test_it_is_affine_in_the_probe():
    at = [whole(VARIABLES, IMAGES, scale * PROBE) for scale in (0.0, 1.0, -3.0)]
    np.testing.assert_allclose(at[2] - at[0], -3 * (at[1] - at[0]), atol=1e-5)


def test_jit_equals_eager_and_a_batch_equals_its_images():
    eager = srd.apop(ORDINARY.apply)(VARIABLES, IMAGES, PROBE)
    np.testing.assert_allclose(whole(VARIABLES, IMAGES, PROBE), eager, atol=1e-6)
    each = jax.vmap(lambda image, probe: srd.apop(ORDINARY.apply)(VARIABLES, image[None], probe[None])[0])(
        IMAGES, PROBE
    )
    np.testing.assert_allclose(each, eager, atol=1e-6)


def test_the_gradient_at_the_images_is_the_networks_own():
    def of(logits):
        return (logits[:, 1]).sum()

    ours = jax.grad(lambda probe: of(srd.apop(ORDINARY.apply)(VARIABLES, IMAGES, probe)))(IMAGES)
    own = jax.grad(lambda images: of(ORDINARY.apply(VARIABLES, images)))(IMAGES)
    np.testing.assert_allclose(ours, own, atol=1e-6)


SAMPLES = jnp.array([-7.0, -1.5, -0.2, 0.0, 0.2, 1.5, 7.0])


def outcome(activation, x, probe):
    """What an activation makes of a probe value under the state it has on x."""

    def f(_, images):
        return activation(images).reshape(images.shape[0], -1)

    return srd.apop(f)((), jnp.full((1, 1, 1, 1), x), probe)[0, 0]


PIECES = {
    "relu": (jax.nn.relu, lambda x, p: p if x > 0 else 0),
    "maximum, constant first": (lambda x: jnp.maximum(0, x), lambda x, p: p if x > 0 else 0),
    "relu6": (jax.nn.relu6, lambda x, p: 0 if x <= 0 else 6 if x >= 6 else p),
    "leaky_relu": (jax.nn.leaky_relu, lambda x, p: p if x >= 0 else 0.01 * p),
    "clip": (lambda x: jnp.clip(x, -1, 1), lambda x, p: -1 if x <= -1 else 1 if x >= 1 else p),
    "clamp": (lambda x: lax.clamp(-1.0, x, 1.0), lambda x, p: -1 if x <= -1 else 1 if x >= 1 else p),
    "hard_tanh": (jax.nn.hard_tanh, lambda x, p: -1 if x < -1 else 1 if x > 1 else p),
    "abs": (jnp.abs, lambda x, p: -p if x < 0 else p),
    "a step": (lambda x: jnp.sign(x) + x, lambda x, p: np.sign(x) + p),
    "a selection": (lambda x: jnp.where(x > 1, 2 * x - 1, x), lambda x, p: 2 * p - 1 if x > 1 else p),
    "maxout": (lambda x: jnp.maximum(2 * x, -x), lambda x, p: 2 * p if x >= 0 else -p),
    "a maximum over channels": (
        lambda x: jnp.max(jnp.concatenate([x, 1 - x, 3 * x], -1), -1, keepdims=True),
        lambda x, p: [p, 1 - p, 3 * p][int(np.argmax([x, 1 - x, 3 * x]))],
    ),
    "a minimum over channels": (
        lambda x: jnp.min(jnp.concatenate([x, 1 - x], -1), -1),
        lambda x, p: [p, 1 - p][int(np.argmin([x, 1 - x]))],
    ),
}
SMOOTH = {
    "sigmoid": (jax.nn.sigmoid, lambda x, p: 1 if x > 0 else 0),
    "tanh": (jnp.tanh, lambda x, p: 1 if x > 0 else -1),
    "silu": (jax.nn.silu, lambda x, p: p if x > 0 else 0),
    "gelu": (jax.nn.gelu, lambda x, p: p if x > 0 else 0),
    "exact gelu": (partial(jax.nn.gelu, approximate=False), lambda x, p: p if x > 0 else 0),
    "softplus": (jax.nn.softplus, lambda x, p: p if x > 0 else 0),
    "elu": (jax.nn.elu, lambda x, p: p if x > 0 else -1 if x < 0 else np.expm1(p)),
}


@pytest.mark.parametrize("kind", PIECES | SMOOTH)
def test_every_activation_keeps_its_state(kind):
    activation, expected = (PIECES | SMOOTH)[kind]
    for x in SAMPLES:
        for probe in (-3.0, 0.5, 2.0):
            ours = outcome(activation, x, probe)
            np.testing.assert_allclose(ours, expected(float(x), probe), rtol=1e-6, err_msg=f"x {x}, probe {probe}")


@pytest.mark.parametrize("kind", PIECES)
def test_a_piecewise_linear_activation_reproduces_its_own_value(kind):
    activation, _ = PIECES[kind]
    for x in SAMPLES:
        np.testing.assert_array_equal(outcome(activation, x, x), np.ravel(activation(jnp.full((1, 1, 1, 1), x)))[0])


@pytest.mark.parametrize(
    ("kind", "size", "strides", "padding", "dilation"),
    [
        ("max", (1, 3, 2, 1), (1, 2, 1, 1), ((0, 0), (1, 2), (0, 1), (0, 0)), (1, 1, 1, 1)),
        ("max", (1, 2, 2, 1), (1, 1, 2, 1), "VALID", (1, 2, 3, 1)),
        ("min", (1, 2, 2, 2), (1, 2, 2, 1), "SAME", (1, 1, 1, 1)),
    ],
)
def test_pools_of_any_geometry_keep_their_switches(kind, size, strides, padding, dilation):
    never, reducer = (-jnp.inf, lax.max) if kind == "max" else (jnp.inf, lax.min)

    def pool(x):
        return lax.reduce_window(x, never, reducer, size, strides, padding, window_dilation=dilation)

    ours = srd.apop(lambda _, x: pool(x).reshape(x.shape[0], -1))((), IMAGES, PROBE)
    _, expected = jax.jvp(pool, (IMAGES,), (PROBE,))  # all values differ, so the derivative reads at the switches
    np.testing.assert_array_equal(ours, expected.reshape(2, -1))


def test_equal_values_in_a_pool_give_the_first():
    def f(_, x):
        return nn.max_pool(x, (2, 2), (2, 2)).reshape(1, -1)

    probe = jnp.arange(4.0).reshape(1, 2, 2, 1)
    assert srd.apop(f)((), jnp.ones((1, 2, 2, 1)), probe) == 0


@pytest.mark.parametrize("act", [jax.nn.gelu, jax.nn.silu, jax.nn.leaky_relu, jax.nn.relu6, jnp.tanh, jax.nn.hard_tanh])
def test_the_pattern_of_one_layer_is_the_sign_of_its_pre_activation(act):
    kernel = jax.random.normal(jax.random.key(6), (3, 4))

    def f(kernel, x):
        return checkpoint_name(act(x @ kernel - 0.2), "hidden").mean((1, 2))

    expected = (IMAGES @ kernel - 0.2 > 0).mean((1, 2))
    np.testing.assert_allclose(srd.apop(f, "hidden")(kernel, IMAGES), expected, atol=1e-6)


def test_layers_without_a_name_are_called_as_in_the_flow():
    class Plain(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.silu(nn.BatchNorm(True)(nn.Conv(4, (3, 3), name="one")(x)))
            return nn.relu(nn.Conv(5, (3, 3), name="two")(x)).mean((1, 2))

    module = Plain()
    variables = jax.jit(module.init)(jax.random.key(3), IMAGES)
    _, flow = jax.eval_shape(srd.decompose(module.apply), variables, IMAGES)
    first, second = (layer.name for layer in flow.layers[1:])
    x = nn.Conv(4, (3, 3)).apply({"params": variables["params"]["one"]}, IMAGES)
    pattern = (x / jnp.sqrt(1 + 1e-5) > 0).astype(x.dtype)
    y = nn.Conv(5, (3, 3)).apply({"params": variables["params"]["two"]}, pattern)
    np.testing.assert_allclose(srd.apop(module.apply, first)(variables, IMAGES), nn.relu(y).mean((1, 2)), atol=1e-6)
    assert srd.apop(module.apply, second)(variables, IMAGES).max() <= 1


def test_a_shortcut_around_the_activation_runs_as_usual():
    def f(kernel, x):
        x = x @ kernel
        return (checkpoint_name(jax.nn.relu(x), "on") + x).mean((1, 2))

    kernel = jax.random.normal(jax.random.key(7), (3, 4))
    x = IMAGES @ kernel
    np.testing.assert_allclose(srd.apop(f, "on")(kernel, IMAGES), ((x > 0) + x).mean((1, 2)), atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "message"),
    [("block.relu3", "no PFV map is called 'block.relu3'; did you mean 'block.relu2'"), ("input", "cannot be told")],
)
def test_layers_that_have_no_pattern(layer, message):
    with pytest.raises(srd.LayerError, match=message):
        srd.apop(ORDINARY.apply, layer)(VARIABLES, IMAGES)


def test_an_activation_that_cannot_be_told():
    def f(kernel, x):
        x = jax.nn.relu(x @ kernel)
        return checkpoint_name(x / jnp.sqrt((x**2).sum(-1, keepdims=True) + 1), "normed").mean((1, 2))

    with pytest.raises(srd.LayerError, match="Give the activation's output a name"):
        srd.apop(f, "normed")(jnp.eye(3), IMAGES)


@pytest.mark.parametrize(
    ("probe", "message"), [(None, "needs a probe"), (jnp.zeros((5, 3)), r"shape \(5, 3\) does not broadcast")]
)
def test_probes_that_cannot_run_through(probe, message):
    with pytest.raises(srd.ShapeError, match=message):
        srd.apop(ORDINARY.apply)(VARIABLES, IMAGES, probe)


@pytest.mark.parametrize(
    "step",
    [partial(jnp.sort, axis=-1), lambda x: lax.while_loop(lambda y: jnp.max(y) > 1, lambda y: jnp.abs(y) / 2, x)],
)
def test_states_that_cannot_be_held(step):
    with pytest.raises(srd.UnsupportedPrimitiveError, match="cannot be held"):
        srd.apop(lambda _, x: step(x).mean((1, 2)))((), IMAGES, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "vgg11_bn"])
def test_the_ports(name):
    net = models.load(name, "untrained")
    images = jax.random.normal(jax.random.key(5), (2, 48, 48, 3))
    logits = jax.jit(net.apply)(net.variables, images)
    ours = jax.jit(srd.apop(net.apply))(net.variables, images, images)
    np.testing.assert_allclose(ours, logits, atol=1e-5 * float(jnp.abs(logits).max()))
    for layer in (net.layers[0], net.layers[-1]):
        assert jnp.isfinite(srd.apop(net.apply, layer)(net.variables, images)).all()


def test_a_linear_output_is_no_active_layer():
    def f(kernel, x):
        x = checkpoint_name(x @ kernel, "linear") @ kernel.T
        return (checkpoint_name(jax.nn.relu6(x), "clipped") @ kernel).mean((1, 2))

    kernel, names = jax.ShapeDtypeStruct((3, 4), jnp.float32), ["linear", "clipped"]
    assert active_layers(f, names, kernel, jax.ShapeDtypeStruct(IMAGES.shape, IMAGES.dtype)) == ("clipped",)
    with pytest.raises(srd.LayerError, match="no PFV map is called 'clip'"):
        active_layers(f, ["clip"], kernel, jax.ShapeDtypeStruct(IMAGES.shape, IMAGES.dtype))
