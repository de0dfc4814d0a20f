"""What is compiled is kept: calls without jit compile once for every shape, also where all is made anew."""

import pickle
from contextlib import contextmanager
from dataclasses import dataclass

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import srd_jax as srd
from srd_jax.attribution import METHODS
from srd_jax.errors import LogitsError

IMAGES = jax.random.normal(jax.random.key(0), (2, 4, 3, 3))


@contextmanager
def compilations():
    """How many programs are compiled inside."""
    counted = []

    def listen(event, seconds, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            counted.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield counted
    jax.monitoring.unregister_event_duration_listener(listen)


def network():
    return lambda scale, x: scale * jnp.tanh(x).mean((1, 2))


def test_a_second_call_compiles_nothing():
    explained, others = srd.explain(network()), IMAGES + 1
    with compilations() as first:
        explained(2.0, IMAGES, 0)
    assert first
    with compilations() as later:
        explained(2.0, IMAGES, 0)
        explained(3.0, others, 2)
    assert not later


def test_transformations_made_anew_find_what_is_compiled():
    f = network()
    expected = srd.explain(f)(2.0, IMAGES, 0)
    srd.decompose(f)(2.0, IMAGES)[1].relevance(0)
    with compilations() as later:
        again = srd.explain(f)(2.0, IMAGES, 0)
        srd.decompose(f)(2.0, IMAGES)[1].relevance(1)
    assert not later
    np.testing.assert_array_equal(again, expected)


def test_sizes_in_turn_compile_once_each():
    explained, sizes = srd.explain(network()), (np.asarray(IMAGES), np.asarray(IMAGES)[:1])
    counts = []
    for _ in range(3):
        for images in sizes:
            with compilations() as some:
                explained(2.0, images, 0)
            counts.append(bool(some))
    assert counts == [True, True, False, False, False, False]


@dataclass
class Unhashable:
    """A model as a dataclass that can be compared, which Python does not hash."""

    scale: float

    def __call__(self, _, x):
        return self.scale * jnp.tanh(x).mean((1, 2))


def test_a_function_without_a_hash_is_explained():
    f = Unhashable(2.0)
    with pytest.raises(TypeError, match="unhashable"):
        hash(f)
    explained = srd.explain(f)
    np.testing.assert_allclose(explained(None, IMAGES, 1), srd.explain(network())(2.0, IMAGES, 1), atol=1e-6)
    with compilations() as later:
        explained(None, IMAGES, 1)
    assert not later


def test_options_are_kept_apart():
    f = network()
    plain, contrasted = srd.explain(f, contrast=None), srd.explain(f, contrast="class")
    np.testing.assert_allclose(plain(1.0, IMAGES, 0).sum((1, 2)), f(1.0, IMAGES)[:, 0], atol=1e-6)
    assert jnp.abs(plain(1.0, IMAGES, 0) - contrasted(1.0, IMAGES, 0)).max() > 1e-3


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_logits_that_are_not_finite(bad):
    scale = jnp.asarray([[1.0], [bad]])
    for run in (lambda: srd.explain(network())(scale, IMAGES, 0), lambda: srd.decompose(network())(scale, IMAGES)):
        with pytest.raises(LogitsError, match="the logits of image 1 are NaN or infinite"):
            run()


N = export.symbolic_shape("n")[0]


@pytest.mark.parametrize("own", [False, True], ids=["one class", "a class each"])
def test_a_symbolic_number_of_images(own):
    explained = srd.explain(network())
    like = jax.ShapeDtypeStruct((N, *IMAGES.shape[1:]), jnp.float32)
    targets = jax.ShapeDtypeStruct((N,) if own else (), jnp.int32)
    made = export.export(jax.jit(explained))(jax.ShapeDtypeStruct((), jnp.float32), like, targets)
    for images in (IMAGES, IMAGES[:1]):
        some = jnp.arange(len(images), dtype=jnp.int32) if own else jnp.asarray(1, jnp.int32)
        got = made.call(jnp.float32(2.0), images, some)
        np.testing.assert_allclose(got, explained(2.0, images, some), atol=1e-6)


@pytest.mark.parametrize(
    ("make", "shape", "said"),
    [
        (srd.decompose, (N, 4, 3, 3), "a flow is of a known number of images"),
        (srd.explain, (2, N, 3, 3), "only the number of images may be symbolic"),
        (srd.decompose, (2, 4, 3, N), "only the number of images may be symbolic"),
    ],
)
def test_what_may_not_be_symbolic(make, shape, said):
    with pytest.raises(srd.ShapeError, match=said):
        export.export(jax.jit(make(network())))(1.0, jax.ShapeDtypeStruct(shape, jnp.float32))


def test_flows_of_one_function_are_one_kind_of_tree():
    f = network()
    flows = [srd.decompose(f)(scale, IMAGES + scale)[1] for scale in (1.0, 2.0)]
    flows += [jax.jit(srd.decompose(f))(3.0, IMAGES)[1], pickle.loads(pickle.dumps(flows[0]))]
    heat = jax.jit(lambda flow: flow.relevance(0)["input"])
    with compilations() as counted:
        for flow in flows[:3]:
            heat(flow)
    assert len(counted) == 1
    assert jax.tree.structure(pickle.loads(pickle.dumps(flows[1]))) == jax.tree.structure(flows[3])
    np.testing.assert_array_equal(heat(flows[3]), heat(flows[0]))


def test_a_gradient_compiles_once():
    f = network()
    explained = METHODS["saliency"](f)
    explained(2.0, IMAGES, 0)
    with compilations() as later:
        METHODS["saliency"](f)(3.0, IMAGES, 1)
    assert not later
