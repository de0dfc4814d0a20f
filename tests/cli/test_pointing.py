"""``srd pointing``: its picture, its numbers, and its notice."""

import json

from PIL import Image
from typer.testing import CliRunner

from srd_jax.cli import app

SIDE = 16


def test_the_command_writes_a_picture_and_the_numbers(small_set, tmp_path):
    arguments = [
        "pointing",
        "--weights",
        "untrained",
        "--data-dir",
        small_set[1],
        "--size",
        SIDE,
        "-n",
        5,
        "--batch",
        3,
    ]
    result = CliRunner().invoke(app, [str(argument) for argument in [*arguments, "--out", tmp_path]])
    assert result.exit_code == 0, result.output
    assert "the centre" in result.output
    record = json.loads((tmp_path / "tiny-imagenet200_tiny_resnet_pointing.json").read_text())
    assert record["images"] == 5
    assert set(record["results"]) == {
        "srd",
        "srd, smoothed",
        "saliency",
        "saliency, smoothed",
        "the centre",
        "anywhere",
    }
    assert "Untrained weights" in result.output
    with Image.open(tmp_path / "tiny-imagenet200_tiny_resnet_pointing.png") as sheet:
        assert sheet.width > 500
