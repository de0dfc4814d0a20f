"""Several processes of a cluster that fill one store together: all go on, or all end."""

from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np

from srd_jax.errors import SRDError

__all__ = ["agreed", "join", "together"]

T = TypeVar("T")


def join() -> None:
    """Become one process of several, as the cluster's environment says.

    Raises:
        SRDError: there is no cluster.
    """
    try:
        jax.distributed.initialize()
    except (RuntimeError, ValueError) as error:
        raise SRDError(f"--distributed finds no cluster ({error})") from error


def together(where: str, problem: SRDError | None = None) -> None:
    """Wait for the other processes of a run on several hosts; where one has a problem, all end.

    Raises:
        SRDError: this process has a problem, or another.
    """
    if jax.process_count() > 1:
        from jax.experimental.multihost_utils import process_allgather, sync_global_devices  # noqa: PLC0415

        sync_global_devices(f"srd batch: {where}")
        if np.any(process_allgather(np.array(problem is not None))):
            problem = problem or SRDError("another process of this run cannot go on, as it says")
    if problem:
        raise problem


def agreed(where: str, work: Callable[[], T]) -> T:
    """What one part of the work makes, once every process has made its own.

    Raises:
        SRDError: a process cannot.
    """
    try:
        made = work()
    except SRDError as error:
        together(where, error)
        raise
    together(where)
    return made
