"""``srd evaluate``: one table whatever happens on the way, and one line for what cannot be compared."""

import csv
import json
import re
import shutil
import signal
import time

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from srd_jax.cli import app
from srd_jax.data import open_maps
from srd_jax.evaluation.measuring import FORMS
from tests.cli.networks import network
from tests.cli.processes import started
from tests.compiling import on_devices
from tests.small_stores import content

CLASSES = 12
NET = network(CLASSES, scale=4.0)
METHODS = ("--method", "srd", "--method", "input_x_gradient", "--method", "centre")
QUICK = ("--size", 16, "--batch", 4, "--samples", 2, "--steps", 3, "--runs", 4, *METHODS)
REPORT = "photos_small_evaluation.json"


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in ("evaluate", *arguments)])


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A table of photos that the network names rightly, each with the box of an object."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    rows, number = [], 0
    while len(rows) < 18:
        colour = rng.integers(0, 255, 3)
        pixels = np.clip(colour + rng.normal(0, 20, (24, 24, 3)), 0, 255).astype(np.uint8)
        label = int(np.argmax(NET.apply(NET.variables, NET.preprocess.normalise(pixels[None]))))
        Image.fromarray(pixels).save(folder / f"{number}.png")
        rows.append({"file": f"{number}.png", "class_index": label, "x0": 4, "y0": 6, "x1": 15, "y1": 19})
        number += 1
    with (folder / "photos.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return folder / "photos.csv"


def edited(photos, to, **changes):
    """The same photos, their table with some columns changed, or without those that are None."""
    table = shutil.copytree(photos.parent, to) / photos.name
    with table.open(newline="") as file:
        rows = [{k: v for k, v in (row | changes).items() if v is not None} for row in csv.DictReader(file)]
    with table.open("w", newline="") as file:
        written = csv.DictWriter(file, list(rows[0]))
        written.writeheader()
        written.writerows(rows)
    return table


WITHOUT_BOXES = dict.fromkeys(("x0", "y0", "x1", "y1"))


def test_the_table_its_numbers_and_the_stores(use, photos, tmp_path):
    use(NET)
    result = run(photos, tmp_path / "out", *QUICK, "--count", 6, "--keep", 2)
    assert result.exit_code == 0, result.output
    assert "small on 6 photos" in result.stdout
    record = json.loads((tmp_path / "out" / REPORT).read_text())
    found = record["results"]["srd"]
    assert set(found) == set(FORMS)
    assert {"insertion", "energy_pointing", "self_correlation"} <= set(found["blurred"])
    assert found["as it is"]["deletion"]["images"] == 6
    assert record["results"]["centre"]["as it is"]["randomisation"]["mean"] == pytest.approx(1, abs=1e-5)
    maps = open_maps(tmp_path / "out" / "srd")
    np.testing.assert_array_equal(np.isnan(maps.maps[:]).all((1, 2, 3)), [False] * 2 + [True] * 4)
    measured = maps.measures[:, 0, 0, maps.run["metrics"].index("deletion")]
    assert found["as it is"]["deletion"]["mean"] == pytest.approx(measured.mean(), rel=1e-5)


def test_mosaics(use, photos, tmp_path):
    use(NET)
    options = ("--grid", 2, "--cell", 8, "--count", 5, "--confidence", 0, "--batch", 2, *METHODS)
    result = run(photos, tmp_path / "out", *options)
    assert result.exit_code == 0, result.output
    assert "5 mosaics of 2 x 2 photos of 8 pixels" in result.stdout
    record = json.loads((tmp_path / "out" / REPORT).read_text())
    assert open_maps(tmp_path / "out" / "srd").maps.shape == (5, 4, 16, 16)
    centre = record["results"]["centre"]["as it is"]
    assert centre["energy_pointing"]["mean"] == pytest.approx(0.25, abs=1e-6)
    assert centre["pointing"]["mean"] == 0.25  # its middle lies in one of four cells


def test_a_method_is_added_without_making_the_others_again(use, photos, tmp_path):
    use(NET)
    options = (*QUICK, "--count", 6, "--metric", "gini", "--resume")
    assert run(photos, tmp_path / "out", *options).exit_code == 0
    before = content(tmp_path / "out" / "srd")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "srd").rglob("*") if path.is_file()}
    result = run(photos, tmp_path / "out", *options, "--method", "srd:contrast=none")
    assert result.exit_code == 0, result.output
    assert content(tmp_path / "out" / "srd") == before
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert "srd:contrast=none" in json.loads((tmp_path / "out" / REPORT).read_text())["results"]


