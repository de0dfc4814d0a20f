"""``srd train``: from a prepared set to weights that other commands take."""

import json
import sys

import pytest
from tensorflow_datasets.core import registered
from typer.testing import CliRunner

from srd_jax.cli import app
from srd_jax.models import load


def srd(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.slow
def test_it_trains_and_loads(small_set, tmp_path):
    out = tmp_path / "run"
    result = srd(
        "train", "--data-dir", small_set[1], "--epochs", "0.5", "--batch", "12", "--checkpoints", "1", "--out", out
    )
    assert result.exit_code == 0, result.output
    assert str(out / "weights.safetensors") in result.output.replace("\n", "")
    assert json.loads((out / "recipe.json").read_text())["epochs"] == 0.5
    net = load("tiny_resnet", out / "weights.safetensors")
    assert net.labels[0] == "goldfish, Carassius auratus"
    again = srd("train", "--data-dir", small_set[1], "--out", out)
    assert again.exit_code == 2
    assert "holds a training already" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "no_such_set"], "no data set 'no_such_set'"),
        (["--split", "test"], "has no split 'test'"),
        (["--model", "vgg16"], "vgg16 has no training mode; there are tiny_resnet"),
        (["--epochs", "-1"], "epochs"),
        (["--sizes", "32,64"], "is not SHARE:PIXELS"),
        (["--sizes", "0.5:32"], "sizes must start at share 0"),
        (["--initial", "no.safetensors"], "no weights file"),
        (["--epochs", "inf"], "epochs must be between"),
        (["--learning-rate", "nan"], "learning"),
        (["--sizes", "0:" + "9" * 5000], "is not SHARE:PIXELS"),
        (["--seed", "9" * 40], "seed must be between"),
        (["--data", "https://x.org/set"], "no data set 'https://x.org/set'"),
        (["--split", "train[:x]"], "cannot be opened"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(arguments, message, small_set, tmp_path):
    out = tmp_path / "run"
    result = srd("train", "--data-dir", small_set[1], "--out", out, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not out.exists()


def test_a_missing_extra_is_named(small_set, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith(("srd_jax.data", "srd_jax.training"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "grain", None)
    monkeypatch.setattr(registered, "_DATASET_REGISTRY", {})  # sets are registered once for every import
    result = srd("train", "--data-dir", small_set[1], "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert "needs grain: pip install 'srd_jax[train]'" in result.stderr
