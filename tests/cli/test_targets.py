"""Targets as they are asked for."""

import pytest

import srd_jax as srd
from srd_jax.cli.targets import Rank, parse, resolve

LABELS = ("tabby cat", "dog", "cup")


def test_top_k_is_k_targets_and_nothing_comes_twice():
    assert parse(["dog", " TOP2", "top1", "dog", "top", "top0"]) == ["dog", Rank(1), Rank(2), "top", "top0"]


def test_names_and_indices_become_classes():
    assert resolve(["cat", Rank(3), "2"], LABELS) == [0, Rank(3), 2]
    with pytest.raises(srd.TargetError, match="top4 is more than there is: the model has 3"):
        resolve([Rank(4)], LABELS)
    with pytest.raises(srd.TargetError, match="no class is called 'bird'"):
        resolve(["bird"], LABELS)
