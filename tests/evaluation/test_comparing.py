"""What is told of a comparison: means, differences image by image, ranks, and nothing where nothing is known."""

import json

import numpy as np
import pytest

from srd_jax.evaluation.comparing import Comparison, report, results
from srd_jax.evaluation.measuring import FORMS, Cost, Protocol
from srd_jax.evaluation.report import Subject

METRICS = ("insertion", "deletion", "gini")
RNG = np.random.default_rng(0)
FIRST = RNG.normal(1, 0.1, (40, 4, 3)).astype(np.float32)
BETTER = FIRST + np.array([0.5, -0.5, 0.5], np.float32)


def comparison(**values):
    values = {"srd": FIRST, "better": BETTER} | values
    maps = {name: RNG.normal(size=(2, 8, 8)) for name in values}
    costs = {name: Cost(1.25, 2**20) for name in values} | {"better": Cost(None, None)}
    images = RNG.integers(0, 255, (2, 8, 8, 3)).astype(np.uint8)
    return Comparison(Protocol(METRICS, 0.5), values, costs, images, ("cat", "dog"), maps)


def test_means_differences_and_ranks():
    found = results(comparison())
    for form in range(4):
        own, other = (found[name][FORMS[form]] for name in ("srd", "better"))
        for k, metric in enumerate(METRICS):
            assert own[metric].mean == pytest.approx(FIRST[:, form, k].mean(), rel=1e-5)
            assert own[metric].low < own[metric].mean < own[metric].high
            assert own[metric][3:6] == (0, 0, 0)
            # each image is compared with itself: a constant difference has no spread
            assert other[metric][3:6] == pytest.approx([0.5 if k != 1 else -0.5] * 3, rel=1e-4)
        assert [own[metric].rank for metric in METRICS] == [2, 2, None]
        assert [other[metric].rank for metric in METRICS] == [1, 1, None]


def test_what_is_not_known_is_left_out():
    some = FIRST.copy()
    some[:30, 0, 0] = np.nan
    some[:, :, 2] = np.nan
    found = results(comparison(some=some))["some"]
    assert "gini" not in found["as it is"]
    insertion = found["as it is"]["insertion"]
    assert insertion.images == 10
    assert insertion.mean == pytest.approx(FIRST[30:, 0, 0].mean(), rel=1e-5)
    assert insertion.change == 0
    assert insertion.rank == 2 + (insertion.mean < FIRST[:, 0, 0].mean())


def test_the_report(tmp_path):
    subject = Subject("net", "own", trained=True, labels=("cat", "dog"))
    made = report(comparison(), subject, options={"steps": 3}, what="mosaics")
    assert made.headings == ("Method", "Forward passes", "MiB", "insertion ↑", "deletion ↓", "gini")
    assert [row[0] for row in made.rows] == ["srd", "better"]
    assert made.rows[0][1:3] == ("1.25", "1")
    assert made.rows[1][1:3] == ("", "")
    assert made.rows[1][3].endswith("(1)")
    picture, sheet, numbers = made.write(tmp_path)
    assert (picture.name, sheet.name) == ("photos_net_evaluation.png", "photos_net_evaluation_maps.png")
    record = json.loads(numbers.read_text())
    assert record["results"]["better"]["blurred"]["deletion"]["rank"] == 1
    assert record["protocol"]["metrics"] == list(METRICS)
    assert record["costs"]["better"] == {"forward_passes": None, "temporary_bytes": None}


def test_nothing_to_draw(tmp_path):
    none = Comparison(
        Protocol(METRICS, 0.5),
        {"srd": FIRST},
        {"srd": Cost(1.0, None)},
        np.zeros((0, 1, 1, 3), np.uint8),
        (),
        {"srd": np.zeros((0, 1, 1))},
    )
    subject = Subject("net", "own", trained=False, labels=("cat",))
    assert len(report(none, subject, options={}).write(tmp_path)) == 2
