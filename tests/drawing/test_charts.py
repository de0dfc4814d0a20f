"""Charts that lack a part can be drawn."""

from srd_jax.drawing.charts import draw_by_depth


def test_a_chart_without_layers_or_probes_can_be_drawn():
    for layers, probes in (({}, {"zeros": (0.1, 0.0, 0.2)}), ({"relu": (0.1, 0.0, 0.2)}, {})):
        draw_by_depth(layers, probes, ordinary=0.5, chance=0.01, title="T").draw_without_rendering()
