"""Batches divided among the devices of this process, and what every device needs a copy of."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

__all__ = ["Devices", "local_devices"]


@dataclass(frozen=True)
class Devices:
    """Devices in a row, each of which takes a part of every batch.

    Attributes:
        mesh: of them.
    """

    mesh: Mesh

    def rows(self, batch: np.ndarray) -> Any:
        """As many rows for every device: what is added is to be left out of what is kept, as after the last image."""
        added = [(0, -len(batch) % self.mesh.size)] + [(0, 0)] * (batch.ndim - 1)
        return jax.device_put(np.pad(batch, added), NamedSharding(self.mesh, PartitionSpec("batch")))

    def copies(self, tree: Any) -> Any:
        """The same arrays on every device."""
        return jax.device_put(tree, NamedSharding(self.mesh, PartitionSpec()))


def local_devices() -> Devices:
    """The devices of this process."""
    return Devices(Mesh(np.array(jax.local_devices()), ("batch",)))
