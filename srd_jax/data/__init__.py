"""Data sets for training and evaluation: TFDS by name, Tiny-ImageNet and ImageNet-S from their files, batches in order.

`open_maps` reads what ``srd batch`` has written. Needs the ``data`` extra, which holds tensorflow-datasets (TensorFlow
itself is not needed), grain and tensorstore.
"""

from srd_jax.batch import Batch

from .annotated import open_annotated
from .annotations import Annotation, shown_masks
from .batches import batches, training_batches
from .sources import Example, Source, open_source
from .store import Maps, open_maps

__all__ = [
    "Annotation",
    "Batch",
    "Example",
    "Maps",
    "Source",
    "batches",
    "open_annotated",
    "open_maps",
    "open_source",
    "shown_masks",
    "training_batches",
]
