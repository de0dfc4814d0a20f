"""What other libraries say of the networks that are ported, and how the ports are held to it.

``references.json`` holds, of timm 1.0.31, torchvision 0.29.1, efficientnet_pytorch 0.7.1 and efficientnet_lite_pytorch
0.1.0: the number of parameters, their names and shapes, and the first eight logits that timm's or torchvision's network
gives in float64 with the variables and the image drawn here.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

import srd_jax as srd
from srd_jax import models
from srd_jax.models import torchvision_layout as layout
from srd_jax.models.weights import untrained

KNOWN = json.loads(Path(__file__).with_name("references.json").read_text())


def template(name):
    module = models.build(name)
    return jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros((1, *(sides(name),) * 2, 3))))


def sides(name):
    """Of an image that a network takes: 64 pixels, unless it is for images of one size."""
    return max(64, models.build(name).min_extent)


def drawn(name):
    """Variables with statistics unlike those of untrained weights."""
    variables = traverse_util.flatten_dict(untrained(template(name), 0))
    rng = np.random.default_rng(0)
    for path, leaf in variables.items():
        if path[-1] in ("scale", "var", "layer_scale"):
            variables[path] = jnp.asarray(rng.uniform(0.5, 1.5, leaf.shape), jnp.float32)
        elif path[-1] in ("bias", "mean", "cls_token", "reg_token", "pos_embed", "relative_position_bias_table"):
            variables[path] = jnp.asarray(rng.normal(0, 0.1, leaf.shape), jnp.float32)
    return traverse_util.unflatten_dict(variables)


def image(height=33, width=38):
    return np.random.default_rng(1).normal(size=(1, height, width, 3)).astype(np.float32)


def perturbed(module, side):
    """Variables of a small module that are unlike those of untrained weights."""
    variables = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros((1, side, side, 3))))
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: leaf + 0.1 * rng.normal(size=leaf.shape).astype(np.float32), untrained(variables, 0)
    )


def check_parameters(name):
    """There are as many as published."""
    leaves = jax.tree.leaves(template(name)["params"])
    assert sum(leaf.size for leaf in leaves) == KNOWN["parameters"][name]


def check_names(whose, name):
    """Others' names and shapes are those of the port, as it reads them."""
    named = {
        layout.torchvision_name(path): leaf.shape for path, leaf in traverse_util.flatten_dict(template(name)).items()
    }
    ours = {each: layout.torchvision_shape(each, shape) for each, shape in named.items()}
    theirs = {layout.own_name(each, name): tuple(shape) for each, shape in KNOWN[whose][name].items()}
    assert theirs.keys() == ours.keys()
    assert [each for each, shape in ours.items() if layout.accept(each, np.zeros(theirs[each]), shape) is None] == []


def check_logits(name, images=None):
    """The port's logits are those of the network it was ported from, in float64, where rounding hides nothing."""
    images = image() if images is None else images
    with jax.enable_x64(True):
        variables = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), drawn(name))
        logits = jax.jit(models.build(name, dtype=jnp.float64).apply)(variables, images.astype(np.float64))
    np.testing.assert_allclose(logits[0, :8], KNOWN["logits"][name], rtol=1e-7)


def check_layers(name):
    """Every map that the port names is a PFV map, in the order that it says."""
    module, images = models.build(name), jax.ShapeDtypeStruct((1, *(sides(name),) * 2, 3), jnp.float32)
    _, flow = jax.eval_shape(srd.decompose(module.apply), template(name), images)
    assert [layer.name for layer in flow.layers if layer.name in module.layers] == list(module.layers)
