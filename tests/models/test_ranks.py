"""Targets as they are asked for."""

import pytest

import srd_jax as srd
from srd_jax.models.ranks import Rank, parse, resolve

LABELS = ("tabby cat", "dog", "cup")


def test_top_k_is_k_targets_and_nothing_comes_twice():
    assert parse(["dog", " TOP2", "top1", "dog", "top", "top0"]) == ["dog", Rank(1), Rank(2), "top", "top0"]


def test_names_and_indices_become_classes():
    assert resolve(["cat", Rank(3), "2"], LABELS) == [0, Rank(3), 2]
    with pytest.raises(srd.TargetError, match="top4 is more than there is: the model has 3"):
        resolve([Rank(4)], LABELS)
    with pytest.raises(srd.TargetError, match="no class is called 'bird'"):
        resolve(["bird"], LABELS)


@pytest.mark.parametrize("target", ["top999999999", "top" + "9" * 5000])
def test_no_list_of_so_many_is_made(target):
    with pytest.raises(srd.TargetError, match="no model has so many classes"):
        parse([target])


@pytest.mark.parametrize(
    "target",
    ["+3", "+-3", "--3", "-1", "9" * 5000, "-" + "1" * 20, "\u0663", "1e3", "", "\0", "\udcff", "x" * 5000, "a,b"],
)
def test_targets_that_fit_no_class(target):
    with pytest.raises(srd.TargetError):
        resolve(parse([target]), LABELS)


def test_a_whole_label_is_that_class():
    labels = ("crane, bird", "crane", "crane fly", "salt, pepper", "salt, pepper, chili")
    assert resolve(["crane", "Salt, Pepper", "crane_fly", "bird"], labels) == [1, 3, 2, 0]
