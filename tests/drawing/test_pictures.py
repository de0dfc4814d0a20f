"""Pictures of maps: the colours' limit, what is written, and what a picture must say."""

import io

import numpy as np
import pytest
from PIL import Image

from srd_jax.drawing.pictures import draw_explanation, draw_receptive_field, robust_limit, write_png

PHOTO = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
HEAT = np.random.default_rng(1).normal(size=(16, 16))


def test_the_limit_is_that_of_most_pixels():
    values = np.concatenate([np.zeros(50), np.linspace(-1, 1, 10_000), [1000.0]])
    assert 0.9 < robust_limit(values) < 2
    assert robust_limit(np.zeros((3, 3))) == 1


@pytest.mark.parametrize("draw", [
    lambda **more: draw_explanation(PHOTO, HEAT, title="owl", **more),
    lambda **more: draw_receptive_field(PHOTO, np.abs(HEAT), grid=(4, 4), position=(1, 2), title="owl", **more),
], ids=["explanation", "field"])  # fmt: skip
def test_a_picture_is_written_and_says_what_it_must(draw):
    figure = draw(notice="Untrained weights", details=("one", "two"))
    said = [text.get_text() for text in figure.texts]
    assert {"owl", "one", "two", "Untrained weights"} <= set(said)
    file = io.BytesIO()
    write_png(figure, file)
    with Image.open(io.BytesIO(file.getvalue())) as drawn:
        assert drawn.format == "PNG"
        assert min(drawn.size) > 300
        assert np.ptp(np.asarray(drawn.convert("L"))) > 100
