import jax
import jax.numpy as jnp
import numpy as np
import pytest

import srd_jax as srd
from srd_jax.models import VGG, build
from srd_jax.models.vgg import Features, adaptive_average_pool
from srd_jax.models.weights import from_torchvision, untrained
from tests.golden import recipe

VGGS = tuple(f"vgg{layers}{suffix}" for layers in (11, 13, 16, 19) for suffix in ("", "_bn"))


def test_vgg16_features_are_the_references(template, relative_error):
    features = Features((2, 2, 3, 3, 3))
    shapes = {name: shape for name, shape in recipe.shapes("vgg16").items() if name.startswith("features.")}
    state = {name.removeprefix("features."): value for name, value in recipe.state_dict(shapes).items()}
    variables = from_torchvision(template(features), state, "vgg16")
    pooled = jax.jit(features.apply)(variables, recipe.image())
    assert pooled.shape == (1, 7, 7, 512)
    figures = recipe.figures("vgg16")
    assert relative_error(pooled.mean((0, 1, 2)), figures["features_mean_channels"]) < 1e-4
    assert float(pooled.sum()) == pytest.approx(float(figures["features_sum"]), rel=1e-4)


@pytest.mark.parametrize("name", VGGS)
def test_layers_are_the_named_maps_in_order(name, template, named_maps):
    module = build(name)
    maps = named_maps(module, template(module), 32)
    assert tuple(name for name in maps if not name.startswith("avgpool")) == module.layers
    assert tuple(named_maps(module, template(module), 224)) == module.layers


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vgg11", "1 4 7 9 12 14 17 19"),
        ("vgg16", "1 3 6 8 11 13 15 18 20 22 25 27 29"),
        ("vgg11_bn", "2 6 10 13 17 20 24 27"),
    ],
)
def test_relus_have_torchvisions_indices(name, expected):
    assert build(name).layers == (*(f"features.{i}" for i in expected.split()), "classifier.1", "classifier.4")


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (7, 3), (8, 14), (10, 9), (23, 7)])
def test_adaptive_pooling_averages_pytorchs_windows(shape):
    height, width = shape
    x = np.random.default_rng(0).standard_normal((2, height, width, 3)).astype(np.float32)
    expected = np.empty((2, 7, 7, 3), np.float32)
    for i in range(7):
        for j in range(7):
            top, bottom = int(np.floor(i * height / 7)), int(np.ceil((i + 1) * height / 7))
            left, right = int(np.floor(j * width / 7)), int(np.ceil((j + 1) * width / 7))
            expected[:, i, j] = x[:, top:bottom, left:right].mean((1, 2))
    np.testing.assert_allclose(adaptive_average_pool(jnp.asarray(x)), expected, rtol=1e-5, atol=1e-6)


def test_adaptive_pooling_of_a_7x7_map_adds_no_operation():
    assert not jax.make_jaxpr(adaptive_average_pool)(jnp.zeros((1, 7, 7, 4))).eqns


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        ((10, 9), {"avgpool.rows": (7, 9), "avgpool": (7, 7)}),
        ((10, 7), {"avgpool": (7, 7)}),
        ((7, 3), {"avgpool": (7, 7)}),
    ],
)
def test_adaptive_pooling_makes_maps_of_its_own(shape, names):
    def f(variables, images):
        return adaptive_average_pool(images).reshape(1, -1) @ variables

    arrays = jnp.zeros((49 * 3, 2)), jnp.zeros((1, *shape, 3))
    _, flow = jax.eval_shape(srd.decompose(f), *arrays)
    assert {layer.name: layer.grid for layer in flow.layers[1:]} == names


def test_the_classifier_reads_the_map_in_torchvisions_channel_major_order(template, relative_error):
    module = VGG((1, 1), widths=(3, 4), num_classes=6, hidden=5)
    shapes = {
        "features.0.weight": (3, 3, 3, 3), "features.0.bias": (3,),
        "features.3.weight": (4, 3, 3, 3), "features.3.bias": (4,),
        "classifier.0.weight": (5, 4 * 49), "classifier.0.bias": (5,),
        "classifier.3.weight": (5, 5), "classifier.3.bias": (5,),
        "classifier.6.weight": (6, 5), "classifier.6.bias": (6,),
    }  # fmt: skip
    state = recipe.state_dict(shapes)
    variables = from_torchvision(template(module), state, "vgg11")
    images = np.random.default_rng(0).standard_normal((2, 28, 28, 3)).astype(np.float32)

    features = Features((1, 1), (3, 4))
    x = np.asarray(features.apply({"params": variables["params"]["features"]}, images))
    assert x.shape == (2, 7, 7, 4)
    x = x.transpose(0, 3, 1, 2).reshape(2, -1)  # channels first, as PyTorch flattens
    for i in (0, 3):
        x = np.maximum(x @ state[f"classifier.{i}.weight"].T + state[f"classifier.{i}.bias"], 0)
    expected = x @ state["classifier.6.weight"].T + state["classifier.6.bias"]
    assert relative_error(module.apply(variables, images), expected) < 1e-5


@pytest.mark.parametrize("extent", [8, 24, 45])
def test_other_image_sizes_work(template, extent):
    module = VGG((1, 1), widths=(3, 4), batch_norm=True, num_classes=6, hidden=5)
    variables = untrained(template(module), seed=0)
    logits = jax.jit(module.apply)(variables, jnp.ones((2, extent, extent, 3)))
    assert logits.shape == (2, 6)
    assert np.isfinite(logits).all()
    assert np.ptp(logits[0]) > 0
