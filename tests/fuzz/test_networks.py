"""The laws of explanations, on networks made at random."""

from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Array

import srd_jax as srd
from srd_jax.core.flow import Account

from . import fuzzed
from .drawing import networks
from .networks import Network

ROUNDINGS = 16
"""How many roundings may add up along the way of a map."""
OPTIONS = st.fixed_dictionaries(
    {
        "bias": st.sampled_from(["norm", "uniform", "none"]),
        "head": st.sampled_from(["linear", "linear", "sharing"]),
        "relevance": st.sampled_from(["pre", "pre", "post"]),
    }
)

pytestmark = pytest.mark.slow


class Results(NamedTuple):
    """What is known of class 0.

    Attributes:
        logits: (N, classes).
        flow: of the network.
        account: of the logit.
        relevance: at every layer.
        fields: ERFs of the layers that the head reads.
        forward: the same, from the pixels.
        sizes: of the same, were all ratios positive: what their rounding is relative to.
        size: of the heatmap in the same sense, (N, *grid).
    """

    logits: Array
    flow: srd.Flow
    account: Account
    relevance: dict[str, Array]
    fields: dict[str, Array]
    forward: dict[str, Array]
    sizes: dict[str, Array]
    size: Array


def explained(network: Network, options: dict[str, Any]) -> Callable[[Any, Array], Results]:
    """``(variables, images)`` to all results, in one program."""

    @jax.jit
    def results(variables: Any, images: Array) -> Results:
        logits, flow = srd.decompose(network, **options)(variables, images)
        read = sorted({flow.layers[node].name for node in flow.head.nodes})
        relevance = flow.relevance(0, contrast=None)
        positive = jax.tree.map(jnp.abs, flow)
        sizes = {name: positive.erf(name) for name in read}
        return Results(
            logits,
            flow,
            flow.account(0),
            relevance,
            {name: flow.erf(name) for name in read},
            {name: flow.erf(name, direction="forward") for name in read},
            sizes,
            reduce(add, [through(jnp.abs(relevance[name]), sizes[name]) for name in read]),
        )

    return results


def through(relevance: Any, fields: Any) -> Any:
    """sum_j R_j ERF_j: (N, *grid)."""
    n, positions = fields.shape[:2]
    return jnp.einsum("np,np...->n...", jnp.reshape(relevance, (n, positions)), fields, precision="highest")


def over_positions(maps: Any, axis: int) -> np.ndarray:
    return np.asarray(maps).reshape((*maps.shape[:axis], -1)).sum(-1)


def assert_near(found, expected, size, epsilon, what):
    """Equal but for rounding, which is relative to ``size``."""
    tiny = np.finfo(np.float32).tiny  # what is smaller may be flushed to zero
    off = np.abs(np.asarray(found, np.float64) - expected) - ROUNDINGS * (epsilon * np.asarray(size, np.float64) + tiny)
    assert np.all(off <= 0), f"{what}: {np.max(off)} more than rounding"


def assert_lawful(found: Results, bias: str, narrow: float, epsilon: float) -> None:
    """Finite, the account closed, fields normalised, and forward equal to backward."""
    for array in jax.tree.leaves((found.account, found.relevance, found.fields, found.size)):
        assert np.isfinite(array).all()
    encoder = sum(over_positions(np.abs(found.relevance[name]), 1) for name in found.fields)
    rounded = narrow * (np.abs(found.account.logit) + encoder)  # logits are of the network's own dtype
    whole = over_positions(found.size, 1) + encoder + rounded / epsilon
    assert_near(found.account.difference, 0, whole, epsilon, "account")

    layers = {layer.name: index for index, layer in enumerate(found.flow.layers)}
    for name, fields in found.fields.items():
        if bias != "none":
            live = found.flow.live[layers[name]]
            expected = np.ones(fields.shape[1]) if live is None else np.asarray(live, float)
            size = over_positions(found.sizes[name], 2)
            assert_near(over_positions(fields, 2), expected, size, epsilon, f"fields of {name}")
        assert_near(found.forward[name], fields, found.sizes[name], epsilon, f"forward fields of {name}")
    if len(found.fields) == 1:
        (name,) = found.fields
        heat = through(found.relevance[name], found.forward[name])
        assert_near(heat, found.relevance["input"], found.size, epsilon, "forward heatmap")


def check(network: Network, options: dict[str, Any]) -> bool:
    """Whether the network can be explained; if so, every law holds."""
    run, variables, images = explained(network, options), network.variables(), network.images()
    try:
        found = jax.device_get(run(variables, images))
    except srd.UnsupportedPrimitiveError:
        return False
    if not np.isfinite(np.asarray(found.logits, np.float64)).all():
        with pytest.raises(srd.SRDError, match="NaN or infinite"):
            srd.explain(network, **options)(variables, images, 0)
        return True
    heat = found.relevance["input"]
    epsilon, narrow = float(np.finfo(heat.dtype).eps), float(jnp.finfo(network.dtype).eps)
    assert_lawful(found, options["bias"], narrow, epsilon)

    alone = srd.explain(network, contrast=None, **options)(variables, images[:1], 0)[0]
    size = found.size[0] + np.max(found.size[0])  # values of the network round in another way
    assert_near(alone, heat[0], size, max(epsilon, narrow), "one image, without jit")

    if network.is_homogeneous:
        factor = 1 / 16 if network.scale > 0 else 16
        scaled = jax.device_get(run(variables, images * jnp.asarray(factor, images.dtype)))
        assert_near(scaled.relevance["input"] / factor, heat, found.size, epsilon, "scaled images")
    return True


def test_explanations_of_random_networks():
    explainable = []

    @settings(fuzzed(12), deadline=None)  # compiling takes as long as it takes
    @given(networks(), OPTIONS)
    def every(network, options):
        with jax.enable_x64(network.dtype == "float64"):
            explainable.append(check(network, options))

    every()
    assert np.mean(explainable) > 0.8
