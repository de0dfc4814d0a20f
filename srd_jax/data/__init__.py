"""Data sets for training and evaluation: TFDS by name, Tiny-ImageNet from its files, batches in a fixed order.

Needs the ``data`` extra, which holds tensorflow-datasets (TensorFlow itself is not needed) and grain.
"""

from .batches import Batch, batches, training_batches
from .sources import Example, Source, open_source

__all__ = ["Batch", "Example", "Source", "batches", "open_source", "training_batches"]
