"""What each PFV contributes to a later pre-activation: one explicit vhat per tap, and the bias beside them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from jaxtyping import Float64

from .description import (
    Attention,
    AvgPool,
    Branch,
    ChannelMix,
    Conv,
    FromWindows,
    Gate,
    Grid,
    Identity,
    LayerNorm,
    Map,
    MaxPool,
    MixingStep,
    PointwiseStep,
    Rearrangement,
    Roll,
    Slice,
    TokenMix,
    Tokens,
    Window,
    Windows,
)

__all__ = [
    "BranchSum",
    "Contribution",
    "Values",
    "bias_of",
    "branch_sums",
    "flat",
    "is_pointwise",
    "linear_part",
    "normalise",
    "pool_taps",
    "positions",
    "sigmoid",
]

Array = Float64[np.ndarray, "..."]
Vector = Float64[np.ndarray, " c"]
Values = Mapping[str, Float64[np.ndarray, "*grid c"]]


def positions(grid: Grid) -> Iterator[Grid]:
    """The positions of a grid, in row-major order."""
    return product(*(range(n) for n in grid))


def flat(position: Grid, grid: Grid) -> int:
    """The row-major index of a position."""
    return int(np.ravel_multi_index(position, grid))


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


@dataclass(frozen=True, eq=False)
class Contribution:
    """What X_j receives through one tap from the PFV at `position` of the map `source`.

    Attributes:
        source: the map it comes from.
        position: in that map.
        vhat: all of it.
        parts: neuron by neuron: what each channel of X_j receives from each channel of v_i. They add up to `vhat`.
        sizes: their magnitudes, along every path of linear steps.
        links: by how many paths each channel of v_i leads to each of X_j, whatever the weights.
        chosen_at: where a max pool before the mixing step chose it: each offset of a pool contributes by itself.
        root: the map that the source is a position-wise function of, itself mostly: they have their PFVs in common.
        matrix: by which `vhat` is made of v_i after the branch's layer norm.
        norm: that layer norm.
    """

    source: str
    position: Grid
    vhat: Vector
    parts: Float64[np.ndarray, "c_in c_out"] | None = None
    sizes: Float64[np.ndarray, "c_in c_out"] | None = None
    links: Float64[np.ndarray, "c_in c_out"] | None = None
    chosen_at: tuple[Window, Grid] | None = None
    root: str = ""
    matrix: Float64[np.ndarray, "c_in c_out"] | None = None
    norm: LayerNorm | None = None


@dataclass(frozen=True, eq=False)
class BranchSum:
    """One branch's part of one X_j: the sum of its contributions, plus its bias.

    Attributes:
        contributions: one per tap that reads a position which pixels reach; taps in the padding contribute nothing, and
            share no bias.
        bias: the branch's own bias, carried through its later steps.
        single: whether the branch has one tap per output by its shape.
        constant: what positions bring that no pixel reaches: of the branch's bias if it has one, else of the sum's.
        biased: whether the branch has a bias of its own.
    """

    contributions: tuple[Contribution, ...]
    bias: Vector
    single: bool
    constant: Vector | float = 0.0
    biased: bool = True

    @property
    def value(self) -> Vector:
        """The branch's value at this position."""
        return sum((c.vhat for c in self.contributions), self.bias + self.constant)

    @property
    def own_constants(self) -> Vector:
        """What is shared among the branch's own contributions."""
        return self.bias + self.constant if self.biased and self.contributions else 0 * self.bias

    @property
    def left_to_sum(self) -> Vector:
        """What is shared among all contributions to the sum: constants without a contributor or a bias beside them."""
        return self.bias + self.constant - self.own_constants


def kernel_matrix(conv: Conv, offset: Grid) -> Float64[np.ndarray, "c_in c_out"]:
    """The dense matrix of a convolution's tap: zero between channels of different groups."""
    tap = conv.kernel[offset]
    per_group, out = tap.shape
    matrix = np.zeros((per_group * conv.groups, out))
    for o in range(out):
        group = o // (out // conv.groups)
        matrix[group * per_group : (group + 1) * per_group, o] = tap[:, o]
    return matrix


