"""Position-wise steps: relevance passes them unchanged, and what is not of one PFV map is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.ad_checkpoint import checkpoint_name

import srd_jax as srd
from tests.laws import draw, explained, logits


def conv(x, kernel, stride=1):
    letters = "DHW"[5 - x.ndim :]
    numbers = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
    return lax.conv_general_dilated(x, kernel, (stride,) * (x.ndim - 2), "SAME", dimension_numbers=numbers)


@jax.custom_jvp
def gentle(x):
    """An activation with a derivative of its author's."""
    return jnp.maximum(x, 0.1 * x)


gentle.defjvp(lambda primals, tangents: (gentle(*primals), jnp.where(primals[0] > 0, 1.0, 0.5) * tangents[0]))


@jax.custom_vjp
def clipped(x):
    return jnp.clip(x, -1, 1)


clipped.defvjp(lambda x: (clipped(x), None), lambda _, g: (g,))


def layer_norm(x):
    mean, variance = jnp.mean(x, -1, keepdims=True), jnp.var(x, -1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-3) * np.arange(1.0, 5.0) + 0.1


ACTIVATIONS = {
    name: getattr(jax.nn, name)
    for name in (
        "celu", "elu", "gelu", "glu", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "leaky_relu",
        "log_softmax",
        "log_sigmoid", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "soft_sign", "softmax", "softplus", "swish",
        "sparse_plus", "sparse_sigmoid", "squareplus", "standardize",
    )
}  # fmt: skip
ACTIVATIONS |= {
    "author's derivative": gentle,
    "author's gradient": clipped,
    "exact gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "layer norm": layer_norm,
    "rms norm": lambda x: x * lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-3),
    "log of summed exponentials": lambda x: jax.nn.logsumexp(x, -1, keepdims=True),
    "where": lambda x: jnp.where(x > 0, x, 0.2 * x),
    "where of channels": lambda x: jnp.where(np.arange(4) > 1, x, 0.0),
    "clip": lambda x: jnp.clip(x, -0.5, 0.5),
    "power": lambda x: jnp.abs(x) ** 1.5 + x**3,
    "step": lambda x: (x > 0).astype(x.dtype),
    "rounding": lambda x: jnp.round(x * 8) / 8,
    "integers": lambda x: (x * 8).astype(jnp.int32).astype(x.dtype),
    "bits": lambda x: ((x > 0) & ~(x > 1) | (x < -1)).astype(x.dtype),
    "Bessel": lambda x: lax.bessel_i1e(x) + lax.bessel_i0e(x),
    "gamma": lambda x: lax.igamma(2.0 + 0 * x, jnp.abs(x) + 0.1) + lax.polygamma(1.0 + 0 * x, jnp.abs(x) + 1),
    "zeta": lambda x: lax.zeta(jnp.abs(x) + 2, 1.0 + 0 * x),
    "atan2": lambda x: jnp.atan2(x, x + 3),
    "stopped gradient": lax.stop_gradient,
    "barrier": lax.optimization_barrier,
    "half precision and back": lambda x: x.astype(jnp.bfloat16).astype(x.dtype),
    "reduced precision": lambda x: lax.reduce_precision(x, 8, 7),
    "rematerialised": jax.checkpoint(lambda x: jnp.tanh(x) + x),
    "jitted": jax.jit(lambda x: jnp.tanh(x) + x),
    "normalised by the maximum": lambda x: x / jnp.max(jnp.abs(x), -1, keepdims=True),
    "minimum over channels": lambda x: x - jnp.min(x, -1, keepdims=True),
    "product over channels": lambda x: x + jnp.prod(x, -1, keepdims=True),
    "any channel": lambda x: x * jnp.any(x > 0, -1, keepdims=True),
    "all channels": lambda x: x * jnp.all(x > -5, -1, keepdims=True),
    "winner": lambda x: x * jax.nn.one_hot(jnp.argmax(x, -1), 4),
    "loser": lambda x: x * (jnp.argmin(x, -1, keepdims=True) == np.arange(4)),
    "cumulative sum": lambda x: jnp.cumsum(x, -1),
    "cumulative product": lambda x: jnp.cumprod(x, -1),
    "cumulative maximum": lambda x: lax.cummax(x, 3, reverse=True),
    "copied": jnp.copy,
    "negated": jnp.negative,
}


