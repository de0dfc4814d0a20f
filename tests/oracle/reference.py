"""Sharing Ratio Decomposition of one image, by its definitions: dense, slow, float64, one vhat per tap.

Read `contributions` (the vhat of each tap), then this from top to bottom: sharing ratios mu -> the forward pass, which
is the sum of the contributions -> relevance and effective receptive fields. No step is skipped because it is known to
be trivial, with the one exception that the method states: a branch with a single tap contributes its whole value.

Source: Han, Kim, Kwak, "Respect the model", ICLR 2024 (arXiv 2402.03348).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float64

from .contributions import (
    BranchSum,
    Contribution,
    Values,
    bias_of,
    branch_sums,
    flat,
    is_pointwise,
    linear_part,
    pool_taps,
    positions,
    sigmoid,
)
from .description import (
    Activation,
    Affine,
    BatchNorm,
    Branch,
    Conv,
    GlobalPoolHead,
    Grid,
    Head,
    LayerNorm,
    Map,
    MlpHead,
    Network,
    Window,
)

__all__ = [
    "Bias",
    "Contrast",
    "HeadRule",
    "Relevance",
    "Trace",
    "encoder_relevance",
    "erf",
    "erfs",
    "mu",
    "relevance",
    "trace",
]

Bias = Literal["norm", "uniform", "none"]
Contrast = Literal["spatial", "class"] | None
HeadRule = Literal["linear", "gradcam", "sharing"]
Relevance = Literal["pre", "post"]

HIDDEN = "head.hidden"
"""What the trace calls the hidden layer of an MLP head."""

Array = Float64[np.ndarray, "..."]
Vector = Float64[np.ndarray, " c"]
Ratios = Mapping[tuple[str, str], Float64[np.ndarray, "n_source n_target"]]


# --- sharing ratios --------------------------------------------------------------------------------------------------


def bias_shares(vhats: Sequence[Vector], mode: Bias, keys: Sequence[object] | None = None) -> list[float]:
    """The share s of a bias that goes to each of the contributions it is shared by.

    What comes from one PFV (one key) along several taps is one vhat, their sum, and its share is divided among them.
    """
    if mode == "none":
        return [0.0] * len(vhats)
    keys = range(len(vhats)) if keys is None else keys
    norms = {key: float(np.linalg.norm(sum(v for v, k in zip(vhats, keys, strict=True) if k == key))) for key in keys}
    total = sum(norms.values())
    if mode == "uniform" or total == 0:
        norms, total = dict.fromkeys(keys, 1.0), float(len(norms))
    return [norms[key] / total / list(keys).count(key) for key in keys]


def keys_of(contributions: Sequence[Contribution]) -> list[object]:
    """Which PFV each contribution comes from; every offset of a max pool contributes by itself."""
    return [(c.root, c.position, c.chosen_at) for c in contributions]


def sharing_ratios(
    sums: Sequence[BranchSum],
    post: Affine | BatchNorm | None,
    j: Grid,
    mode: Bias,
    activated: Callable[[Vector], Vector] = lambda x: x,
) -> tuple[Vector, list[tuple[Contribution, float]]]:
    """X_j and the sharing ratio of each of its contributions.

    mu = <vhat + s b, X> / ||X||^2: each branch's bias is shared among that branch's contributions, and the bias of the
    affine step after the sum among all of them. With an activation: <vhat + s b, act(X)> / <X, act(X)>.
    """
    step = Affine() if post is None else post
    shift = bias_of(step, j)
    x = linear_part(step, np.sum([branch.value for branch in sums], axis=0)) + shift

    contributions: list[Contribution] = []
    vhats: list[Vector] = []
    parts: list[Vector] = []
    for branch in sums:
        bias = linear_part(step, branch.own_constants)
        own = [linear_part(step, c.vhat) for c in branch.contributions]
        if branch.single and own:
            own, shares = [own[0] + bias], [0.0]
        else:
            shares = bias_shares(own, mode, keys_of(branch.contributions))
        contributions += branch.contributions
        vhats += own
        parts += [vhat + s * bias for vhat, s in zip(own, shares, strict=True)]
        shift = shift + linear_part(step, branch.left_to_sum)

    alone = len(sums) == 1 and sums[0].single
    keys = keys_of(contributions)
    shares = [1.0] * len(vhats) if alone else bias_shares(vhats, mode, keys)
    y = activated(x)
    squared = float(x @ y)
    if squared == 0:
        ratios = bias_shares(vhats, "uniform", keys)
    else:
        ratios = [float((part + s * shift) @ y) / squared for part, s in zip(parts, shares, strict=True)]
    return x, list(zip(contributions, ratios, strict=True))


# --- the forward pass ------------------------------------------------------------------------------------------------


def activate(x: Array, kind: Activation) -> Array:
    """The nonlinearity after X."""
    functions = {
        "identity": lambda: x,
        "relu": lambda: np.maximum(x, 0.0),
        "leaky_relu": lambda: np.where(x > 0, x, 0.1 * x),
        "relu6": lambda: np.clip(x, 0.0, 6.0),
        "gelu": lambda: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2,
        "silu": lambda: x * sigmoid(x),
        "tanh": lambda: np.tanh(x),
    }
    return functions[kind]()


def normalise(v: Array, norm: LayerNorm | None) -> Array:
    """Layer norm over channels."""
    if norm is None:
        return v
    centred = v - v.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + norm.epsilon) * norm.gamma + norm.beta


@dataclass(frozen=True, eq=False)
class Trace:
    """One image's way through a network.

    Attributes:
        network: the description.
        values: {map: v}, "input" first.
        pre: {map: X}.
        sums: {map: per branch, {position: its contributions}}.
        ratios: {bias mode: {(source map, target map): mu}}.
        hidden: for an MLP head, {bias mode: mu} from the encoder's positions to the hidden layer as one PFV.
        live: {map: which positions a pixel reaches}.
        logits: (classes,).
    """

    network: Network
    values: dict[str, Float64[np.ndarray, "*grid c"]]
    pre: dict[str, Float64[np.ndarray, "*grid c"]]
    sums: dict[str, tuple[dict[Grid, BranchSum], ...]]
    ratios: Mapping[Bias, Ratios]
    hidden: Mapping[Bias, Float64[np.ndarray, "n 1"]]
    live: Mapping[str, np.ndarray]
    logits: Float64[np.ndarray, " classes"]

    @property
    def encoder(self) -> str:
        """The name of the encoder's output."""
        return self.network.maps[-1].name


