"""ResNets and VGGs in Flax Linen with torchvision's weights, and what goes with them: photos and class names."""

from .labels import imagenet_labels, resolve_target
from .photos import SAMPLES, Photo, crop, preprocess, sample_photo
from .resnet import ResNet
from .vgg import VGG
from .weights import to_torchvision
from .zoo import Network, build, can_train, input_extents, load, names, weights_source

__all__ = [
    "SAMPLES",
    "VGG",
    "Network",
    "Photo",
    "ResNet",
    "build",
    "can_train",
    "crop",
    "imagenet_labels",
    "input_extents",
    "load",
    "names",
    "preprocess",
    "resolve_target",
    "sample_photo",
    "to_torchvision",
    "weights_source",
]
