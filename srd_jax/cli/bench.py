"""``srd bench``: what explanations cost beside the forward pass, in one run."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from srd_jax.files import check_folder, replacing

from .options import MOST_AT_ONCE, Bias, ModelName, Out, Size
from .terminal import extents, line, progress_bar, show, table

if TYPE_CHECKING:
    import jax

    from srd_jax.evaluation.calls import Repeated
    from srd_jax.evaluation.speed import Cost
    from srd_jax.models import Network

__all__ = ["bench"]

_MIB = 2**20
_WIDER = 8  # pixels by which the second of the sizes that come in turn is wider

Dtype = Literal["float32", "bfloat16", "float16"]


def bench(
    *,
    model: ModelName = "tiny_resnet",
    batch: Annotated[int, typer.Option("--batch", "-b", min=1, max=MOST_AT_ONCE, help="Images at once.")] = 8,
    size: Size = None,
    dtype: Annotated[Dtype, typer.Option(help="In which the model computes.")] = "float32",
    bias: Annotated[Bias, typer.Option(help="How biases are shared among contributions.")] = "norm",
    rounds: Annotated[int, typer.Option(min=1, max=1000, help="How often each is timed.")] = 5,
    skip: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Leave out what has this in its name, such as ERFs; repeatable."),
    ] = None,
    calls: Annotated[
        int | None,
        typer.Option(
            "--calls", min=8, max=100_000, help="Also call this often, with jit and without: nothing may pile up."
        ),
    ] = None,
    out: Out = Path("srd-out"),
) -> None:
    """Time a forward pass, a gradient, maps and receptive fields in turns, and draw what each costs.

    Weights are random, since what they are does not change what they cost. With --calls the exit code is 2 where calls
    after the first compile anything or where memory grows from a quarter of them on.
    """
    check_folder(out)

    import jax  # noqa: PLC0415

    import srd_jax as srd  # noqa: PLC0415
    from srd_jax import models  # noqa: PLC0415
    from srd_jax.drawing.charts import draw_costs  # noqa: PLC0415
    from srd_jax.drawing.pictures import write_png  # noqa: PLC0415
    from srd_jax.errors import SRDError  # noqa: PLC0415
    from srd_jax.evaluation.speed import FORWARD, measure, subjects  # noqa: PLC0415

    from .inputs import outline  # noqa: PLC0415

    shape = (batch, *outline(model, size).images.shape[1:])
    net = models.load(model, "untrained", dtype=dtype)
    images = jax.random.normal(jax.random.key(0), shape)
    compared = {
        name: fn
        for name, fn in subjects(net.apply, net.variables, jax.ShapeDtypeStruct(shape, images.dtype), bias=bias).items()
        if name == FORWARD or not any(text.casefold() in name.casefold() for text in skip or ())
    }
    with progress_bar() as bar:
        task = bar.add_task("Compiling", total=len(compared) * (rounds + 2))

        def advance(name: str) -> None:
            bar.update(task, advance=1, description=name)

        costs = measure(compared, net.variables, images, rounds=rounds, advance=advance)
    device = jax.devices()[0]
    where = f"CPU, {os.cpu_count()} cores" if device.platform == "cpu" else device.device_kind
    title = f"{model} at {extents(shape[1:3])} pixels, {batch} images, {dtype}, bias {bias}"
    show(table(f"{title}, {where}", _HEADINGS, [_row(name, cost, batch) for name, cost in costs.items()]))
    repeated = _repeated(net, images, bias, calls) if calls is not None else {}
    if repeated:
        show(table(f"{model}, {calls} calls each", _CALL_HEADINGS, [_call_row(*item) for item in repeated.items()]))
    stem = f"bench_{model}_{shape[1]}_{batch}_{dtype}_{bias}"
    numbers, picture = out / f"{stem}.json", out / f"{stem}.png"
    record = {
        "model": model,
        "batch": batch,
        "extents": shape[1:3],
        "dtype": dtype,
        "bias": bias,
        "rounds": rounds,
        "device": where,
        "platform": device.platform,
        "jax": jax.__version__,
        "srd_jax": srd.__version__,
        "costs": {name: _record(cost, batch) for name, cost in costs.items()},
    }
    if repeated:
        record["calls"] = {name: _call_record(each) for name, each in repeated.items()}
    with replacing(numbers) as file:
        file.write((json.dumps(record, indent=2) + "\n").encode())
    figure = draw_costs(
        {name: cost.spread("ratios") for name, cost in costs.items()},
        {name: cost.temporary_bytes for name, cost in costs.items()},
        title=title,
        details=(
            f"{where}  ·  median and quartiles of {rounds} rounds taken in turns  ·  forward pass "
            f"{costs[FORWARD].spread()[0]:.3g} s",
        ),
    )
    with replacing(picture) as file:
        write_png(figure, file)
    line(str(numbers))
    line(str(picture))
    faults = [f"{name}: {each.fault}" for name, each in repeated.items() if each.fault]
    if faults:
        raise SRDError(f"{calls} calls leave something behind; " + ", ".join(faults))


def _repeated(net: "Network", images: "jax.Array", bias: Bias, calls: int) -> dict[str, "Repeated"]:
    import jax.numpy as jnp  # noqa: PLC0415

    from srd_jax.evaluation.calls import call_forms, repeat  # noqa: PLC0415

    wider = jnp.pad(images[:1], ((0, 0), (0, 0), (0, _WIDER), (0, 0)), "edge")
    forms = call_forms(net.apply, net.variables, [images, wider, images[:1]], bias=bias)
    with progress_bar() as bar:
        task = bar.add_task("Calling", total=len(forms) * calls)
        return repeat(forms, calls, lambda name: bar.update(task, advance=1, description=name))


_HEADINGS = ("", "Seconds", "Quartiles", "Forward passes", "Images/s", "Temporary MiB", "Result MiB", "Peak MiB")


def _row(name: str, cost: "Cost", batch: int) -> tuple[str, ...]:
    median, low, high = cost.spread()
    return (
        name,
        f"{median:.3g}",
        f"{low:.3g} to {high:.3g}",
        f"{cost.spread('ratios')[0]:.2f}",
        f"{batch / median:.3g}",
        _mebibytes(cost.temporary_bytes),
        _mebibytes(cost.output_bytes),
        _mebibytes(cost.peak_bytes),
    )


_CALL_HEADINGS = ("", "Compiled at first", "Compiled later", "Call: MiB held", "Verdict")


def _call_row(name: str, each: "Repeated") -> tuple[str, ...]:
    held = ", ".join(f"{call}: {_mebibytes(size)}" for call, size in each.memory.items()) or "-"
    return (name, str(each.first), str(each.later), held, each.fault or ("flat" if each.memory else "nothing compiled"))


def _call_record(each: "Repeated") -> dict[str, Any]:
    return {
        "compiled_first": each.first,
        "compiled_later": each.later,
        "held_bytes": {str(call): size for call, size in each.memory.items()},
        "fault": each.fault,
    }


def _mebibytes(size: int | None) -> str:
    return "-" if size is None else f"{size / _MIB:,.1f}"


def _record(cost: "Cost", batch: int) -> dict[str, Any]:
    median, low, high = cost.spread()
    ratio, ratio_low, ratio_high = cost.spread("ratios")
    return {
        "seconds": {"median": median, "quartiles": [low, high], "rounds": cost.seconds},
        "forward_passes": {"median": ratio, "quartiles": [ratio_low, ratio_high]},
        "images_per_second": batch / median,
        "temporary_bytes": cost.temporary_bytes,
        "output_bytes": cost.output_bytes,
        "peak_bytes": cost.peak_bytes,
    }
