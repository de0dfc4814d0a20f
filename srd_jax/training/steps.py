"""One step of training as a pure function, and the state it goes from and to."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Int, UInt8

from srd_jax.models.photos import IMAGENET_MEAN, IMAGENET_STD

from .recipe import Recipe

__all__ = ["State", "initial_state", "normalised", "optimiser", "train_step"]

Variables = Any
"""Flax's {"params": ..., "batch_stats": ...}."""


@partial(jax.tree_util.register_dataclass, data_fields=["step", "variables", "average", "optimiser"], meta_fields=[])
@dataclass(frozen=True)
class State:
    """All that training needs to go on.

    Attributes:
        step: steps taken.
        variables: weights and running statistics.
        average: the moving average of both.
        optimiser: optax's state.
    """

    step: Int[Array, ""]
    variables: Variables
    average: Variables
    optimiser: Any


def optimiser(recipe: Recipe, steps: int) -> optax.GradientTransformation:
    """Nesterov momentum, decay of kernels, and a learning rate that rises and falls."""
    peak = recipe.learning_rate * recipe.batch / 128
    warmup = max(1, round(recipe.warmup * steps))
    rate = optax.warmup_cosine_decay_schedule(0.0, peak, warmup, max(steps, warmup + 1))

    def kernels(params: Variables) -> Variables:
        return jax.tree.map(lambda x: x.ndim > 1, params)

    return optax.chain(
        optax.add_decayed_weights(recipe.weight_decay, mask=kernels),
        optax.sgd(rate, recipe.momentum, nesterov=True),
    )


def initial_state(
    module: nn.Module, recipe: Recipe, size: int, steps: int, *, variables: Variables | None = None
) -> State:
    """The state before the first step, for images of size x size pixels, from given or random weights."""
    if variables is not None:
        average = jax.tree.map(jnp.copy, variables)
        return State(jnp.zeros((), int), variables, average, optimiser(recipe, steps).init(variables["params"]))

    @jax.jit
    def initial(key: Array) -> State:
        variables = module.init(key, jnp.zeros((1, size, size, 3)))
        # a block whose last scale is 0 starts as the identity
        params = jax.tree_util.tree_map_with_path(_last_scales_are_zero(variables["params"]), variables["params"])
        variables = {**variables, "params": params}
        return State(jnp.zeros((), int), variables, variables, optimiser(recipe, steps).init(params))

    return initial(jax.random.key(recipe.seed))


def _last_scales_are_zero(params: Variables) -> Any:
    last = {
        block: max(name for name in parts if name.startswith("bn"))
        for block, parts in params.items()
        if block.startswith("layer")
    }

    def scale(path: tuple[Any, ...], leaf: Array) -> Array:
        block, *rest = [key.key for key in path]
        return jnp.zeros_like(leaf) if rest == [last.get(block), "scale"] else leaf

    return scale


def normalised(images: UInt8[Array, "N H W 3"]) -> Float[Array, "N H W 3"]:
    """Pixels to the network's input, as `srd_jax.models.preprocess` does."""
    return (images.astype(jnp.float32) / 255 - jnp.array(IMAGENET_MEAN)) / jnp.array(IMAGENET_STD)


def train_step(
    module: nn.Module,
    recipe: Recipe,
    steps: int,
    state: State,
    images: UInt8[Array, "N H W 3"],
    labels: Int[Array, " N"],
) -> tuple[State, dict[str, Float[Array, ""]]]:
    """Take one step.

    Args:
        module: a Flax module whose call takes ``train``.
        recipe: how to train.
        steps: of the whole training.
        state: before the step.
        images: (N, H, W, 3) uint8.
        labels: (N,) classes.

    Returns:
        The state after it, and the loss and the share of right answers on the batch.
    """
    pixels = normalised(images)
    targets = optax.smooth_labels(
        jax.nn.one_hot(labels, module.num_classes),
        recipe.label_smoothing,  # type: ignore[attr-defined]
    )
    if recipe.mixup:
        pixels, targets = _mixed(recipe, state.step, pixels, targets)

    def loss_of(params: Variables) -> tuple[Float[Array, ""], tuple[Float[Array, "N classes"], Variables]]:
        logits, updated = module.apply(
            {**state.variables, "params": params}, pixels, train=True, mutable=["batch_stats"]
        )
        return optax.softmax_cross_entropy(logits, targets).mean(), (logits, updated)

    (loss, (logits, updated)), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.variables["params"])
    changes, optimiser_state = optimiser(recipe, steps).update(gradient, state.optimiser, state.variables["params"])
    variables = {**updated, "params": optax.apply_updates(state.variables["params"], changes)}
    # early on the average follows closely, or it would remember the random start
    decay = jnp.minimum(recipe.average, (1 + state.step) / (10 + state.step))
    average = optax.incremental_update(variables, state.average, 1 - decay)
    metrics = {"loss": loss, "top1": jnp.mean(jnp.argmax(logits, -1) == labels)}
    return State(state.step + 1, variables, average, optimiser_state), metrics


def _mixed(
    recipe: Recipe, step: Array, pixels: Float[Array, "N H W 3"], targets: Float[Array, "N classes"]
) -> tuple[Float[Array, "N H W 3"], Float[Array, "N classes"]]:
    """Every image with a share of another one of the batch, and their targets likewise."""
    drawing, pairing = jax.random.split(jax.random.fold_in(jax.random.key(recipe.seed), step))
    share = jax.random.beta(drawing, recipe.mixup, recipe.mixup)
    order = jax.random.permutation(pairing, pixels.shape[0])
    return share * pixels + (1 - share) * pixels[order], share * targets + (1 - share) * targets[order]
