"""``srd ablate``: what it measures, what it writes."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from PIL import Image
from typer.testing import CliRunner

from srd_jax.cli import app, inputs
from srd_jax.evaluation.ablation import MEASURED, SETTINGS
from srd_jax.metrics.table import METRICS
from srd_jax.models.photos import Preprocessing


class Network(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (3, 3), bias_init=nn.initializers.normal(0.3))(x))
        return nn.Dense(2)(nn.relu(nn.Conv(5, (3, 3), 2)(x)).mean((1, 2)))


NETWORK = Network()
NET = SimpleNamespace(
    name="small",
    labels=("cat", "dog"),
    trained=False,
    size=8,
    apply=NETWORK.apply,
    variables=NETWORK.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3))),
    preprocess=Preprocessing(16, 16, (0.5,) * 3, (0.5,) * 3),
)


def test_it_writes_a_contact_sheet_and_the_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "load_model", lambda name, weights: NET)
    photo = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (60, 60, 3), np.uint8)).save(photo)
    out = tmp_path / "out"
    result = CliRunner().invoke(
        app, ["ablate", str(photo), "--weights", "untrained", "--size", "16", "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    with Image.open(next(out.glob("*.png"))) as drawn:
        assert drawn.width > 500
    record = json.loads(next(out.glob("*.json")).read_text())
    assert list(record["results"]) == list(SETTINGS)
    for row in record["results"].values():
        assert set(row) == {name for name in MEASURED if not METRICS[name].of_boxes}
        assert all(np.isfinite(list(estimate.values())).all() for estimate in row.values())


def test_a_head_that_single_neurons_do_not_have(tmp_path):
    result = CliRunner().invoke(app, ["ablate", "--head", "sharing", "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "no such head" in result.stderr


def test_methods_in_place_of_the_settings(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "load_model", lambda name, weights: NET)
    out = tmp_path / "out"
    command = ["ablate", "--size", "16", "--steps", "2", "--method", "saliency", "--method", "srd", "--out", str(out)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    record = json.loads(next(out.glob("*.json")).read_text())
    assert list(record["results"]) == ["saliency", "srd"]
    assert record["settings"] == {"saliency": {"method": "saliency"}, "srd": {"method": "srd"}}
