"""Models as the commands take them: outlines without values, and weights with the name of their option."""

import logging

import pytest

import srd_jax as srd
from srd_jax import models
from srd_jax.cli.inputs import layers_of, load_model, outline, weights_label


def test_an_outline_has_the_layers_of_the_model_and_no_values():
    found = outline("resnet18", 64)
    assert found.images.shape == (1, 64, 64, 3)
    layers = layers_of(found)
    assert [layer.name for layer in layers][-1] == "layer4.1.relu2"
    assert layers[-1].grid == (2, 2)
    assert outline("tiny_resnet").images.shape[1] == models.preprocessing("tiny_resnet").size


def test_an_outline_is_not_smaller_than_the_model_allows():
    with pytest.raises(srd.ShapeError, match="vgg16 needs images of at least 32 pixels a side, not 16"):
        outline("vgg16", 16)


def test_an_error_about_weights_speaks_of_their_option_and_leaves_the_hubs_log_as_it_was():
    hub = logging.getLogger("huggingface_hub")
    before = hub.level
    with pytest.raises(srd.WeightsError, match="there is no weights file no"):
        load_model("tiny_resnet", "no.safetensors")
    assert hub.level == before


def test_what_weights_are_called():
    assert weights_label("tiny_resnet", None) == "bundled"
    assert weights_label("resnet18", None) == "pretrained"
    assert weights_label("resnet18", "untrained") == "untrained"
