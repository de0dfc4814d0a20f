"""Data sets for training and evaluation: TFDS by name, Tiny-ImageNet from its files, batches in a fixed order.

`open_maps` reads what ``srd batch`` has written. Needs the ``data`` extra, which holds tensorflow-datasets (TensorFlow
itself is not needed), grain and tensorstore.
"""

from srd_jax.batch import Batch

from .batches import batches, training_batches
from .sources import Example, Source, open_source
from .store import Maps, open_maps

__all__ = ["Batch", "Example", "Maps", "Source", "batches", "open_maps", "open_source", "training_batches"]
