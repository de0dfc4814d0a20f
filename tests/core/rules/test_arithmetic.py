"""Sums and products: constants are bias or scale, branches keep their biases, gates are held fixed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.ad_checkpoint import checkpoint_name

import srd_jax as srd
from tests.laws import by_masking, draw, explained, logits


def conv(x, kernel, stride=1):
    letters = "DHW"[5 - x.ndim :]
    numbers = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
    return lax.conv_general_dilated(x, kernel, (stride,) * (x.ndim - 2), "SAME", dimension_numbers=numbers)


SHAPE, FIRST, SECOND = (2, 5, 3), draw(3, 3, 4), draw(3, 4, 4, seed=1)
SCALE, SHIFT = draw(4), draw(4, seed=1)


def read(y):
    """What reads a hidden map (2, 5, 4): one more convolution, and the logits."""
    return logits(jnp.tanh(conv(y, draw(3, 4, 3))))


def hidden(x):
    return jnp.tanh(conv(x, FIRST) + 0.1)


SAME = {
    "a scale": (lambda x: conv(x, FIRST) * SCALE + SHIFT, lambda x: conv(x, FIRST * SCALE) + SHIFT),
    "a scale from the left": (lambda x: SCALE * conv(x, FIRST) + SHIFT, lambda x: conv(x, FIRST * SCALE) + SHIFT),
    "a divisor": (lambda x: conv(x, FIRST) / SCALE + SHIFT, lambda x: conv(x, FIRST / SCALE) + SHIFT),
    "subtraction of a constant": (lambda x: conv(x, FIRST) - SHIFT, lambda x: conv(x, FIRST) + -SHIFT),
    "subtraction from a constant": (lambda x: SHIFT - conv(x, FIRST), lambda x: conv(x, -FIRST) + SHIFT),
    "negation": (lambda x: -(conv(x, FIRST) - SHIFT), lambda x: conv(x, -FIRST) + SHIFT),
    "batch normalisation": (
        lambda x: (conv(x, FIRST) - SHIFT) / np.sqrt(SCALE**2 + 0.1) * SCALE + 0.2,
        lambda x: conv(x, FIRST * SCALE / np.sqrt(SCALE**2 + 0.1)) + (0.2 - SHIFT * SCALE / np.sqrt(SCALE**2 + 0.1)),
    ),
    "two convolutions of one map": (
        lambda x: conv(x, FIRST) + conv(x, FIRST[::-1]), lambda x: conv(x, FIRST + FIRST[::-1]),
    ),
    "their difference": (lambda x: conv(x, FIRST) - conv(x, FIRST[::-1]), lambda x: conv(x, FIRST - FIRST[::-1])),
    "a map and a convolution of it": (
        lambda x: x @ draw(3, 4) + conv(x, FIRST), lambda x: conv(x, FIRST + np.eye(3)[:, 1, None, None] * draw(3, 4)),
    ),
    "a scale per position": (
        lambda x: conv(x, FIRST) * np.full((5, 1), 2.0) + SHIFT, lambda x: conv(x, 2 * FIRST) + SHIFT,
    ),
    "products by hand": (lambda x: lax.mul(conv(x, FIRST), 2.0 * jnp.ones((2, 5, 4))), lambda x: conv(x, 2 * FIRST)),
}  # fmt: skip


@pytest.mark.parametrize("case", SAME)
def test_linear_steps_are_part_of_the_kernel(case):
    written, folded = SAME[case]
    images = draw(*SHAPE)
    flow, heat, fields = explained(lambda _, x: logits(jnp.tanh(written(x))), images)
    _, expected, fields_expected = explained(lambda _, x: logits(jnp.tanh(folded(x))), images)
    assert len(flow.layers) == 2
    np.testing.assert_allclose(heat, expected, atol=1e-10)
    np.testing.assert_allclose(fields, fields_expected, atol=1e-10)


def biased(x):
    return conv(x, FIRST) + SHIFT


RESIDUAL = {
    "identity shortcut": [lambda x: conv(x, draw(3, 3, 3)) + draw(3), lambda x: x],
    "projected shortcut with a bias of its own": [biased, lambda x: x @ draw(3, 4) + 0.5],
    "strided": [lambda x: conv(x, FIRST, 2) * SCALE + SHIFT, lambda x: conv(x, draw(1, 3, 4), 2) + 0.5],
    "three branches": [biased, lambda x: conv(x, FIRST[::-1]) - 0.4, lambda x: x @ draw(3, 4)],
    "scaled branch": [lambda x: biased(x) * SCALE, lambda x: x @ draw(3, 4)],
}


@pytest.mark.parametrize("case", RESIDUAL)
def test_every_branch_is_taken_against_the_sum_and_keeps_its_bias(case):
    branches = RESIDUAL[case]
    flow, _, _ = explained(lambda _, x: logits(jnp.tanh(sum(b(x) for b in branches))), draw(*SHAPE), branches)
    assert len(flow.layers) == 2
    assert len(flow.edges) == len(branches)


def test_a_branch_may_be_subtracted():
    branches = [biased, lambda x: -(conv(x, FIRST[::-1]) + 0.5)]
    explained(lambda _, x: logits(jnp.tanh(biased(x) - (conv(x, FIRST[::-1]) + 0.5))), draw(*SHAPE), branches)


def test_a_constant_added_to_a_sum_of_branches_is_shared_among_all():
    """Six taps share it evenly, two of them at every position: as the three taps of the summed kernels do."""
    images = draw(*SHAPE)
    _, heat, fields = explained(
        lambda _, x: logits(jnp.tanh(conv(x, FIRST) + conv(x, FIRST[::-1]) + SHIFT)), images, bias="uniform"
    )
    _, expected, fields_expected = explained(
        lambda _, x: logits(jnp.tanh(conv(x, FIRST + FIRST[::-1]) + SHIFT)), images, bias="uniform"
    )
    np.testing.assert_allclose(heat, expected, atol=1e-10)
    np.testing.assert_allclose(fields, fields_expected, atol=1e-10)


def test_a_constant_added_to_a_map_is_no_bias():
    """X_j has one contributor, the map itself, whatever is added."""

    def f(_, x):
        return read(jnp.tanh(hidden(x) + SHIFT) - 0.5)

    flow, _, _ = explained(f, draw(*SHAPE))
    assert [layer.channels for layer in flow.layers] == [3, 4, 3]


def attention(y):
    scores = jnp.exp(y @ SECOND[0, :, :1])
    return scores / jnp.sum(scores, 1, keepdims=True)


GATES = {
    "per channel": (lambda y: jax.nn.sigmoid(jnp.mean(y, 1, keepdims=True) @ SECOND[0]), lambda y, g: y * g),
    "per channel, from the left": (lambda y: jax.nn.sigmoid(jnp.mean(y, 1) @ SECOND[0])[:, None], lambda y, g: g * y),
    "one for all channels": (lambda y: jax.nn.sigmoid(jnp.mean(y, (1, 2), keepdims=True)), lambda y, g: y * g),
    "per position": (lambda y: jax.nn.sigmoid(conv(y, SECOND[..., :1])), lambda y, g: y * g),
    "per position, from the left": (lambda y: jax.nn.sigmoid(conv(y, SECOND[..., :1])), lambda y, g: g * y),
    "of the maximum over channels": (
        lambda y: jax.nn.sigmoid(conv(jnp.max(y, -1, keepdims=True), SECOND[:, :1, :1])), lambda y, g: y * g,
    ),
    "denominator per channel": (lambda y: 1 + jnp.sqrt(jnp.mean(y * y, 1, keepdims=True)), lambda y, g: y / g),
    "denominator per position": (lambda y: 2 + conv(jnp.abs(y), np.abs(SECOND[..., :1])), lambda y, g: y / g),
    "a gate that is still open": (lambda y: jnp.mean(y, 1, keepdims=True) @ SECOND[0] + 0.5, lambda y, g: y * g),
    "an open sum that is gated": (
        lambda y: jax.nn.sigmoid(jnp.mean(y, 1, keepdims=True)), lambda y, g: (conv(y, SECOND) + SHIFT) * g + SHIFT,
    ),
    "a pool that is gated": (
        lambda y: jax.nn.sigmoid(jnp.mean(y, 1, keepdims=True)),
        lambda y, g: lax.reduce_window(y, -jnp.inf, lax.max, (1, 2, 1), (1, 1, 1), "SAME") * g,
    ),
    "a residual sum of a gated branch": (
        lambda y: jax.nn.sigmoid(jnp.mean(conv(y, SECOND), 1, keepdims=True)), lambda y, g: conv(y, SECOND) * g + y,
    ),
    "two gates in a row": (
        lambda y: jax.nn.sigmoid(jnp.mean(y, 1, keepdims=True)), lambda y, g: y * g * jax.nn.sigmoid(g),
    ),
    "attention over positions": (attention, lambda y, g: y * g),
}  # fmt: skip


@pytest.mark.parametrize("case", GATES)
def test_a_gate_is_held_fixed(case):
    """The map is that of the network in which the gate is the constant that it is on these images."""
    gate, use = GATES[case]
    images = draw(*SHAPE)
    constant = np.asarray(gate(hidden(images)))
    flow, heat, fields = explained(lambda _, x: read(use(hidden(x), gate(hidden(x)))), images)
    frozen, expected, fields_expected = explained(lambda _, x: read(use(hidden(x), constant)), images)
    assert [layer.grid for layer in flow.layers] == [layer.grid for layer in frozen.layers]
    np.testing.assert_allclose(heat, expected, atol=1e-10)
    np.testing.assert_allclose(fields, fields_expected, atol=1e-10)


def test_a_gate_where_there_is_one_position_only():
    """The same block on a map that has become a single PFV."""

    def f(_, x):
        y = jnp.tanh(conv(x, FIRST))[:, ::2]
        y = jnp.tanh(lax.conv_general_dilated(y, SECOND, (1,), "VALID", dimension_numbers=("NHC", "HIO", "NHC")))
        return (y * jax.nn.sigmoid(jnp.mean(y, 1, keepdims=True) @ SECOND[0]))[:, 0] @ SECOND[1, :, :3]

    explained(f, draw(*SHAPE))


def test_a_map_is_gated_where_it_was_widened_from_one_channel():
    """A channel that a gate has spread to four is four channels."""

    def f(_, x):
        y = hidden(x)
        single = conv(x, FIRST[..., :1]) + 0.1
        return logits(jnp.tanh(single * jax.nn.sigmoid(jnp.mean(y, 1, keepdims=True))))

    flow, _, _ = explained(f, draw(*SHAPE))
    assert flow.layers[-1].channels == 4


def test_a_map_of_one_channel_times_constants_has_their_channels():
    flow, _, _ = explained(lambda _, x: read(jnp.tanh(conv(x, FIRST[..., :1]) * SCALE)), draw(*SHAPE))
    assert [layer.channels for layer in flow.layers] == [3, 4, 3]


def centred(x):
    return x - jnp.mean(x, (1, 2), keepdims=True)


def grouped(x):
    groups = x.reshape((2, 3, 4, 2, 2))
    return (groups - jnp.mean(groups, (1, 2, 4), keepdims=True)).reshape(x.shape)


MEANS = {
    "instance": (centred, lambda x: jnp.mean(x, (1, 2))),
    "group": (grouped, lambda x: jnp.mean(x.reshape((2, 3, 4, 2, 2)), (1, 2, 4))),
}


@pytest.mark.parametrize("case", MEANS)
def test_the_mean_that_a_norm_subtracts_goes_through_its_one_pfv(case):
    """Two contributions to every position: its own and the mean's, which all positions have a share of."""
    centre, mean = MEANS[case]
    factor = lax.rsqrt(jnp.mean(centre(draw(2, 3, 4, 4)) ** 2, (1, 2), keepdims=True) + 0.1) * SCALE

    def f(_, x):
        y = centre(x)
        return logits(jnp.tanh(y * lax.rsqrt(jnp.mean(y * y, (1, 2), keepdims=True) + 0.1) * SCALE + SHIFT))

    images = draw(2, 3, 4, 4)
    flow, _, last = explained(f, images)
    assert [layer.grid for layer in flow.layers] == [(3, 4), (), (3, 4)]
    parts = np.stack([images * factor, (centre(images) - images) * factor])
    norms, x = np.linalg.norm(parts, axis=-1, keepdims=True), parts.sum(0) + SHIFT
    own, others = np.sum((parts + norms / norms.sum(0) * SHIFT) * x, -1) / np.sum(x * x, -1)
    field = np.asarray(by_masking([mean], images))
    pixels = np.eye(12).reshape((12, 3, 4))
    np.testing.assert_allclose(
        last, own.reshape((2, 12, 1, 1)) * pixels + others.reshape((2, 12, 1, 1)) * field, atol=1e-10
    )


