"""The library against the float64 oracle: every map, every option, networks that between them use every rule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, reject, settings
from hypothesis import strategies as st

import srd_jax as srd
from srd_jax import zrule
from tests.oracle import reference, scalar
from tests.oracle.as_jax import as_jax
from tests.oracle.networks import EXAMPLES
from tests.oracle.random_networks import random_network
from tests.oracle.token_networks import TOKEN_EXAMPLES

CONTRASTS = (None, "spatial", "class")
EVERYWHERE = [("norm", "linear"), ("uniform", "linear"), ("none", "linear"), ("norm", "sharing")]
SOMEWHERE = [("uniform", "sharing"), ("none", "sharing"), ("norm", "gradcam")]
CHOSEN = ("bottleneck", "pooled_convolutions", "vgg", "zero_layer")
CASES = [(name, *options) for name in EXAMPLES for options in EVERYWHERE]
CASES += [(name, *options) for name in CHOSEN for options in SOMEWHERE]

pytestmark = pytest.mark.slow


def assert_agrees(network, image, bias, head, contrasts=CONTRASTS, erfs=False, against="pre"):
    run = reference.trace(network, image, against)
    f, variables = as_jax(network)
    aside = {m.name for m in network.maps if m.name.endswith(".hidden")}  # of an MLP, itself a function of each PFV
    layers = [m.name for m in network.maps if m.name not in aside]

    @jax.jit
    def results(variables, images):
        _, flow = srd.decompose(f, bias=bias, head=head, relevance=against)(variables, images)
        own = {layer.name for layer in flow.layers}
        fields = {name: flow.erf(name) for name in layers if name in own} if erfs else {}
        return [flow.relevance(1, contrast=contrast) for contrast in contrasts], fields

    relevance, fields = results(variables, jnp.asarray(image[None]))
    for contrast, ours in zip(contrasts, relevance, strict=True):
        expected = reference.relevance(run, 1, contrast=contrast, head=head, bias=bias)
        behind = {name for name, array in expected.items() if not np.any(array)}
        assert set(expected) - behind - aside <= set(ours)
        for name in set(expected) & set(ours):
            array = expected[name]
            found = np.reshape(ours[name][0], array.shape)  # axes that windows split may stay split
            np.testing.assert_allclose(found, array, atol=1e-9, rtol=0, err_msg=f"{name}, {contrast}")
    theirs = reference.erfs(run, bias) if erfs else {}
    for name, field in fields.items():
        flat = np.asarray(field[0]).reshape(field.shape[1], -1).T
        np.testing.assert_allclose(flat, theirs[name], atol=1e-9, rtol=0, err_msg=f"ERF of {name}")


@pytest.mark.parametrize(("name", "bias", "head"), CASES, ids=["-".join(case) for case in CASES])
def test_relevance_at_every_map(name, bias, head):
    """Contrasts are made at the head, which shares no bias: of a linear one, one contrast does for every other bias."""
    example = EXAMPLES[name]()
    contrasts = ("spatial",) if head == "linear" and bias != "norm" else CONTRASTS
    with jax.enable_x64(True):
        assert_agrees(example.network, example.image, bias, head, contrasts, erfs=(bias, head) == ("norm", "linear"))


@pytest.mark.parametrize("bias", ["norm", "uniform", "none"])
@pytest.mark.parametrize("name", TOKEN_EXAMPLES)
def test_relevance_of_tokens(name, bias):
    example = TOKEN_EXAMPLES[name]()
    with jax.enable_x64(True):
        assert_agrees(example.network, example.image, bias, "linear", erfs=bias == "norm")


AGAINST_THE_VALUE_AFTER = [
    (name, "norm", "linear")
    for name in ("plain", "bottleneck", "dense_block", "inverted_residual", "layer_norms", "black_corner", "zero_layer")
]
AGAINST_THE_VALUE_AFTER += [("vgg", "uniform", "sharing"), ("pooled_convolutions", "none", "sharing")]


@pytest.mark.parametrize(("name", "bias", "head"), AGAINST_THE_VALUE_AFTER)
def test_relevance_against_the_value_after_the_activation(name, bias, head):
    example = EXAMPLES[name]()
    with jax.enable_x64(True):
        assert_agrees(example.network, example.image, bias, head, erfs=bias == "norm", against="post")


SINGLE_NEURONS = [
    (name, bias, "pre")
    for name, bias in {
        "plain": "norm", "residual": "uniform", "bottleneck": "norm", "sliced_shortcuts": "norm",
        "dense_block": "norm", "inception": "norm", "vgg": "none", "gated_residual": "norm",
        "grouped_dilated": "uniform", "norm_after_sum": "norm", "black_corner": "norm", "zero_layer": "norm",
    }.items()
]  # fmt: skip
SINGLE_NEURONS += [("bottleneck", "norm", "post"), ("plain", "uniform", "post")]


@pytest.mark.parametrize(("name", "bias", "against"), SINGLE_NEURONS)
def test_relevance_of_single_neurons(name, bias, against):
    example = EXAMPLES[name]()
    run = reference.trace(example.network, example.image)
    f, variables = as_jax(example.network)
    options = [("linear", None), ("linear", "spatial"), ("linear", "class"), ("gradcam", "class")]

    with jax.enable_x64(True):

        @jax.jit
        def results(variables, images):
            def of(head):
                return zrule.decompose(f, bias=bias, head=head, relevance=against)(variables, images)[1]

            return [of(head).relevance(1, contrast=contrast) for head, contrast in options]

        found = results(variables, jnp.asarray(example.image[None]))
    for (head, contrast), ours in zip(options, found, strict=True):
        theirs = scalar.relevance(run, 1, contrast=contrast, head=head, bias=bias, against=against)
        assert set(theirs) <= set(ours)
        for layer, expected in theirs.items():
            atol = 1e-9 * max(1.0, np.abs(expected).max())
            np.testing.assert_allclose(ours[layer][0], expected, atol=atol, rtol=0, err_msg=f"{layer}, {contrast}")


@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(
    seed=st.integers(0, 99),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    groups=st.sampled_from([1, 2]),
    pool=st.sampled_from([None, (2, 2, 0), (3, 2, 1), (3, 1, 1)]),
    grid=st.tuples(st.integers(6, 8), st.integers(6, 8)),
)
def test_any_geometry(seed, kernel, stride, padding, dilation, groups, pool, grid):
    with jax.enable_x64(True):
        try:
            example = random_network(seed, kernel, stride, padding, dilation, groups=groups, pool=pool, grid=grid)
            run = reference.trace(example.network, example.image)
        except ValueError:
            reject()  # no such geometry
        # the oracle's head starts at its last map, the method's at the last with more than one position
        assume(run.values[example.network.maps[-1].name].shape[:-1] != (1, 1))
        assert_agrees(example.network, example.image, "norm", "linear")


def bilinear(size, larger):
    """(larger, size): how much of each position's value every pixel takes, from the positions on both sides of it."""
    places = (np.arange(larger) + 0.5) * size / larger - 0.5
    near = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(size)))
    return near / near.sum(1, keepdims=True)


@pytest.mark.parametrize("name", ["bottleneck", "vgg"])
def test_without_recursion_every_position_is_spread_over_its_pixels(name):
    example = EXAMPLES[name]()
    run = reference.trace(example.network, example.image)
    last = example.network.maps[-1].name
    encoder = reference.relevance(run, 1, contrast=None, head="linear", bias="norm")[last]
    rows, columns = (bilinear(*pair) for pair in zip(encoder.shape, example.image.shape[:2], strict=True))
    share = encoder / np.outer(rows.sum(0), columns.sum(0))
    f, variables = as_jax(example.network)
    with jax.enable_x64(True):
        enlarged = jax.jit(srd.explain(f, recursion=False, contrast=None))
        ours = enlarged(variables, jnp.asarray(example.image[None]), 1)
    np.testing.assert_allclose(ours[0], rows @ share @ columns.T, atol=1e-9, rtol=0)
