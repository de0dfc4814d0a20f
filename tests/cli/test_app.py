"""The command line: what it writes, and how every mistake ends in one line and exit code 2."""

import pickle
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file
from typer.testing import CliRunner

from srd_jax.cli import app

SMALL = ["--model", "resnet18", "--weights", "untrained", "--size", "64"]


def srd(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def photo(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "photo.png"
    Image.fromarray(rng.integers(0, 255, (80, 90, 3), np.uint8)).save(path)
    return path


def damaged_png(width, height):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def test_explain_writes_a_picture_and_the_map_for_every_target(photo, tmp_path):
    out = tmp_path / "out"
    result = srd("explain", photo, *SMALL, "--target", "top1", "--target", "281", "--contrast", "none", "--out", out)
    assert result.exit_code == 0, result.output
    assert "ntrained weights" in result.output
    pictures, maps = sorted(out.glob("*.png")), sorted(out.glob("*.npz"))
    assert len(pictures) == len(maps) == 2
    for picture in pictures:
        with Image.open(picture) as drawn:
            assert drawn.width > 500
    with np.load(next(path for path in maps if "281" in path.name), allow_pickle=False) as saved:
        arrays = {key: saved[key] for key in saved}
    (heat,) = (array for array in arrays.values() if array.shape == (64, 64))
    np.testing.assert_allclose(heat.sum(), arrays["logit"], rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["layers", "--model", "resnet18"], ["layer4.1.relu2", "512", "11,689,512 parameters"]),
        (["models"], ["resnet152", "vgg19_bn"]),
    ],
)
def test_tables(arguments, words):
    result = srd(*arguments)
    assert result.exit_code == 0
    assert all(word in result.output for word in words)


MISTAKES = {
    "a missing file": (["nothing.jpg"], "no image file"),
    "an unreadable file": (["text.jpg"], "cannot be read as an image"),
    "a decompression bomb": (["bomb.png"], "pixels and was not decoded"),
    "an unknown model": (["photo.png", "--model", "resnet81"], "no model 'resnet81'"),
    "an unknown class": (["photo.png", *SMALL, "--target", "tabi"], "no class is called 'tabi'"),
    "a class too far": (["photo.png", *SMALL, "--target", "1000"], "no class 1000"),
    "an unknown option's value": (["photo.png", *SMALL, "--contrast", "x"], "contrast"),
    "no weights": (["photo.png", "--model", "resnet18", "--weights", "no.safetensors"], "no weights file"),
    "a pickle": (
        ["photo.png", "--model", "resnet18", "--weights", "pickle.safetensors"],
        "not a sound safetensors file",
    ),
    "other weights": (["photo.png", "--model", "resnet18", "--weights", "other.safetensors"], "unexpected: what"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(case, photo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "bomb.png").write_bytes(damaged_png(60000, 60000))
    (tmp_path / "pickle.safetensors").write_bytes(pickle.dumps({"a": 1}))
    save_file({"what": np.zeros(2, np.float32)}, tmp_path / "other.safetensors")
    arguments, message = MISTAKES[case]
    result = srd("explain", *arguments, "--out", "out")
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
