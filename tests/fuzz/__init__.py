"""Inputs made at random: what comes of them is right, or an error of ours, soon and in bounded memory."""

from datetime import timedelta

from hypothesis import HealthCheck, settings

__all__ = ["fuzzed"]

_USUAL = 100  # examples of a test that does not say how many


def fuzzed(examples: int) -> settings:
    """How a test is fuzzed: the same examples every time, and more of them with pytest's option ``--fuzz``."""
    return settings(
        max_examples=examples * settings().max_examples // _USUAL,
        derandomize=True,
        database=None,
        deadline=timedelta(seconds=20),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
