"""Charts that lack a part can be drawn, and panels are where they should be."""

import numpy as np

from srd_jax.drawing.charts import draw_before_and_after, draw_by_depth


def test_a_chart_without_layers_or_probes_can_be_drawn():
    for layers, probes in (({}, {"zeros": (0.1, 0.0, 0.2)}), ({"relu": (0.1, 0.0, 0.2)}, {})):
        draw_by_depth(layers, probes, ordinary=0.5, chance=0.01, title="T").draw_without_rendering()


def test_photos_and_maps_before_and_after_are_rows_of_each_method():
    photo, heat = np.zeros((8, 8, 3), np.uint8), np.linspace(-1, 1, 64).reshape(8, 8)
    rows = {name: [(photo, heat, photo, 0 * heat)] * 3 for name in ("srd", "a_name$that_is_no_formula")}
    drawn = draw_before_and_after(
        rows, captions=["a", "b", "c" * 40], headings=["photo", "map", "after", "map"], title="T"
    )
    drawn.draw_without_rendering()
    panels = drawn.axes
    assert len(panels) == 6 * 4
    assert panels[8].get_ylabel() == "srd\n" + "c" * 17 + "…"
    assert panels[1].images[0].get_array().min() >= 0