def trace_map(
    node: Map, values: Values, live: Mapping[str, np.ndarray], roots: Mapping[str, str], against: Relevance = "pre"
) -> tuple[tuple[dict[Grid, BranchSum], ...], Float64[np.ndarray, "*grid c"], dict[Bias, Ratios]]:
    """The contributions to a map, its pre-activation X, and per bias mode the dense ratios into it."""
    branches = [branch_sums(branch, values, live, roots) for branch in node.branches]
    grid = branches[0][0]
    if any(other != grid for other, _ in branches):
        raise ValueError(f"The branches of {node.name!r} have different grids: {[g for g, _ in branches]}.")
    sums = tuple(s for _, s in branches)
    pre: dict[Grid, Vector] = {}
    ratios: dict[Bias, Ratios] = {}
    activation: Activation = "identity" if against == "pre" else node.activation
    for mode in get_args(Bias):
        edges = {
            (branch.source, node.name): np.zeros((math.prod(values[branch.source].shape[:-1]), math.prod(grid)))
            for branch in node.branches
        }
        for j in positions(grid):
            pre[j], shared = sharing_ratios([s[j] for s in sums], node.post, j, mode, lambda x: activate(x, activation))
            for c, ratio in shared:
                row = flat(c.position, values[c.source].shape[:-1])
                edges[c.source, node.name][row, flat(j, grid)] += ratio
        ratios[mode] = edges
    return sums, np.array([pre[j] for j in positions(grid)]).reshape(*grid, -1), ratios