@pytest.mark.parametrize("axes", [(1, 2), (1, 2, 3)], ids=["instance norm", "layer norm over the whole map"])
def test_norms_written_with_a_mean_and_a_variance(axes):
    def f(_, x):
        mean, variance = jnp.mean(x, axes, keepdims=True), jnp.var(x, axes, keepdims=True)
        return logits(jnp.tanh((x - mean) / jnp.sqrt(variance + 0.1) * SCALE + SHIFT))

    flow, _, _ = explained(f, draw(2, 3, 4, 4))
    assert [layer.grid for layer in flow.layers] == [(3, 4), (), (3, 4)]


ONE_POSITION = {
    "a sum": lambda y: y + jnp.sin(y),
    "a difference": lambda y: y - jnp.sin(y),
    "a square": lambda y: y * y,
    "swish": lambda y: y * jax.nn.sigmoid(1.5 * y + 0.1),
    "a quotient": lambda y: y / (1 + jnp.abs(y)),
    "a reciprocal": lambda y: 1 / (2 + y),
    "centred channels": lambda y: y - jnp.mean(y, -1, keepdims=True),
    "unit length": lambda y: y / jnp.sqrt(jnp.sum(y * y, -1, keepdims=True)),
    "an outer product": lambda y: (y[..., :, None] * y[..., None, :]).reshape((*y.shape[:-1], -1))[..., :4],
    "two heads of one map": lambda y: jnp.tanh(y @ SECOND[0]) * (y @ SECOND[1]),
    "mixed within the position": lambda y: jnp.maximum(y @ SECOND[0], y @ SECOND[1]),
}


