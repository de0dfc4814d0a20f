"""``srd bench``: what explanations cost beside the forward pass, in one run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from srd_jax.files import check_folder

from .options import DEFAULT_MODEL, MOST_AT_ONCE, Bias, Methods, ModelName, Out, Size
from .terminal import progress_bar, show, table

if TYPE_CHECKING:
    import jax

    from srd_jax.evaluation.calls import Repeated
    from srd_jax.models import Network

__all__ = ["bench"]

_WIDER = 8  # pixels by which the second of the sizes that come in turn is wider

Dtype = Literal["float32", "bfloat16", "float16"]


def bench(
    *,
    model: ModelName = DEFAULT_MODEL,
    batch: Annotated[int, typer.Option("--batch", "-b", min=1, max=MOST_AT_ONCE, help="Images at once.")] = 8,
    size: Size = None,
    dtype: Annotated[Dtype, typer.Option(help="In which the model computes.")] = "float32",
    bias: Annotated[Bias, typer.Option(help="How biases are shared among contributions.")] = "norm",
    method: Methods = None,
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

    from srd_jax import models  # noqa: PLC0415
    from srd_jax.errors import SRDError  # noqa: PLC0415
    from srd_jax.evaluation import speed  # noqa: PLC0415
    from srd_jax.evaluation.calls import HEADINGS  # noqa: PLC0415

    from .inputs import outline  # noqa: PLC0415
    from .methods import chosen  # noqa: PLC0415
    from .reports import show_report  # noqa: PLC0415

    methods = chosen(method or ())
    shape = (batch, *outline(model, size).images.shape[1:])
    net = models.load(model, "untrained", dtype=dtype)
    images = jax.random.normal(jax.random.key(0), shape)
    like = jax.ShapeDtypeStruct(shape, images.dtype)
    compared = {
        name: fn
        for name, fn in speed.subjects(net.apply, net.variables, like, bias=bias, methods=methods).items()
        if name == speed.FORWARD or not any(text.casefold() in name.casefold() for text in skip or ())
    }
    with progress_bar() as bar:
        task = bar.add_task("Compiling", total=len(compared) * (rounds + 2))

        def advance(name: str) -> None:
            bar.update(task, advance=1, description=name)

        costs = speed.measure(compared, net.variables, images, rounds=rounds, advance=advance)
    repeated = _repeated(net, images, bias, calls) if calls is not None else {}
    more = {"calls": {name: each.record for name, each in repeated.items()}} if repeated else {}
    if repeated:
        show(table(f"{model}, {calls} calls each", HEADINGS, [(name, *each.row) for name, each in repeated.items()]))
    show_report(speed.report(costs, model=model, shape=shape, dtype=dtype, bias=bias, rounds=rounds, more=more), out)
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
