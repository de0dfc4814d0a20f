"""Images a second of `srd_jax.explain` over simulated devices and over two processes; no part of the tests.

    python -m tests.benchmarks.devices

The bundled model at 64 x 64 pixels, 64 images a batch, on the first two CPU cores.
"""

import os
import socket
import statistics
import subprocess
import sys
import time

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import srd_jax as srd
from srd_jax import models

BATCH, ROUNDS = 64, 15


def measure(cores: str, address: str = "", rank: int = 0) -> None:
    """Print the images a second that this process, one of two where there is an address, takes part in."""
    os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    if address:
        jax.distributed.initialize(address, num_processes=2, process_id=rank)
    net = models.load("tiny_resnet")
    mesh = Mesh(np.array(jax.devices()), ("batch",))
    images = np.random.default_rng(0).normal(size=(BATCH, 64, 64, 3)).astype(np.float32)
    own = np.split(images, jax.process_count())[rank]
    sharded = jax.make_array_from_process_local_data(NamedSharding(mesh, PartitionSpec("batch")), own, images.shape)
    variables = jax.device_put(jax.device_get(net.variables), NamedSharding(mesh, PartitionSpec()))
    explain = jax.jit(srd.explain(net.apply))
    jax.block_until_ready(explain(variables, sharded, 0))
    seconds = []
    for _ in range(ROUNDS):
        if address:
            multihost_utils.sync_global_devices("together")
        start = time.perf_counter()
        jax.block_until_ready(explain(variables, sharded, 0))
        seconds.append(time.perf_counter() - start)
    if rank == 0:
        low, middle, high = statistics.quantiles([BATCH / s for s in seconds], n=4)
        print(f"{middle:.0f} images a second (quartiles {low:.0f} to {high:.0f})", flush=True)


def compare() -> None:
    """Run every arrangement, one after another, each in processes of its own."""
    for devices in (1, 2, 4, 8):
        _show(f"one process, two cores, {devices} devices", ("0,1",), devices=devices)
    _show("one process, one core", ("0",))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    _show("two processes, one core each", *((str(rank), address, str(rank)) for rank in range(2)))


def _show(name: str, *processes: tuple[str, ...], devices: int = 1) -> None:
    simulated = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}", "JAX_PLATFORMS": "cpu"}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.devices", *arguments],
            env=os.environ | simulated,
            stdout=subprocess.PIPE,
            text=True,
        )
        for arguments in processes
    ]
    printed = [process.communicate(timeout=300)[0] for process in started]
    lines = [line for line in printed[0].splitlines() if "images a second" in line]
    print(f"{name:34}", lines[0] if lines else f"failed, exit status {[process.returncode for process in started]}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        where, *two = sys.argv[1:]
        measure(where, *two[:1], *map(int, two[1:]))
    else:
        compare()
