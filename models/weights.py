"""Weights in torchvision's or timm's names to Flax variables, and back.

Where they come from is `weight_files`, how a single parameter is laid out is `torchvision_layout`. Whatever is wrong
with a set of weights is collected and reported in one error.
"""

import sys
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jaxtyping import Float

from srd_jax.errors import WeightsError
from srd_jax.messages import shortened

from . import families
from . import torchvision_layout as layout

__all__ = ["Variables", "class_count", "from_torchvision", "to_torchvision", "untrained"]

Variables = Mapping[str, Any]  # Flax's {"params": ..., "batch_stats": ...}

# of batch norm and of averaged models, and what follows from a transformer's windows
_IGNORED = ("num_batches_tracked", "n_averaged", "relative_position_index", "attn_mask")
_SHOWN = 40


def class_count(state: Mapping[str, Any], model: str) -> int | None:
    """Number of classes that a model's last dense layer in `state` has, or None if it is not there."""
    head = families.family_of(model).head
    for name, value in state.items():
        shape = tuple(value.shape) if _is_tensor(value) or isinstance(value, np.ndarray | jax.Array) else ()
        if len(shape) >= 2 and layout.own_name(name, model) == head:
            return int(shape[0])
    return None


def from_torchvision(template: Variables, state: Mapping[str, Any], model: str) -> Variables:
    """Flax variables from a mapping of torchvision's (or timm's) parameter names to arrays.

    Args:
        template: the variables wanted, as arrays or `jax.ShapeDtypeStruct`s.
        state: parameter name, also within wrappers such as ``module.``, to NumPy, JAX or PyTorch array;
            counters, as `num_batches_tracked`, and tables that follow from the windows are ignored.
        model: the model's name, for the error.

    Returns:
        New arrays in the template's structure, shapes and dtypes.

    Raises:
        WeightsError: listing the names that are missing, unexpected, given twice, misshapen or hold no finite numbers.
    """
    wanted = {
        layout.torchvision_name(path): (path, leaf) for path, leaf in traverse_util.flatten_dict(template).items()
    }
    problems, missing = [], []
    found: dict[str, str] = {}  # torchvision's name to the name in `state`
    for given in state:
        name = layout.own_name(given, model)
        if name.rpartition(".")[2] in _IGNORED:
            continue
        if name not in wanted:
            problems.append(f"unexpected: {shortened(given)}")
        elif name in found:
            problems.append(f"given twice: {shortened(found[name])} and {shortened(given)}")
        else:
            found[name] = given

    variables = {}
    for name, (path, leaf) in wanted.items():
        shape = layout.torchvision_shape(name, leaf.shape)
        if name not in found:
            missing.append(f"missing: {name} {shape}")
            continue
        given = shortened(found[name])
        try:
            array = _as_array(state[found[name]])
        except (TypeError, ValueError, RuntimeError) as error:
            problems.append(f"not an array of numbers: {given} ({shortened(error)})")
            continue
        fitted = layout.accept(name, array, shape)
        if fitted is None:
            problems.append(f"misshapen: {given} is {shortened(array.shape)} and must be {shape}")
            continue
        with np.errstate(over="ignore"):
            fitted = fitted.astype(leaf.dtype)
        if not np.isfinite(fitted).all():
            problems.append(f"not finite: {given}")
        elif not problems and not missing:  # once something is wrong, only look for what else is
            # a copy, as JAX on a CPU may otherwise share memory that the caller goes on to change
            variables[path] = np.array(layout.from_torchvision(name, fitted), order="C")

    problems += missing
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise WeightsError(f"{count} with the weights for {model}:\n  " + "\n  ".join(problems[:_SHOWN] + more))
    return traverse_util.unflatten_dict(jax.device_put(variables))


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")  # nobody has a tensor who has not imported it
    return torch is not None and isinstance(value, torch.Tensor)


def _as_array(value: Any) -> np.ndarray:
    """A NumPy array of a NumPy, JAX or PyTorch array.

    Raises:
        TypeError, ValueError, RuntimeError: it is none of them, holds no integers and no floats of 16 bits or more, or
            repeats what it holds in a shape that may be larger than memory.
    """
    if _is_tensor(value):
        value, torch = value.detach().cpu(), sys.modules["torch"]
        narrow = value.dtype == torch.bfloat16  # which NumPy does not know by itself
        array = value.view(torch.int16).numpy().view(jnp.bfloat16) if narrow else value.numpy()
    elif isinstance(value, np.ndarray | np.generic | jax.Array):
        array = np.asarray(value)
    else:
        raise TypeError(f"a {type(value).__name__}")
    # types that others have added to NumPy, as float8, are no subtypes of its own
    if array.dtype != jnp.bfloat16 and array.dtype.kind not in "iu" and not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"dtype {array.dtype}")
    first, last = np.lib.array_utils.byte_bounds(array)
    if last - first < array.nbytes:
        raise ValueError(f"{array.size} numbers, of which {(last - first) // array.itemsize} are stored")
    return array


def untrained(template: Variables, seed: int) -> Variables:
    """Random variables: He-normal convolutions (by fan-out), LeCun-normal dense kernels, all else 0 or 1 (scales).

    Drawn with NumPy from the seed and each parameter's own name, so they are the same on every device and no
    initialiser needs to be compiled.

    Args:
        template: the variables wanted, as arrays or `jax.ShapeDtypeStruct`s.
        seed: a non-negative int.

    Returns:
        New arrays in the template's structure, shapes and dtypes.
    """
    variables = {}
    for path, leaf in traverse_util.flatten_dict(template).items():
        shape = leaf.shape
        if path[-1] == "kernel":
            rng = np.random.default_rng([seed, zlib.crc32("/".join(path).encode())])
            made = 1 if len(shape) == 4 and shape[2] == 1 else shape[-1]  # by each channel of a depthwise kernel
            variance = 2 / (shape[0] * shape[1] * made) if len(shape) == 4 else 1 / shape[0]
            value = rng.standard_normal(shape, np.float32) * np.float32(variance**0.5)
        else:
            value = np.full(shape, 1 if path[-1] in ("scale", "var", "layer_scale") else 0, np.float32)
        variables[path] = jnp.asarray(value, leaf.dtype)
    return traverse_util.unflatten_dict(variables)


def to_torchvision(variables: Variables) -> dict[str, Float[np.ndarray, "..."]]:
    """Parameters in torchvision's names and layouts from Flax variables: the inverse of `from_torchvision`.

    Args:
        variables: a port's {"params": ..., "batch_stats": ...}, float arrays.

    Returns:
        Parameter name to new contiguous NumPy array in the variable's dtype, `num_batches_tracked` left out.
    """
    state = {}
    for path, leaf in traverse_util.flatten_dict(variables).items():
        name = layout.torchvision_name(path)
        state[name] = np.array(layout.to_torchvision(name, np.asarray(leaf)), order="C")
    return state
