"""The oracle against figures worked by hand, against JAX's own derivatives, and against the method's laws."""

from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.oracle import reference
from tests.oracle.as_jax import as_jax, logits_of, map_values, pre_activation
from tests.oracle.contributions import BranchSum, Contribution, bias_of, linear_part
from tests.oracle.description import Affine, Branch, Conv, GlobalPoolHead, Map, Network
from tests.oracle.draw import max_pool, window
from tests.oracle.networks import EXAMPLES
from tests.oracle.random_networks import random_network

CONSERVING = ("norm", "uniform")
every_example = pytest.mark.parametrize("name", EXAMPLES)
every_bias = pytest.mark.parametrize("bias", get_args(reference.Bias))
conserving_bias = pytest.mark.parametrize("bias", CONSERVING)


@pytest.fixture(autouse=True)
def _double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


@cache
def traced(name: str) -> reference.Trace:
    example = EXAMPLES[name]()
    return reference.trace(example.network, example.image)


def sequence(image: list[float], kernel: list[list[float]], bias: list[float], **branch) -> reference.Trace:
    """One convolution without padding over a one-channel sequence."""
    conv = Conv(np.array(kernel)[:, None, :], window(len(kernel), axes=1))
    step = Affine(shift=np.array(bias))
    node = Map("x", (Branch("input", conv, then=(step,), **branch),))
    head = GlobalPoolHead(np.ones((len(bias), 1)), np.zeros(1))
    return reference.trace(Network((node,), head), np.array(image)[:, None])


# --- figures worked by hand ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bias", "expected"),
    [("norm", [7 / 30, 14 / 15, -1 / 6]), ("uniform", [4 / 15, 13 / 15, -2 / 15]), ("none", [1 / 5, 4 / 5, -1 / 5])],
)
def test_ratios_of_scalars(bias, expected):
    run = sequence([1, 2, -1], [[1], [2], [1]], [1])  # X = 1 + 4 - 1 + 1
    np.testing.assert_allclose(reference.mu(run, "input", "x", bias)[:, 0], expected, rtol=1e-14)


def test_ratios_of_vectors():
    run = sequence([3, 1], [[1, 0], [0, 1]], [1, 1])  # vhat (3, 0) and (0, 1), X = (4, 2)
    np.testing.assert_allclose(reference.mu(run, "input", "x")[:, 0], [0.825, 0.175], rtol=1e-14)