@pytest.mark.parametrize("case", ONE_POSITION)
def test_arithmetic_within_one_map_makes_no_map(case):
    """Both operands are functions of one PFV: relevance passes unchanged."""

    def f(_, x):
        return read(ONE_POSITION[case](hidden(x)))

    flow = jax.eval_shape(srd.decompose(f), None, jnp.ones(SHAPE))[1]
    assert [layer.channels for layer in flow.layers] == [3, 4, 3]


def test_what_is_within_one_map_changes_nothing_of_the_way_to_it():
    def f(_, x):
        y = hidden(x)
        for step in ONE_POSITION.values():
            y = 0.5 * step(y) + 0.3 * y
        return read(y)

    flow, _, _ = explained(f, draw(*SHAPE))
    assert [layer.channels for layer in flow.layers] == [3, 4, 3]


def test_names_of_one_map_are_still_that_map():
    """Giving a map a name does not make two maps of it and what it was before, whose product would be refused."""

    def f(_, x):
        y = hidden(x)
        return read(y * jnp.sin(checkpoint_name(y, "y")))

    flow = jax.eval_shape(srd.decompose(f), None, jnp.ones(SHAPE))[1]
    assert [layer.channels for layer in flow.layers] == [3, 4, 3]


REFUSED = {
    "a product of two maps": (lambda x, y: x * y, "mul", "it multiplies two PFV maps, and neither is a gate"),
    "a product of single PFVs of two maps": (
        lambda x, y: jnp.mean(x, 1) * jnp.mean(y, 1), "mul", "it multiplies two PFV maps, and neither is a gate",
    ),
    "a product with a shifted copy": (lambda x, y: x[:, 1:] * x[:, :-1], "mul", "it multiplies two PFV maps"),
}  # fmt: skip


