"""The laws of the method, which hold for every network, and what tests of rules draw and compare with."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import srd_jax as srd

__all__ = ["by_masking", "draw", "explained", "logits"]

Images = Float[Array, "n *grid c"]


def draw(*shape: int, seed: int = 0) -> Float[np.ndarray, "..."]:
    """Normal numbers that depend on their seed and their shape alone."""
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def logits(x: Images) -> Float[Array, "n 3"]:
    """Average pooling and a dense layer of three classes."""
    return jnp.mean(x, range(1, x.ndim - 1)) @ draw(x.shape[-1], 3) + draw(3)


def by_masking(branches: Sequence[Callable[[Images], Images]], images: Images) -> Float[Array, "n p *grid"]:
    """mu_{i->j} (N, later positions, *grid) of a sum of affine steps, from every vhat_{i->j} on its own."""
    grid = images.shape[1:-1]
    masks = jnp.eye(int(np.prod(grid))).reshape((-1, 1, *grid, 1))
    x = sum(branch(images) for branch in branches)
    mu = 0
    for branch in branches:
        vhat = jax.vmap(lambda mask, branch=branch: jax.jvp(branch, (images,), (mask * images,))[1])(masks)
        norms = jnp.sqrt(jnp.sum(vhat**2, -1, keepdims=True))
        bias = branch(images) - vhat.sum(0)
        mu += jnp.sum((vhat + norms / norms.sum(0) * bias) * x, -1) / jnp.sum(x * x, -1)
    return jnp.moveaxis(mu.reshape((*mu.shape[:2], -1)), 0, -1).reshape((x.shape[0], -1, *grid))


def explained(f, images, branches=None, **options):
    """The flow, the heatmap of class 1 (N, *grid) and the ERFs (N, P, *grid) of the last map of ``f``, in float64.

    Checked on the way: the logits are the function's; the heatmap sums to the logit; the ERFs of the last map sum to 1;
    where the affine ``branches`` of a single layer are given, that they are its ratios `by_masking`. The ratios are
    weighed in NumPy, which needs no compiling.
    """

    def everything(images):
        y, flow = srd.decompose(f, **options)(None, images)
        tops = flow.head.relevance(jnp.ones((images.shape[0], 1), int), None)
        backward = flow.relevance(1, contrast=None)[flow.layers[0].name]
        return flow, (tops, backward), y - f(None, images), None if branches is None else by_masking(branches, images)

    flow, (tops, backward), difference, expected = jax.jit(everything)(images)
    grid = flow.layers[0].grid
    pixels = np.eye(int(np.prod(grid))).reshape((-1, *grid))
    fields = {0: np.stack([pixels] * len(images))}
    for edge in flow.edges:
        known = replace(edge, ratios=None if edge.ratios is None else np.asarray(edge.ratios))
        fields[edge.target] = np.asarray(known.apply(fields[edge.source])) + fields.get(edge.target, 0)
    by_position = {index: field.reshape((*field.shape[:2], -1)) for index, field in fields.items()}
    seeds = tops.items()
    heat = sum(np.einsum("npj,nj->np", by_position[node], np.reshape(top, (len(images), -1))) for node, top in seeds)
    last = np.moveaxis(by_position[len(flow.layers) - 1], 1, 2).reshape((len(images), -1, *grid))
    np.testing.assert_allclose(difference, 0, atol=1e-10)
    np.testing.assert_allclose(heat.sum(1), flow.head.logits[:, 1], atol=1e-10)
    np.testing.assert_allclose(last.sum(tuple(range(2, last.ndim))), 1, atol=1e-10)
    np.testing.assert_allclose(heat.reshape(backward.shape), backward, atol=1e-10)
    if branches is not None:
        np.testing.assert_allclose(last, expected, atol=1e-10)
    return flow, heat.reshape((len(images), *grid)), last
