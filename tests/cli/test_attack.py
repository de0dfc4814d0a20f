"""``srd attack``: what it writes, how it goes on, and what it refuses."""

import json
import sys

import pytest
from PIL import Image
from typer.testing import CliRunner

from srd_jax.cli import app, inputs
from tests.evaluation.attacked_networks import IMAGES, NET

QUICK = ["--weights", "untrained", "--size", "16", "--steps", "8", "--method", "saliency"]
STEM = "photos_small_attack"


def srd(*arguments):
    return CliRunner().invoke(app, ["attack", *map(str, arguments)])


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(inputs, "load_model", lambda name, weights: NET)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for number, pixels in enumerate(IMAGES):
        Image.fromarray(pixels).resize((32, 32), Image.Resampling.NEAREST).save(folder / f"{number}.png")
    return sorted(folder.iterdir())


def test_it_writes_a_picture_and_the_numbers_and_goes_on_to_the_byte(photos, tmp_path):
    out = tmp_path / "out"
    result = srd(*photos, *QUICK, "--batch", "2", "--out", out)
    assert result.exit_code == 0, result.output
    assert "Of the way" in result.output
    record = json.loads((out / f"{STEM}.json").read_text())
    assert list(record["results"]) == ["saliency"]
    assert record["results"]["saliency"]["stays"]["photos"] == len(photos) == record["photos"]
    assert record["attack"]["bound"] == 8
    with Image.open(out / f"{STEM}.png") as drawn:
        assert drawn.width > 500

    again = srd(*photos, *QUICK, "--batch", "2", "--out", out)
    assert again.exit_code == 2
    assert "exists already: --resume goes on with it" in again.stderr
    other = srd(*photos, *QUICK, "--batch", "2", "--bound", "4", "--out", out, "--resume")
    assert other.exit_code == 2
    assert "was begun with another attack" in other.stderr
    assert other.stderr.count("\n") == 1

    before = {file.name: file.read_bytes() for file in out.iterdir()}
    for name in ("saliency_0001.npz", f"{STEM}.json", f"{STEM}.png"):
        (out / name).unlink()
    resumed = srd(*photos, *QUICK, "--batch", "2", "--out", out, "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "no_such"], "no attribution method is called 'no_such'"),
        (["--method", "lattice"], "lattice does not look at the model"),
        (["--method", "deconvolution"], "deconvolution cannot be attacked by gradients"),
        (["--method", "saliency", "--set", "reduce=none"], "one number a pixel is needed"),
        (["--method", "saliency", "--set", "samples=3"], "--set samples=3: saliency has the options reduce"),
        (["--method", "saliency", "--contrast", "class"], "no option --contrast of saliency"),
        (["--steps", "0"], "steps"),
        (["--bound", "256"], "bound"),
        (["--towards", "cat"], "towards"),
        (["--data", "no_such_set"], "no data set 'no_such_set'"),
        (["no_photo.png"], "there is no image file no_photo.png"),
        (["--model", "vgg16"], "vgg16 needs images of at least 32 pixels"),
        (["--resume", "--out", "{photo}"], "is not a folder"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(arguments, message, photos, tmp_path):
    out = tmp_path / "out"
    result = srd("--out", out, "--size", "16", *(each.format(photo=photos[0]) for each in arguments))
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not out.exists()


def test_a_missing_extra_is_named(photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optax", None)
    for name in ("manipulation", "manipulation_runs", "manipulability"):
        monkeypatch.delitem(sys.modules, f"srd_jax.evaluation.{name}", raising=False)
    result = srd(photos[0], *QUICK, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "pip install 'srd_jax[attack]'" in result.stderr
