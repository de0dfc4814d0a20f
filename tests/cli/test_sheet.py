"""A contact sheet of a store: photos from all over it that have maps, as a file of the store."""

import io

import numpy as np
from PIL import Image

from srd_jax.cli.sheet import draw_sheet
from srd_jax.data.images import Images
from srd_jax.data.store import SHEET
from srd_jax.drawing import charts
from tests.small_stores import IDS, MAPS, TARGETS, write

from .networks import network


def encoded(value):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (value, value, value)).save(file, "PNG")
    return file.getvalue()


def drawn_with(monkeypatch, tmp_path, count):
    """The arguments of the drawing, and the file."""
    seen = {}
    draw = charts.draw_contact_sheet

    def watched(photos, maps, **said):
        seen.update(photos=photos, maps=maps, **said)
        return draw(photos, maps, **said)

    monkeypatch.setattr(charts, "draw_contact_sheet", watched)
    images = Images("somewhere/photos", tuple(IDS), None, lambda place: (encoded(20 * place), -1))
    return seen, draw_sheet(write(tmp_path / "maps"), images, network(9), count, 4)


def test_photos_are_chosen_from_all_over_those_that_have_maps(monkeypatch, tmp_path):
    seen, file = drawn_with(monkeypatch, tmp_path, 3)
    assert file == tmp_path / "maps" / SHEET
    with Image.open(file) as picture:
        assert picture.width > 200
    chosen = [0, 4, 7]
    assert [int(photo[0, 0, 0]) for photo in seen["photos"]] == [20 * place for place in chosen]
    assert list(seen["maps"]) == ["top1", "class 3"]
    np.testing.assert_array_equal(seen["maps"]["class 3"], MAPS[chosen, 1])
    assert seen["captions"] == [f"class {TARGETS[place, 0]}" for place in chosen]
    assert seen["title"] == "3 of 8 images"
    assert seen["details"] == ("small; left, what it predicts", "photos")


def test_there_are_no_more_photos_than_maps(monkeypatch, tmp_path):
    seen, _ = drawn_with(monkeypatch, tmp_path, 100)
    assert len(seen["photos"]) == 7
