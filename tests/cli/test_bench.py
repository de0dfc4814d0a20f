"""``srd bench``: the table, the numbers and the picture of one run."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from srd_jax.cli import app
from srd_jax.evaluation import calls
from srd_jax.evaluation.calls import Repeated

SMALL = ["bench", "--model", "tiny_resnet", "--size", "32", "--batch", "2", "--rounds", "2"]
QUIET = Repeated(1, 0, {1: 2**20, 2: 2**21})


@pytest.mark.slow
def test_table_numbers_and_picture(tmp_path):
    result = CliRunner().invoke(app, [*SMALL, "--skip", "erfs", "--bias", "uniform", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.stderr
    names = ["forward pass", "jax.grad of a logit", "SRD, one map", "SRD, 10 classes"]
    assert all(re.search(rf"^ *{name} +\d", result.stdout, re.MULTILINE) for name in names)
    assert "ERFs" not in result.stdout
    numbers, picture = (tmp_path / f"bench_tiny_resnet_32_2_float32_uniform.{kind}" for kind in ("json", "png"))
    assert sorted(tmp_path.iterdir()) == [numbers, picture]
    record = json.loads(numbers.read_text())
    assert (record["batch"], record["extents"], record["bias"], record["rounds"]) == (2, [32, 32], "uniform", 2)
    assert list(record["costs"]) == names
    forward = record["costs"]["forward pass"]
    for cost in record["costs"].values():
        taken = cost["seconds"]["rounds"]
        assert cost["seconds"]["median"] == np.median(taken)
        ratios = np.array(taken) / forward["seconds"]["rounds"]
        np.testing.assert_allclose(cost["forward_passes"]["median"], np.median(ratios))
        np.testing.assert_allclose(cost["images_per_second"], 2 / np.median(taken))
    with Image.open(picture) as image:
        assert np.asarray(image.convert("L")).std() > 10


@pytest.mark.slow
def test_several_batches_are_compared(tmp_path):
    command = [*SMALL, "--batch", "1", "--skip", "srd", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    assert re.search(r"2 of 32 +1 of 32", result.stdout)
    stems = ("32_2_float32_norm", "32_1_float32_norm", "growth_float32_norm")
    files = {f"bench_tiny_resnet_{stem}.{kind}" for stem in stems for kind in ("json", "png")}
    assert {path.name for path in tmp_path.iterdir()} == files


@pytest.mark.slow
def test_calls_are_made_over_and_over(tmp_path, monkeypatch):
    command = [*SMALL, "--skip", "erfs", "--skip", "classes", "--calls", "8", "--out", str(tmp_path)]
    monkeypatch.setattr(calls, "repeat", lambda forms, count, advance: dict.fromkeys(forms, QUIET))
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    assert len(re.findall(r"1: 1.0, 2: 2.0 +flat", result.stdout)) == 4
    numbers = tmp_path / "bench_tiny_resnet_32_2_float32_norm.json"
    told = json.loads(numbers.read_text())["calls"]["explain under jit"]
    assert told == {"compiled_first": 1, "compiled_later": 0, "held_bytes": {"1": 2**20, "2": 2**21}, "fault": ""}
    monkeypatch.setattr(calls, "repeat", lambda forms, count, advance: {"explain": replace(QUIET, later=7)})
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert result.stderr == "srd: 8 calls leave something behind; explain: 7 compilations after the first call\n"
    assert json.loads(numbers.read_text())["calls"]["explain"]["compiled_later"] == 7


def test_wrong_options_end_in_one_line(tmp_path):
    for wrong in (
        ["--dtype", "int8"],
        ["--batch", "0"],
        ["--model", "resnet51"],
        ["--size", "0"],
        ["--rounds", "0"],
        ["--calls", "1"],
    ):
        result = CliRunner().invoke(app, [*SMALL, "--out", str(tmp_path), *wrong])
        assert result.exit_code == 2, wrong
        assert len(result.stderr.splitlines()) == 1, result.stderr
    assert not list(tmp_path.iterdir())
