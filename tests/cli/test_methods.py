"""Which options a command hands to which methods."""

import pytest

from srd_jax.cli.methods import chosen, given
from srd_jax.errors import MethodError

DEFAULT = {"contrast": "spatial", "bias": "norm", "head": "linear"}


def test_none_of_the_command_line_is_none():
    assert given(["srd"], **DEFAULT | {"contrast": "none"}) == {"contrast": None, "bias": "norm", "head": "linear"}


def test_an_option_that_some_method_has_is_allowed():
    assert given(["saliency", "srd"], **DEFAULT | {"bias": "none"})["bias"] == "none"
    with pytest.raises(MethodError, match="no option --bias of saliency"):
        given(["saliency"], **DEFAULT | {"bias": "none"})
    assert given(["saliency"], **DEFAULT)["bias"] == "norm"


def test_methods_are_taken_once_in_order():
    assert chosen(["saliency", "srd", "saliency"]) == ["saliency", "srd"]
    with pytest.raises(MethodError, match="no attribution method is called 'grad-cam'"):
        chosen(["grad-cam"])
