"""The choices of the command line are those of the library."""

from typing import get_args

import pytest
import typer

from srd_jax.cli import apop, options
from srd_jax.core import head, sharing
from srd_jax.evaluation import patterns


def test_the_choices_are_those_of_explain():
    assert get_args(options.Bias) == get_args(sharing.Bias)
    assert get_args(options.Head) == get_args(head.HeadRule)
    assert get_args(options.Contrast) == (*get_args(head.Contrast), "none")
    assert apop.PROBES == patterns.PROBES


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_are_finite(value):
    assert options.finite(2.5) == 2.5
    assert options.finite(None) is None
    with pytest.raises(typer.BadParameter, match="is not a finite number"):
        options.finite(value)