@pytest.mark.parametrize(
    ("bias", "expected"), [("norm", [0, 1, 0]), ("uniform", [1 / 16, 14 / 16, 1 / 16]), ("none", [0, 3 / 4, 0])]
)
def test_max_pool_and_convolution_share_the_bias_by_tap(bias, expected):
    # The pooled values are both the middle pixel's: 3 + 2 * 3 + 3. Four taps, two of them into the middle pixel.
    run = sequence([1, 3, 2], [[1], [2]], [3], pool=max_pool(2, axes=1))
    np.testing.assert_allclose(reference.mu(run, "input", "x", bias)[:, 0], expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(
    ("bias", "expected"), [("norm", [17, 44, 36]), ("uniform", [25, 39, 33]), ("none", [4, 18, 18])]
)
def test_a_branch_shares_its_own_bias_and_all_share_the_one_after_the_sum(bias, expected):
    def contribution(position: int, *vhat: float) -> Contribution:
        return Contribution("input", (position,), np.array(vhat, dtype=float))

    main = BranchSum((contribution(0, 1, 0), contribution(1, 0, 2)), np.array([3.0, 0.0]), single=False)
    skip = BranchSum((contribution(2, 0, 1),), np.array([0.0, 1.0]), single=True)
    x, shared = reference.sharing_ratios((main, skip), Affine(shift=np.array([0.0, 5.0])), (0,), bias)
    np.testing.assert_array_equal(x, [4, 9])
    np.testing.assert_allclose([ratio for _, ratio in shared], np.array(expected) / 97, rtol=1e-14)


@every_bias
def test_a_dead_sum_is_split_evenly_over_the_taps_inside(bias):
    run = traced("black_corner")
    first = reference.mu(run, "input", "first", bias).reshape(9, 9, 9, 9)
    np.testing.assert_allclose(first[0:2, 6:9, 0, 7], np.full((2, 3), 1 / 6))  # an edge position: 6 taps inside
    pooled = reference.mu(run, "first", "pooled", bias).reshape(9, 9, 9, 9)
    inner = np.array([1, 2, 3, 2, 1]) / 82  # 81 pairs of pool and kernel offset, and the skip
    expected = np.outer(inner, inner) * 82
    expected[2, 2] += 1 / 82
    np.testing.assert_allclose(pooled[0:5, 4:9, 2, 6], expected)


@pytest.mark.parametrize(("bias", "total"), [("norm", 1), ("uniform", 1), ("none", 0)])
def test_contributions_of_zero_share_the_bias_evenly(bias, total):
    ratios = reference.mu(traced("zero_image"), "input", "stem", bias).reshape(9, 9, 9, 9)
    np.testing.assert_allclose(ratios[3:6, 3:6, 4, 4], np.full((3, 3), total / 9), rtol=1e-14)
    np.testing.assert_allclose(ratios[:2, :2, 0, 0], np.full((2, 2), total / 4), rtol=1e-14)


@every_bias
@pytest.mark.parametrize(
    ("name", "source", "target"), [("residual", "block.relu2", "last"), ("norm_after_sum", "sum", "last")]
)
def test_a_lone_tap_has_ratio_one(name, source, target, bias):
    ratios = reference.mu(traced(name), source, target, bias)
    np.testing.assert_allclose(ratios, np.eye(len(ratios)), rtol=1e-12)


# --- against JAX -----------------------------------------------------------------------------------------------------


@every_example
def test_the_jax_function_computes_the_same(name):
    example, run = EXAMPLES[name](), traced(name)
    f, variables = as_jax(example.network)
    images = np.stack([example.image, example.image[::-1]])
    logits, (pre, values) = jax.jit(lambda v, x: (f(v, x), map_values(example.network, v, x)))(variables, images)
    assert logits.dtype == np.float64
    np.testing.assert_allclose(logits[0], run.logits, rtol=0, atol=1e-12)
    for node in example.network.maps:
        np.testing.assert_allclose(pre[node.name][0], run.pre[node.name], rtol=0, atol=1e-12)
        np.testing.assert_allclose(values[node.name][0], run.values[node.name], rtol=0, atol=1e-12)


def jacobian_contributions(node: Map, source: str, values: dict[str, jax.Array], params) -> jax.Array:
    """dX_j/dv_i v_i for every pair, (n_source, n_target, c), gates held fixed."""
    v = values[source]
    x, pullback = jax.vjp(lambda v: pre_activation(node, params or {}, {**values, source: v}, values), v)
    (rows,) = jax.vmap(pullback)(jnp.eye(x.size).reshape(-1, *x.shape))
    received = jnp.einsum("xic,ic->ix", rows.reshape(x.size, -1, v.shape[-1]), v.reshape(-1, v.shape[-1]))
    return received.reshape(len(received), -1, x.shape[-1])


def oracle_contributions(run: reference.Trace, node: Map, source: str) -> np.ndarray:
    """The sum of the vhats of every pair, (n_source, n_target, c)."""
    grid, target_grid = run.values[source].shape[:-1], run.pre[node.name].shape[:-1]
    total = np.zeros((*grid, *run.pre[node.name].shape))
    for sums in run.sums[node.name]:
        for j, branch in sums.items():
            for c in branch.contributions:
                if c.source == source:
                    total[c.position + j] += linear_part(node.post or Affine(), c.vhat)
    return total.reshape(np.prod(grid), np.prod(target_grid), -1)


@every_example
def test_the_taps_from_one_pfv_to_another_add_up_to_the_jacobian(name):
    run = traced(name)
    _, variables = as_jax(run.network)
    edges = [(i, source) for i, node in enumerate(run.network.maps) for source in {b.source for b in node.branches}]

    def all_contributions(values, params):
        return [jacobian_contributions(run.network.maps[i], source, values, params[i]) for i, source in edges]

    values = {key: jnp.asarray(v)[None] for key, v in run.values.items()}
    for (i, source), expected in zip(edges, jax.jit(all_contributions)(values, variables["maps"]), strict=True):
        found = oracle_contributions(run, run.network.maps[i], source)
        live = run.live[source].reshape((-1, 1, 1))
        np.testing.assert_allclose(found, expected * live, rtol=0, atol=1e-12)


@every_example
def test_the_head_gradient_is_the_gradient(name):
    run = traced(name)
    _, variables = as_jax(run.network)
    v = jnp.asarray(run.values[run.encoder])[None]
    jacobian = jax.jit(jax.jacrev(lambda v: logits_of(run.network.head, variables["head"], v)[0]))(v)
    for label in range(len(run.logits)):
        gradient = reference.head_gradient(run, label)
        np.testing.assert_allclose(gradient, jacobian[label].reshape(gradient.shape), rtol=0, atol=1e-13)


def test_the_jax_function_names_its_maps():
    example = EXAMPLES["dense_block"]()
    f, variables = as_jax(example.network)
    jaxpr = jax.make_jaxpr(f)(variables, example.image[None])
    names = [e.params["name"] for e in jaxpr.eqns if e.primitive.name == "name"]
    assert names == [node.name for node in example.network.maps]


def test_the_jax_function_runs_in_single_precision():
    example = EXAMPLES["bottleneck"]()
    f, variables = as_jax(example.network)
    with jax.enable_x64(False):
        single = jax.tree.map(jnp.float32, variables)
        logits = f(single, jnp.float32(example.image)[None])
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits[0], traced("bottleneck").logits, rtol=1e-5)


