"""Relevance where every neuron is a PFV of one channel, by its definition: a ratio for each pair of neurons.

Source: as `reference`; for one channel, <vhat + s b, X> / ||X||^2 is (vhat + s b) / X, the z-rule.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from .contributions import BranchSum, Contribution, bias_of, linear_part, positions
from .description import Affine, BatchNorm, Branch, ChannelMix, Grid, Identity, Map, Slice
from .reference import Bias, Contrast, HeadRule, Relevance, Trace, activate, head_gradient

__all__ = ["encoder_neurons", "relevance"]

Array = Float64[np.ndarray, "..."]


def shared(amount: Array, sizes: Sequence[Array], links: Sequence[Array], mode: Bias) -> list[Array]:
    """An amount for each later neuron, shared among the earlier ones by the sizes of their contributions, or evenly."""
    if mode == "none":
        return [np.zeros_like(size) for size in sizes]
    total, number = sum(size.sum(0) for size in sizes), sum(link.sum(0) for link in links)
    by_size = np.zeros_like(total) if mode == "uniform" else total
    some, any_link = by_size > 0, np.maximum(number, 1)
    each = zip(sizes, links, strict=True)
    return [amount * np.where(some, size / np.where(some, total, 1), link / any_link) for size, link in each]


def has_one_contributor(branch: Branch) -> bool:
    """Whether every neuron of a branch comes from one neuron, by the branch's shape."""
    return isinstance(branch.mix, Identity | Slice) and not any(isinstance(step, ChannelMix) for step in branch.then)


def neuron_ratios(
    node: Map, sums: Sequence[BranchSum], j: Grid, mode: Bias, against: Relevance
) -> list[tuple[Contribution, Array]]:
    """The sharing ratios (c_in, c_out) of every contribution to the neurons at one position."""
    step: Affine | BatchNorm = Affine() if node.post is None else node.post
    scale = np.abs(linear_part(step, np.ones_like(sums[0].bias)))
    parts: list[Array] = []
    sizes: list[Array] = []
    x = linear_part(step, np.sum([each.value for each in sums], axis=0)) + bias_of(step, j)
    for branch, each in zip(node.branches, sums, strict=True):
        bias = linear_part(step, each.bias)
        own = [linear_part(step, c.parts) for c in each.contributions]
        own_sizes, own_links = [c.sizes * scale for c in each.contributions], [c.links for c in each.contributions]
        if has_one_contributor(branch):
            own = [part + link * bias for part, link in zip(own, own_links, strict=True)]
            own_sizes = [np.abs(part) for part in own]
        else:
            own = [p + extra for p, extra in zip(own, shared(bias, own_sizes, own_links, mode), strict=True)]
        parts += own
        sizes += own_sizes
    contributions = [c for each in sums for c in each.contributions]
    links = [c.links for c in contributions]
    shift = np.broadcast_to(bias_of(step, j), x.shape)
    alone = len(node.branches) == 1 and has_one_contributor(node.branches[0])
    extras = [link * shift for link in links] if alone else shared(shift, sizes, links, mode)
    alive = x != 0
    if against == "post":
        alive &= activate(x, node.activation) != 0
    number = np.maximum(sum(link.sum(0) for link in links), 1)
    return [
        (c, np.where(alive, (part + extra) / np.where(alive, x, 1), c.links / number))
        for c, part, extra in zip(contributions, parts, extras, strict=True)
    ]


def encoder_neurons(run: Trace, label: int, contrast: Contrast = None, head: HeadRule = "linear") -> Array:
    """Relevance (n, c) of the neurons at the encoder's output."""
    v = run.values[run.encoder]
    v = v.reshape(-1, v.shape[-1])

    def plain(c: int) -> Array:
        gradient = head_gradient(run, c)
        if head == "gradcam":
            weighed = v * gradient.mean(axis=0)
            return weighed * (weighed.sum(axis=1, keepdims=True) > 0)
        return v * gradient + (run.logits[c] - (v * gradient).sum()) / v.size

    if contrast == "spatial":
        return plain(label) - plain(label).mean(axis=0)
    if contrast == "class":
        return plain(label) - np.mean([plain(c) for c in range(len(run.logits))], axis=0)
    return plain(label)


def relevance(
    run: Trace,
    label: int,
    *,
    contrast: Contrast = None,
    head: HeadRule = "linear",
    bias: Bias = "norm",
    against: Relevance = "pre",
) -> dict[str, Float64[np.ndarray, "*grid"]]:
    """Relevance at every map and at the input, added up over channels."""
    result = {name: np.zeros(v.shape) for name, v in run.values.items()}
    result[run.encoder] += encoder_neurons(run, label, contrast, head).reshape(result[run.encoder].shape)
    for node in reversed(run.network.maps):
        for j in positions(run.values[node.name].shape[:-1]):
            for c, ratios in neuron_ratios(node, [s[j] for s in run.sums[node.name]], j, bias, against):
                result[c.source][c.position] += ratios @ result[node.name][j]
    return {name: r.sum(axis=-1) for name, r in result.items()}
