"""One network written with every library: the same logits, the same heatmap, the same laws."""

import socket
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

import srd_jax as srd
from tests.compiling import on_devices

SAME = ((1, 1), (1, 1))
EPSILON = 1e-5
RNG = np.random.default_rng(0)
IMAGES = jnp.asarray(RNG.normal(size=(2, 8, 10, 3)), jnp.float32)
TARGETS = jnp.array([2, 0])


def draw(*shape):
    return jnp.asarray(RNG.normal(size=shape) * 0.5, jnp.float32)


WEIGHTS = {
    "conv1": {"kernel": draw(3, 3, 3, 4), "bias": draw(4)},
    "norm": {"scale": draw(4), "bias": draw(4), "mean": draw(4), "var": draw(4) ** 2 + 0.5},
    "conv2": {"kernel": draw(3, 3, 4, 4), "bias": draw(4)},
    "dense": {"kernel": draw(4, 3), "bias": draw(3)},
}


def plain():
    def convolve(x, kernel, bias, stride):
        numbers = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(x, kernel, (stride, stride), SAME, dimension_numbers=numbers) + bias

    def f(weights, x):
        norm = weights["norm"]
        x = convolve(x, **weights["conv1"], stride=1)
        x = (x - norm["mean"]) * lax.rsqrt(norm["var"] + EPSILON) * norm["scale"] + norm["bias"]
        x = lax.reduce_window(jax.nn.relu(x), -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        x = jax.nn.relu(convolve(x, **weights["conv2"], stride=2))
        return x.mean((1, 2)) @ weights["dense"]["kernel"] + weights["dense"]["bias"]

    return f, WEIGHTS


def flax_linen():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.Conv(4, (3, 3), padding=SAME, name="conv1")(x)
            x = nn.relu(nn.BatchNorm(use_running_average=True, epsilon=EPSILON, name="norm")(x))
            x = nn.max_pool(x, (2, 2), (2, 2))
            x = nn.relu(nn.Conv(4, (3, 3), 2, padding=SAME, name="conv2")(x))
            return nn.Dense(3, name="dense")(x.mean((1, 2)))

    norm = WEIGHTS["norm"]
    params = {**WEIGHTS, "norm": {"scale": norm["scale"], "bias": norm["bias"]}}
    return Net().apply, {"params": params, "batch_stats": {"norm": {"mean": norm["mean"], "var": norm["var"]}}}


def flax_nnx():
    class Net(nnx.Module):
        def __init__(self, rngs):
            self.conv1 = nnx.Conv(3, 4, (3, 3), padding=SAME, rngs=rngs)
            self.norm = nnx.BatchNorm(4, use_running_average=True, epsilon=EPSILON, rngs=rngs)
            self.conv2 = nnx.Conv(4, 4, (3, 3), (2, 2), padding=SAME, rngs=rngs)
            self.dense = nnx.Linear(4, 3, rngs=rngs)

        def __call__(self, x):
            x = nnx.max_pool(nnx.relu(self.norm(self.conv1(x))), (2, 2), (2, 2))
            return self.dense(nnx.relu(self.conv2(x)).mean((1, 2)))

    net = Net(nnx.Rngs(0))
    for layer, weights in WEIGHTS.items():
        for name, value in weights.items():
            kind = nnx.BatchStat if name in ("mean", "var") else nnx.Param
            setattr(getattr(net, layer), name, kind(value))
    graph, state = nnx.split(net)
    return lambda state, x: nnx.merge(graph, state)(x), state


def equinox():
    class Net(eqx.Module):
        conv1: eqx.nn.Conv2d
        conv2: eqx.nn.Conv2d
        pool: eqx.nn.MaxPool2d
        dense: eqx.nn.Linear
        norm: dict

        def __call__(self, x):
            norm = {name: value[:, None, None] for name, value in self.norm.items()}
            x = self.conv1(jnp.moveaxis(x, -1, 0))
            x = (x - norm["mean"]) / jnp.sqrt(norm["var"] + EPSILON) * norm["scale"] + norm["bias"]
            x = jax.nn.relu(self.conv2(self.pool(jax.nn.relu(x))))
            return self.dense(x.mean((1, 2)))

    def convolution(layer, stride, key):
        made = eqx.nn.Conv2d(layer["kernel"].shape[2], 4, 3, stride, padding=1, key=key)
        weights = layer["kernel"].transpose(3, 2, 0, 1), layer["bias"][:, None, None]
        return eqx.tree_at(lambda c: (c.weight, c.bias), made, weights)

    key = jax.random.key(0)
    dense = eqx.tree_at(
        lambda d: (d.weight, d.bias),
        eqx.nn.Linear(4, 3, key=key),
        (WEIGHTS["dense"]["kernel"].T, WEIGHTS["dense"]["bias"]),
    )
    first, second = convolution(WEIGHTS["conv1"], 1, key), convolution(WEIGHTS["conv2"], 2, key)
    net = Net(first, second, eqx.nn.MaxPool2d(2, 2), dense, WEIGHTS["norm"])
    arrays, rest = eqx.partition(net, eqx.is_array)
    return lambda arrays, images: jax.vmap(eqx.combine(arrays, rest))(images), arrays


def haiku():
    @hk.without_apply_rng
    @hk.transform_with_state
    def net(x):
        x = hk.Conv2D(4, 3, padding=SAME, name="conv1")(x)
        x = hk.BatchNorm(True, True, 0.9, eps=EPSILON, name="norm")(x, is_training=False)
        x = hk.max_pool(jax.nn.relu(x), (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        x = jax.nn.relu(hk.Conv2D(4, 3, 2, padding=SAME, name="conv2")(x))
        return hk.Linear(3, name="dense")(x.mean((1, 2)))

    norm = {name: value.reshape(1, 1, 1, 4) for name, value in WEIGHTS["norm"].items()}
    params = {name: {"w": WEIGHTS[name]["kernel"], "b": WEIGHTS[name]["bias"]} for name in ("conv1", "conv2", "dense")}
    params["norm"] = {"scale": norm["scale"], "offset": norm["bias"]}
    state = {f"norm/~/{name}_ema": {"average": norm[name]} for name in ("mean", "var")}
    return lambda variables, x: net.apply(*variables, x)[0], (params, state)


def results(f, variables, images, channel_axis=-1):
    @jax.jit
    def everything(variables, images):
        logits, flow = srd.decompose(f, channel_axis=channel_axis)(variables, images)
        first, last = flow.layers[0].name, flow.layers[-1].name
        return (
            logits,
            flow.relevance(TARGETS, contrast=None)[first],
            flow.relevance(TARGETS)[first],
            flow.erf(last),
            flow.erf(last, direction="forward"),
        )

    return everything.lower(variables, images).compile()(variables, images)


@pytest.fixture(scope="module")
def expected():
    return results(*plain(), IMAGES)


@pytest.mark.parametrize("network", [plain, flax_linen, flax_nnx, equinox, haiku])
def test_the_same_network_has_the_same_explanation(network, expected):
    f, variables = network()
    logits, heat, contrasted, backward, forward = results(f, variables, IMAGES)
    np.testing.assert_allclose(logits, f(variables, IMAGES), atol=1e-5)
    np.testing.assert_allclose(heat.sum((1, 2)), logits[jnp.arange(2), TARGETS], atol=1e-5)
    np.testing.assert_allclose(backward.sum((-2, -1)), 1, atol=1e-5)
    np.testing.assert_allclose(forward, backward, atol=1e-6)
    for found, wanted in zip((logits, heat, contrasted, backward), expected, strict=False):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_channels_may_come_first(expected):
    f, weights = plain()
    found = results(lambda v, x: f(v, jnp.moveaxis(x, 1, -1)), weights, jnp.moveaxis(IMAGES, -1, 1), channel_axis=1)
    for ours, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, wanted, atol=1e-5)


def test_the_order_of_layers_survives_jit():
    f, weights = plain()
    layers = jax.eval_shape(srd.decompose(f), weights, IMAGES)[1].layers
    relevance = jax.jit(lambda v, x: srd.decompose(f)(v, x)[1].relevance(0))(weights, IMAGES)
    assert {layer.name: (2, *layer.grid) for layer in layers} == {name: map_.shape for name, map_ in relevance.items()}


def test_donated_images(expected):
    f, weights = plain()
    explained = jax.jit(lambda v, x: (srd.explain(f, contrast=None)(v, x, TARGETS), 2 * x), donate_argnums=1)
    images = IMAGES.copy()
    heat, _ = explained(weights, images)
    assert images.is_deleted()
    np.testing.assert_allclose(heat, expected[1], atol=1e-6)


SHARDED = """
import jax, jax.numpy as jnp, numpy as np
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec as P
import srd_jax as srd

def f(kernels, x):
    for kernel in kernels:
        x = jax.nn.relu(lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")))
    return x.mean((1, 2))

keys = jax.random.split(jax.random.key(0), 3)
kernels = [jax.random.normal(keys[0], (3, 3, 3, 4)), jax.random.normal(keys[1], (3, 3, 4, 4))]
images = jax.random.normal(keys[2], (16, 6, 6, 3))
explained = jax.jit(srd.explain(f))
alone = explained(kernels, images, jnp.arange(16) % 4)
mesh = jax.make_mesh((8,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
by_batch, everywhere = NamedSharding(mesh, P("batch")), NamedSharding(mesh, P())
heat = explained(jax.device_put(kernels, everywhere), jax.device_put(images, by_batch), jnp.arange(16) % 4)
assert len(jax.devices()) == 8
assert heat.sharding.is_equivalent_to(by_batch, 3), heat.sharding
np.testing.assert_allclose(heat, alone, atol=1e-5)
"""


ONE_IMAGE = r"""
import math, re
import jax, jax.numpy as jnp, numpy as np
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec as P
import srd_jax as srd

def conv(x, kernel):
    return lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

def f(weights, x):
    for kernel in weights[:2]:
        x = jax.nn.relu(conv(x, kernel))
    return x.mean((1, 2)) @ weights[2]

keys = jax.random.split(jax.random.key(0), 4)
weights = [jax.random.normal(key, shape) for key, shape in zip(keys, ((3, 3, 3, 8), (3, 3, 8, 8), (8, 16)))]
image = jax.random.normal(keys[3], (1, 16, 16, 3))
mesh = jax.make_mesh((8,), ("maps",), axis_types=(jax.sharding.AxisType.Auto,))
second = NamedSharding(mesh, P(None, "maps"))

def same_and_divided(fn, what, sharding):
    fn = jax.jit(fn)
    alone = fn(weights, image, what)
    divided = jax.device_put(what, sharding)
    compiled = fn.lower(weights, image, divided).compile()
    maps = compiled(weights, image, divided)
    assert maps.sharding.is_equivalent_to(second, maps.ndim), maps.sharding
    eighth = (1, alone.shape[1] // 8, 16, 16)
    assert {shard.device: shard.data.shape for shard in maps.addressable_shards} == dict.fromkeys(mesh.devices, eighth)
    program = compiled.as_text()
    assert "all-gather" not in program and "all-to-all" not in program, "devices exchange maps"
    each = [math.prod(map(int, shape.split(","))) for shape in re.findall(r"f32\[([0-9,]+)\]", program)]
    assert max(each) < 2 * max(image.size, math.prod(eighth)), "some device computes every map"
    np.testing.assert_allclose(maps, alone, atol=1e-5)

for classes in (8, 64):  # at once, and in turns
    same_and_divided(srd.explain(f), jnp.arange(classes)[None] % 16, second)

def fields(weights, image, positions):
    _, flow = srd.decompose(f)(weights, image)
    return flow.erf(flow.layers[1].name, positions, chunk=16)

positions = jnp.stack(jnp.unravel_index(jnp.arange(64), (8, 8)), 1)
for some in (positions[::8], positions):
    same_and_divided(fields, some, NamedSharding(mesh, P("maps")))
"""


@pytest.mark.parametrize("program", [SHARDED, ONE_IMAGE], ids=["images", "targets and positions of one image"])
def test_what_is_sharded_over_eight_devices_stays_sharded(program):
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env=on_devices(8), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


SEVERAL_PROCESSES = """
import sys
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
import srd_jax as srd

jax.distributed.initialize(sys.argv[1], num_processes=2, process_id=int(sys.argv[2]))
from tests.core.test_frameworks import plain  # which makes arrays

assert len(jax.devices()) == 4 and len(jax.local_devices()) == 2
f, weights = plain()
images, targets = (np.asarray(x) for x in (jax.random.normal(jax.random.key(1), (8, 8, 10, 3)), jnp.arange(8) % 3))
mesh = Mesh(jax.devices(), "batch")
by_batch, everywhere = NamedSharding(mesh, P("batch")), NamedSharding(mesh, P())

def divided(x):  # each process has its own images only
    return jax.make_array_from_process_local_data(by_batch, np.split(x, 2)[jax.process_index()], x.shape)

explained = jax.jit(srd.explain(f))
heat = explained(jax.device_put(jax.device_get(weights), everywhere), divided(images), divided(targets))
assert heat.shape == (8, 8, 10) and heat.sharding.is_equivalent_to(by_batch, 3), heat.sharding
alone = explained(weights, images, targets)
for shard in heat.addressable_shards:
    assert shard.data.shape == (2, 8, 10)
    np.testing.assert_allclose(shard.data, alone[shard.index], atol=1e-6)
print(*sorted(shard.index[0].start or 0 for shard in heat.addressable_shards))
"""


@pytest.mark.slow
def test_a_batch_over_two_processes_has_the_maps_of_one():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", SEVERAL_PROCESSES, address, str(rank)],
            cwd=Path(__file__).parents[2],
            env=on_devices(2) | {"no_proxy": "127.0.0.1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], "".join(stderr for _, stderr in outputs)
    assert [stdout.splitlines()[-1] for stdout, _ in outputs] == ["0 2", "4 6"]