def hidden_layer(head: MlpHead, encoder: str, grid: Grid) -> Map:
    """Flatten and dense as a PFV map of one position: a convolution whose kernel covers the whole grid."""
    grid = grid if head.pool is None else head.pool.window.target_grid(grid)
    axes = len(grid)
    window = Window(size=grid, strides=(1,) * axes, padding=((0, 0),) * axes, dilation=(1,) * axes)
    kernel = head.w1.reshape(*grid, -1, head.w1.shape[-1])
    branch = Branch(encoder, mix=Conv(kernel, window), pool=head.pool, then=(Affine(shift=head.b1),))
    return Map(HIDDEN, (branch,))


def trace(network: Network, image: Float64[np.ndarray, "*grid c"], against: Relevance = "pre") -> Trace:
    """Run a network on one image and take every contribution and every sharing ratio, against X or act(X).

    Raises:
        ValueError: branches do not match.
    """
    values = {"input": np.asarray(image, dtype=np.float64)}
    live = {"input": np.ones(values["input"].shape[:-1], bool)}
    roots = {"input": "input"}
    pre, sums = {}, {}
    ratios: dict[Bias, dict[tuple[str, str], Array]] = {mode: {} for mode in get_args(Bias)}
    for node in network.maps:
        sums[node.name], x, edges = trace_map(node, values, live, roots, against)
        pre[node.name] = x
        roots[node.name] = roots[node.branches[0].source] if is_pointwise(node) else node.name
        reached = [any(s[j].contributions for s in sums[node.name]) for j in positions(x.shape[:-1])]
        live[node.name] = np.reshape(reached, x.shape[:-1])
        values[node.name] = normalise(activate(x, node.activation), node.layer_norm)
        for mode in get_args(Bias):
            ratios[mode] |= edges[mode]

    v, head = values[network.maps[-1].name], network.head
    grid = v.shape[:-1]
    if isinstance(head, GlobalPoolHead):
        hidden = {}
        logits = v[read_by_head(head, grid)].mean(axis=0) @ head.weights + head.bias
    else:
        layer = hidden_layer(head, network.maps[-1].name, grid)
        _, x, edges = trace_map(layer, values, live, roots, against)
        hidden = {mode: edge for mode in get_args(Bias) for edge in edges[mode].values()}
        pre[layer.name] = x
        logits = np.maximum(x.reshape(-1), 0.0) @ head.w2 + head.b2
    return Trace(network, values, pre, sums, ratios, hidden, live, logits)


# --- relevance and effective receptive fields ------------------------------------------------------------------------


def read_by_head(head: Head, grid: Grid) -> Bool[np.ndarray, "*grid"]:
    """The positions of the encoder's output that the head reads."""
    read = np.ones(grid, bool)
    if isinstance(head, GlobalPoolHead) and head.box is not None:
        read[:] = False
        read[tuple(slice(*extent) for extent in head.box)] = True
    return read


def head_gradient(run: Trace, label: int) -> Float64[np.ndarray, "n c"]:
    """G = d y_c / d v at each position of the encoder's output."""
    v, head = run.values[run.encoder], run.network.head
    grid = v.shape[:-1]
    if isinstance(head, GlobalPoolHead):
        read = read_by_head(head, grid).reshape(-1, 1)
        return read / read.sum() * head.weights[:, label]
    active = run.pre[HIDDEN].reshape(-1) > 0
    flattened = head.w1 @ (active * head.w2[:, label])
    if head.pool is None:
        return flattened.reshape(-1, v.shape[-1])
    pooled_grid, taps = pool_taps(head.pool, v)
    at_pooled = flattened.reshape(*pooled_grid, -1)
    gradient = np.zeros_like(v)
    for q in positions(pooled_grid):
        for i, chosen in taps[q]:
            gradient[i] += chosen * at_pooled[q]
    return gradient.reshape(-1, v.shape[-1])


def contributors(run: Trace, head: HeadRule, bias: Bias) -> Float64[np.ndarray, " n"]:
    """1 for the encoder's positions that have a part in the account: those a pixel reaches, if constants are shared."""
    live = run.live[run.encoder].reshape(-1).astype(float)
    return live if head != "gradcam" and bias != "none" and live.any() else np.ones_like(live)