# --- laws ------------------------------------------------------------------------------------------------------------


@conserving_bias
@every_example
def test_ratios_into_a_pfv_sum_to_one(name, bias):
    run = traced(name)
    for node in run.network.maps:
        sources = {branch.source for branch in node.branches}
        total = sum(reference.mu(run, source, node.name, bias).sum(axis=0) for source in sources)
        np.testing.assert_allclose(total, run.live[node.name].reshape(-1), rtol=1e-12)
    for mode, ratios in run.hidden.items():
        if mode in CONSERVING:
            np.testing.assert_allclose(ratios.sum(axis=0), 1, rtol=1e-12)


@every_example
def test_without_sharing_the_biases_keep_what_is_missing(name):
    run = traced(name)
    for node, sums in zip(run.network.maps, run.sums.values(), strict=True):
        total = sum(
            reference.mu(run, source, node.name, "none").sum(axis=0) for source in {b.source for b in node.branches}
        )
        for j, received in zip(sums[0], total, strict=True):
            x, post = run.pre[node.name][j], node.post or Affine()
            single = [s[j].single and len(s[j].contributions) == 1 for s in sums]
            kept = 0 if single == [True] else bias_of(post, j)
            kept = kept + sum(linear_part(post, s[j].bias) for s, lone in zip(sums, single, strict=True) if not lone)
            kept = kept + sum(linear_part(post, s[j].constant + 0 * s[j].bias) for s in sums)
            expected = 1 - np.dot(kept + 0 * x, x) / (x @ x) if x.any() else run.live[node.name][j]
            np.testing.assert_allclose(received, expected, rtol=0, atol=1e-9)


@conserving_bias
@every_example
def test_receptive_fields_sum_to_one(name, bias):
    run = traced(name)
    for layer, field in reference.erfs(run, bias).items():
        np.testing.assert_allclose(field.sum(axis=0), run.live[layer].reshape(-1), rtol=1e-12)


@conserving_bias
@pytest.mark.parametrize("head", ["linear", "sharing"])
@every_example
def test_relevance_across_every_cut_is_the_logit(name, head, bias):
    run = traced(name)
    order = list(run.values)
    for label, logit in enumerate(run.logits):
        relevance = reference.relevance(run, label, head=head, bias=bias)
        np.testing.assert_allclose(relevance["input"].sum(), logit, rtol=1e-12)
        starts = max(place for place, layer in enumerate(order) if np.any(relevance[layer]))
        for cut in range(1, starts + 1):
            before = set(order[:cut])
            crossing = sum(
                (ratios @ relevance[target].reshape(-1)).sum()
                for (source, target), ratios in run.ratios[bias].items()
                if source in before and target not in before
            )
            np.testing.assert_allclose(crossing, logit, rtol=1e-12)


@every_bias
@every_example
def test_relevance_backward_is_receptive_fields_weighted(name, bias):
    run = traced(name)
    fields = reference.erfs(run, bias)
    contrasts: list[reference.Contrast] = [None, "spatial", "class"]
    for head, contrast in product(get_args(reference.HeadRule), contrasts):
        relevance = reference.relevance(run, 1, contrast=contrast, head=head, bias=bias)
        seeds = reference.seeds(run, 1, contrast=contrast, head=head, bias=bias)
        weighted = sum(fields[layer] @ seed for layer, seed in seeds.items())
        assert np.isfinite(weighted).all()
        np.testing.assert_allclose(relevance["input"].reshape(-1), weighted, rtol=0, atol=1e-12)


