"""Weights that were damaged or made up: they are read, or refused in one short error, and fill no memory."""

import io
import json
import struct
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.numpy import save

from srd_jax.errors import WeightsError
from srd_jax.models import VGG, to_torchvision, weight_files
from srd_jax.models.weights import class_count, from_torchvision, untrained

from . import fuzzed

MODULE = VGG((1,), widths=(2,), num_classes=3, hidden=5)
TEMPLATE = jax.eval_shape(MODULE.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
STATE = to_torchvision(untrained(TEMPLATE, seed=0))
SOUND = save(STATE, {"class_names": '["owl", "elk", "eel"]'})
MOST = 2**24  # bytes that reading a file of a few thousand may take


def read(path):
    state = weight_files.read(path)
    class_count(state, "vgg11")
    from_torchvision(TEMPLATE, state, "vgg11")


def message(function, source):
    """What the error says that work ends in, if it is ours; nothing where it succeeds."""
    try:
        function(source)
    except WeightsError as error:
        return str(error)
    return ""


def check(function, source, most=MOST):
    """It works, or ends in one short error of ours, and takes little memory."""
    tracemalloc.start()
    try:
        said = message(function, source)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < most
    assert len(said) < 10_000
    assert all(line.isprintable() for line in said.split("\n"))


@pytest.fixture(scope="module")
def check_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")

    def checked(name, content, most=MOST):
        (folder / name).write_bytes(content)
        check(read, folder / name, most)
        check(weight_files.class_names, folder / name)

    return checked


@st.composite
def damaged(draw, sound):
    """A file's bytes, some of them others, cut out, doubled or put in."""
    content = bytearray(sound)
    for _ in range(draw(st.integers(1, 4))):
        # headers and tables lie at the ends, where a change says more than among the numbers
        distance = draw(st.one_of(st.integers(0, 40), st.integers(0, len(content))))
        start = min(len(content), distance if draw(st.booleans()) else max(0, len(content) - distance))
        stop = min(len(content), start + draw(st.integers(0, 40)))
        kind = draw(st.sampled_from(["flip", "cut", "end", "double", "insert"]))
        if kind == "flip" and start < len(content):
            content[start] ^= draw(st.integers(1, 255))
        elif kind == "cut":
            del content[start:stop]
        elif kind == "end":
            del content[start:]
        elif kind == "double":
            content[start:start] = content[start:stop]
        elif kind == "insert":
            content[start:start] = draw(st.binary(max_size=20))
    return bytes(content)


DTYPES = [
    "F64",
    "F32",
    "F16",
    "BF16",
    "F8_E4M3",
    "F8_E5M2",
    "F8_E8M0",
    "F6_E2M3",
    "F4",
    "C64",
    "I64",
    "U8",
    "BOOL",
    "f32",
    "x",
]
NUMBERS = st.one_of(st.integers(-2, 9), st.sampled_from([2**31, 2**40, 2**62, 2**63, 2**64, 2**70]))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), NUMBERS, st.text(max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=6,
)
TEXTS = st.one_of(
    JSON.map(json.dumps),
    st.text(max_size=6),
    st.lists(st.text(max_size=3), min_size=2, max_size=4).map(json.dumps),
    st.integers(1, 10**5).map(lambda depth: "[" * depth),
    st.integers(1, 10**4).map(lambda digits: "9" * digits),
    st.integers(1, 10**5).map(lambda length: json.dumps(["x" * length] * 3)),
    st.just('["\\ud800", "a", "b"]'),
)
NAMES = st.one_of(
    st.sampled_from([*STATE, "module.fc.weight", "\ud800", "two\nlines"]),
    st.integers(1, 10**4).map(lambda count: "model." * count),
    st.text(max_size=5),
)
OFFSETS = st.one_of(st.lists(NUMBERS, max_size=3), st.integers(0, 64).map(lambda stop: [0, stop]), JSON)
ENTRIES = st.one_of(
    st.fixed_dictionaries({
        "dtype": st.one_of(st.sampled_from(DTYPES), JSON),
        "shape": st.one_of(st.lists(NUMBERS, max_size=4), st.just([1] * 99), JSON),
        "data_offsets": OFFSETS,
    }),
    JSON,
)  # fmt: skip
HEADERS = st.one_of(
    st.dictionaries(NAMES, ENTRIES, max_size=3),
    st.fixed_dictionaries({"__metadata__": st.one_of(st.dictionaries(st.just("class_names"), TEXTS), JSON)}),
    JSON,
)


@fuzzed(250)
@given(content=damaged(SOUND), name=st.sampled_from(["w.safetensors", "W.SafeTensors"]))
def test_damaged_safetensors_files(check_file, content, name):
    check_file(name, content)


@fuzzed(200)
@given(header=HEADERS, content=st.binary(max_size=64), lie=st.sampled_from([0, 0, 0, 0, 1, -1, 2**40, 2**63]))
@example(header={"a": [[]] * 3}, content=b"", lie=0)
def test_made_up_safetensors_files(check_file, header, content, lie):
    text = json.dumps(header).encode()
    check_file("w.safetensors", struct.pack("<Q", (len(text) + lie) % 2**64) + text + content)


WIDE = np.broadcast_to(np.float32(1), (2**30, 2**20))
DTYPES_HERE = [np.float16, ">f4", "f8", bool, complex, object, "m8[s]", "U2", "i1", "u8", jnp.bfloat16, jnp.float8_e5m2,
               jnp.float4_e2m1fn, jnp.int4]  # fmt: skip
ODD = [
    *STATE.values(), *(np.zeros(3, dtype) for dtype in DTYPES_HERE), WIDE, WIDE[:3, :5], WIDE.T, np.ma.masked_all(3),
    np.array([1, np.inf, 2]), np.array([1e300, 0, 0]), np.zeros((3, 0)), np.float32(1), jnp.ones(3), None, 3, "text",
    [1.0, 2.0, 3.0], object(), type, jax.random.key(0),
]  # fmt: skip
VALUES = st.integers(0, len(ODD) - 1).map(ODD.__getitem__)
STATES = st.recursive(
    st.tuples(
        st.sampled_from(["", "module.", "model._orig_mod.", "x."]), st.dictionaries(NAMES, VALUES, max_size=3)
    ).map(lambda drawn: {drawn[0] + name: array for name, array in STATE.items()} | drawn[1]),
    lambda inner: st.dictionaries(
        st.sampled_from(["state_dict", "model", "model_ema", "net", "student", 3]), inner, min_size=1, max_size=2
    ),
    max_leaves=3,
)


@fuzzed(150)
@given(state=STATES)
def test_made_up_mappings(state):
    check(read, state)


@pytest.mark.parametrize("archive", [True, False])
def test_damaged_checkpoints(archive, check_file):
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    state = {name: torch.from_numpy(array) for name, array in STATE.items()}
    torch.save({"model": state, "epoch": 3}, file, _use_new_zipfile_serialization=archive)

    @fuzzed(100)
    @given(content=damaged(file.getvalue()), name=st.sampled_from(["w.pth", "W.PT", "w.ckpt", "w.bin", "w.pth.tar"]))
    def damage(content, name):
        check_file(name, content, most=2**33)  # unpickling reserves as much as a text claims to be, and uses none

    damage()
