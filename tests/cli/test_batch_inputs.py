"""``srd batch``: what it is given to work on, and what a model answers."""

import os

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from srd_jax.cli import app
from srd_jax.data import open_maps

from .networks import network

OPTIONS = ["--model", "tiny_resnet", "--size", 16, "--weights", "untrained", "--batch", 2]


def srd(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in ("batch", *arguments)])


@pytest.fixture
def photo(tmp_path):
    def write(name, extents=(40, 50)):
        pixels = np.random.default_rng(0).integers(0, 256, (*extents, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / name, "PNG")

    return write


def test_images_may_be_called_and_look_anyhow(photo, tmp_path, use):
    use(network(2))
    names = ["a:smile:[bold].png", "caf\udce9.png", "new line.png"]
    for name in names:
        photo(name)
    photo("wide.png", (2, 20_000))
    os.mkfifo(tmp_path / "pipe.png")
    listed = b"\r\n".join(os.fsencode(name) for name in (*names, "wide.png", "pipe.png", "no:smile:[b].png"))
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbf" + listed)
    result = srd(tmp_path / "list.txt", tmp_path / "out", *OPTIONS)
    assert result.exit_code == 2
    assert "4 of 6 images explained" in result.stdout
    assert "srd: pipe.png is left out" in result.stderr
    assert "srd: no:smile:[b].png is left out" in result.stderr
    found = open_maps(tmp_path / "out")
    assert found.ids[:3] == tuple(names)
    again = srd(tmp_path / "list.txt", tmp_path / "out", *OPTIONS, "--resume")
    assert "4 of 6 images explained" in again.stdout


def test_logits_that_are_not_finite_are_not_kept(photo, tmp_path, use):
    use(network(2, scale=np.inf))
    photo("a.png")
    result = srd(tmp_path, tmp_path.parent / "maps of nothing", *OPTIONS)
    assert result.exit_code == 2
    assert "small gives logits that are NaN or infinite" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (open_maps(tmp_path.parent / "maps of nothing").status[:] == 1).any()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("https://x.org/photos", "is an address"),
        ("a" * 300, "is no folder and no list"),
        ("nul\0", "is no folder and no list"),
        ("/dev/zero", "is no folder and no list"),
        ("a.png", "called as one image is"),
    ],
)
def test_a_source_that_is_none(source, message, photo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photo("a.png")
    result = srd(source, "out")
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
