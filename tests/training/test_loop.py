"""A run writes what it did, survives a kill, and is never mixed with another."""

import hashlib
import json
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from PIL import Image

import srd_jax as srd
from srd_jax import models
from srd_jax.data import Source
from srd_jax.training import Recipe, accuracy, train

RECIPE = Recipe(epochs=5, batch=12, learning_rate=0.5, sizes=((0.0, 16), (0.6, 24)), average=0.8)
MODULE = models.ResNet((1,), bottleneck=False, num_classes=200, widths=(8,), stem="small")
RUN = """
import sys, time
from srd_jax.data import open_source
from srd_jax.training import train
from tests.training.test_loop import MODULE, RECIPE
source = lambda split: open_source("tiny_imagenet200", split, data_dir=sys.argv[1])
slow = float(sys.argv[3])
train(MODULE, RECIPE, source("train"), source("validation"), sys.argv[2], resize=24, checkpoints=5, resume=True,
      report=lambda done, total, metrics: time.sleep(slow))
"""


def run(prepared, out, slow=0.0):
    return [sys.executable, "-c", RUN, str(prepared), str(out), str(slow)]


def metrics(out):
    found = json.loads((out / "metrics.json").read_text())
    return [{key: value for key, value in each.items() if key != "seconds"} for each in found]


@pytest.fixture(scope="module")
def undisturbed(small_set, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    done = subprocess.run(run(small_set[1], out), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
def test_a_run_that_was_killed_ends_as_one_that_was_not(small_set, undisturbed, tmp_path):
    out = tmp_path / "run"
    process = subprocess.Popen(run(small_set[1], out, slow=0.3), stderr=subprocess.DEVNULL)
    while not (out / "metrics.json").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 1 <= len(metrics(out)) < 5
    subprocess.run(run(small_set[1], out), capture_output=True, check=True)
    assert metrics(out) == metrics(undisturbed)
    assert (out / "weights.safetensors").read_bytes() == (undisturbed / "weights.safetensors").read_bytes()


@pytest.mark.slow
def test_what_a_run_leaves(undisturbed):
    steps = [each["step"] for each in metrics(undisturbed)]
    assert steps == [4, 8, 12, 16, 20]
    assert json.loads((undisturbed / "recipe.json").read_text())["batch"] == 12
    card = json.loads((undisturbed / "weights.json").read_text())
    assert card["sha256"] == hashlib.sha256((undisturbed / "weights.safetensors").read_bytes()).hexdigest()
    assert card["recipe"]["data"] == "tiny_imagenet200 train"
    assert card["metrics"]["validation_top1"] == metrics(undisturbed)[-1]["validation_top1"]
    with Image.open(undisturbed / "curves.png") as curves:
        assert curves.width > 1000


@pytest.mark.slow
def test_the_weights_load_with_their_labels_and_the_accuracy_that_was_measured(undisturbed, source):
    state = models.weight_files.read(undisturbed / "weights.safetensors")
    assert {array.dtype for array in state.values()} == {np.dtype(np.float16)}
    assert models.weight_files.class_names(undisturbed / "weights.safetensors") == source("train").labels
    template = jax.eval_shape(MODULE.init, jax.random.key(0), np.zeros((1, 24, 24, 3)))
    variables = models.weights.from_torchvision(template, state, "small")
    found = accuracy(MODULE.apply, variables, source("validation"), size=24, resize=24)
    last = metrics(undisturbed)[-1]
    assert found.top1 == pytest.approx(last["validation_top1"], abs=1 / 16)  # float16 may turn one image
    assert found.loss == pytest.approx(last["validation_loss"], rel=0.02)
    assert found.top1 > 0.5  # four colours


@pytest.mark.slow
def test_a_training_that_starts_from_weights(undisturbed, source, tmp_path):
    first = undisturbed / "weights.safetensors"
    recipe = Recipe(**{**vars(RECIPE), "epochs": 0.5, "learning_rate": 0.0, "initial": str(first)})
    path = train(MODULE, recipe, source("train"), source("validation"), tmp_path / "more", resize=24, checkpoints=1)
    before, after = models.weight_files.read(first), models.weight_files.read(path)
    np.testing.assert_array_equal(before["fc.weight"], after["fc.weight"])  # a learning rate of 0
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["recipe"]["initial"] == hashlib.sha256(first.read_bytes()).hexdigest()
    with pytest.raises(srd.WeightsError, match="no weights file"):
        train(
            MODULE, Recipe(initial="no.safetensors"), source("train"), source("validation"), tmp_path / "x", resize=24
        )


@pytest.mark.slow
def test_another_training_is_not_overwritten(undisturbed, source):
    data = source("train"), source("validation")
    with pytest.raises(srd.SRDError, match="holds a training already"):
        train(MODULE, RECIPE, *data, undisturbed, resize=24)
    with pytest.raises(srd.SRDError, match="with another recipe"):
        train(MODULE, Recipe(epochs=1), *data, undisturbed, resize=24, resume=True)


def test_a_batch_that_no_devices_can_share(source, tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "devices", lambda: jax.local_devices() * 5)
    with pytest.raises(srd.ShapeError, match="12 cannot be spread over 5 devices"):
        train(MODULE, RECIPE, source("train"), source("validation"), tmp_path / "run", resize=24)
    assert not (tmp_path / "run").exists()


def test_nothing_to_evaluate_on_is_said_before_the_training(source, tmp_path):
    images = source("validation")
    bare = Source("bare", images.labels, [{"image": images[0].encoded, "label": -1}] * 3)
    with pytest.raises(srd.DataError, match="no image of bare has a label"):
        train(MODULE, RECIPE, source("train"), bare, tmp_path / "run", resize=24)
    assert not (tmp_path / "run").exists()
