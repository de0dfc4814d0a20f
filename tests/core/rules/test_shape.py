"""Steps that rearrange: maps move with the positions, and what only looks different is the same."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import srd_jax as srd
from tests.laws import draw, explained, logits


def conv(x, kernel, stride=1, padding="SAME"):
    letters = "DHW"[5 - x.ndim :]
    numbers = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
    return lax.conv_general_dilated(x, kernel, (stride,) * (x.ndim - 2), padding, dimension_numbers=numbers)


def two_layers(between):
    """A network whose hidden map (2, 3, 4, 4) is rearranged before it is read."""

    def f(_, x):
        y = jnp.tanh(conv(x, draw(3, 3, 2, 4)))
        return logits(jnp.tanh(conv(between(y), draw(3, 2, 4, 3)) + 0.2))

    return f


@cache
def undisturbed():
    with jax.enable_x64(True):
        images = draw(2, 3, 4, 2)
        return images, *explained(two_layers(lambda y: y), images)[1:]


NOTHING_CHANGES = {
    "tokens and back": lambda y: y.reshape((2, 12, 4)).reshape(y.shape),
    "positions into the batch and back": lambda y: jnp.tanh(y.reshape((24, 4))).reshape(y.shape) * 0 + y,
    "flattened and back": lambda y: y.reshape((2, 48)).reshape(y.shape),
    "channels first and back": lambda y: y.transpose(0, 3, 1, 2).transpose(0, 2, 3, 1),
    "channels first tokens and back": lambda y: (
        y.transpose(0, 3, 1, 2).reshape((2, 4, 12)).swapaxes(1, 2).reshape(y.shape)
    ),
    "channel groups and back": lambda y: y.reshape((2, 3, 4, 2, 2)).reshape(y.shape),
    "a new axis and back": lambda y: y[:, None, :, :, None].squeeze((1, 4)),
    "stacked with itself": lambda y: jnp.stack([y, -y], 1)[:, 0],
    "flipped twice": lambda y: jnp.flip(jnp.flip(y, (1, 2)), (2, 1)),
    "rotated four times": lambda y: jnp.rot90(jnp.rot90(y, 3, (1, 2)), 1, (1, 2)),
    "rolled there and back": lambda y: jnp.roll(jnp.roll(y, 1, 1), -1, 1),
    "padded and cropped": lambda y: jnp.pad(y, ((0, 0), (1, 2), (0, 1), (0, 0)))[:, 1:4, :4],
    "spread out and gathered": lambda y: lax.pad(y, 0.0, [(0, 0, 0), (0, 0, 1), (1, 0, 2), (0, 0, 0)])[:, ::2, 1::3],
    "channels split and joined": lambda y: jnp.concatenate(jnp.split(y, [1, 3], -1), -1),
    "rows split and joined": lambda y: jnp.concatenate(jnp.split(y, [1], 1), 1),
    "columns split and joined": lambda y: jnp.concatenate(jnp.split(y, 2, 2), 2),
    "constant channels added and dropped": lambda y: jnp.concatenate([jnp.ones((2, 3, 4, 1)), y], -1)[..., 1:],
    "zero rows added and dropped": lambda y: jnp.concatenate([jnp.zeros((2, 1, 4, 4)), y], 1)[:, 1:],
    "another map added and dropped": lambda y: jnp.concatenate([y, conv(y, draw(3, 3, 4, 2))], -1)[..., :4],
    "repeated and read once": lambda y: jnp.repeat(y, 2, 3)[..., ::2],
}


@pytest.mark.parametrize("change", NOTHING_CHANGES)
def test_rearranging_to_and_fro_changes_nothing(change):
    images, heat, fields = undisturbed()
    _, again, fields_again = explained(two_layers(NOTHING_CHANGES[change]), images)
    np.testing.assert_allclose(again, heat, atol=1e-10)
    np.testing.assert_allclose(fields_again, fields, atol=1e-10)


PERMUTATIONS = {
    "flip": (lambda x: x[:, ::-1], (3, 4)),
    "flip of both axes": (lambda x: jnp.flip(x, (1, 2)), (3, 4)),
    "transpose": (lambda x: x.swapaxes(1, 2), (3, 4)),
    "rotation": (lambda x: jnp.rot90(x, 1, (1, 2)), (3, 4)),
    "roll": (lambda x: jnp.roll(x, 1, 2), (3, 4)),
    "roll of two rows": (lambda x: jnp.roll(x, 1, 1), (2, 4)),
    "rows swapped": (lambda x: jnp.concatenate([x[:, 1:], x[:, :1]], 1), (2, 4)),
    "even then odd columns": (lambda x: jnp.concatenate([x[:, :, ::2], x[:, :, 1::2]], 2), (3, 4)),
    "quarters": (lambda x: jnp.concatenate(jnp.split(x, 2, 2)[::-1], 2), (3, 4)),
}


@pytest.mark.parametrize("permutation", PERMUTATIONS)
def test_maps_move_with_the_positions(permutation):
    """The map of f(T x) at x, moved by T, is the map of f at T x."""
    move, grid = PERMUTATIONS[permutation]
    kernel = draw(3, 2, 2, 3)

    def f(_, x):
        return logits(jnp.tanh(conv(x, kernel) + 0.2))

    images = draw(2, *grid, 2)
    _, heat, _ = explained(lambda _, x: f(_, move(x)), images)
    _, expected, _ = explained(f, np.asarray(move(images)))
    np.testing.assert_allclose(move(heat[..., None])[..., 0], expected, atol=1e-10)


KERNEL, BIAS = (3, 3, 2, 2), 0.3


def b(x):
    """A convolution with a bias."""
    return conv(x, draw(*KERNEL)) + BIAS


def context(x, axes):
    """The mean over some axes at every position."""
    return jnp.broadcast_to(jnp.mean(x, axes, keepdims=True), x.shape)


def swish_gate(y):
    left, right = jnp.split(y, 2, -1)
    return left * jax.nn.sigmoid(right)


SUMS = {
    "a slice": [lambda x: x[:, 1:, :-1]],
    "a slice before a convolution": [lambda x: b(x[:, 1:3, ::2])],
    "a convolution sliced": [lambda x: b(x)[:, ::2, 1:]],
    "a convolution padded": [lambda x: jnp.pad(conv(x, draw(2, 2, 2, 2)), ((0, 0), (0, 0), (0, 0), (1, 0)))],
    "a strided shortcut": [lambda x: conv(x, draw(*KERNEL), 2) + BIAS, lambda x: x[:, ::2, ::2]],
    "a strided shortcut with more channels": [
        lambda x: conv(x, draw(3, 3, 2, 5), 2) + BIAS,
        lambda x: jnp.pad(x[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (1, 2))),
    ],
    "differences of neighbours": [lambda x: x[:, 1:], lambda x: -x[:, :-1]],
    "a mirror image": [b, lambda x: x[:, :, ::-1]],
    "a convolution of a mirror image": [lambda x: b(x[:, ::-1])],
    "zeros between positions": [lambda x: b(lax.pad(x, 0.0, [(0, 0, 0), (0, 0, 1), (-1, 1, 0), (0, 0, 0)]))],
    "padding before a convolution": [
        lambda x: conv(jnp.pad(x, ((0, 0), (1, 0), (2, 1), (0, 0))), draw(*KERNEL), padding="VALID") + BIAS
    ],
    "branches as channels": [
        lambda x: jnp.pad(b(x), ((0, 0), (0, 0), (0, 0), (0, 2))),
        lambda x: jnp.pad(x, ((0, 0), (0, 0), (0, 0), (2, 0))),
    ],
}


@pytest.mark.parametrize("case", SUMS)
def test_ratios_of_a_sum_are_what_masking_makes_of_them(case):
    branches = SUMS[case]
    images = draw(2, 3, 4, 2)
    flow, _, _ = explained(lambda _, x: logits(jnp.tanh(sum(branch(x) for branch in branches))), images, branches)
    assert len(flow.layers) == 2


CONTEXTS = {"position": ((1, 2), ()), "row": (2, (3,)), "column": (1, (4,))}


@pytest.mark.parametrize("case", CONTEXTS)
def test_context_goes_through_the_pfvs_that_it_has(case):
    axes, grid = CONTEXTS[case]
    flow, _, _ = explained(lambda _, x: logits(jnp.tanh(b(x) + context(x, axes))), draw(2, 3, 4, 2))
    assert [layer.grid for layer in flow.layers] == [(3, 4), grid, (3, 4)]
    assert [(edge.source, edge.target) for edge in flow.edges] == [(0, 1), (0, 2), (1, 2)]


CONCATENATIONS = {
    "branches side by side": (lambda x: jnp.concatenate([b(x), x], -1), "branches as channels"),
    "a branch and constants": (lambda x: jnp.concatenate([np.ones((2, 3, 4, 1)), conv(x, draw(*KERNEL))], -1), None),
    "a stack of branches": (lambda x: jnp.stack([conv(x, draw(*KERNEL)), x], 3).reshape((2, 3, 4, 4)), None),
    "mirrored padding": (lambda x: jnp.pad(x, ((0, 0), (1, 1), (2, 1), (0, 0)), mode="reflect"), None),
    "wrapped around": (lambda x: jnp.pad(x, ((0, 0), (1, 1), (1, 0), (0, 0)), mode="wrap"), None),
    "two maps one above the other": (lambda x: jnp.concatenate([conv(x, draw(*KERNEL)), -x[:, :2]], 1), None),
}  # fmt: skip


@pytest.mark.parametrize("case", CONCATENATIONS)
def test_concatenation_is_a_sum_of_embedded_parts(case):
    step, same_as = CONCATENATIONS[case]
    branches = [step] if same_as is None else SUMS[same_as]
    explained(lambda _, x: logits(jnp.tanh(step(x))), draw(2, 3, 4, 2), branches)


CONSTANT_POSITIONS = {
    "padding with a constant": lambda x: jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=0.5),
    "an open sum padded with a constant": lambda x: jnp.pad(
        b(x), ((0, 0), (1, 0), (0, 1), (0, 0)), constant_values=0.5
    ),
    "rows of a constant beside the map": lambda x: jnp.concatenate([jnp.full((2, 1, 4, 2), 0.5), x], 1),
    "padding with a computed constant": lambda x: lax.pad(
        x, jnp.sin(1.0), [(0, 0, 0), (1, 1, 0), (1, 1, 0), (0, 0, 0)]
    ),
}


@pytest.mark.parametrize("case", CONSTANT_POSITIONS)
def test_positions_that_hold_a_constant_lose_no_relevance(case):
    """Before a convolution, what a constant adds to X_j is bias, to be shared among the positions that contribute."""
    kernel = draw(3, 3, 2, 3)
    explained(
        lambda _, x: logits(jnp.tanh(conv(CONSTANT_POSITIONS[case](x), kernel, padding="VALID"))), draw(2, 3, 4, 2)
    )


def test_a_constant_around_channels_is_bias():
    def step(x):
        return jnp.pad(conv(x, draw(*KERNEL)), ((0, 0), (0, 0), (0, 0), (1, 1)), constant_values=0.7)

    explained(lambda _, x: logits(jnp.tanh(step(x))), draw(2, 3, 4, 2), [step])


POSITION_WISE = {
    "channels of one map joined": lambda y: jnp.concatenate([y, jnp.tanh(y), -y], -1),
    "joined with constants": lambda y: jnp.concatenate([y, np.ones((2, 3, 4, 2))], -1),
    "channels left out": lambda y: y[..., 1:4:2],
    "channels reversed": lambda y: y[..., ::-1],
    "channels rolled": lambda y: jnp.roll(y, 1, -1),
    "channels padded": lambda y: jnp.pad(y, ((0, 0), (0, 0), (0, 0), (2, 1)), constant_values=0.3),
    "channels shuffled": lambda y: y.reshape((2, 3, 4, 2, 2)).swapaxes(3, 4).reshape(y.shape),
    "channels split and added": lambda y: sum(jnp.split(y, 2, -1)),
    "a gated half": swish_gate,
    "repeated channels": lambda y: jnp.repeat(y, 3, -1),
    "repeated positions": lambda y: jnp.repeat(y, 2, 1),
    "tiled channels": lambda y: jnp.tile(y, 2),
    "channels first": lambda y: jnp.tanh(y.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1),
    "tokens": lambda y: y.reshape((2, 12, 4)) @ draw(4, 3),
}


@pytest.mark.parametrize("case", POSITION_WISE)
def test_steps_within_one_position_make_no_map(case):
    def f(_, x):
        y = jnp.tanh(conv(x, draw(3, 3, 2, 4)))
        return logits(jnp.tanh(POSITION_WISE[case](y)))

    flow, _, _ = explained(f, draw(2, 3, 4, 2))
    assert [layer.channels for layer in flow.layers] == [2, 4]
    assert len(flow.edges) == 1


def test_a_selected_token_is_one_position():
    images, weights = draw(2, 5, 3), draw(3, 4)
    _, heat, _ = explained(lambda _, x: jnp.tanh(x)[:, 2] @ weights, images)
    expected = np.zeros((2, 5))
    expected[:, 2] = np.tanh(images[:, 2]) @ weights[:, 1]
    np.testing.assert_allclose(heat, expected, atol=1e-10)


REFUSED = {
    "one image": (lambda x: x[:1], "slice", r"it takes the batch apart \(axis 0\)"),
    # jnp.pad(mode="edge") slices every axis first, the batch too
    "edges repeated": (
        lambda x: jnp.pad(x, ((0, 0), (1, 1), (2, 0), (0, 0)), mode="edge"), "slice", "it takes the batch apart",
    ),
    "images split": (lambda x: jnp.split(x, 2)[0], "split", "it takes the batch apart"),
    "images reversed": (lambda x: x[::-1], "rev", "it reverses the batch"),
    "images padded": (lambda x: jnp.pad(x, ((1, 0), (0, 0), (0, 0), (0, 0))), "pad", "it takes the batch apart"),
    "images doubled": (lambda x: jnp.concatenate([x, x]), "concatenate", "it takes the batch apart"),
    "rows beside columns": (
        lambda x: jnp.concatenate([x, x.swapaxes(1, 2)], -1), "concatenate", "one axis runs over position axis 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", REFUSED)
def test_what_is_refused(form):
    step, primitive, said = REFUSED[form]
    with pytest.raises(srd.UnsupportedPrimitiveError, match=said) as error:
        jax.eval_shape(srd.decompose(lambda _, x: jnp.sum(step(x)) * jnp.ones((2, 3))), None, jnp.ones((2, 4, 4, 2)))
    message = str(error.value)
    assert f"no sharing rule for primitive '{primitive}' of (float64[" in message
    assert f"It is at {__file__}:" in message
    assert f"@srd_jax.register_rule('{primitive}')" in message


def test_padding_by_a_value_of_the_image_is_refused():
    with pytest.raises(srd.UnsupportedPrimitiveError, match="the padding depends on the images"):
        jax.eval_shape(
            srd.decompose(lambda _, x: jnp.sum(lax.pad(x, x[0, 0, 0, 0], [(0, 0, 0)] * 3 + [(1, 0, 0)]), (1, 2))),
            None, jnp.ones((1, 4, 4, 2)),
        )  # fmt: skip


def test_an_unpacked_array_is_its_slices():
    def f(take, kernel, images):
        first, second, third = take(jnp.moveaxis((images @ kernel).reshape(*images.shape[:3], 3, 4), 3, 0))
        return (jnp.tanh(first) + jnp.tanh(second) + third).mean((1, 2))

    rng = np.random.default_rng(0)
    kernel, images = rng.normal(size=(3, 12)).astype(np.float32), rng.normal(size=(2, 4, 5, 3)).astype(np.float32)
    maps = [
        srd.explain(lambda v, x, take=take: f(take, v, x))(kernel, images, 1)
        for take in (list, lambda x: [x[i] for i in range(3)])
    ]
    np.testing.assert_allclose(*maps, atol=1e-6)
