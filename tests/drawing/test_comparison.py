"""Tables of means in colours, and galleries of maps."""

import numpy as np

from srd_jax.drawing.comparison import draw_gallery, draw_standings

STANDINGS = {"as it is": {"a": {"x": (0.5, 1), "y": (12345.0, None)}, "b": {"x": (0.001, 2)}}}


def texts(axes):
    return {text.get_text(): text.get_weight() for text in axes.texts}


def test_every_mean_is_written_and_the_best_is_bold():
    figure = draw_standings(STANDINGS | {"none": {}}, {"as it is": ["x", "y"], "none": []}, title="T", details=("d",))
    (axes,) = figure.axes
    assert texts(axes) == {"0.50": "bold", "12k": "normal", "1e-3": "normal"}
    heights = np.ma.filled(axes.images[0].get_array(), np.nan)
    np.testing.assert_array_equal(heights, [[1, np.nan], [0, np.nan]])
    figure.draw_without_rendering()


def test_a_gallery_has_a_row_for_each_method():
    images = [np.zeros((8, 8, 3), np.uint8)] * 3
    maps = {name: [np.eye(8) * sign] * 3 for name, sign in (("one", 1.0), ("other", -1.0))}
    figure = draw_gallery(images, maps, captions=["a", "b", "a caption that is far too long"], title="T")
    assert len(figure.axes) == 9
    assert figure.axes[3].images[0].get_array().max() == 1
    assert figure.axes[8].images[0].get_array().min() == -1
    assert figure.axes[2].get_title().endswith("…")
    figure.draw_without_rendering()
