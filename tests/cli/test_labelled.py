"""Labels: those of other classes are refused, unknown ones are never right, and what has no names is said."""

import io
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from PIL import Image
from typer.testing import CliRunner

import srd_jax.data
from srd_jax.cli import app, inputs
from srd_jax.cli.labelled import check_classes, from_data
from srd_jax.data import Source, images, open_maps
from srd_jax.models import photos

SIZE = 16
LABELS = (2, -1, 0, 1, -1)
KNOWN = 3
NAMES = ("Owl", "Great_Tit", "elk, moose")


class Network(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = checkpoint_name(nn.relu(nn.Conv(4, (3, 3), 2)(x)), "hidden")
        return nn.Dense(3)(x.mean((1, 2)))


NETWORK = Network()
NET = SimpleNamespace(
    name="small",
    labels=("owl", "great tit", "moose"),
    layers=("hidden",),
    trained=True,
    size=SIZE,
    apply=NETWORK.apply,
    variables=NETWORK.init(jax.random.key(1), jnp.zeros((1, SIZE, SIZE, 3))),
    preprocess=photos.Preprocessing(SIZE, SIZE),
)
COMMANDS = {
    "pointing": ["pointing", "--data", "birds", "--batch", "2", "--out", "OUT"],
    "apop": ["apop", "--data", "birds", "--batch", "2", "--probe", "image", "--out", "OUT"],
    "ablate": ["ablate", "--data", "birds", "--out", "OUT"],
    "batch": ["batch", "birds", "OUT", "-t", "label"],
}


def record(label):
    pixels = np.random.default_rng(label + 9).integers(0, 255, (SIZE, SIZE, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return {"image": file.getvalue(), "label": label, "box": np.array([0, 0, 0.5, 1])}


@pytest.fixture
def birds(monkeypatch):
    """Puts a set of these labels and class names in place of all others."""

    def opened(labels=LABELS, names=NAMES):
        source = Source("birds validation", tuple(names), [record(label) for label in labels])
        for module in (srd_jax.data, images):
            monkeypatch.setattr(module, "open_source", lambda *_, **__: source)

    return opened


@pytest.fixture
def run(birds, monkeypatch, tmp_path):
    """Runs a command on such a set, into a folder that is not there yet."""
    monkeypatch.setattr(inputs, "load_model", lambda *_: NET)

    def command(name, more=(), **given):
        birds(**given)
        out = tmp_path / "out"
        arguments = [str(out) if each == "OUT" else each for each in COMMANDS[name]]
        return CliRunner().invoke(app, [*arguments, *more]), out

    return command


def numbers(out):
    return json.loads(next(out.glob("*.json")).read_text())


def right():
    images = [NET.preprocess(photos.decoded(record(label)["image"], "")) for label in LABELS if label >= 0]
    predicted = np.asarray(NET.apply(NET.variables, np.stack(images))).argmax(-1)
    return np.mean(predicted == [label for label in LABELS if label >= 0])


def test_what_has_no_label_is_neither_right_nor_wrong_when_pointing(run):
    result, out = run("pointing")
    assert result.exit_code == 0, result.output
    assert "2 of 5 images have no label" in result.output
    assert numbers(out)["images"] == KNOWN
    assert numbers(out)["top1"] == pytest.approx(right())


def test_what_has_no_label_is_neither_right_nor_wrong_in_patterns(run):
    result, out = run("apop")
    assert result.exit_code == 0, result.output
    assert "2 of 5 images have no label" in result.output
    ordinary = numbers(out)["results"][0]
    assert ordinary["images"] == numbers(out)["images"] == KNOWN
    assert ordinary["top1"] == pytest.approx(right())


@pytest.mark.parametrize(
    ("unlabelled", "expected"), [(False, [[2, 0], [1]]), (True, [[2, -1], [0, 1], [-1]])], ids=["left out", "taken"]
)
def test_images_without_a_label(birds, unlabelled, expected):
    birds()
    batches, total = from_data("birds", "validation", None, NET, 2, unlabelled=unlabelled)
    assert total == 5
    assert [batch.labels.tolist() for batch in batches] == expected


def test_what_has_no_label_has_no_map_of_it(run):
    result, out = run("batch")
    assert result.exit_code == 2
    assert result.stderr.count("is left out: it has no label") == 2
    found = open_maps(out)
    np.testing.assert_array_equal(found.targets[:, 0], LABELS)
    np.testing.assert_array_equal(np.isfinite(found.maps[:]).all((1, 2, 3)), np.array(LABELS) >= 0)
    again, _ = run("batch", more=["--resume"])
    assert again.exit_code == 2
    assert again.stderr.count("is left out: it could not be read before") == 2
    assert "explained, 2 could not be read\n" in again.stdout  # at no speed, as nothing was left to do


@pytest.mark.parametrize("command", ["pointing", "apop"])
def test_a_set_without_any_label_is_refused(run, command):
    result, out = run(command, labels=(-1, -1))
    assert result.exit_code == 2
    assert "no image of birds validation has a label" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("wren", "kite", "tern"), "other classes, 3 of 3: 0 is 'owl' and 'wren'; 1 is 'great tit' and 'kite'; 2"),
        (("owl", "moose", "great tit"), "other classes, 2 of 3: 1 is 'great tit' and 'moose'"),
        (("owl", "great tit"), "has 3 classes and birds"),
    ],
)
def test_other_classes_are_refused(run, command, names, said):
    result, out = run(command, names=names)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("ours", "theirs", "unnamed"),
    [
        (NET.labels, ("0", "1", "2"), "those of birds have no names"),
        (("class 0", "class 1", "class 2"), NAMES, "those of small have no names"),
        (("class 0", "class 1", "class 2"), ("1", "2", "3"), "those of small and of birds have no names"),
        (NET.labels, NAMES, ""),
        (("4", "5"), ("4", "5"), ""),
    ],
)
def test_unknown_names_are_said(ours, theirs, unnamed, capsys):
    check_classes(SimpleNamespace(name="small", labels=ours), "birds", theirs)
    said = capsys.readouterr().err
    assert said == (f"srd: only the number of classes is compared: {unnamed}\n" if unnamed else "")
