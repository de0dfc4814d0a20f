"""Training a model of the zoo on a data set, reproducibly, over however many devices JAX sees.

Needs the ``train`` extra. `recipe` says how, `steps` is one step, `loop` the whole run with its checkpoints, `evaluate`
the accuracy and `curves` the picture.
"""

from .evaluate import Accuracy, accuracy
from .loop import train
from .recipe import Recipe

__all__ = ["Accuracy", "Recipe", "accuracy", "train"]
