"""Experiments: what is measured on many images with one report each, and what explanations cost.

`ablation`, `patterns` and `pointing` measure and report, on a model and batches of images (`srd_jax.batch`); `photos`
explains photos, `speed` and `calls` time, `cost` counts. Photos need no extra; data sets need ``data``.
"""

from srd_jax.evaluation import ablation, calls, cost, patterns, photos, pointing, report, speed

__all__ = ["ablation", "calls", "cost", "patterns", "photos", "pointing", "report", "speed"]
