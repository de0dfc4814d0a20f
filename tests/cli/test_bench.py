"""``srd bench``: the table, the numbers and the picture of one run."""

import json
import re

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from srd_jax.cli import app

SMALL = ["bench", "--size", "32", "--batch", "2", "--rounds", "2"]


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


def test_wrong_options_end_in_one_line(tmp_path):
    for wrong in (["--dtype", "int8"], ["--batch", "0"], ["--model", "resnet51"], ["--size", "0"], ["--rounds", "0"]):
        result = CliRunner().invoke(app, [*SMALL, "--out", str(tmp_path), *wrong])
        assert result.exit_code == 2, wrong
        assert len(result.stderr.splitlines()) == 1, result.stderr
    assert not list(tmp_path.iterdir())
