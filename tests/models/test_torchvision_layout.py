import numpy as np
import pytest

from srd_jax.models import torchvision_layout as layout


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (("params", "conv1", "kernel"), "conv1.weight"),
        (("params", "layer2.0", "downsample.1", "scale"), "layer2.0.downsample.1.weight"),
        (("batch_stats", "layer2.0", "bn1", "mean"), "layer2.0.bn1.running_mean"),
        (("batch_stats", "bn1", "var"), "bn1.running_var"),
        (("params", "classifier", "6", "bias"), "classifier.6.bias"),
    ],
)
def test_torchvision_name(path, name):
    assert layout.torchvision_name(path) == name


def test_own_name():
    assert layout.own_name("pre_logits.fc1.weight", "vgg16") == "classifier.0.weight"
    assert layout.own_name("pre_logits.fc2.bias", "vgg16") == "classifier.3.bias"
    assert layout.own_name("head.fc.weight", "vgg16") == "classifier.6.weight"
    assert layout.own_name("features.0.weight", "vgg16") == "features.0.weight"
    assert layout.own_name("model.module._orig_mod.layer1.0.conv1.weight", "resnet18") == "layer1.0.conv1.weight"
    assert layout.own_name("backbone.head.fc.bias", "vgg16") == "classifier.6.bias"


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("conv1.weight", (5, 3, 7, 7)),
        ("fc.weight", (6, 4)),
        ("fc.bias", (6,)),
        ("classifier.0.weight", (5, 98)),
        ("pos_embed", (1, 5, 4)),
    ],
)
def test_layouts_invert_each_other(name, shape):
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    there = layout.from_torchvision(name, array)
    assert layout.torchvision_shape(name, there.shape) == shape
    np.testing.assert_array_equal(layout.to_torchvision(name, there), array)


def test_a_convolution_goes_from_oihw_to_hwio():
    array = np.arange(2 * 3 * 5 * 7).reshape(2, 3, 5, 7)
    assert layout.from_torchvision("conv1.weight", array)[4, 6, 2, 1] == array[1, 2, 4, 6]


def test_the_flattened_kernel_goes_from_chw_to_hwc():
    array = np.arange(5 * 2 * 49).reshape(5, 98)
    row, column, channel, neuron = 3, 6, 1, 4
    flax = layout.from_torchvision("classifier.0.weight", array)
    assert flax[(row * 7 + column) * 2 + channel, neuron] == array[neuron, channel * 49 + row * 7 + column]


def test_accept_reads_timms_dense_layers_stored_as_convolutions():
    first = np.arange(5 * 2 * 49).reshape(5, 2, 7, 7)
    np.testing.assert_array_equal(layout.accept("classifier.0.weight", first, (5, 98)), first.reshape(5, 98))
    assert layout.accept("classifier.3.weight", np.zeros((5, 5, 1, 1)), (5, 5)).shape == (5, 5)


@pytest.mark.parametrize(
    ("name", "found", "wanted"),
    [
        ("classifier.0.weight", (5, 49, 1, 2), (5, 98)),
        ("classifier.0.weight", (5, 98, 1, 1), (5, 98)),
        ("classifier.3.weight", (5, 1, 5, 1), (5, 5)),
        ("fc.weight", (5, 4, 1, 1), (5, 4)),
        ("fc.weight", (4, 5), (5, 4)),
    ],
)
def test_accept_nothing_else(name, found, wanted):
    assert layout.accept(name, np.zeros(found), wanted) is None
