"""Values on meshes of devices: axes that are sharded explicitly, and what varies inside `jax.shard_map`."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array

__all__ = ["by_image", "transposed", "varying_alike", "varying_as"]


def varying_alike(values: Sequence[Any]) -> list[Any]:
    """Values that vary along the same axes of a `jax.shard_map`, as the operands of a primitive have to."""
    own = [_varying(value) for value in values]
    every = frozenset().union(*own)
    if not every:
        return list(values)
    pairs = zip(values, own, strict=True)
    return [lax.pcast(x, tuple(sorted(every - axes)), to="varying") if every != axes else x for x, axes in pairs]


def varying_as(value: Array, like: jax.ShapeDtypeStruct) -> Array:
    """A value that varies as another one does, which is known by its type."""
    axes = like.manual_axis_type.varying if like.manual_axis_type is not None else frozenset()
    return lax.pcast(value, tuple(sorted(axes)), to="varying") if axes else value


def _varying(value: Any) -> frozenset[str]:
    if not isinstance(value, jax.core.Tracer):
        return frozenset()
    return frozenset(jax.typeof(value).manual_axis_type.varying)


def transposed(fn: Callable[[Array], Array], shape: Sequence[int], ahead: Array) -> Array:
    """The transpose of a linear function of an array of some shape, at ``ahead``."""
    like: Any = jax.ShapeDtypeStruct(tuple(shape), ahead.dtype)
    if _varying(ahead):
        like, _ = varying_alike([jnp.zeros(like.shape, like.dtype), ahead])
    (back,) = jax.linear_transpose(fn, like)(ahead)
    return back


def by_image(fn: Callable[..., Any], images: Callable[..., Array]) -> Callable[..., Any]:
    """A function whose arrays have the images on their first axis (or extent 1), on meshes with explicit axes too.

    Inside, the compiler places values, as on other meshes; results are sharded as the images are.

    Args:
        fn: of pytrees.
        images: its arguments to an array that has the batch on its first axis.
    """

    def run(*args: Any) -> Any:
        sharding = jax.typeof(images(*args)).sharding
        meshes = [jax.typeof(leaf).sharding.mesh for leaf in jax.tree.leaves(args)]
        mesh = next((mesh for mesh in (sharding.mesh, *meshes) if AxisType.Explicit in mesh.axis_types), None)
        if mesh is None:
            return fn(*args)
        explicit = [
            name for name, kind in zip(mesh.axis_names, mesh.axis_types, strict=True) if kind is AxisType.Explicit
        ]
        count, along = images(*args).shape[0], sharding.spec[0] if sharding.mesh == mesh else None
        made: list[Any] = []

        def leaves(*args: Any) -> list[Array]:
            own, structure = jax.tree.flatten(fn(*args))
            made[:] = [structure]
            return own

        def placed(leaf: jax.ShapeDtypeStruct) -> NamedSharding:
            divided = leaf.ndim > 0 and leaf.shape[0] == count
            return NamedSharding(mesh, PartitionSpec(*([along] if divided else []), *[None] * (leaf.ndim - divided)))

        like = jax.eval_shape(leaves, *jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), args))
        out = jax.sharding.auto_axes(leaves, axes=tuple(explicit), out_sharding=[placed(leaf) for leaf in like])(*args)
        return jax.tree.unflatten(made[0], out)

    return run
