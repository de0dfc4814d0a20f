"""Reading ahead keeps the order, and hands over what goes wrong."""

import grain
import pytest

from srd_jax.data.reading import ahead


def test_items_come_in_order_each_made_once():
    made = []

    def make(place):
        made.append(place)
        return place * place

    assert list(ahead(grain.MapDataset.source(range(50)).map(make), 4)) == [place * place for place in range(50)]
    assert sorted(made) == list(range(50))


def test_an_error_is_raised_where_its_item_is_asked_for():
    def make(place):
        if place == 3:
            raise ValueError("the fourth")
        return place

    items = ahead(grain.MapDataset.source(range(9)).map(make))
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="the fourth"):
        next(items)