def test_what_is_damaged_is_made_again(use, photos, tmp_path):
    use(NET)
    options = (*QUICK, "--count", 6, "--metric", "gini")
    assert run(photos, tmp_path / "out", *options).exit_code == 0
    before = content(tmp_path / "out")
    (tmp_path / "out/srd/measures/c/1/0/0/0").unlink()
    (tmp_path / "out/centre/cost.json").unlink()
    result = run(photos, tmp_path / "out", *options, "--resume")
    assert result.exit_code == 0, result.output
    assert "damaged chunks made again: 1 (first measures/c/1/0/0/0)" in result.stderr
    assert content(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        (WITHOUT_BOXES, ["--metric", "auc"], "auc asks where objects lie, and .* has neither boxes nor masks"),
        ({}, ["--metric", "gimi"], "did you mean 'gini'"),
        ({}, ["--method", "sdr"], "did you mean 'srd'"),
        ({}, ["--method", "srd:contrast=foo"], "contrast must be one of"),
        ({"class_index": 3}, ["--grid", 2, "--cell", 8], "takes photos of 4 classes, and those of .* are of"),
        (WITHOUT_BOXES | {"class_index": None}, ["--target", "label"], "has no labels|class"),
        ({}, ["--grid", 2, "--size", 16], "leave out --size"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared(use, photos, tmp_path, changes, options, message):
    use(NET)
    result = run(edited(photos, tmp_path / "photos", **changes), tmp_path / "out", *options)
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    assert re.search(message, result.stderr), result.stderr
    assert not (tmp_path / "out").exists()


def test_a_store_of_another_run(use, photos, tmp_path):
    use(NET)
    options = (*QUICK, "--count", 4, "--metric", "gini")
    assert run(photos, tmp_path / "out", *options).exit_code == 0
    before = content(tmp_path / "out")
    for changed, message in (
        ((), "exists already: --resume goes on with it"),
        (("--resume", "--seed", 3), "was begun with another seed 0, not 3"),
        (("--resume", "--metric", "noise"), "was begun with another metrics"),
        (("--resume", "--count", 5), "1 new"),
    ):
        result = run(photos, tmp_path / "out", *options, *changed)
        assert result.exit_code == 2
        assert message in result.stderr
    assert content(tmp_path / "out") == before


def test_a_mask_that_cannot_be_read(use, photos, tmp_path):
    use(NET)
    table = edited(photos, tmp_path / "photos", **WITHOUT_BOXES, mask="mask.png")
    (table.parent / "mask.png").write_bytes(b"no mask")
    result = run(table, tmp_path / "out", *QUICK, "--count", 3, "--metric", "auc")
    assert result.exit_code == 2
    assert "its mask cannot be read as an image" in result.stderr
    assert result.stderr.endswith("srd: 3 of 3 images could not be read: 0.png is the first\n")


def test_a_set_with_boxes(use, small_set, tmp_path):
    use(network(200))
    arguments = ("tiny_imagenet200", tmp_path / "out", "--data-dir", small_set[1], *QUICK, "--count", 5)
    result = run(*arguments, "--metric", "pointing", "--metric", "auc")
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "out" / "tiny-imagenet200_small_evaluation.json").read_text())
    assert record["results"]["srd"]["as it is"]["auc"]["images"] == 5


def start(out, cache, *more, **environment):
    arguments = [
        "evaluate",
        "planted",
        out,
        "--count",
        6,
        "--batch",
        2,
        "--metric",
        "auc",
        "--metric",
        "gini",
        *METHODS,
    ]
    return started(cache, *arguments, *more, **environment)


def finish(process):
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    return stdout


@pytest.mark.slow
def test_a_comparison_that_is_killed_five_times_is_the_same_to_the_byte(tmp_path):
    whole, out, cache = tmp_path / "whole", tmp_path / "out", tmp_path / "cache"
    table = finish(start(whole, cache))
    for moment in (1, 12, 40, 60, 75):
        process = start(out, cache, "--resume")
        while process.poll() is None and sum(path.is_file() for path in out.rglob("*")) < moment:
            time.sleep(0.0005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert set(content(out)) != set(content(whole))
    assert finish(start(out, cache, "--resume")).replace(str(out), str(whole)) == table
    assert content(out) == content(whole)


@pytest.mark.slow
def test_three_devices_find_what_one_does(tmp_path):
    one, three = tmp_path / "one", tmp_path / "three"
    finish(start(one, tmp_path / "cache"))
    finish(start(three, tmp_path / "cache", **on_devices(3)))
    for name in ("srd", "input-x-gradient"):
        for array in ("measures", "maps"):
            np.testing.assert_allclose(
                getattr(open_maps(three / name), array)[:], getattr(open_maps(one / name), array)[:], atol=1e-5
            )
