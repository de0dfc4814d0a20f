"""Growth: which shapes are compared, and that a pixel's cost is that of its batch."""

import json

from srd_jax.evaluation.growth import growth_cases, growth_report
from srd_jax.evaluation.speed import FORWARD, Cost


def test_every_batch_at_the_first_size_and_the_first_batch_at_every_size():
    assert growth_cases([8, 32], [224, 448]) == [(8, 224, 224, 3), (32, 224, 224, 3), (8, 448, 448, 3)]
    assert growth_cases([4, 4], [64]) == [(4, 64, 64, 3)]


def cost(seconds, ratio=1.0):
    return Cost((seconds,) * 3, (ratio,) * 3, None, 0, None, 0.1, 0.2, 3)


def test_nanoseconds_a_pixel(tmp_path):
    costs = {
        (2, 10, 10, 3): {FORWARD: cost(2e-6), "map": cost(4e-6, 2.0)},
        (4, 10, 10, 3): {FORWARD: cost(4e-6), "map": cost(1.2e-5, 3.0)},
        (2, 20, 20, 3): {FORWARD: cost(8e-6), "fields": cost(1e-4, 12.5)},
    }
    report = growth_report(costs, model="toy", dtype="float32", bias="norm", rounds=3)
    assert report.headings == ("", "2 of 10", "4 of 10", "2 of 20")
    assert report.rows == [
        (FORWARD, "10 (1.00)", "10 (1.00)", "10 (1.00)"),
        ("map", "20 (2.00)", "30 (3.00)", "-"),
        ("fields", "-", "-", "125 (12.50)"),
    ]
    picture, numbers = report.write(tmp_path)
    assert picture.stat().st_size > 5000
    record = json.loads(numbers.read_text())
    assert [(case["batch"], case["extents"]) for case in record["cases"]] == [
        (2, [10, 10]),
        (4, [10, 10]),
        (2, [20, 20]),
    ]
    assert record["cases"][1]["costs"]["map"]["images_per_second"] == 4 / 1.2e-5
    assert len(report.figure.axes) == 2
    one = growth_report(dict(list(costs.items())[:2]), model="toy", dtype="float32", bias="norm", rounds=3)
    assert len(one.figure.axes) == 1
