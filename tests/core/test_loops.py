"""Loops of a known length are the same as their turns written out, and branches as the choice between them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import srd_jax as srd

KEYS = jax.random.split(jax.random.key(0), 3)
IMAGES = jax.random.normal(KEYS[0], (2, 6, 5, 3))
KERNELS = 0.3 * jax.random.normal(KEYS[1], (3, 3, 3, 3, 3))
DENSE = jax.random.normal(KEYS[2], (3, 4))


def layer(y, kernel):
    numbers = ("NHWC", "HWIO", "NHWC")
    return y + jax.nn.relu(lax.conv_general_dilated(y, kernel, (1, 1), "SAME", dimension_numbers=numbers) + 0.1)


def head(y):
    return y.mean((1, 2)) @ DENSE


def written_out(kernels, x):
    for kernel in kernels:
        x = layer(x, kernel)
    return head(x)


def backwards(kernels, x):
    return written_out(kernels[::-1], x)


def counted(kernels, x):
    def body(state):
        turn, y = state
        return turn + 1, layer(y, kernels[turn])

    return head(lax.while_loop(lambda state: state[0] < 3, body, (0, x))[1])


LOOPS = {
    "scan": (lambda k, x: head(lax.scan(lambda y, k: (layer(y, k), None), x, k)[0]), written_out),
    "scan from the end": (
        lambda k, x: head(lax.scan(lambda y, k: (layer(y, k), None), x, k, reverse=True)[0]), backwards,
    ),
    "scan that keeps every turn": (
        lambda k, x: head(lax.scan(lambda y, k: ((z := layer(y, k)), z), x, k)[1][-1]), written_out,
    ),
    "fori_loop": (lambda k, x: head(lax.fori_loop(0, 3, lambda i, y: layer(y, k[i]), x)), written_out),
    "while_loop": (counted, written_out),
    "remat in a scan": (
        lambda k, x: head(lax.scan(jax.checkpoint(lambda y, k: (layer(y, k), None)), x, k)[0]), written_out,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_is_its_turns(name):
    looped, expected = LOOPS[name]
    one, other = (jax.jit(srd.decompose(f))(KERNELS, IMAGES)[1] for f in (looped, expected))
    assert [layer.grid for layer in one.layers] == [layer.grid for layer in other.layers]
    ours, theirs = one.relevance(1), other.relevance(1)
    for layer, same in zip(one.layers, other.layers, strict=True):
        np.testing.assert_allclose(ours[layer.name], theirs[same.name], atol=1e-6)


def test_the_turns_of_a_stack_have_names():
    def f(variables, x):
        with jax.named_scope("layers"):
            return head(lax.scan(lambda y, k: (layer(y, k), None), x, variables)[0])

    _, flow = srd.decompose(f)(KERNELS, IMAGES)
    names = [layer.name for layer in flow.layers]
    assert names[0] == "input"
    assert all(any(name.startswith(f"layers/{turn}") for name in names) for turn in range(2))


@pytest.mark.parametrize("which", [0, 1, 2])
def test_branches_that_the_images_do_not_choose(which):
    branches = [lambda y: layer(y, KERNELS[0]), lambda y: y, lambda y: 2 * layer(y, KERNELS[1])]

    def f(variables, x):
        return head(jnp.tanh(lax.switch(variables, branches, x)))

    def expected(_, x):
        return head(jnp.tanh(branches[which](x)))

    ours, theirs = (jax.jit(srd.explain(g))(jnp.int32(which), IMAGES, 1) for g in (f, expected))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("f", "primitive"),
    [
        (lambda _, x: head(lax.while_loop(lambda y: jnp.max(y) < 9, lambda y: y + 1, x)), "while"),
        (lambda n, x: head(lax.fori_loop(0, n, lambda _, y: layer(y, KERNELS[0]), x)), "while"),
    ],
)
def test_a_loop_whose_length_only_values_tell(f, primitive):
    with pytest.raises(srd.UnsupportedPrimitiveError, match=f"'{primitive}'"):
        srd.explain(f)(jnp.int32(3), IMAGES, 0)
