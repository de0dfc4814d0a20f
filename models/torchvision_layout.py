"""torchvision's parameter names and layouts against those of the Flax ports, one parameter at a time.

The ports' modules are named so that a path joined by dots is torchvision's name but for its last part. Convolutions go
from (out, in, kh, kw) to (kh, kw, in, out), dense kernels from (out, in) to (in, out). A dense layer that reads a
flattened map, as VGG's first, is channel-major in torchvision and channel-minor here. Tokens and tables of
biases stay as they are.
"""

import numpy as np
from jaxtyping import Float, Shaped

from . import families

__all__ = ["accept", "from_torchvision", "own_name", "to_torchvision", "torchvision_name", "torchvision_shape"]

_SUFFIXES = {
    ("params", "kernel"): "weight",
    ("params", "scale"): "weight",
    ("params", "bias"): "bias",
    ("batch_stats", "mean"): "running_mean",
    ("batch_stats", "var"): "running_var",
}
_AS_THEY_ARE = frozenset({"cls_token", "reg_token", "pos_embed", "relative_position_bias_table"})
# what DataParallel, compiling, sharding, checkpointing and training scripts put between or before the names
_WRAPPERS = frozenset(
    {"module", "model", "net", "backbone", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
)


def torchvision_name(path: tuple[str, ...]) -> str:
    """Name in torchvision of the Flax variable at `path`, such as ("params", "layer1.0", "conv1", "kernel")."""
    return ".".join((*path[1:-1], _SUFFIXES.get((path[0], path[-1]), path[-1])))


def own_name(name: str, model: str) -> str:
    """Name that a model has for a parameter, without the names of wrappers around it, and not as others call it.

    Example:
        ``own_name("module._orig_mod.conv1.weight", "resnet18")`` is ``"conv1.weight"``.
    """
    name = ".".join(part for part in name.split(".") if part not in _WRAPPERS)
    for old, new in families.renamed(model).items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def torchvision_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape that a Flax variable has in torchvision, by its name there and its shape here."""
    if name.rpartition(".")[2] in _AS_THEY_ARE:
        return shape
    if len(shape) == 4:
        kh, kw, c_in, c_out = shape
        return (c_out, c_in, kh, kw)
    return shape[::-1]


def accept(name: str, array: Shaped[np.ndarray, "..."], shape: tuple[int, ...]) -> Shaped[np.ndarray, "..."] | None:
    """The array in torchvision's shape, or None if it does not fit.

    timm stores VGG's dense layers as convolutions, the first with a 7x7 kernel; read in (in, kh, kw) order such a
    kernel is torchvision's dense kernel.

    Args:
        name: torchvision's name.
        array: the parameter found under that name.
        shape: torchvision's shape.
    """
    if array.shape == shape:
        return array
    if len(array.shape) == 1 and array.size == max(shape) == np.prod(shape):  # timm's scales have no grid
        return array.reshape(shape)
    side = _side(name)
    if side is not None and len(shape) == 2 and array.shape == (shape[0], shape[1] // side**2, side, side):
        return array.reshape(shape)
    return None


def from_torchvision(name: str, array: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """A parameter in torchvision's layout (out first) to the Flax layout (out last)."""
    if name.rpartition(".")[2] in _AS_THEY_ARE:
        return array
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    side = _side(name) if array.ndim == 2 else None
    if side is not None:
        out = array.shape[0]
        return array.reshape(out, -1, side, side).transpose(2, 3, 1, 0).reshape(-1, out)
    return array.T


def to_torchvision(name: str, array: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """A parameter in the Flax layout (out last) to torchvision's (out first): the inverse of `from_torchvision`."""
    if name.rpartition(".")[2] in _AS_THEY_ARE:
        return array
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    side = _side(name) if array.ndim == 2 else None
    if side is not None:
        out = array.shape[1]
        return array.reshape(side, side, -1, out).transpose(3, 2, 0, 1).reshape(out, -1)
    return array.T


def _side(name: str) -> int | None:
    """Positions a side of the flattened map that a dense kernel reads, None where it reads none."""
    sides = (family.flattened.get(name) for family in families.FAMILIES)
    return next((side for side in sides if side is not None), None)
