"""Weights in torchvision's or timm's names to Flax variables, and back.

Where they come from is `weight_files`, how a single parameter is laid out is `layout`. Whatever is wrong with a set of
weights is collected and reported in one error.
"""

import zlib
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jaxtyping import Float

from srd_jax.errors import WeightsError

from . import layout

__all__ = ["Variables", "class_count", "from_torchvision", "to_torchvision", "untrained"]

Variables = Mapping[str, Any]  # Flax's {"params": ..., "batch_stats": ...}

_HEADS = ("fc.weight", "classifier.6.weight")


def _as_array(value: Any) -> np.ndarray:
    """A NumPy array of a NumPy, JAX or PyTorch array; ValueError if `value` is none of them or not numeric."""
    if hasattr(value, "detach"):  # a PyTorch tensor; NumPy has no bfloat16 to take its own
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
    array = np.asarray(value)
    if not (jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(array.dtype, jnp.integer)):
        raise ValueError(f"dtype {array.dtype}")
    return array


def class_count(state: Mapping[str, Any]) -> int | None:
    """Number of classes that the last dense layer in `state` has, or None if it is not there."""
    for name, value in state.items():
        shape: tuple[int, ...] = getattr(value, "shape", ())
        if layout.rename_timm(name) in _HEADS and len(shape) >= 2:
            return int(shape[0])
    return None


def from_torchvision(template: Variables, state: Mapping[str, Any], model: str) -> Variables:
    """Flax variables from a mapping of torchvision's (or timm's) parameter names to arrays.

    Args:
        template: the variables wanted, as arrays or `jax.ShapeDtypeStruct`s.
        state: parameter name to NumPy, JAX or PyTorch array; `num_batches_tracked` is ignored.
        model: the model's name, for the error.

    Returns:
        New arrays in the template's structure, shapes and dtypes.

    Raises:
        WeightsError: listing every name that is missing, unexpected, misshapen or holds no finite numbers.
    """
    wanted = {
        layout.torchvision_name(path): (path, leaf) for path, leaf in traverse_util.flatten_dict(template).items()
    }
    problems = []
    found: dict[str, str] = {}  # torchvision's name to the name in `state`
    for given in state:
        name = layout.rename_timm(given)
        if name.endswith("num_batches_tracked"):
            continue
        if name not in wanted or name in found:
            problems.append(f"unexpected: {given}")
        else:
            found[name] = given

    variables = {}
    for name, (path, leaf) in wanted.items():
        shape = layout.torchvision_shape(leaf.shape)
        if name not in found:
            problems.append(f"missing: {name} {shape}")
            continue
        try:
            array = _as_array(state[found[name]])
        except (TypeError, ValueError, RuntimeError) as error:
            problems.append(f"not an array of numbers: {found[name]} ({error})")
            continue
        fitted = layout.accept(name, array, shape)
        if fitted is None:
            problems.append(f"misshapen: {found[name]} is {array.shape} and must be {shape}")
        elif not np.isfinite(fitted).all():
            problems.append(f"not finite: {found[name]}")
        elif not problems:  # once something is wrong, only look for what else is
            # a copy, as JAX on a CPU may otherwise share memory that the caller goes on to change
            variables[path] = jnp.array(layout.from_torchvision(name, fitted), leaf.dtype)

    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise WeightsError(f"{count} with the weights for {model}:\n  " + "\n  ".join(problems))
    return traverse_util.unflatten_dict(variables)


def untrained(template: Variables, seed: int) -> Variables:
    """Random variables: He-normal convolutions (by fan-out), LeCun-normal dense kernels, all else 0 or 1.

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
            variance = 2 / (shape[0] * shape[1] * shape[3]) if len(shape) == 4 else 1 / shape[0]
            value = rng.standard_normal(shape, np.float32) * np.float32(variance**0.5)
        else:
            value = np.full(shape, 1 if path[-1] in ("scale", "var") else 0, np.float32)
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
