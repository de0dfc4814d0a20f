"""Every method's maps over several devices are those of one, and stay where their images are."""

import subprocess
import sys
from pathlib import Path

from tests.compiling import on_devices

PROGRAM = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
from srd_jax.attribution import METHODS, keywords_of

def f(kernels, x):
    for kernel in kernels:
        x = jax.nn.relu(jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")) + 0.1)
    return x.mean((1, 2))

few = {"samples": 2, "steps": 2, "patch": 3}
kernels = [jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate([(3, 3, 3, 2), (3, 3, 2, 4)])]
images, targets = jax.random.normal(jax.random.key(2), (2, 6, 5, 3)), jnp.arange(2)
assert len(jax.devices()) == 2
mesh = jax.make_mesh((2,), ("batch",))
by_batch = NamedSharding(mesh, P("batch"))
placed = jax.device_put(kernels, NamedSharding(mesh, P())), *jax.device_put((images, targets), by_batch)
for name, method in METHODS.items():
    run = jax.jit(method(f, **{k: v for k, v in few.items() if k in keywords_of(method)}))
    alone, shared = run(kernels, images, targets), run(*placed)
    assert shared.sharding.is_equivalent_to(by_batch, shared.ndim), (name, shared.sharding)
    np.testing.assert_allclose(shared, alone, atol=1e-5, err_msg=name)
"""


def test_maps_over_two_devices_are_those_of_one():
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=root, env=on_devices(2), capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
