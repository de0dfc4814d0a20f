"""Commands that print what is known without any weights: ``srd layers``, ``models``, ``methods`` and ``cost``."""

from typing import Annotated, get_args

import typer

from .options import DEFAULT_MODEL, Bias, ModelName, Size
from .terminal import extents, show, table

__all__ = ["cost", "layers", "methods", "models"]


def layers(*, model: ModelName = DEFAULT_MODEL, size: Size = None) -> None:
    """List a model's PFV maps, name, grid, channels and receptive field, and count its parameters."""
    import math  # noqa: PLC0415

    import jax  # noqa: PLC0415

    from .inputs import layers_of, outline  # noqa: PLC0415

    net = outline(model, size)
    parameters = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(net.variables["params"]))
    rows = [
        (layer.name, extents(layer.grid), str(layer.channels), extents(layer.receptive_field))
        for layer in layers_of(net)
    ]
    headings = ("Layer", "Grid", "Channels", "Receptive field")
    title = f"{model} at {extents(net.images.shape[1:3])} pixels, {parameters:,} parameters"
    show(table(title, headings, rows))


def models() -> None:
    """List the models, the side of their images in pixels and where their weights come from by default."""
    from srd_jax.models import names, preprocessing, weights_source  # noqa: PLC0415

    rows = [(name, str(preprocessing(name).size), weights_source(name)) for name in names()]
    show(table("Models", ("Model", "Pixels", "Trained weights"), rows, text_columns=(0, 2)))


def methods() -> None:
    """List the attribution methods: what they are, what they need of a model, what they cost, and their options."""
    import inspect  # noqa: PLC0415

    from srd_jax.attribution import ABOUT, METHODS, keywords_of  # noqa: PLC0415

    rows = []
    for name, method in METHODS.items():
        first = (inspect.getdoc(method) or "").splitlines()[0].rstrip(".")
        options = ", ".join(keyword for keyword in keywords_of(method) if keyword != "channel_axis")
        about = ABOUT[name]
        rows.append((name, first.removeprefix("Make a function that returns "), about.needs, about.cost, options))
    show(
        table(
            "Attribution methods",
            ("Method", "Gives", "Needs", "Costs", "Options"),
            rows,
            text_columns=range(5),
            whole=(0,),
        )
    )


def cost(
    *,
    model: ModelName = DEFAULT_MODEL,
    size: Size = None,
    bias: Annotated[Bias | None, typer.Option(help="How biases are shared.", show_default="norm and uniform")] = None,
) -> None:
    """Count the multiply-adds of a forward pass and of one map, for one image."""
    import jax  # noqa: PLC0415
    import jax.numpy as jnp  # noqa: PLC0415

    import srd_jax as srd  # noqa: PLC0415
    from srd_jax.evaluation.cost import multiply_adds  # noqa: PLC0415

    from .inputs import outline  # noqa: PLC0415

    net = outline(model, size)
    target = jax.ShapeDtypeStruct((1,), jnp.int32)
    forward = multiply_adds(net.apply, net.variables, net.images)
    rows = [("forward pass", f"{forward:,}", "1.00")]
    for each in get_args(Bias)[:2] if bias is None else (bias,):
        one = multiply_adds(srd.explain(net.apply, bias=each), net.variables, net.images, target)
        rows.append((f"one map, bias {each}", f"{one:,}", f"{one / forward:.2f}"))
    show(
        table(
            f"{model} at {extents(net.images.shape[1:3])} pixels, one image",
            ("", "Multiply-adds", "Forward passes"),
            rows,
        )
    )
