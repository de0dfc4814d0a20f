"""What explanations cost beside the forward pass: seconds and memory, taken in turns in one process."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from math import prod
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from srd_jax.attribution import find_method, with_options
from srd_jax.attribution.srd import explain
from srd_jax.core.compiled import Model
from srd_jax.core.flow import Flow, Layer
from srd_jax.core.sharing import Bias
from srd_jax.core.transforms import decompose
from srd_jax.drawing.charts import draw_costs
from srd_jax.evaluation.report import Report

__all__ = ["FORWARD", "Cost", "cost_record", "machine", "measure", "mebibytes", "report", "subjects"]

FORWARD = "forward pass"
_CLASSES = 10
_FINER = 8  # pixels between positions of the finer layer, 28 x 28 for images of 224 x 224


@dataclass(frozen=True)
class Cost:
    """What one function costs.

    Attributes:
        seconds: of every round, in order.
        ratios: to the forward pass of the same round.
        temporary_bytes: that XLA sets aside beside arguments and results, None where the backend does not tell.
        output_bytes: of the results.
        peak_bytes: most memory in use on the device so far, in order of measuring, None where it does not tell (CPUs).
        trace_seconds: of CPU to trace and lower it, once.
        compile_seconds: of CPU to compile it, once.
        lines: of StableHLO that were compiled.
    """

    seconds: tuple[float, ...]
    ratios: tuple[float, ...]
    temporary_bytes: int | None
    output_bytes: int
    peak_bytes: int | None
    trace_seconds: float
    compile_seconds: float
    lines: int

    def spread(self, of: str = "seconds") -> tuple[float, float, float]:
        """Median, lower and upper quartile of ``seconds`` or ``ratios``."""
        median, low, high = np.quantile(getattr(self, of), (0.5, 0.25, 0.75))
        return float(median), float(low), float(high)


def subjects(
    f: Model, variables: Any, images: jax.ShapeDtypeStruct, *, bias: Bias = "norm", methods: Sequence[str] = ()
) -> dict[str, Callable]:
    """The functions ``(variables, images)`` to compare, by name, the forward pass first.

    Args:
        f: ``f(variables, images) -> logits``.
        variables: its first argument, or shapes and dtypes in its place.
        images: shape and dtype of a batch, (N, H, W, C).
        bias: how constants are shared.
        methods: names in `srd_jax.attribution.METHODS`, of which one map is compared too.

    Returns:
        A forward pass, the gradient of a logit by the pixels, one map, ten classes' maps (as far as there are ten),
        every effective receptive field of the encoder's output, and those of the last layer with one position for 8 x 8
        pixels, if there is one.
    """
    decomposed = decompose(f, bias=bias)
    logits, flow = jax.eval_shape(decomposed, variables, images)
    encoder = flow.layers[max(flow.head.nodes)]
    finer = _finer(flow, images.shape[1:3])
    classes = min(_CLASSES, logits.shape[1])

    def gradient(variables: Any, images: jax.Array) -> jax.Array:
        return jax.grad(lambda x: jnp.sum(f(variables, x)[:, 0].astype(jnp.float32)))(images)

    def maps(count: int) -> Callable:
        explained = explain(f, bias=bias)
        targets = np.tile(np.arange(count), (images.shape[0], 1)) if count > 1 else 0
        return lambda variables, images: explained(variables, images, targets)

    def one_map(explained: Callable) -> Callable:
        return lambda variables, images: explained(variables, images, 0)

    def fields(layer: Layer) -> Callable:
        return lambda variables, images: decomposed(variables, images)[1].erf(layer.name)

    compared = {FORWARD: f, "jax.grad of a logit": gradient, "SRD, one map": maps(1)}
    if classes > 1:
        compared[f"SRD, {classes} classes"] = maps(classes)
    for name in methods:
        compared[f"{name}, one map"] = one_map(with_options(find_method(name), {"bias": bias})(f))
    for layer in dict.fromkeys((encoder, finer) if finer is not None else (encoder,)):
        compared[f"SRD, {prod(layer.grid)} ERFs of {layer.name}"] = fields(layer)
    return compared


def _finer(flow: Flow, extents: Sequence[int]) -> Layer | None:
    wanted = tuple(extent // _FINER for extent in extents)
    return next((layer for layer in reversed(flow.layers[1:]) if layer.grid == wanted), None)


def measure(
    compared: Mapping[str, Callable],
    *args: Any,
    rounds: int = 5,
    advance: Callable[[str], object] = lambda name: None,
) -> dict[str, Cost]:
    """Compile every function once and time them in turns, each round in another order.

    Args:
        compared: functions of ``args`` by name; the first is what the others are compared with.
        *args: arrays.
        rounds: how often each is timed, after one run that is not.
        advance: called with a name after each compilation and each run.
    """
    compiled = {}
    first: dict[str, tuple[float, float, int]] = {}
    for name, fn in compared.items():
        begun = time.process_time()
        lowered = jax.jit(fn).lower(*args)
        traced = time.process_time()
        compiled[name] = lowered.compile()
        first[name] = traced - begun, time.process_time() - traced, len(lowered.as_text().splitlines())
        advance(name)
    order = list(compared)
    peaks: dict[str, int | None] = {}
    outputs: dict[str, int] = {}
    for name in order:
        result = jax.block_until_ready(compiled[name](*args))
        outputs[name] = sum(leaf.nbytes for leaf in jax.tree.leaves(result))
        peaks[name] = _peak(result)
        del result
        advance(name)
    seconds: dict[str, list[float]] = {name: [] for name in order}
    for turn in range(rounds):
        shift = turn % len(order)
        for name in order[shift:] + order[:shift]:
            start = time.perf_counter()
            jax.block_until_ready(compiled[name](*args))
            seconds[name].append(time.perf_counter() - start)
            advance(name)
    base = seconds[order[0]]
    return {
        name: Cost(
            seconds=tuple(taken),
            ratios=tuple(one / other for one, other in zip(taken, base, strict=True)),
            temporary_bytes=_temporary(compiled[name]),
            output_bytes=outputs[name],
            peak_bytes=peaks[name],
            trace_seconds=first[name][0],
            compile_seconds=first[name][1],
            lines=first[name][2],
        )
        for name, taken in seconds.items()
    }


def report(
    costs: Mapping[str, Cost],
    *,
    model: str,
    shape: Sequence[int],
    dtype: str,
    bias: Bias,
    rounds: int,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> Report:
    """A table of what functions cost, the numbers of every round, and a picture.

    Args:
        costs: from `measure`, the forward pass first.
        model: its name.
        shape: of the images, (N, H, W, C).
        dtype: in which the model computed.
        bias: how biases were shared.
        rounds: how often each was timed.
        more: numbers to keep beside these.
    """
    where = machine()
    batch, extents = shape[0], "x".join(map(str, shape[1:3]))
    title = f"{model} at {extents} pixels, {batch} images, {dtype}, bias {bias}"
    figure = draw_costs(
        {name: cost.spread("ratios") for name, cost in costs.items()},
        {name: cost.temporary_bytes for name, cost in costs.items()},
        title=title,
        details=(
            f"{where}  ·  median and quartiles of {rounds} rounds taken in turns  ·  forward pass "
            f"{costs[FORWARD].spread()[0]:.3g} s",
        ),
    )
    record = {
        "model": model, "batch": batch, "extents": list(shape[1:3]), "dtype": dtype, "bias": bias, "rounds": rounds,
        "device": where, "platform": jax.default_backend(), "jax": jax.__version__, "srd_jax": version("srd_jax"),
        "costs": {name: cost_record(cost, batch) for name, cost in costs.items()}, **more,
    }  # fmt: skip
    headings: tuple[str, ...] = (
        "", "Seconds", "Quartiles", "Forward passes", "Temporary MiB", "Trace + compile s", "HLO lines", "Peak MiB",
    )  # fmt: skip
    rows = [_row(name, cost) for name, cost in costs.items()]
    if all(cost.peak_bytes is None for cost in costs.values()):
        headings, rows = headings[:-1], [row[:-1] for row in rows]
    stem = f"bench_{model}_{shape[1]}_{batch}_{dtype}_{bias}"
    return Report(stem, f"{title}, {where}", headings, rows, record, figure)


def machine() -> str:
    """What this program runs on, in words."""
    device = jax.devices()[0]
    return f"CPU, {os.cpu_count()} cores" if device.platform == "cpu" else str(device.device_kind)


def mebibytes(size: int | None) -> str:
    """A size in words, a dash where it is unknown."""
    return "-" if size is None else f"{size / 2**20:,.1f}"


def _row(name: str, cost: Cost) -> tuple[str, ...]:
    median, low, high = cost.spread()
    return (
        name,
        f"{median:.3g}",
        f"{low:.3g} to {high:.3g}",
        f"{cost.spread('ratios')[0]:.2f}",
        mebibytes(cost.temporary_bytes),
        f"{cost.trace_seconds:.1f} + {cost.compile_seconds:.1f}",
        f"{cost.lines:,}",
        mebibytes(cost.peak_bytes),
    )


def cost_record(cost: Cost, batch: int) -> dict[str, Any]:
    """A cost as JSON takes it.

    Args:
        cost: of a function.
        batch: images it was given.
    """
    median, low, high = cost.spread()
    ratio, ratio_low, ratio_high = cost.spread("ratios")
    return {
        "seconds": {"median": median, "quartiles": [low, high], "rounds": cost.seconds},
        "forward_passes": {"median": ratio, "quartiles": [ratio_low, ratio_high]},
        "images_per_second": batch / median,
        "temporary_bytes": cost.temporary_bytes,
        "output_bytes": cost.output_bytes,
        "peak_bytes": cost.peak_bytes,
        "trace_seconds": cost.trace_seconds,
        "compile_seconds": cost.compile_seconds,
        "lines": cost.lines,
    }


def _temporary(compiled: Any) -> int | None:
    analysis = compiled.memory_analysis()
    return None if analysis is None else int(analysis.temp_size_in_bytes)


def _peak(result: Any) -> int | None:
    device = next(iter(jax.tree.leaves(result)[0].devices()))
    return (device.memory_stats() or {}).get("peak_bytes_in_use")