@every_example
def test_contrasts(name):
    run = traced(name)
    for label, logit in enumerate(run.logits):
        np.testing.assert_allclose(reference.encoder_relevance(run, label, contrast="spatial").sum(), 0, atol=1e-12)
        less_mean = reference.encoder_relevance(run, label, contrast="class").sum()
        np.testing.assert_allclose(less_mean, logit - run.logits.mean(), rtol=0, atol=1e-12)


@every_bias
@every_example
def test_one_receptive_field_is_a_column_of_all(name, bias):
    run = traced(name)
    grid = run.values[run.encoder].shape[:-1]
    corner = tuple(n - 1 for n in grid)
    found = reference.erf(run, run.encoder, corner, bias)
    assert found.shape == run.values["input"].shape[:-1]
    np.testing.assert_array_equal(found.reshape(-1), reference.erfs(run, bias)[run.encoder][:, -1])


# --- heads and random networks ---------------------------------------------------------------------------------------


def test_global_pooling_is_the_authors_formula():
    run = traced("plain")
    v, head = run.values["second"].reshape(-1, 5), run.network.head
    assert isinstance(head, GlobalPoolHead)
    expected = (v @ head.weights[:, 2] + head.bias[2]) / 16
    np.testing.assert_allclose(reference.encoder_relevance(run, 2), expected, rtol=1e-12)
    np.testing.assert_allclose(
        reference.encoder_relevance(run, 2, head="sharing", bias="uniform"), expected, rtol=1e-12
    )
    cam = np.maximum(v @ head.weights[:, 2] / 16, 0)
    np.testing.assert_allclose(reference.encoder_relevance(run, 2, head="gradcam"), cam, rtol=1e-12)
    assert (cam == 0).any()
    assert (cam > 0).any()


@pytest.mark.parametrize("pool", [None, (2, 2, 0), (3, 2, 1)])
@pytest.mark.parametrize(
    ("kernel", "padding", "dilation"), [(2, 1, 1), ((3, 1), ((1, 2), (0, 0)), 2), (3, ((2, 0), (0, 1)), 1)]
)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_random_networks(kernel, padding, dilation, groups, pool):
    example = random_network(3, kernel, 2, padding, dilation, groups=groups, pool=pool, grid=(9, 8))
    run = reference.trace(example.network, example.image)
    f, variables = as_jax(example.network)
    np.testing.assert_allclose(f(variables, jnp.asarray(example.image)[None])[0], run.logits, rtol=0, atol=1e-12)
    np.testing.assert_allclose(reference.relevance(run, 0)["input"].sum(), run.logits[0], rtol=1e-12)


@pytest.mark.parametrize(
    "arguments",
    [{"kernel": 7, "padding": 0}, {"pool": (7, 1, 0)}, {"pool": (2, 1, 2)}],
)
def test_impossible_random_networks(arguments):
    with pytest.raises(ValueError, match=r"no place|nothing but padding"):
        random_network(0, **arguments)


def test_what_no_pixel_reaches_has_no_contributors_and_its_part_is_shared():
    conv = Conv(np.ones((1, 1, 1)), window(1, padding=1, axes=1))
    framed = Map("framed", (Branch("input", conv, then=(Affine(shift=np.ones(1)),)),), "identity")
    summed = Map("summed", (Branch("framed", Conv(np.ones((2, 1, 1)), window(2, axes=1))),), "identity")
    run = reference.trace(Network((framed, summed), GlobalPoolHead(np.ones((1, 1)), np.ones(1))), np.array([[1], [3]]))
    np.testing.assert_array_equal(run.live["framed"], [False, True, True, False])
    np.testing.assert_array_equal(reference.mu(run, "input", "framed"), [[0, 1, 0, 0], [0, 0, 1, 0]])
    np.testing.assert_allclose(
        reference.mu(run, "framed", "summed").T, [[0, 1, 0, 0], [0, 1 / 3, 2 / 3, 0], [0, 0, 1, 0]]
    )
    kept = reference.mu(run, "framed", "summed", "none").T
    np.testing.assert_allclose(kept, [[0, 2 / 3, 0, 0], [0, 1 / 3, 2 / 3, 0], [0, 0, 4 / 5, 0]])


def test_the_trace_rejects_branches_that_do_not_match():
    node = Map("x", (Branch("input"), Branch("input", pool=max_pool(2, axes=1))))
    with pytest.raises(ValueError, match="different grids"):
        reference.trace(Network((node,), GlobalPoolHead(np.ones((1, 1)), np.ones(1))), np.ones((3, 1)))
