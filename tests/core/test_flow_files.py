"""A flow is a value: sliced by image, copied, pickled, saved and read again."""

import copy
import json
import pickle
from contextlib import suppress

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import lax

import srd_jax as srd
from tests.fuzz import fuzzed

IMAGES = jax.random.normal(jax.random.key(0), (4, 7, 6, 3))
KERNELS = [jax.random.normal(jax.random.key(i), (3, 3, c, 4)) / 4 for i, c in enumerate((3, 4))]
DENSE = jax.random.normal(jax.random.key(5), (4, 5))


def conv(x, kernel):
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def network(dense, x):
    x = jax.nn.relu(conv(x, KERNELS[0]) + 0.1)
    x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    x = jax.nn.relu(conv(x, KERNELS[1]) + x + 0.1)
    gate = jax.nn.sigmoid(x.mean((1, 2), keepdims=True))
    return jnp.tanh((x * gate).reshape((x.shape[0], -1)) @ jnp.tile(dense, (9, 1))) @ jnp.eye(5)


@pytest.fixture(scope="module", params=["linear", "gradcam", "sharing"])
def flow(request):
    return srd.decompose(network, head=request.param)(DENSE, IMAGES)[1]


def everything(flow):
    maps = [flow.relevance([[1, 3]] * len(flow), contrast=contrast) for contrast in (None, "spatial", "class")]
    return [*(np.asarray(m) for each in maps for m in each.values()), np.asarray(flow.erf(flow.layers[-1].name))]


def assert_same(ours, theirs):
    for found, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize(
    ("images", "places"),
    [(1, [1]), (-1, [3]), (slice(1, 3), [1, 2]), ([2, 0], [2, 0]), ([0, 1, 2, 3, 0], [0, 1, 2, 3, 0])],
)
def test_images_are_taken_out(flow, images, places):
    assert_same(everything(flow[images]), [each[np.asarray(places)] for each in everything(flow)])


def test_every_array_has_the_images_first(flow):
    assert {leaf.shape[0] for leaf in jax.tree.leaves(flow)} <= {1, 4}
    first = jax.tree.map(lambda a: a[:1], flow)
    assert_same(everything(first), [each[:1] for each in everything(flow)])


def test_weights_that_were_sliced_are_refused():
    flow = srd.decompose(network)(DENSE, IMAGES)[1]
    assert flow.head.weights
    with pytest.raises(srd.ShapeError, match=r"take images out of a flow by flow\[2:4\]"):
        jax.tree.map(lambda a: a[1:2], flow).relevance(0)


@pytest.mark.parametrize("images", [4, [], slice(3, 1), [[0, 1]]])
def test_images_that_are_not_there(flow, images):
    with pytest.raises(IndexError):
        flow[images]


@pytest.mark.parametrize("way", [lambda flow: pickle.loads(pickle.dumps(flow)), copy.deepcopy])
def test_copies(flow, way):
    assert_same(everything(way(flow)), everything(flow))


def test_a_file_gives_the_flow_back(flow, tmp_path):
    flow.save(tmp_path / "made" / "flow.safetensors")
    read = srd.Flow.load(tmp_path / "made" / "flow.safetensors")
    assert read.layers == flow.layers
    assert_same(everything(read), everything(flow))
    assert_same(everything(read[1:]), [each[1:] for each in everything(flow)])
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["flow.safetensors"]


def test_it_is_told_in_a_line(flow):
    last = flow.layers[-1]
    assert repr(flow).startswith(f"Flow(4 images, 5 classes, {len(flow.layers)} layers: input 7x6x3 ... {last.name} ")
    assert len(repr(flow.edges) + repr(flow.head)) < 400


@pytest.mark.parametrize("content", [b"", b"{}", b"\x02\x00\x00\x00\x00\x00\x00\x00{}", b"\xff" * 64])
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "flow.safetensors"
    path.write_bytes(content)
    with pytest.raises(srd.DataError, match=r"flow\.safetensors is not a file that Flow\.save wrote"):
        srd.Flow.load(path)


@pytest.mark.parametrize("path", ["", "missing.safetensors"])
def test_what_is_no_file_is_refused(path, tmp_path):
    with pytest.raises(srd.DataError, match="cannot read"):
        srd.Flow.load(tmp_path / path)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("flow") / "flow.safetensors"
    srd.decompose(network)(DENSE, IMAGES)[1].save(path)
    return path.read_bytes()


ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**40) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


def loaded_or_refused(content, folder):
    path = folder / "changed.safetensors"
    path.write_bytes(content)
    with suppress(srd.DataError):
        assert len(srd.Flow.load(path).layers) > 0


@fuzzed(40)
@given(data=st.data())
def test_changed_files_are_read_or_refused(saved, tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    length = int.from_bytes(saved[:8], "little")
    if data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(saved) - 1))
        loaded_or_refused(saved[:place] + bytes([data.draw(st.integers(0, 255))]) + saved[place + 1 :], folder)
        return
    header = json.loads(saved[8 : 8 + length])
    about = json.loads(header["__metadata__"]["flow"])
    here, key = about, data.draw(st.sampled_from(sorted(about)))
    while isinstance(here[key], dict | list) and len(here[key]) and data.draw(st.booleans()):
        here = here[key]
        key = data.draw(st.sampled_from(sorted(here) if isinstance(here, dict) else range(len(here))))
    here[key] = data.draw(ODD)
    header["__metadata__"]["flow"] = json.dumps(about)
    text = json.dumps(header).encode()
    loaded_or_refused(len(text).to_bytes(8, "little") + text + saved[8 + length :], folder)
