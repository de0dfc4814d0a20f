"""Whether calls that are made over and over compile anything or keep memory."""

import gc
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.monitoring

from srd_jax.attribution.srd import explain
from srd_jax.core.compiled import Model
from srd_jax.core.sharing import Bias
from srd_jax.core.transforms import decompose
from srd_jax.evaluation.speed import mebibytes

__all__ = ["HEADINGS", "Repeated", "call_forms", "repeat"]

HEADINGS = ("", "Compiled at first", "Compiled later", "Call: MiB held", "Verdict")

_COMPILED = "/jax/core/compile/backend_compile_duration"
_MEMORY = Path("/proc/self/statm")
_ALLOWED = 16 * 2**20
"""What an allocator may come to hold besides, in bytes."""


@dataclass(frozen=True)
class Repeated:
    """What calls that were made over and over left behind.

    Attributes:
        first: how many programs were compiled while everything was called once.
        later: how many after that.
        memory: bytes that the process and its device hold, by the number of calls so far; empty where the system does
            not tell.
    """

    first: int
    later: int
    memory: dict[int, int]

    @property
    def growth(self) -> int:
        """Bytes by which memory grew from a quarter of the calls on (the second one noted, as the first warms up)."""
        noted = list(self.memory.values())
        return noted[-1] - noted[1] if len(noted) > 2 else 0

    @property
    def row(self) -> tuple[str, ...]:
        """What a table under `HEADINGS` says, after a name."""
        held = ", ".join(f"{call}: {mebibytes(size)}" for call, size in self.memory.items()) or "-"
        verdict = self.fault or ("flat" if self.memory else "nothing compiled")
        return (str(self.first), str(self.later), held, verdict)

    @property
    def record(self) -> dict[str, Any]:
        """The numbers, as JSON takes them."""
        return {
            "compiled_first": self.first,
            "compiled_later": self.later,
            "held_bytes": {str(call): size for call, size in self.memory.items()},
            "fault": self.fault,
        }

    @property
    def fault(self) -> str:
        """What is wrong, empty for nothing."""
        if self.later:
            return f"{self.later} compilations after the first call"
        return f"memory grows by {self.growth / 2**20:,.1f} MiB" if self.growth > _ALLOWED else ""


def call_forms(
    f: Model, variables: Any, images: Sequence[jax.Array], *, bias: Bias = "norm"
) -> dict[str, list[Callable[[], Any]]]:
    """The ways in which people call, to be given to `repeat`.

    Args:
        f: ``f(variables, images) -> logits``.
        variables: its first argument.
        images: batches (N, *grid, C) of one or more sizes; the first is what all but the last way are called with.
        bias: how constants are shared.

    Returns:
        {name: a list of calls to make in turn, without arguments}.
    """

    def eager(batch: jax.Array) -> Callable[[], Any]:
        return lambda: explain(f, bias=bias)(variables, batch, 0)  # made anew, as people do

    def decomposed() -> Any:
        _, flow = decompose(f, bias=bias)(variables, images[0])
        layer = flow.layers[max(flow.head.nodes)]
        return flow.relevance(0), flow.erf(layer.name, [[0] * len(layer.grid)])

    jitted = jax.jit(explain(f, bias=bias))
    forms: dict[str, list[Callable[[], Any]]] = {
        "explain": [eager(images[0])],
        "explain under jit": [lambda: jitted(variables, images[0], 0)],
        "decompose, relevance and erf": [decomposed],
    }
    if len(images) > 1:
        forms[f"explain, {len(images)} sizes in turn"] = [eager(batch) for batch in images]
    return forms


def repeat(
    forms: Mapping[str, Sequence[Callable[[], Any]]],
    calls: int,
    advance: Callable[[str], object] = lambda name: None,
) -> dict[str, Repeated]:
    """Make calls over and over.

    Args:
        forms: calls to make in turn, by name.
        calls: how many of each name, at least twice as many as there are to make in turn.
        advance: called with a name after each call.

    Returns:
        What each left behind, with memory after the first call, a quarter, half and all of them.
    """
    found = {}
    for name, turn in forms.items():
        marks = {1, max(calls // 4, len(turn)), max(calls // 2, len(turn)), calls}
        memory: dict[int, int] = {}
        first = 0
        with _compilations() as compiled:
            for call in range(calls):
                jax.block_until_ready(turn[call % len(turn)]())
                if call + 1 == len(turn):
                    first = len(compiled)
                if call + 1 in marks and (held := _held()) is not None:
                    memory[call + 1] = held
                advance(name)
        found[name] = Repeated(first, len(compiled) - first, memory)
    return found


@contextmanager
def _compilations() -> Iterator[list[float]]:
    """A list of the seconds of every compilation that takes place inside."""
    compiled: list[float] = []

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        if event == _COMPILED:
            compiled.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield compiled
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def _held() -> int | None:
    """Bytes in use by the process and on its devices, None where the system does not tell."""
    if not _MEMORY.exists():
        return None
    gc.collect()
    resident = int(_MEMORY.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resident + sum((device.memory_stats() or {}).get("bytes_in_use", 0) for device in jax.local_devices())
