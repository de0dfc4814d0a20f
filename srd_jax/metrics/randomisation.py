"""Sanity checks: whether a map notices that the network, or the class, is another one.

Source: Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018, arXiv 1810.03292; the random logit of Sixt,
Granz, Landgraf, ICML 2020, arXiv 1912.09818.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from srd_jax.metrics.estimate import correlated

__all__ = ["parameter_randomisation", "random_logit", "randomised"]


def randomised(
    key: Array, variables: Any, *, order: str = "cascading", layers: Sequence[str] | None = None
) -> Iterator[tuple[str, Any]]:
    """Variables with layer after layer permuted at random, from the last to the first.

    Permuting a layer's values keeps their distribution. What is not floating point stays, and so does what holds one
    number.

    Args:
        key: from `jax.random.key`.
        variables: any pytree.
        order: ``"cascading"`` keeps what was permuted before, ``"independent"`` permutes one layer at a time.
        layers: their names in order, each the path in the pytree of all that belongs to it, as ``"params/dense"``;
            None for every leaf's own parent, in the tree's order.

    Yields:
        The name of the layer last permuted, and the variables.

    Raises:
        ValueError: an unknown order, or a layer that does not exist.
    """
    if order not in ("cascading", "independent"):
        raise ValueError(f"order must be 'cascading' or 'independent', not {order!r}")
    leaves, structure = jax.tree.flatten_with_path(variables)
    names = ["/".join(_step(part) for part in path) for path, _ in leaves]
    own = list(dict.fromkeys(name.rpartition("/")[0] or name for name in names)) if layers is None else list(layers)
    values = [value for _, value in leaves]
    changed = list(values)
    for number, layer in reversed(list(enumerate(own))):
        places = [i for i, name in enumerate(names) if name == layer or name.startswith(f"{layer}/")]
        if not places:
            raise ValueError(f"no variables lie under {layer!r}; there are {', '.join(names[:4])} ...")
        changed = changed if order == "cascading" else list(values)
        for place in places:
            changed[place] = _permuted(jax.random.fold_in(jax.random.fold_in(key, number), place), values[place])
        yield layer, jax.tree.unflatten(structure, changed)


def parameter_randomisation(
    key: Array,
    explain: Callable[[Any, Array, Any], Float[Array, "n h w"]],
    variables: Any,
    images: Float[Array, "n h w c"],
    targets: Int[Array, " n"],
    *,
    order: str = "cascading",
    layers: Sequence[str] | None = None,
) -> dict[str, Float[Array, " n"]]:
    """The correlation of maps' magnitudes with those of the network as it is, layer by layer randomised.

    A method that explains the network falls to about 0.

    Args:
        key: from `jax.random.key`.
        explain: ``(variables, images, targets) -> maps``.
        variables: of the network as it is.
        images: (N, H, W, C).
        targets: (N,).
        order: as in `randomised`.
        layers: as in `randomised`.

    Returns:
        By layer, (N,).

    Raises:
        ValueError: as in `randomised`.
    """
    run = jax.jit(explain)
    own = _magnitudes(run(variables, images, targets))
    return {
        layer: correlated(own, _magnitudes(run(changed, images, targets)))
        for layer, changed in randomised(key, variables, order=order, layers=layers)
    }


def random_logit(
    key: Array,
    explain: Callable[[Any, Array, Any], Float[Array, "n h w"]],
    variables: Any,
    images: Float[Array, "n h w c"],
    targets: Int[Array, " n"],
    *,
    classes: int,
) -> Float[Array, " n"]:
    """The correlation of maps' magnitudes with those of another class, drawn at random.

    A method that explains the class is far from 1.

    Args:
        key: from `jax.random.key`.
        explain: as in `parameter_randomisation`.
        variables: as in `parameter_randomisation`.
        images: as in `parameter_randomisation`.
        targets: as in `parameter_randomisation`.
        classes: of the network, two at least.

    Raises:
        ValueError: fewer than two classes.
    """
    if classes < 2:
        raise ValueError(f"another class needs two classes at least, not {classes}")
    targets = jnp.asarray(targets)
    other = (targets + jax.random.randint(key, targets.shape, 1, classes)) % classes
    return correlated(*(_magnitudes(explain(variables, images, each)) for each in (targets, other)))


def _magnitudes(maps: Array) -> Array:
    return jnp.abs(maps).reshape((maps.shape[0], -1))


def _permuted(key: Array, value: Any) -> Any:
    array = jnp.asarray(value)
    if not jnp.issubdtype(array.dtype, jnp.floating) or array.size < 2:
        return value
    return jax.random.permutation(key, array.ravel()).reshape(array.shape)


def _step(part: Any) -> str:
    return str(next(getattr(part, name) for name in ("key", "name", "idx") if hasattr(part, name)))
