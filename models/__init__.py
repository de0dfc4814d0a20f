"""Networks in Flax Linen with others' weights, and what goes with them: photos and class names."""

from .convnext import ConvNeXt
from .densenet import DenseNet
from .efficientnet import EfficientNet
from .labels import imagenet_labels, resolve_target
from .mixer import Mixer
from .mobilenet import MobileNetV2
from .photos import SAMPLES, Photo, Preprocessing, crop, preprocess, sample_photo
from .regnet import RegNet
from .resnet import ResNet
from .swin import Swin
from .vgg import VGG
from .vit import ViT
from .weights import to_torchvision
from .zoo import Network, build, can_train, load, names, preprocessing, weights_source

__all__ = [
    "SAMPLES",
    "VGG",
    "ConvNeXt",
    "DenseNet",
    "EfficientNet",
    "Mixer",
    "MobileNetV2",
    "Network",
    "Photo",
    "Preprocessing",
    "RegNet",
    "ResNet",
    "Swin",
    "ViT",
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
