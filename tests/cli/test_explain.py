"""``srd explain`` on many photos, of which some cannot be read, and on models that answer oddly."""

import os

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from srd_jax.cli import app, inputs
from srd_jax.evaluation import photos

from .networks import network

SIZE = 16
OPTIONS = ["--model", "tiny_resnet", "--size", SIZE, "--weights", "untrained"]


@pytest.fixture
def photo(tmp_path):
    def write(name, extents=(40, 50)):
        path = tmp_path / name
        pixels = np.random.default_rng(len(name)).integers(0, 256, (*extents, 3), np.uint8)
        Image.fromarray(pixels).save(path, "PNG")
        return path

    return write


def srd(*arguments, command="explain"):
    return CliRunner().invoke(app, [str(argument) for argument in (command, *arguments)])


def test_the_others_are_explained_and_the_exit_code_tells(photo, tmp_path, use):
    use(network(4))
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "cut.png").write_bytes(photo("whole.png").read_bytes()[:-200])
    good = [photo("a.png"), photo("wide.png", (2, 20_000)), photo("b.png")]
    names = [tmp_path / "pipe.jpg", good[0], good[1], tmp_path / "cut.png", "none.jpg", good[2]]
    result = srd(*names, *OPTIONS, "--batch", 2, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "3 of 6 photos explained" in result.stdout
    assert len(list((tmp_path / "out").glob("*.npz"))) == 3
    problems = result.stderr.splitlines()
    assert [line.split(" cannot")[0].split(".")[0] for line in problems] == [
        f"srd: {tmp_path}/pipe", f"srd: {tmp_path}/cut", "srd: there is no image file none",
    ]  # fmt: skip


def test_the_map_of_a_photo_does_not_depend_on_the_others(photo, tmp_path, use):
    use(network(4))
    paths = [photo(f"{name}.png") for name in ("a", "bb")]
    srd(*paths, *OPTIONS, "--batch", 2, "--out", tmp_path / "all")
    for path in paths:
        srd(path, *OPTIONS, "--out", tmp_path / "one")
    ones, all_of_them = (sorted((tmp_path / name).glob("*.npz")) for name in ("one", "all"))
    assert [path.name for path in ones] == [path.name for path in all_of_them]
    for one, other in zip(ones, all_of_them, strict=True):
        with np.load(one) as alone, np.load(other) as together:
            np.testing.assert_allclose(alone["map"], together["map"], rtol=1e-5, atol=1e-7)


def test_photos_are_read_when_it_is_their_turn(photo, tmp_path, use, monkeypatch):
    use(network(2))
    held, most = 0, []

    class Counted(photos.PhotoCrop):
        def __init__(self, *values):
            nonlocal held
            super().__init__(*values)
            held += 1
            most.append(held)

        def __del__(self):
            nonlocal held
            held -= 1

    monkeypatch.setattr(photos, "PhotoCrop", Counted)
    result = srd(*(photo(f"{i:02}.png") for i in range(6)), *OPTIONS, "--batch", 1, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert len(most) == 6
    assert max(most) <= 3


def test_no_model_is_loaded_for_photos_that_cannot_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs.models, "load", lambda *_: pytest.fail("loaded"))
    result = srd("none.jpg", "https://x.org/cat.jpg", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "srd: there is no image file none.jpg.",
        "srd: there is no image file https:/x.org/cat.jpg: this is an address; download it first.",
    ]
    assert not (tmp_path / "out").exists()


def test_photos_may_be_called_anything(photo, tmp_path, use):
    use(network(2))
    names = ["å" * 120, "a\nb", "a:smile:", "a[bold]", "$a^{", os.fsdecode(b"a\xff")]
    missing = [f"{name}.jpg" for name in names]
    result = srd(*(photo(f"{name}.png") for name in names), *missing, *OPTIONS, "--out", tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 2 * len(names)
    shown = [name.replace("\n", "\ufffd").replace("\udcff", "\ufffd") for name in names]
    assert all(f"{tmp_path}/{name}.png" in result.stdout.replace("\n", "") for name in shown)
    words = [name.replace("a\ufffdb", "a b") for name in shown]
    assert result.stderr.splitlines() == [f"srd: there is no image file {name}.jpg." for name in words]


def test_a_single_logit_has_the_probability_of_a_sigmoid(photo, tmp_path, use):
    use(network(1, scale=2.0))
    result = srd(photo("a.png"), *OPTIONS, "--contrast", "none", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    with np.load(next((tmp_path / "out").glob("*.npz"))) as saved:
        np.testing.assert_allclose(saved["probability"], 1 / (1 + np.exp(-saved["logit"])), rtol=1e-6)
        assert abs(saved["logit"]) > 0.01
    refused = srd(photo("a.png"), *OPTIONS, "--out", tmp_path / "out", command="apop")
    assert "has one logit" in refused.stderr


@pytest.mark.parametrize("command", ["explain", "ablate", "apop"])
def test_logits_that_are_not_finite_end_the_command(command, photo, tmp_path, use):
    use(network(4, scale=np.inf))
    result = srd(photo("a.png"), *OPTIONS, "--out", tmp_path / "out", command=command)
    assert result.exit_code == 2
    assert "small gives logits that are NaN or infinite" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_another_method(photo, tmp_path, use):
    use(network(3))
    result = srd(photo("a.png"), "--method", "saliency", "--target", "top2", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    written = sorted((tmp_path / "out").glob("a_*_saliency_*.npz"))
    assert len(written) == 2
    with np.load(written[0]) as numbers:
        assert str(numbers["method"]) == "saliency"
        assert (numbers["map"] >= 0).all()


def test_methods_side_by_side_with_their_options(photo, tmp_path, use):
    use(network(3))
    methods = ["--method", "srd", "--method", "smoothgrad", "--method", "srd*edge"]
    options = ["--set", "samples=2", "--set", "noise=0.5", "--set", "reduce=sum"]
    result = srd(photo("a.png"), *methods, *options, "--contrast", "none", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    picture, numbers = sorted((tmp_path / "out").iterdir(), key=lambda path: path.suffix, reverse=True)
    assert picture.stat().st_size > 10_000
    with np.load(numbers) as kept:
        assert str(kept["method"]) == "srd, smoothgrad, srd*edge"
        assert (kept["samples"], kept["noise"], str(kept["reduce"])) == (2, 0.5, "sum")
        maps = [kept[f"map_{name}"] for name in ("srd", "smoothgrad", "srd*edge")]
        assert {heat.shape for heat in maps} == {kept["crop"].shape[:2]}
        assert np.ptp(maps[1]) < 1e-9 < maps[1].min()  # of a network that weighs all pixels alike
        assert (np.sign(maps[2]) == np.sign(maps[0]) * (maps[2] != 0)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "saliency", "--set", "steps=3"], "saliency has the options reduce"),
        (["--method", "rise", "--set", "samples=x"], "samples takes a whole number"),
        (["--method", "srd", "--set", "recursion=maybe"], "recursion is true or false"),
        (["--method", "srd*gradcan"], "did you mean 'gradcam'"),
        (["--method", "saliencies"], "no attribution method is called 'saliencies'; did you mean 'saliency'"),
        (["--method", "saliency", "--bias", "none"], "no option --bias of saliency"),
    ],
)
def test_methods_and_options_that_do_not_exist(options, message, tmp_path):
    result = srd(*options, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "out").exists()
