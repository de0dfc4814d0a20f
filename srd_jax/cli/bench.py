"""``srd bench``: what explanations cost beside the forward pass, in one run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from srd_jax.files import check_folder

from .options import DEFAULT_MODEL, MOST_AT_ONCE, Bias, BiasOption, Methods, ModelName, Out, Sizes
from .terminal import progress_bar, show, table

if TYPE_CHECKING:
    import jax
    from rich.progress import TaskID

    from srd_jax.evaluation.calls import Repeated
    from srd_jax.models import Network

__all__ = ["bench"]

_BATCH = 8
_WIDER = 8  # pixels by which the second of the sizes that come in turn is wider

Dtype = Literal["float32", "bfloat16", "float16"]


def bench(
    *,
    model: ModelName = DEFAULT_MODEL,
    batch: Annotated[
        list[int] | None,
        typer.Option("--batch", "-b", min=1, max=MOST_AT_ONCE, help="Images at once; repeatable.", show_default="8"),
    ] = None,
    size: Sizes = None,
    dtype: Annotated[Dtype, typer.Option(help="In which the model computes.")] = "float32",
    bias: BiasOption = "norm",
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

    Weights are random, since what they are does not change what they cost. Of several batches and sizes, every batch is
    measured at the first size and the first batch at every size, and two curves are drawn. With --calls the exit code
    is 2 where calls after the first compile anything or where memory grows from a quarter of them on.
    """
    check_folder(out)

    import jax  # noqa: PLC0415

    from srd_jax import models  # noqa: PLC0415
    from srd_jax.errors import SRDError  # noqa: PLC0415
    from srd_jax.evaluation import speed  # noqa: PLC0415
    from srd_jax.evaluation.calls import HEADINGS  # noqa: PLC0415
    from srd_jax.evaluation.growth import growth_cases, growth_report  # noqa: PLC0415

    from .inputs import outline  # noqa: PLC0415
    from .methods import chosen  # noqa: PLC0415
    from .reports import show_report  # noqa: PLC0415

    methods = chosen(method or ())
    sizes = [outline(model, each).images.shape[1] for each in (size or (None,))]
    shapes = growth_cases(batch or [_BATCH], sizes)
    net = models.load(model, "untrained", dtype=dtype)

    def images(shape: tuple[int, ...]) -> jax.Array:
        return jax.random.normal(jax.random.key(0), shape)

    costs = {}
    with progress_bar() as bar:
        for shape in shapes:
            like = jax.eval_shape(lambda shape=shape: images(shape))
            compared = {
                name: fn
                for name, fn in speed.subjects(net.apply, net.variables, like, bias=bias, methods=methods).items()
                if name == speed.FORWARD or not any(text.casefold() in name.casefold() for text in skip or ())
            }
            task = bar.add_task("Compiling", total=len(compared) * (rounds + 2))

            def advance(name: str, task: "TaskID" = task) -> None:
                bar.update(task, advance=1, description=name)

            costs[shape] = speed.measure(compared, net.variables, images(shape), rounds=rounds, advance=advance)
    repeated = _repeated(net, images(shapes[0]), bias, calls) if calls is not None else {}
    more = {"calls": {name: each.record for name, each in repeated.items()}} if repeated else {}
    if repeated:
        show(table(f"{model}, {calls} calls each", HEADINGS, [(name, *each.row) for name, each in repeated.items()]))
    for shape in shapes:
        found = speed.report(
            costs[shape], model=model, shape=shape, dtype=dtype, bias=bias, rounds=rounds,
            more=more if shape == shapes[0] else {},
        )  # fmt: skip
        show_report(found, out)
    if len(shapes) > 1:
        show_report(growth_report(costs, model=model, dtype=dtype, bias=bias, rounds=rounds), out)
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
