"""Experiments: what is measured on many images with one report each, and what explanations cost.

`ablation`, `patterns` and `pointing` measure and report, on a model and batches of images (`srd_jax.batch`).
`measuring`, `stores` and `comparing` are a comparison of methods that survives a kill, `grids` its mosaics and
`planted` a task whose answer is known. `manipulation` attacks maps, `manipulation_runs` those of many photos, and
`manipulability` reports how far they gave way. `photos` explains photos, `speed` and `calls` time, `cost` counts.
Photos need no extra; data sets and comparisons need ``data``, attacks ``attack``.
"""

from importlib import import_module
from types import ModuleType

__all__ = [
    "ablation",
    "calls",
    "comparing",
    "cost",
    "grids",
    "manipulability",
    "manipulation",
    "manipulation_runs",
    "measuring",
    "patterns",
    "photos",
    "planted",
    "pointing",
    "report",
    "speed",
    "stores",
]


def __getattr__(name: str) -> ModuleType:
    """An experiment, imported when it is asked for: explaining photos should not wait for the others."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
