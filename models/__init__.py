"""ResNets and VGGs in Flax Linen with torchvision's weights, and what goes with them: photos and class names."""

from .labels import imagenet_labels, resolve_target
from .photos import SAMPLES, Photo, Preprocessing, crop, preprocess, sample_photo
from .resnet import ResNet
from .vgg import VGG
from .weights import to_torchvision
from .zoo import Network, build, can_train, load, names, preprocessing, weights_source

__all__ = [
    "SAMPLES",
    "VGG",
    "Network",
    "Photo",
    "Preprocessing",
    "ResNet",
    "build",
    "can_train",
    "crop",
    "imagenet_labels",
    "load",
    "names",
    "preprocess",
    "preprocessing",
    "resolve_target",
    "sample_photo",
    "to_torchvision",
    "weights_source",
]