@pytest.mark.parametrize("form", REFUSED)
def test_what_is_refused(form):
    step, primitive, said = REFUSED[form]

    def f(_, x):
        return jnp.sum(step(hidden(x), hidden(x[:, ::-1])).reshape((2, -1, 1)) * jnp.ones(3), 1)

    with pytest.raises(srd.UnsupportedPrimitiveError, match=said) as error:
        jax.eval_shape(srd.decompose(f), None, jnp.ones(SHAPE))
    message = str(error.value)
    assert f"no sharing rule for primitive '{primitive}' of (float64[" in message
    assert f"It is at {__file__}:{step.__code__.co_firstlineno}" in message
    assert f"@srd_jax.register_rule('{primitive}')" in message


def layer_norm(x):
    centred = x - x.mean(-1, keepdims=True)
    return centred * (jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * draw(12))


def rms_norm(x):
    return x * jax.lax.rsqrt((x**2).mean(-1, keepdims=True) + 1e-6) * draw(12)


@pytest.mark.parametrize(
    "step", [layer_norm, rms_norm, jax.nn.gelu, lambda x: x, lambda x: x + jnp.tanh(x @ draw(12, 12))]
)
@pytest.mark.parametrize("bias", ["norm", "none"])
def test_squares_of_positions_are_channels_by_a_reshape_or_by_slices(step, bias):
    def squares_by_reshape(x):
        n, h, w, c = x.shape
        return x.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(n, h // 2, w // 2, 4 * c)

    def squares_by_slices(x):
        return jnp.concatenate([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], -1)

    def f(squares, kernel, images):
        return jnp.tanh(step(squares(jnp.tanh(images))) @ kernel).mean((1, 2))

    images = draw(2, 6, 8, 3)
    maps = [
        jax.jit(srd.explain(lambda v, x, s=s: f(s, v, x), bias=bias))(draw(12, 5), images, 1)
        for s in (squares_by_reshape, squares_by_slices)
    ]
    np.testing.assert_allclose(*maps, atol=1e-5)
