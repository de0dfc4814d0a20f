"""The options that commands share, each with one meaning everywhere.

The choices are those of `srd_jax.explain`, written out so that help needs no JAX; None is called "none".
"""

import math
from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = [
    "DEFAULTS",
    "DEFAULT_MODEL",
    "MOST_AT_ONCE",
    "At",
    "Baseline",
    "Bias",
    "BiasOption",
    "Cache",
    "Contrast",
    "ContrastOption",
    "Count",
    "DataDir",
    "DataSet",
    "Head",
    "HeadOption",
    "ManualDir",
    "Method",
    "Methods",
    "ModelName",
    "Out",
    "Photos",
    "Settings",
    "Size",
    "Sizes",
    "Split",
    "Target",
    "TargetOrLabel",
    "Weights",
    "finite",
]

MOST_AT_ONCE = 2**16  # images in a batch
_LARGEST = 4096


def finite(value: float | None) -> float | None:
    """What an option of a number takes beside its range: no NaN, and nothing infinite.

    Raises:
        typer.BadParameter: it is one.
    """
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value


DEFAULT_MODEL = "efficientnet_lite0"
DEFAULTS = {"contrast": "spatial", "bias": "norm", "head": "linear"}
Bias = Literal["norm", "uniform", "none"]
Contrast = Literal["spatial", "class", "none"]
Head = Literal["linear", "gradcam", "sharing"]

BiasOption = Annotated[Bias, typer.Option(help="How biases are shared among contributions.")]
ContrastOption = Annotated[Contrast, typer.Option(help="What the encoder's relevance is compared with.")]
HeadOption = Annotated[Head, typer.Option(help="How the logit is divided at the encoder's output.")]
Baseline = Annotated[Literal["blur", "mean"], typer.Option(help="What stands for pixels that are not there.")]

Photos = Annotated[
    list[Path] | None, typer.Argument(metavar="IMAGE", help="Photos; without any, a cat that comes along.")
]
Method = Annotated[
    str, typer.Option("--method", metavar="NAME", help="An attribution method; `srd methods` lists them.")
]
Methods = Annotated[
    list[str] | None,
    typer.Option("--method", metavar="NAME", help="An attribution method; `srd methods` lists them; repeatable."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="An option of a method, such as steps=20; repeatable."),
]
ModelName = Annotated[str, typer.Option("--model", "-m", metavar="NAME", help="A model; `srd models` lists them.")]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|untrained",
        help="A .safetensors, .pth or .pt file with torchvision's names; 'untrained' for random weights.",
        show_default="bundled, or pretrained and downloaded once",
    ),
]
Size = Annotated[
    int | None,
    typer.Option(min=1, max=_LARGEST, help="Side of the model's input in pixels.", show_default="the model's own"),
]
Sizes = Annotated[
    list[int] | None,
    typer.Option(
        "--size",
        min=1,
        max=_LARGEST,
        help="Side of the model's input in pixels; repeatable.",
        show_default="the model's own",
    ),
]
Cache = Annotated[
    bool,
    typer.Option("--cache/--no-cache", help="Keep compiled programs for the next run, in the user's cache folder."),
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the files, made if needed.")]
DataSet = Annotated[
    str, typer.Option("--data", metavar="NAME", help="A TFDS set of labelled images, or tiny_imagenet200.")
]
DataDir = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Where prepared data sets are kept.", show_default="TFDS's own folder"),
]
ManualDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Where the files lie that a set is prepared from, if TFDS does not download them."
    ),
]
Split = Annotated[str, typer.Option(help="Which part of the set.")]
Count = Annotated[int | None, typer.Option("--count", "-n", min=1, help="Images of the set.", show_default="all")]
Target = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        "-t",
        metavar="NAME|INDEX|topK",
        help="Class to explain, by name or index, or the K likeliest; repeatable.",
        show_default="top1",
    ),
]
TargetOrLabel = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        "-t",
        metavar="label|NAME|INDEX|topK",
        help="Class to explain: the set's true label, a name or an index, or the K likeliest; repeatable.",
        show_default="top1",
    ),
]
At = Annotated[
    list[str] | None,
    typer.Option(
        "--at",
        metavar="ROW,COL",
        help="Position in the layer's grid, from 0; repeatable.",
        show_default="the middle",
    ),
]
