"""The laws of the transformations: they compose with JAX, and nothing is lost on the way."""

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
from srd_jax.core.edges import enlarge

IMAGES = jax.random.normal(jax.random.key(0), (3, 12, 10, 3))


class Residual(nn.Module):
    """A stem with a max pool, a residual block with a projection, batch norm throughout."""

    dtype: type = jnp.float32

    @nn.compact
    def __call__(self, x):
        conv, norm = partial(nn.Conv, dtype=self.dtype), partial(nn.BatchNorm, True, dtype=self.dtype)
        x = nn.relu(norm()(conv(6, (3, 3))(x)))
        x = nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        main = norm()(conv(8, (3, 3), 2)(nn.relu(norm()(conv(6, (1, 1))(x)))))
        x = nn.relu(main + norm()(conv(8, (1, 1), 2)(x)))
        return nn.Dense(5)(x.mean((1, 2))).astype(jnp.float32)


def random_variables(module, key):
    shapes = jax.eval_shape(module.init, jax.random.key(0), IMAGES)
    leaves, tree = jax.tree.flatten_with_path(shapes)
    keys = jax.random.split(key, len(leaves))

    def draw(path, leaf, key):
        if "var" in jax.tree_util.keystr(path) or "scale" in jax.tree_util.keystr(path):
            return 0.5 + jax.random.uniform(key, leaf.shape)
        return 0.4 * jax.random.normal(key, leaf.shape)

    return jax.tree.unflatten(tree, [draw(path, leaf, k) for (path, leaf), k in zip(leaves, keys, strict=True)])


MODULE = Residual()
VARIABLES = random_variables(MODULE, jax.random.key(1))
TARGETS = jnp.array([1, 4, 0])
explained = srd.explain(MODULE.apply)
jitted = jax.jit(explained)


def test_jit_equals_eager():
    np.testing.assert_allclose(jitted(VARIABLES, IMAGES, TARGETS), explained(VARIABLES, IMAGES, TARGETS), atol=2e-6)


def test_a_batch_of_eight_equals_its_images_one_by_one():
    images, targets = jax.random.normal(jax.random.key(8), (8, *IMAGES.shape[1:])), jnp.arange(8) % 5
    one = [jitted(VARIABLES, images[i : i + 1], targets[i : i + 1])[0] for i in range(8)]
    np.testing.assert_allclose(jitted(VARIABLES, images, targets), jnp.stack(one), atol=2e-6)


def test_vmap_over_images_and_over_an_ensemble():
    ensemble = jax.tree.map(lambda x: jnp.stack([x, 1.1 * x]), VARIABLES)
    both = jax.jit(jax.vmap(jax.vmap(explained, (None, 0, None)), (0, None, None)))(ensemble, IMAGES[:, None], 2)
    for member in range(2):
        variables = jax.tree.map(lambda x, member=member: x[member], ensemble)
        np.testing.assert_allclose(both[member, :, 0], jitted(variables, IMAGES, jnp.full(3, 2)), atol=2e-6)


def test_many_targets_equal_one_at_a_time():
    many = jitted(VARIABLES, IMAGES, jnp.tile(jnp.arange(5), (3, 1)))
    assert many.shape == (3, 5, 12, 10)
    for target in range(5):
        np.testing.assert_allclose(many[:, target], jitted(VARIABLES, IMAGES, jnp.full(3, target)), atol=2e-6)


@pytest.mark.slow
def test_the_derivative_is_finite_and_agrees_with_differences():
    with jax.enable_x64(True):
        variables = jax.tree.map(lambda x: x.astype(jnp.float64), VARIABLES)
        module, images = Residual(jnp.float64), IMAGES.astype(jnp.float64)
        direction = jax.random.normal(jax.random.key(3), images.shape, jnp.float64)

        @jax.jit
        def maps(t):
            return srd.explain(module.apply)(variables, images + t * direction, 1)

        _, tangent = jax.jvp(maps, (0.0,), (1.0,))
        step = 1e-6
        np.testing.assert_allclose(tangent, (maps(step) - maps(-step)) / (2 * step), atol=1e-5 * jnp.abs(tangent).max())
        gradient = jax.jit(jax.grad(lambda x: (srd.explain(module.apply)(variables, x, 1) ** 2).sum()))(images)
        back = jnp.vdot(gradient, direction)
        np.testing.assert_allclose(back, 2 * jnp.vdot(maps(0.0), tangent), rtol=1e-8)


def test_checkpointed_models_have_the_same_maps():
    again = jax.jit(srd.explain(jax.checkpoint(MODULE.apply)))(VARIABLES, IMAGES, TARGETS)
    np.testing.assert_allclose(again, jitted(VARIABLES, IMAGES, TARGETS), atol=2e-6)


