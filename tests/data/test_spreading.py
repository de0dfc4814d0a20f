"""Batches on the devices that there are, with rows added where they do not divide."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from srd_jax.data.spreading import local_devices
from tests.compiling import on_devices

CHECK = """
import numpy as np
from srd_jax.data.spreading import local_devices

devices = local_devices()
placed = devices.rows(np.arange(10).reshape(5, 2))
assert placed.shape == (8, 2), placed.shape
assert {len(shard.data) for shard in placed.addressable_shards} == {2}
np.testing.assert_array_equal(placed[:5], np.arange(10).reshape(5, 2))
assert len(devices.copies({"a": np.ones(3)})["a"].addressable_shards) == 4
"""


def test_one_device_adds_nothing():
    batch = np.arange(6).reshape(3, 2)
    np.testing.assert_array_equal(local_devices().rows(batch), batch)


def test_four_devices_have_as_many_rows_each():
    done = subprocess.run(
        [sys.executable, "-c", CHECK], cwd=Path(__file__).parents[2], env=on_devices(4), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
