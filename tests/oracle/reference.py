"""Sharing Ratio Decomposition of one image, by its definitions: dense, slow, float64, one vhat per tap.

Read `contributions` (the vhat of each tap), then this from top to bottom: sharing ratios mu -> the forward pass, which
is the sum of the contributions -> relevance and effective receptive fields. No step is skipped because it is known to
be trivial, with the one exception that the method states: a branch with a single tap contributes its whole value.

Source: Han, Kim, Kwak, "Respect the model", ICLR 2024 (arXiv 2402.03348).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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
    normalise,
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
    Identity,
    Map,
    MlpHead,
    Network,
    Slice,
    Tokens,
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
    "seeds",
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
        roots: {map: the map that it is a function of, position by position, itself mostly}.
    """

    network: Network
    values: dict[str, Float64[np.ndarray, "*grid c"]]
    pre: dict[str, Float64[np.ndarray, "*grid c"]]
    sums: dict[str, tuple[dict[Grid, BranchSum], ...]]
    ratios: Mapping[Bias, Ratios]
    hidden: Mapping[Bias, Float64[np.ndarray, "n 1"]]
    live: Mapping[str, np.ndarray]
    logits: Float64[np.ndarray, " classes"]
    roots: Mapping[str, str]

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
    return Trace(network, values, pre, sums, ratios, hidden, live, logits, roots)


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


def value_of(node: Map, x: Array) -> Array:
    """V of a map, from its X."""
    return normalise(activate(x, node.activation), node.layer_norm)


def derivative(function: Callable[[Array], Array], x: Vector) -> Float64[np.ndarray, "c_in c_out"]:
    """d f / d x of one position, by complex steps: exact for functions that take complex numbers."""
    return np.array([function(x + 1e-30j * unit).imag / 1e-30 for unit in np.eye(len(x))])


def starts(run: Trace, label: int) -> dict[tuple[str, Grid], float]:
    """Where relevance starts, and < v_i , G_i > there: the last maps of which a logit reads more than one position.

    A map of which one position is read is gone through: X there is the sum of what contributes to it.
    """
    v = run.values[run.encoder]
    grid = v.shape[:-1]
    read = read_by_head(run.network.head, grid)
    gradient = head_gradient(run, label).reshape(v.shape)
    found = {(run.encoder, i): (gradient[i], float(v[i] @ gradient[i])) for i in positions(grid) if read[i]}
    for node in reversed(run.network.maps):
        own = [place for place in found if place[0] == node.name]
        if len({i for name, i in found if run.roots[name] == run.roots[node.name]}) != 1 or not own:
            continue
        (place,) = own
        g, _ = found.pop(place)
        sums = [branch[place[1]] for branch in run.sums[node.name]]
        x = run.pre[node.name][place[1]]
        ahead = derivative(partial(value_of, node), x) @ g
        ahead = ahead if node.post is None else linear_part(node.post, ahead)
        for c in (c for branch in sums for c in branch.contributions):
            source = run.values[c.source][c.position]
            back = derivative(partial(normalise, norm=c.norm), source)
            before, explained = found.get((c.source, c.position), (0.0, 0.0))
            through = back @ c.matrix @ ahead if c.matrix.shape[0] == len(source) else np.nan * source
            found[c.source, c.position] = (before + through, explained + float(c.vhat @ ahead))
    return {place: explained for place, (_, explained) in found.items()}


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


def started_relevance(run: Trace, label: int, contrast: Contrast, bias: Bias) -> dict[tuple[str, Grid], float]:
    """Relevance where it starts, of a head that reads one position: < v_i , G_i > and an even part of the rest.

    With ``bias="none"`` constants take part, too: class tokens that nothing has reached yet. The spatial contrast
    leaves class tokens apart: those of the image and they are each less their own mean.
    """
    explained = starts(run, label)
    places = [place for place in explained if bias == "none" or run.live[place[0]][place[1]]]
    rest = run.logits[label] - sum(explained[place] for place in places)
    found = {place: explained[place] + rest / len(places) for place in places}
    if contrast == "class":
        every = [started_relevance(run, c, None, bias) for c in range(len(run.logits))]
        return {place: r - float(np.mean([each[place] for each in every])) for place, r in found.items()}
    if contrast == "spatial":
        every = [(name, i) for name in {name for name, _ in found} for i in positions(run.live[name].shape)]
        every = [place for place in every if bias == "none" or run.live[place[0]][place[1]]]
        for tokens in (False, True):
            own = [place for place in every if is_token(run, *place) == tokens]
            mean = float(np.mean([found.get(place, 0.0) for place in own])) if own else 0.0
            found |= {place: found.get(place, 0.0) - mean for place in own}
    return found


def is_token(run: Trace, name: str, position: Grid) -> bool:
    """Whether a position is of no part of the image: what leads to it position by position is a constant."""
    if name == "input":
        return False
    (node,) = [node for node in run.network.maps if node.name == name]
    moves = [branch for branch in node.branches if isinstance(branch.mix, Identity | Slice | Tokens)]
    if not moves:
        return False
    (branch, *_) = moves
    sums = run.sums[name][node.branches.index(branch)][position]
    if isinstance(branch.mix, Tokens):
        return not sums.contributions
    return is_token(run, branch.source, position)


def mu(run: Trace, source: str, target: str, bias: Bias = "norm") -> Float64[np.ndarray, "n_source n_target"]:
    """The dense sharing ratios from one map to another that reads it, added up over taps and branches."""
    return run.ratios[bias][source, target]


def seeds(
    run: Trace, label: int, *, contrast: Contrast = None, head: HeadRule = "linear", bias: Bias = "norm"
) -> dict[str, Float64[np.ndarray, " n"]]:
    """Relevance where it starts, flat over the positions of every map."""
    result = {name: np.zeros(math.prod(v.shape[:-1])) for name, v in run.values.items()}
    grid = run.values[run.encoder].shape[:-1]
    if head == "linear" and read_by_head(run.network.head, grid).sum() == 1:
        for (name, position), r in started_relevance(run, label, contrast, bias).items():
            result[name][flat(position, run.values[name].shape[:-1])] += r
    else:
        result[run.encoder] += encoder_relevance(run, label, contrast=contrast, head=head, bias=bias)
    return result


def relevance(
    run: Trace, label: int, *, contrast: Contrast = None, head: HeadRule = "linear", bias: Bias = "norm"
) -> dict[str, Float64[np.ndarray, "*grid"]]:
    """Relevance at every map and at the input: R_i = sum over targets j of mu_ij R_j, from the output backward."""
    result = seeds(run, label, contrast=contrast, head=head, bias=bias)
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