def test_a_bfloat16_model_keeps_the_account():
    logits, flow = jax.jit(srd.decompose(Residual(jnp.bfloat16).apply))(VARIABLES, IMAGES)
    heat = flow.relevance(1, contrast=None)["input"]
    assert heat.dtype == jnp.float32
    np.testing.assert_allclose(heat.sum((1, 2)), logits[:, 1], atol=1e-5)


@pytest.mark.parametrize("head", ["linear", "sharing"])
@pytest.mark.parametrize("bias", ["norm", "uniform", "none"])
def test_every_layer_closes_the_account(bias, head):
    def everything(variables, images):
        logits, flow = srd.decompose(MODULE.apply, bias=bias, head=head)(variables, images)
        fields = {layer.name: flow.erf(layer.name) for layer in flow.layers}
        return logits, flow.relevance(1, contrast=None), flow.kept_by_biases(1, contrast=None), fields

    logits, relevance, kept, fields = jax.jit(everything)(VARIABLES, IMAGES)
    biases = sum(jnp.sum(k, tuple(range(1, k.ndim))) for k in kept.values())
    _, flow = jax.eval_shape(srd.decompose(MODULE.apply, bias=bias, head=head), VARIABLES, IMAGES)
    last = flow.layers[-1].name
    np.testing.assert_allclose(relevance["input"].sum((1, 2)) + biases, relevance[last].sum((1, 2)), atol=1e-5)
    if bias != "none":
        np.testing.assert_allclose(relevance["input"].sum((1, 2)), logits[:, 1], atol=1e-5)
    np.testing.assert_allclose(
        jnp.einsum("np,nphw->nhw", relevance[last].reshape(3, -1), fields[last]), relevance["input"], atol=1e-5
    )


def test_forward_fields_equal_backward_fields_at_every_layer():
    _, flow = jax.jit(srd.decompose(MODULE.apply))(VARIABLES, IMAGES[:1])
    for layer in flow.layers:
        back = jax.jit(lambda flow, name=layer.name: flow.erf(name))(flow)
        ahead = jax.jit(lambda flow, name=layer.name: flow.erf(name, direction="forward", chunk=32))(flow)
        np.testing.assert_allclose(ahead, back, atol=1e-6)
        np.testing.assert_allclose(back.sum((-2, -1)), 1, atol=1e-5)
    for way in ("backward", "forward"):
        none = jax.eval_shape(
            lambda flow, w=way: flow.erf(flow.layers[-1].name, np.zeros((0, 2), int), direction=w), flow
        )
        assert none.shape == (1, 0, *flow.layers[0].grid)


def test_against_the_value_after_the_activation_nothing_is_lost():
    def everything(variables, images):
        logits, flow = srd.decompose(MODULE.apply, relevance="post")(variables, images)
        return logits, flow.relevance(1, contrast=None)["input"], flow.erf(flow.layers[-1].name)

    logits, heat, fields = jax.jit(everything)(VARIABLES, IMAGES)
    np.testing.assert_allclose(heat.sum((1, 2)), logits[:, 1], atol=1e-5)
    np.testing.assert_allclose(fields.sum((-2, -1)), 1, atol=1e-4)
    before = jitted(VARIABLES, IMAGES, jnp.ones(3, int))
    assert jnp.abs(srd.explain(MODULE.apply, relevance="post")(VARIABLES, IMAGES, 1) - before).max() > 0.01


def test_what_flows_into_inactive_channels_is_lost_against_the_value_after():
    def network(kernel, x):  # one output position; channel 1 is inactive and hears the second pixel alone
        x = lax.conv_general_dilated(x, kernel, (2, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return checkpoint_name(jax.nn.relu(x), "last").mean((1, 2))

    kernel = jnp.array([[[[1.0, 0.0]]], [[[0.0, -1.0]]]])
    images = jnp.array([1.0, 3.0, 2.0, 1.0]).reshape(1, 4, 1, 1)
    fields = {
        kind: srd.decompose(network, relevance=kind)(kernel, images)[1].erf("last", [[0, 0]])[0, 0, :, 0]
        for kind in ("pre", "post")
    }
    np.testing.assert_allclose(fields["pre"], [0.1, 0.9, 0, 0], atol=1e-6)
    np.testing.assert_allclose(fields["post"], [1, 0, 0, 0], atol=1e-6)


def test_an_uneven_enlargement_keeps_every_sum():
    maps = jax.random.normal(jax.random.key(8), (2, 4, 3, 4))
    np.testing.assert_allclose(enlarge(maps, (10, 9)).sum((2, 3)), maps.sum((2, 3)), atol=1e-5)
    with pytest.raises(srd.ShapeError, match="cannot be enlarged"):
        enlarge(maps, (10,))


DEAD = {
    "a black image": (lambda v: v, lambda x: 0 * x),
    "filters of zeros": (
        lambda v: jax.tree.map_with_path(lambda p, x: 0 * x if "Conv_1" in jax.tree_util.keystr(p) else x, v),
        lambda x: x,
    ),
    "nothing but zeros": (lambda v: jax.tree.map(lambda x: 0 * x, v), lambda x: x),
    "a black half without biases": (
        lambda v: jax.tree.map_with_path(lambda p, x: 0 * x if "bias" in jax.tree_util.keystr(p) else x, v),
        lambda x: x.at[:, :6].set(0),
    ),
}


@pytest.mark.parametrize("case", DEAD)
def test_dead_regions_lose_nothing_and_differentiate(case):
    change, darken = DEAD[case]
    variables, images = change(VARIABLES), darken(IMAGES)

    def everything(variables, images):
        logits, flow = srd.decompose(MODULE.apply)(variables, images)
        return logits, flow.relevance(1, contrast=None)["input"], flow.erf(flow.layers[-1].name)

    logits, heat, fields = jax.jit(everything)(variables, images)
    gradients = jax.jit(jax.grad(lambda v, x: (explained(v, x, 1) ** 2).sum(), argnums=(0, 1)))(variables, images)
    np.testing.assert_allclose(heat.sum((1, 2)), logits[:, 1], atol=1e-5)
    np.testing.assert_allclose(fields.sum((-2, -1)), 1, atol=1e-5)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(gradients))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "vgg11", "efficientnet_b0", "mobilenet_v2", "convnext_tiny"])
