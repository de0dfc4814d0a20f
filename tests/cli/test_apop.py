"""``srd apop``: what it counts, what it writes."""

import json
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name
from PIL import Image
from typer.testing import CliRunner

from srd_jax.cli import app, inputs
from srd_jax.models.photos import Preprocessing

WEIGHTS = [0.1 * jax.random.normal(jax.random.key(i), s) for i, s in enumerate([(3, 8), (8, 4)])]


def network(weights, images):
    first, second = weights
    return checkpoint_name(jax.nn.relu(images @ first - 0.05), "hidden").mean((1, 2)) @ second


NET = SimpleNamespace(
    name="small",
    labels=("cat", "dog", "cup", "sky"),
    layers=("hidden",),
    trained=False,
    size=64,
    apply=network,
    variables=WEIGHTS,
    preprocess=Preprocessing(16, 16, (0.5,) * 3, (0.5,) * 3),
)


def test_it_writes_a_picture_and_the_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "load_model", lambda name, weights: NET)
    photos = []
    for i in range(2):
        photos.append(tmp_path / f"{i}.png")
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (80, 90, 3), np.uint8)).save(photos[-1])
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["apop", *map(str, photos), "--probe", "image", "--size", "16", "--out", str(out)])
    assert result.exit_code == 0, result.output
    with Image.open(next(out.glob("*.png"))) as drawn:
        assert drawn.width > 500
    record = json.loads(next(out.glob("*.json")).read_text())
    assert [(r["way"], r["name"]) for r in record["results"]] == [
        ("ordinary", ""), ("layer", "hidden"), ("probe", "image"),
    ]  # fmt: skip
    assert record["results"][2]["agreement"] == 1
    assert record["images"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layer", "relu9"], "no PFV map is called 'relu9'; did you mean"),
        (["--probe", "x"], "probe"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(arguments, message, tmp_path):
    out = tmp_path / "out"
    small = ["--model", "resnet18", "--weights", "untrained", "--size", "32"]
    result = CliRunner().invoke(app, ["apop", *small, *arguments, "--out", str(out)])
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not out.exists()