def heirs(run: Trace, head: HeadRule, bias: Bias) -> Float64[np.ndarray, " n"]:
    """1 for the positions among which a logit is shared: contributors that the head reads, else all that it reads."""
    read = read_by_head(run.network.head, run.live[run.encoder].shape).reshape(-1).astype(float)
    reached = read * contributors(run, head, bias)
    return reached if reached.any() else read


def plain_encoder_relevance(run: Trace, label: int, head: HeadRule, bias: Bias) -> Float64[np.ndarray, " n"]:
    """Relevance of a class at the encoder's output, without contrast."""
    v = run.values[run.encoder]
    v = v.reshape(-1, v.shape[-1])
    logit = run.logits[label]
    takes_part = heirs(run, head, bias)
    gradient = head_gradient(run, label)
    if head == "linear":
        explained = (v * gradient).sum(axis=-1) * takes_part
        return explained + (logit - explained.sum()) / takes_part.sum() * takes_part
    if head == "gradcam":
        return np.maximum(v @ gradient.mean(axis=0), 0.0)
    layers = run.network.head
    if isinstance(layers, GlobalPoolHead):
        vhat = (v * gradient).sum(axis=-1)
        places = np.flatnonzero(takes_part)
        result = np.zeros(len(v))
        shares = np.array(bias_shares(vhat[places, None], bias))
        result[places] = vhat[places] + shares * (logit - vhat[places].sum())
        return result
    return run.hidden[bias][:, 0] * logit


def encoder_relevance(
    run: Trace, label: int, *, contrast: Contrast = None, head: HeadRule = "linear", bias: Bias = "norm"
) -> Float64[np.ndarray, " n"]:
    """Relevance of a class at the encoder's output, flat over its positions."""
    relevance = plain_encoder_relevance(run, label, head, bias)
    if contrast == "spatial":
        takes_part = contributors(run, head, bias)
        return relevance - relevance.sum() / takes_part.sum() * takes_part
    if contrast == "class":
        return relevance - np.mean(
            [plain_encoder_relevance(run, c, head, bias) for c in range(len(run.logits))], axis=0
        )
    return relevance


def mu(run: Trace, source: str, target: str, bias: Bias = "norm") -> Float64[np.ndarray, "n_source n_target"]:
    """The dense sharing ratios from one map to another that reads it, added up over taps and branches."""
    return run.ratios[bias][source, target]


def relevance(
    run: Trace, label: int, *, contrast: Contrast = None, head: HeadRule = "linear", bias: Bias = "norm"
) -> dict[str, Float64[np.ndarray, "*grid"]]:
    """Relevance at every map and at the input: R_i = sum over targets j of mu_ij R_j, from the output backward."""
    result = {name: np.zeros(math.prod(v.shape[:-1])) for name, v in run.values.items()}
    result[run.encoder] += encoder_relevance(run, label, contrast=contrast, head=head, bias=bias)
    for node in reversed(run.network.maps):
        for (source, target), ratios in run.ratios[bias].items():
            if target == node.name:
                result[source] += ratios @ result[target]
    return {name: r.reshape(run.values[name].shape[:-1]) for name, r in result.items()}


def erfs(run: Trace, bias: Bias = "norm") -> dict[str, Float64[np.ndarray, "n_input n"]]:
    """All effective receptive fields: ERF_j = sum over sources i of mu_ij ERF_i, from the input forward."""
    pixels = math.prod(run.values["input"].shape[:-1])
    fields = {"input": np.eye(pixels)}
    for node in run.network.maps:
        fields[node.name] = np.zeros((pixels, math.prod(run.values[node.name].shape[:-1])))
        for (source, target), ratios in run.ratios[bias].items():
            if target == node.name:
                fields[target] += fields[source] @ ratios
    return fields


def erf(run: Trace, name: str, position: Grid, bias: Bias = "norm") -> Float64[np.ndarray, "*input_grid"]:
    """The effective receptive field of one PFV, on the input grid."""
    field = erfs(run, bias)[name][:, flat(position, run.values[name].shape[:-1])]
    return field.reshape(run.values["input"].shape[:-1])