def test_the_ports_close_the_account(name):
    net = models.load(name, "untrained")
    images = jax.random.normal(jax.random.key(5), (1, 64, 64, 3))

    def everything(variables, images):
        logits, flow = srd.decompose(net.apply)(variables, images)
        return logits, flow.relevance(3, contrast=None)["input"], flow.erf(flow.layers[-1].name, [[0, 0], [1, 1]])

    logits, heat, fields = jax.jit(everything)(net.variables, images)
    scale = max(1.0, float(jnp.abs(logits[0, 3])))
    np.testing.assert_allclose(heat.sum(), logits[0, 3], atol=1e-4 * scale)
    np.testing.assert_allclose(fields.sum((-2, -1)), 1, atol=1e-4)


def test_contrast_is_taken_image_by_image():
    _, flow = jax.jit(srd.decompose(MODULE.apply))(VARIABLES, IMAGES)
    plain, spatial = flow.relevance(1, contrast=None), flow.relevance(1, contrast="spatial")
    last = flow.layers[-1].name
    expected = plain[last] - plain[last].mean((1, 2), keepdims=True)
    np.testing.assert_allclose(spatial[last], expected, atol=1e-6)
    every = flow.relevance(jnp.tile(jnp.arange(5), (3, 1)), contrast=None)[last].mean(1)
    np.testing.assert_allclose(flow.relevance(1, contrast="class")[last], plain[last] - every, atol=1e-6)


def conv_model(variables, images):
    x = lax.conv_general_dilated(images, variables, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return jax.nn.relu(x).mean((1, 2))


KERNEL = jax.random.normal(jax.random.key(7), (3, 3, 3, 4))


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (jnp.zeros((4, 4)), srd.ShapeError, r"must be \(N, \*grid, C\)"),
        (jnp.zeros((0, 4, 4, 3)), srd.ShapeError, "got shape"),
        (jnp.zeros((1, 4, 4, 3), int), srd.ShapeError, "must be floating point"),
        (jnp.full((1, 4, 4, 3), jnp.nan), srd.ImageError, "NaN"),
    ],
)
def test_images_that_cannot_be_explained(images, error, message):
    with pytest.raises(error, match=message):
        srd.explain(conv_model)(KERNEL, images, 0)


@pytest.mark.parametrize(
    "option",
    [{"bias": "x"}, {"head": "x"}, {"contrast": "x"}, {"relevance": "x"}, {"unit": "x"}, {"recursion": "x"}],
)
def test_unknown_options(option):
    with pytest.raises(ValueError, match="must be one of"):
        srd.explain(conv_model, **option)


def test_logits_of_another_shape():
    with pytest.raises(srd.ShapeError, match=r"logits of shape \(N, classes\)"):
        srd.explain(lambda v, x: conv_model(v, x).sum())(KERNEL, IMAGES)


def test_unknown_layers_positions_and_classes():
    _, flow = jax.jit(srd.decompose(conv_model))(KERNEL, IMAGES)
    with pytest.raises(srd.LayerError, match="there are input"):
        flow.erf("nowhere")
    with pytest.raises(srd.LayerError, match=r"position \(12, 0\) is outside the grid \(12, 10\)"):
        flow.erf(flow.layers[-1].name, [[12, 0]])
    with pytest.raises(srd.TargetError, match="classes 0 to 3"):
        flow.relevance(4)
