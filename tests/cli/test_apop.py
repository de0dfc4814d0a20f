"""``srd apop``: what it counts, what it writes."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name
from PIL import Image
from typer.testing import CliRunner

import srd_jax as srd
from srd_jax.cli import app, inputs
from srd_jax.cli.apop import measure
from srd_jax.cli.labelled import Labelled
from srd_jax.drawing.charts import draw_by_depth

IMAGES = np.random.default_rng(0).integers(0, 255, (7, 6, 6, 3), np.uint8)
WEIGHTS = [0.1 * jax.random.normal(jax.random.key(i), s) for i, s in enumerate([(3, 8), (8, 4)])]
LABELS = np.array([0, 1, 2, 3, 0, 1, 2], np.int32)


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
    preprocess=lambda image, size, resize: image.astype(np.float32) / 128 - 1,
)


def test_every_way_is_counted_once_for_each_image():
    batches = [Labelled(IMAGES[i : i + 3], LABELS[i : i + 3]) for i in (0, 3, 6)]
    done = []
    results = measure(NET, batches, ["hidden"], ["zeros", "other", "image"], 3, done.append)
    inputs = IMAGES.astype(np.float32) / 128 - 1
    usual = jnp.argmax(network(WEIGHTS, inputs), -1)
    other = np.concatenate([np.roll(inputs[i : i + 3], 1, 0) for i in (0, 3, 6)])
    expected = {
        ("ordinary", ""): usual,
        ("layer", "hidden"): jnp.argmax(srd.apop(network, "hidden")(WEIGHTS, inputs), -1),
        ("probe", "zeros"): jnp.argmax(srd.apop(network)(WEIGHTS, inputs, 0.0), -1),
        ("probe", "other"): jnp.argmax(srd.apop(network)(WEIGHTS, inputs, other), -1),
        ("probe", "image"): usual,
    }
    assert [(result.way, result.name) for result in results] == list(expected)
    for result, predicted in zip(results, expected.values(), strict=True):
        np.testing.assert_allclose(result.top1, (predicted == LABELS).mean(), rtol=1e-6)
        np.testing.assert_allclose(result.agreement, (predicted == usual).mean(), rtol=1e-6)
        assert result.low <= result.top1 <= result.high
    assert done == [3, 3, 1]


def test_without_labels_the_ordinary_prediction_is_the_label():
    (ordinary,) = measure(NET, [Labelled(IMAGES, np.full(7, -1, np.int32))], [], [], 7)
    assert ordinary.top1 == ordinary.agreement == 1


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


def test_a_chart_without_layers_or_probes_can_be_drawn():
    for layers, probes in (({}, {"zeros": (0.1, 0.0, 0.2)}), ({"relu": (0.1, 0.0, 0.2)}, {})):
        draw_by_depth(layers, probes, ordinary=0.5, chance=0.01, title="T").draw_without_rendering()
