"""Experiments: what is measured on many images with one report each, and what explanations cost.

`ablation`, `patterns` and `pointing` measure and report, on a model and batches of images (`srd_jax.batch`); `photos`
explains photos, `speed` and `calls` time, `cost` counts. `manipulation` attacks maps, `manipulation_runs` those of many
photos, and `manipulability` reports how far they gave way. Photos need no extra; data sets need ``data``, attacks
``attack``.
"""

from importlib import import_module
from types import ModuleType

__all__ = [
    "ablation",
    "calls",
    "cost",
    "manipulability",
    "manipulation",
    "manipulation_runs",
    "patterns",
    "photos",
    "pointing",
    "report",
    "speed",
]


def __getattr__(name: str) -> ModuleType:
    """An experiment, imported when it is asked for: explaining photos should not wait for the others."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