def padded_window(conv: Conv) -> Window:
    """A convolution's window; an explicit zero padding before it is more padding of its own."""
    window, extra = conv.window, conv.zero_pad
    if extra is None:
        return window
    padding = tuple((lo + a, hi + b) for (lo, hi), (a, b) in zip(window.padding, extra, strict=True))
    return Window(window.size, window.strides, padding, window.dilation)


def moved_grid(step: Rearrangement | Tokens, grid: Grid) -> Grid:
    """The grid after positions have been moved."""
    if isinstance(step, Tokens):
        return (len(step.values) + grid[0],)
    if isinstance(step, Windows):
        return tuple(n for extent in grid for n in (extent // step.side, step.side))
    return (grid[0] * grid[1], grid[2] * grid[3]) if isinstance(step, FromWindows) else grid


def moved_from(step: Rearrangement | Tokens, j: Grid, grid: Grid) -> Grid | None:
    """Where a position was before; None for a constant."""
    if isinstance(step, Tokens):
        return (j[0] - len(step.values),) if j[0] >= len(step.values) else None
    if isinstance(step, Windows):
        row, y, column, x = j
        return row * step.side + y, column * step.side + x
    if isinstance(step, FromWindows):
        return (*divmod(j[0], grid[1]), *divmod(j[1], grid[3]))
    return tuple((place - shift) % n for place, shift, n in zip(j, step.shift, grid, strict=True))


def attention_weights(step: Attention, v: Float64[np.ndarray, "*grid c"]) -> dict[tuple[Grid, Grid], Vector]:
    """A^h_ji for every pair (j, i) of positions in one window: (heads,)."""
    grid, heads = v.shape[:-1], step.heads
    queries, keys = ((v @ m).reshape(*grid, heads, -1) for m in (step.queries, step.keys))
    weights = {}
    for j in positions(grid):
        others = [i for i in positions(grid) if all(i[axis] == j[axis] for axis in step.apart)]
        scores = np.array([(queries[j] * keys[i]).sum(-1) for i in others]) / math.sqrt(queries.shape[-1])
        powers = np.exp(scores - scores.max(0))
        for i, weight in zip(others, powers / powers.sum(0), strict=True):
            weights[j, i] = weight
    return weights


def mixing_taps(
    step: MixingStep, v: Float64[np.ndarray, "*grid c"]
) -> tuple[Grid, dict[Grid, list[tuple[Grid, Float64[np.ndarray, "c_in c_out"]]]]]:
    """The taps of a linear step that mixes positions.

    Returns:
        The target grid, and for each target position its (source position, matrix) pairs inside the source grid: the
        step's value there is the sum of v[source] @ matrix.
    """
    grid, one = v.shape[:-1], np.eye(v.shape[-1])
    if isinstance(step, Identity):
        return grid, {j: [(j, one)] for j in positions(grid)}
    if isinstance(step, Slice):
        target_grid = tuple(math.ceil(n / s) for n, s in zip(grid, step.strides, strict=True))
        return target_grid, {
            j: [(tuple(a * s for a, s in zip(j, step.strides, strict=True)), one)] for j in positions(target_grid)
        }
    if isinstance(step, Tokens | Windows | FromWindows | Roll):
        target_grid = moved_grid(step, grid)
        origins = {j: moved_from(step, j, grid) for j in positions(target_grid)}
        return target_grid, {j: [] if i is None else [(i, one)] for j, i in origins.items()}
    if isinstance(step, TokenMix):
        return step.weights.shape[1:], {
            (j,): [((i,), step.weights[i, j] * one) for i in range(grid[0])] for j in range(step.weights.shape[1])
        }
    if isinstance(step, Attention):
        taps: dict[Grid, list] = {j: [] for j in positions(grid)}
        for (j, i), weight in attention_weights(step, v).items():
            taps[j].append((i, np.diag(np.repeat(weight, len(step.shift) // step.heads))))
        return grid, taps
    if isinstance(step, AvgPool):
        window = step.window
        matrices = dict.fromkeys(window.offsets(), one)
    else:
        window = padded_window(step)
        matrices = {offset: kernel_matrix(step, offset) for offset in window.offsets()}
    target_grid = window.target_grid(grid)
    taps = {}
    for j in positions(target_grid):
        seen = [(window.source(j, offset, grid), matrix) for offset, matrix in matrices.items()]
        inside = [(i, matrix) for i, matrix in seen if i is not None]
        if isinstance(step, AvgPool):
            count = math.prod(window.size) if step.count_padding else len(inside)
            inside = [(i, matrix / count) for i, matrix in inside]
        taps[j] = inside
    return target_grid, taps


def pool_taps(
    pool: MaxPool, v: Float64[np.ndarray, "*grid c"]
) -> tuple[Grid, dict[Grid, list[tuple[Grid, Float64[np.ndarray, " c"]]]]]:
    """The taps of a max pool, its switches as they are on this image.

    Returns:
        The pooled grid, and for each pooled position its (source position, chosen) pairs inside the source grid, where
        `chosen` is 1 for the channels that come from that source and 0 for the others.
    """
    grid = v.shape[:-1]
    pooled_grid = pool.window.target_grid(grid)
    taps = {}
    for q in positions(pooled_grid):
        seen = [pool.window.source(q, offset, grid) for offset in pool.window.offsets()]
        inside = [i for i in seen if i is not None]
        winner = np.argmax([v[i] for i in inside], axis=0)  # the first of equals, in row-major order
        taps[q] = [(i, (winner == t).astype(np.float64)) for t, i in enumerate(inside)]
    return pooled_grid, taps


def tap_count(branch: Branch) -> int:
    """How many taps a branch has per output, by its shape: pairs of pool and kernel offset."""
    pool = 1 if branch.pool is None else math.prod(branch.pool.window.size)
    if isinstance(branch.mix, Attention | TokenMix):
        return 2  # as many as there are positions, several at least
    mix = math.prod(branch.mix.window.size) if isinstance(branch.mix, AvgPool | Conv) else 1
    return pool * mix


def is_pointwise(node: Map) -> bool:
    """Whether a map is a function of each PFV of its one source by itself."""
    (branch, *others) = node.branches
    mix = branch.mix
    axes = len(mix.window.size) if isinstance(mix, Conv) else 0
    one = isinstance(mix, Conv) and padded_window(mix) == Window(
        (1,) * axes, (1,) * axes, ((0, 0),) * axes, (1,) * axes
    )
    return not others and branch.pool is None and (isinstance(mix, Identity) or one)


def linear_part(step: PointwiseStep, vhat: Vector) -> Vector:
    """A position-wise step without its bias."""
    if isinstance(step, ChannelMix):
        return vhat @ step.matrix
    return vhat if step.scale is None else vhat * step.scale


def normalise(v: Array, norm: LayerNorm | None) -> Array:
    """Layer norm over channels."""
    if norm is None:
        return v
    centred = v - v.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + norm.epsilon) * norm.gamma + norm.beta


def bias_of(step: PointwiseStep, j: Grid) -> Vector | float:
    """The bias that a position-wise step adds at position j."""
    if isinstance(step, ChannelMix) or step.shift is None:
        return 0.0
    return step.shift[j] if step.shift.ndim > 1 else step.shift


def in_range(vector: Array, channels: tuple[int, int] | None) -> Array:
    """A vector, or each row of a matrix, placed into its channel range."""
    if channels is None:
        return vector
    offset, total = channels
    placed = np.zeros((*vector.shape[:-1], total))
    placed[..., offset : offset + vector.shape[-1]] = vector
    return placed


def by_neuron(
    v: Vector, mask: Vector, matrix: Array, links: Array, branch: Branch, gate: Vector | float
) -> tuple[Array, Array, Array]:
    """The parts, sizes and links of one tap."""
    parts, sizes, links = (
        (v * mask)[:, None] * matrix,
        np.abs(v * mask)[:, None] * np.abs(matrix),
        mask[:, None] * links,
    )
    for step in branch.then:
        parts = linear_part(step, parts)
        if isinstance(step, ChannelMix):
            sizes, links = sizes @ np.abs(step.matrix), links @ np.ones_like(step.matrix)
        elif step.scale is not None:
            sizes = sizes * np.abs(step.scale)
    return tuple(in_range(x, branch.channels) for x in (parts * gate, sizes * np.abs(gate), links))


def gate_of(gate: Gate | None, values: Values) -> Vector | float:
    """The factor per channel: a constant as far as contributions go."""
    if gate is None:
        return 1.0
    v = values[gate.source]
    pooled = v.mean(axis=tuple(range(v.ndim - 1)))
    hidden = np.maximum(pooled @ gate.w1 + gate.b1, 0.0)
    return sigmoid(hidden @ gate.w2 + gate.b2)


def branch_sums(
    branch: Branch, values: Values, live: Mapping[str, np.ndarray], roots: Mapping[str, str]
) -> tuple[Grid, dict[Grid, BranchSum]]:
    """The contributions of a branch to every target position.

    A max pool before the mixing step makes one contribution of each pair of pool offset and kernel offset.
    """
    v = normalise(values[branch.source], branch.norm)
    grid, channels = v.shape[:-1], v.shape[-1]
    gate = gate_of(branch.gate, values)
    if branch.pool is None:
        pooled_grid = grid
        chosen = {i: [(i, np.ones(channels))] for i in positions(grid)}
    else:
        pooled_grid, chosen = pool_taps(branch.pool, v)
    target_grid, mixing = mixing_taps(branch.mix, np.zeros((*pooled_grid, channels)) if branch.pool else v)
    if isinstance(branch.mix, Attention):  # what is attended to is a function of each PFV by itself
        v = v @ branch.mix.values + branch.mix.shift
        channels = v.shape[-1]
        chosen = {i: [(i, np.ones(channels))] for i in positions(grid)}
    links = np.eye(channels)
    if isinstance(branch.mix, Conv):
        links = kernel_matrix(replace(branch.mix, kernel=np.ones_like(branch.mix.kernel)), (0,) * len(grid))

    biased = any(not isinstance(step, ChannelMix) and step.shift is not None for step in branch.then)
    biased = biased or isinstance(branch.mix, Tokens)
    sums = {}
    for j in positions(target_grid):
        contributions = []
        zeros = np.zeros(channels if not isinstance(branch.mix, Conv) else branch.mix.kernel.shape[-1])
        bias, constant = zeros, in_range(zeros_after(zeros, branch.then), branch.channels)
        for q, matrix in mixing[j]:
            for i, mask in chosen[q]:
                vhat = (v[i] * mask) @ matrix
                for step in branch.then:
                    vhat = linear_part(step, vhat)
                placed = in_range(vhat * gate, branch.channels)
                if not live[branch.source][i]:
                    constant = constant + placed
                    continue
                neurons = by_neuron(v[i], mask, matrix, links, branch, gate)
                chosen_at = None if branch.pool is None else (branch.pool.window, q)
                root = roots[branch.source]
                whole = mask[:, None] * matrix
                for step in branch.then:
                    whole = linear_part(step, whole)
                whole = in_range(whole * gate, branch.channels)
                contributions.append(
                    Contribution(branch.source, i, placed, *neurons, chosen_at, root, whole, branch.norm)
                )
        if isinstance(branch.mix, Tokens) and j[0] < len(branch.mix.values):
            bias = branch.mix.values[j[0]]
        for step in branch.then:
            bias = linear_part(step, bias) + bias_of(step, j)
        single = tap_count(branch) == 1
        own = in_range(bias * gate, branch.channels)
        sums[j] = BranchSum(tuple(contributions), own, single, constant, biased)
    return target_grid, sums


def zeros_after(zeros: Vector, steps: Sequence[PointwiseStep]) -> Vector:
    """Zeros of the width that position-wise steps lead to."""
    for step in steps:
        zeros = linear_part(step, zeros)
    return zeros