def with_activation(activation):
    def f(_, x):
        y = activation(conv(x, draw(3, 3, 2, 4)) + 0.1)
        return logits(y if y.ndim == 4 else y[..., None])

    return f


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_pass_relevance_unchanged(name):
    """They make no map and no edge of their own."""
    flow = jax.eval_shape(srd.decompose(with_activation(ACTIVATIONS[name])), None, jnp.ones((2, 3, 4, 2)))[1]
    assert [layer.channels for layer in flow.layers] == [2, 4]
    assert len(flow.edges) == 1


CHAINS = {
    "smooth": ["gelu", "silu", "softplus", "layer norm", "mish", "exact gelu", "rms norm", "jitted"],
    "kinked": ["where", "relu6", "leaky_relu", "author's derivative", "author's gradient", "clip", "hard_swish"],
    "across channels": ["softmax", "cumulative sum", "normalised by the maximum", "winner", "standardize"],
    "discrete": ["rounding", "step", "integers", "bits", "any channel"],
}


@pytest.mark.parametrize("chain", CHAINS)
def test_a_chain_of_activations_gives_the_logits_and_the_map_of_its_end(chain):
    """The heatmap is the head's relevance taken through the one convolution."""

    def activation(x):
        for name in CHAINS[chain]:
            x = ACTIVATIONS[name](x) + 0.1 * x
        return x

    def step(x):
        return conv(x, draw(3, 3, 2, 4)) + 0.1

    flow, heat, fields = explained(with_activation(activation), draw(2, 3, 4, 2), [step])
    assert len(flow.layers) == 2
    y = np.asarray(activation(step(draw(2, 3, 4, 2)))).reshape((2, 12, 4))
    relevance = (y @ draw(4, 3)[:, 1] + draw(3)[1]) / 12
    np.testing.assert_allclose(heat, np.einsum("nj,njhw->nhw", relevance, fields), atol=1e-10)


@pytest.mark.parametrize(
    "linear",
    [
        jnp.negative,
        jnp.copy,
        lax.optimization_barrier,
        lambda x: x.astype(jnp.float32).astype(jnp.float64),
        lambda x: lax.reduce_precision(x, 11, 52),
    ],
    ids=["negation", "copy", "barrier", "casts", "precision"],
)
def test_linear_ones_keep_a_sum_open(linear):
    """The bias that comes after them belongs to the same X_j."""
    kernel = np.round(draw(3, 3, 2, 4) * 8) / 8

    def step(x):
        return linear(conv(x, kernel)) + 0.125

    images = np.round(draw(2, 3, 4, 2) * 8) / 8  # exact in float32, so that casts change nothing
    flow, _, _ = explained(lambda _, x: logits(jnp.tanh(step(x))), images, [step])
    assert len(flow.layers) == 2


def test_a_name_ends_a_sum_so_that_the_layer_is_what_was_named():
    first, narrow = conv(draw(2, 3, 4, 2), draw(3, 3, 2, 4)), draw(4, 2)

    def f(_, x):
        y = checkpoint_name(conv(x, draw(3, 3, 2, 4)) + x @ draw(2, 4), "sum")
        return logits(jnp.tanh(jnp.concatenate([y @ narrow + 0.1] * 2, -1)))

    flow, _, _ = explained(f, draw(2, 3, 4, 2))
    assert [(layer.name, layer.channels) for layer in flow.layers][1] == ("sum", first.shape[-1])


def test_names_name_maps():
    def f(_, x):
        y = checkpoint_name(conv(x, draw(3, 3, 2, 4)) + 0.1, "before")
        y = checkpoint_name(jnp.tanh(y), "after")
        z = checkpoint_name(conv(y, draw(3, 3, 4, 3)), "last")
        return logits(z)

    flow, _, _ = explained(f, draw(2, 3, 4, 2))
    assert [layer.name for layer in flow.layers] == ["input", "before", "after", "last"]


