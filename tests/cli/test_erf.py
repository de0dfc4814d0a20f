"""``srd erf``: fields as pictures and numbers, of layers and positions that there are."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from srd_jax import models
from srd_jax.cli import app

SMALL = ["--model", "resnet18", "--weights", "untrained", "--size", "64"]


def srd(*arguments):
    return CliRunner().invoke(app, ["erf", *(str(argument) for argument in arguments)])


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 90, 3), np.uint8)).save(path)
    return path


@pytest.mark.slow
def test_erf_writes_a_picture_and_the_field_for_every_position(photo, tmp_path):
    out = tmp_path / "out"
    result = srd(photo, *SMALL, "--layer", "layer2.0.relu2", "--at", "3,4", "--at", "0,0", "--out", out)
    assert result.exit_code == 0, result.output
    assert len(list(out.glob("*.png"))) == 2
    for path in out.glob("*.npz"):
        with np.load(path, allow_pickle=False) as saved:
            (field,) = (saved[key] for key in saved if saved[key].shape == (64, 64))
        np.testing.assert_allclose(field.sum(), 1, atol=1e-4)


@pytest.mark.slow
def test_a_field_is_not_drawn_where_logits_are_not_finite(photo, tmp_path, use):
    whole = models.load("tiny_resnet", "untrained")
    use(dataclasses.replace(whole, apply=lambda variables, images: jnp.inf * whole.apply(variables, images)))
    result = srd(
        photo,
        "--model",
        "tiny_resnet",
        "--weights",
        "untrained",
        "--layer",
        "layer1.0.relu1",
        "--out",
        tmp_path / "out",
    )
    assert result.exit_code == 2
    assert "tiny_resnet gives logits that are NaN or infinite" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("layer", "position", "message"),
    [("layer9", "0,0", "no PFV map is called 'layer9'"), ("layer2.0.relu2", "99,0", "position 99,0 is outside")],
)
def test_a_layer_or_position_that_is_not_there(layer, position, message, photo, tmp_path):
    out = tmp_path / "out"
    result = srd(photo, *SMALL, "--layer", layer, "--at", position, "--out", out)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize("text", ["3", "3,x", "1,2,3", ""])
def test_a_position_is_two_whole_numbers(text, photo):
    result = srd(photo, "--at", text)
    assert result.exit_code == 2
    assert "is not ROW,COL, two whole numbers such as 3,5" in " ".join(result.stderr.split())
