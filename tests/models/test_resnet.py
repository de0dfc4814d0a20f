import jax
import jax.numpy as jnp
import numpy as np
import pytest

from srd_jax.models import ResNet, build, load
from srd_jax.models.weights import untrained
from tests.golden import recipe

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")


def test_resnet50_logits_are_the_references(relative_error):
    model = load("resnet50", recipe.state_dict(recipe.shapes("resnet50")))
    logits = jax.jit(model.apply)(model.variables, recipe.image())
    assert relative_error(logits[0], recipe.figures("resnet50")["logits"]) < 1e-4


@pytest.mark.parametrize("name", RESNETS)
def test_layers_are_the_named_maps_in_order(name, template, named_maps):
    module = build(name)
    assert tuple(named_maps(module, template(module), 32)) == module.layers


def test_names_and_grids_of_a_bottleneck_with_a_stride(template, named_maps):
    maps = named_maps(build("resnet50"), template(build("resnet50")), 64)
    assert maps["relu"] == (1, 32, 32, 64)
    assert maps["layer3.0.relu1"] == (1, 8, 8, 256)  # the stride is in the 3x3 convolution
    assert maps["layer3.0.relu2"] == (1, 4, 4, 256)
    assert maps["layer3.0.relu3"] == (1, 4, 4, 1024)


def test_a_named_map_is_a_relus_output(template):
    module = ResNet((1, 1), bottleneck=True, widths=(4, 8), num_classes=3)
    variables = untrained(template(module), seed=0)
    jaxpr = jax.make_jaxpr(module.apply)(variables, jnp.zeros((1, 32, 32, 3))).jaxpr
    makers = {v: e.primitive.name for e in jaxpr.eqns for v in e.outvars}
    named = [e.invars[0] for e in jaxpr.eqns if e.primitive.name == "name"]
    assert [makers[v] for v in named] == [
        "custom_jvp_call"
    ] * 7  # nn.relu; nothing else here has a derivative of its own


def test_padding_is_even_on_both_sides(template):
    # with "SAME" padding a stride of 2 would see a mirrored image differently
    module = ResNet((1, 1), bottleneck=False, widths=(4, 8), num_classes=3)
    variables = untrained(template(module), seed=0)
    mirrored = jax.tree.map(lambda w: w[:, ::-1] if w.ndim == 4 else w, variables)
    images = jax.random.normal(jax.random.key(1), (2, 33, 33, 3))
    apply = jax.jit(module.apply)
    np.testing.assert_allclose(apply(variables, images), apply(mirrored, images[:, :, ::-1]), rtol=1e-5, atol=1e-6)


def test_bfloat16_computes_in_it_and_returns_float32(resnet18_state, relative_error):
    images = jax.random.normal(jax.random.key(0), (2, 64, 64, 3))
    exact = load("resnet18", resnet18_state)
    coarse = load("resnet18", resnet18_state, dtype=jnp.bfloat16)
    jaxpr = jax.make_jaxpr(coarse.apply)(coarse.variables, images).jaxpr
    assert {e.outvars[0].aval.dtype for e in jaxpr.eqns if e.primitive.name == "conv_general_dilated"} == {
        jnp.dtype(jnp.bfloat16)
    }
    logits = jax.jit(coarse.apply)(coarse.variables, images)
    assert logits.dtype == jnp.float32
    error = relative_error(logits, np.asarray(jax.jit(exact.apply)(exact.variables, images)))
    assert 1e-4 < error < 0.03


def test_float64_is_kept(template):
    module = ResNet((1,), bottleneck=True, widths=(4,), num_classes=3, dtype=jnp.float64)
    with jax.enable_x64(True):
        variables = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, jnp.float64), template(module))
        assert jax.eval_shape(module.apply, variables, jnp.ones((1, 16, 16, 3), jnp.float64)).dtype == jnp.float64