def test_a_name_of_a_lazy_pool_does_not_close_it():
    def f(_, x):
        y = checkpoint_name(lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 1, 1, 1), "SAME"), "pool")
        return logits(jnp.tanh(conv(y, draw(3, 3, 2, 4))))

    flow, _, _ = explained(f, draw(2, 3, 3, 2))
    assert len(flow.layers) == 2


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_ratios_are_float32_and_sum_to_one_in_any_precision(dtype):
    def f(_, x):
        y = jax.nn.relu(conv(x, jnp.asarray(draw(3, 3, 2, 4), dtype)) + jnp.asarray(0.1, dtype))
        y = jax.nn.relu(conv(y, jnp.asarray(draw(2, 2, 4, 4), dtype)) + y)
        return logits(y.astype(jnp.float32)).astype(jnp.float32)

    images = jnp.asarray(draw(2, 3, 4, 2), dtype)
    flow = jax.jit(lambda x: srd.decompose(f)(None, x)[1])(images)
    assert {edge.ratios.dtype for edge in flow.edges} == {np.dtype(np.float32)}
    totals = {}
    for edge in flow.edges:
        total = np.asarray(edge.ratios).sum(1)
        totals[edge.target] = total + totals.get(edge.target, 0)
    for total in totals.values():
        np.testing.assert_allclose(total, 1, atol=1e-5)


REFUSED = {
    "the maximum of two maps": (lambda x: jnp.maximum(x, x[:, ::-1]), "max", "a nonlinear function of two different"),
    "the minimum of two maps": (lambda x: jnp.minimum(x, x[:, ::-1]), "min", "a nonlinear function of two different"),
    "a choice between two maps": (lambda x: jnp.where(x > 0, x, x[:, ::-1]), "select_n", "two different PFV maps"),
    "a comparison of two maps": (lambda x: (x > x[:, ::-1]) * 1.0, "gt", "two different PFV maps"),
    "a power of another map": (lambda x: jnp.abs(x) ** jnp.abs(x[:, ::-1]), "pow", "two different PFV maps"),
    "a minimum over positions": (lambda x: jnp.min(x, 1), "reduce_min", "axis 1 runs over positions"),
    "a product over positions": (lambda x: jnp.prod(x, 2), "reduce_prod", "axis 2 runs over positions"),
    "the place of the maximum": (lambda x: jnp.argmax(x, 1) * 1.0, "argmax", "axis 1 runs over positions"),
    "a cumulative sum over positions": (lambda x: jnp.cumsum(x, 1), "cumsum", "axis 1 runs over positions"),
    "a cumulative sum over the batch": (lambda x: jnp.cumsum(x, 0), "cumsum", "axis 0 is the batch"),
    "sorting": (lambda x: jnp.sort(x, 1), "sort", "axis 1 runs over positions"),
    "a loop": (lambda x: lax.while_loop(lambda y: jnp.max(y) < 9, lambda y: y + 1, x), "while", "it acts on values"),
    "a condition": (lambda x: lax.cond(jnp.sum(x) > 0, jnp.sin, jnp.cos, x), "reduce_sum", "images must not mix"),
    "a transform": (lambda x: jnp.real(jnp.fft.fft(x, axis=1)), "fft", "it acts on values that depend on the images"),
}  # fmt: skip


@pytest.mark.parametrize("form", REFUSED)
def test_what_is_refused(form):
    step, primitive, said = REFUSED[form]

    def f(_, x):
        return jnp.sum(step(x).reshape((2, -1, 1)) * jnp.ones(3), 1)

    with pytest.raises(srd.UnsupportedPrimitiveError, match=said) as error:
        jax.eval_shape(srd.decompose(f), None, jnp.ones((2, 4, 4, 2)))
    message = str(error.value)
    assert f"no sharing rule for primitive '{primitive}' of (" in message
    assert f"It is at {__file__}:" in message
    assert f"@srd_jax.register_rule('{primitive}')" in message
    assert "CONTRIBUTING.md" in message


def test_control_flow_on_constants_is_run():
    """Loops, branches and look-ups of weights alone are no concern of the method's."""

    def f(variables, x):
        weights = lax.scan(lambda carry, w: (carry + w, None), jnp.zeros((3, 3, 2, 4)), variables)[0]
        weights = lax.cond(weights[0, 0, 0, 0] > 0, jnp.sin, jnp.cos, weights)
        weights = lax.fori_loop(0, 3, lambda _, w: 0.9 * w, weights)
        return logits(jnp.tanh(conv(x, weights[..., jnp.array([3, 1, 0, 2])])))

    variables = draw(2, 3, 3, 2, 4)
    difference = jax.jit(lambda v, x: srd.decompose(f)(v, x)[0] - f(v, x))(variables, draw(2, 3, 4, 2))
    np.testing.assert_allclose(difference, 0, atol=1e-12)
