"""Meshes with explicit axes and `jax.shard_map`: maps are those of one device, and stay where their images are."""

import subprocess
import sys
from pathlib import Path

from tests.compiling import on_devices

PROGRAM = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
import srd_jax as srd

def f(kernels, x):
    for kernel in kernels:
        x = jax.nn.relu(jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")))
    return x.mean((1, 2))

kernels = [jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate([(3, 3, 3, 4), (3, 3, 4, 5)])]
images, targets = jax.random.normal(jax.random.key(2), (4, 5, 4, 3)), jnp.arange(4)
explained, decomposed = srd.explain(f), srd.decompose(f)

def methods(kernels, images, targets):
    _, flow = decomposed(kernels, images)
    return flow.relevance(targets), flow.kept_by_biases(targets), flow.account(targets), flow.erf("input", [[1, 2]])

def gradient(kernels, images, targets):
    return jax.grad(lambda x: (explained(kernels, x, targets) ** 2).sum())(images)

def same(got, expected, by_batch):
    for ours, alone in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert ours.sharding.is_equivalent_to(by_batch, ours.ndim), ours.sharding
        np.testing.assert_allclose(np.asarray(ours), np.asarray(alone), atol=1e-5)

assert len(jax.devices()) == 4
functions = explained, methods, gradient
expected = [jax.jit(fn)(kernels, images, targets) for fn in functions]
for shape, names in (((4,), ("batch",)), ((2, 2), ("batch", "other"))):
    mesh = jax.make_mesh(shape, names, axis_types=(jax.sharding.AxisType.Explicit,) * len(names))
    by_batch, everywhere = NamedSharding(mesh, P("batch")), NamedSharding(mesh, P())
    placed = jax.device_put(kernels, everywhere), *jax.device_put((images, targets), by_batch)
    same(jax.jit(explained)(*placed), expected[0], by_batch)
    if len(names) > 1:
        continue
    for fn, alone in zip(functions[1:], expected[1:], strict=True):
        same(jax.jit(fn)(*placed), alone, by_batch)
    same(explained(*placed), expected[0], by_batch)
    _, flow = decomposed(*placed[:2])
    same((flow.relevance(placed[2]), flow.account(placed[2])), (expected[1][0], expected[1][2]), by_batch)
    with jax.set_mesh(mesh):
        same(jax.jit(explained)(*placed), expected[0], by_batch)
    for fn, alone in zip(functions[:2], expected[:2], strict=True):
        mapped = jax.shard_map(fn, mesh=mesh, in_specs=(P(), P("batch"), P("batch")), out_specs=P("batch"))
        same(jax.jit(mapped)(*placed), alone, by_batch)
"""


def test_maps_over_four_devices_are_those_of_one():
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=root, env=on_devices(4), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
