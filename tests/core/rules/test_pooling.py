"""Pools: a maximum comes from its switch, a sum from every position, and padding gives nothing."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import srd_jax as srd
from tests.laws import by_masking, draw, explained, logits


def window(x, size, stride=1, padding="VALID", *, init=-jnp.inf, operation=lax.max, **options):
    """A reduction over windows of the axes between the batch and the channels."""
    each = [(n,) * (x.ndim - 2) if isinstance(n, int) else n for n in (size, stride)]
    if not isinstance(padding, str):
        padding = ((0, 0), *padding, (0, 0))
    return lax.reduce_window(x, init, operation, (1, *each[0], 1), (1, *each[1], 1), padding, **options)


def sums(x, *arguments, **options):
    return window(x, *arguments, init=0.0, operation=lax.add, **options)


def conv(x, kernel, padding="SAME"):
    letters = "DHW"[5 - x.ndim :]
    numbers = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
    return lax.conv_general_dilated(x, kernel, (1,) * (x.ndim - 2), padding, dimension_numbers=numbers)


FORMS = {
    "2x2": ((4, 4, 3), (2, 2), {}),
    "overlapping": ((5, 4, 3), (3, 2, "SAME"), {}),
    "overlapping, padded on one side": ((5, 4, 3), (3, 2, ((1, 0), (0, 2))), {}),
    "stride of one": ((3, 3, 3), (2, 1, "SAME"), {}),
    "gaps between windows": ((5, 5, 3), (2, 3), {}),
    "uneven window": ((4, 4, 3), ((1, 3), (2, 1), ((0, 0), (1, 1))), {}),
    "dilated": ((5, 3, 3), (2, 1), {"window_dilation": (1, 2, 1, 1)}),
    "spread out": ((2, 3, 3), (2, 1, ((1, 1), (0, 0))), {"base_dilation": (1, 2, 1, 1)}),
    "1-d": ((6, 3), (3, 2, ((1, 1),)), {}),
    "3-d": ((2, 3, 2, 3), (2, 1), {}),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_channel_of_a_maximum_comes_from_one_position(form):
    """No two values of a random image are equal, so the position is where the value is found."""
    shape, arguments, options = FORMS[form]

    def step(x):
        return window(x, *arguments, **options)

    images = draw(2, *shape)
    flow, _, fields = explained(lambda _, x: logits(jnp.tanh(step(x))), images)
    pooled = np.asarray(step(images)).reshape((2, -1, 1, 3))
    chosen = images.reshape((2, 1, -1, 3)) == pooled
    expected = np.sum(chosen * pooled**2, -1) / np.sum(pooled**2, -1)
    np.testing.assert_allclose(fields.reshape(expected.shape), expected, atol=1e-10)
    assert len(flow.layers) == 2


@pytest.mark.parametrize("form", FORMS)
def test_a_mean_comes_from_every_position(form):
    """Divided by the positions that are there, as without counting the padding."""
    shape, arguments, options = FORMS[form]

    def step(x):
        return sums(x, *arguments, **options) / sums(jnp.ones(x.shape), *arguments, **options) + draw(3, seed=1)

    flow, _, _ = explained(lambda _, x: logits(jnp.tanh(step(x))), draw(2, *shape), [step])
    assert len(flow.layers) == 2


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        ((2, 2), [0, 2, 8, 10]),
        ((3, 1), [0, 1, 4, 5]),
        ((3, 2, ((1, 0), (1, 0))), [0, 1, 4, 5]),
        ((3, 2, ((1, 1), (0, 2))), [0, 2, 4, 6]),
    ],
    ids=["2x2", "overlapping", "padded at the start", "padded at the end"],
)
def test_of_equal_values_the_first_in_row_major_order_is_chosen(arguments, first):
    """Padding is never chosen, even where every value is negative, as in the second image."""
    images = np.stack([np.ones((4, 4, 2)), -np.ones((4, 4, 2))])
    _, _, fields = explained(lambda _, x: logits(jnp.tanh(window(x, *arguments))), images)
    fields = fields.reshape((2, -1, 16))
    np.testing.assert_array_equal(fields.argmax(2), [first, first])
    np.testing.assert_array_equal(fields.max(2), 1)


def test_ties_within_a_window_go_to_the_first_channel_by_channel():
    images = np.array([[[1.0, 0.0], [1.0, 2.0], [0.0, 2.0], [1.0, 1.0]]])
    _, _, fields = explained(lambda _, x: logits(jnp.tanh(window(x, 4))), images, head="sharing")
    np.testing.assert_allclose(fields[0, 0], [1 / 5, 4 / 5, 0, 0], atol=1e-12)


def tap_by_tap(pooled, chosen, grid, kernel, bias):
    """The ratios of a 1-d pool (3, stride 2, one padded in front) before a convolution (3, same), by loops.

    ``chosen`` is the position that every channel of every pooled position came from.
    """
    later, channels = pooled.shape
    mu = np.zeros((later, grid))
    for j in range(later):
        taps = []
        for t in range(3):
            p = j + t - 1
            if not 0 <= p < later:
                continue
            for i in range(max(0, 2 * p - 1), min(grid, 2 * p + 2)):
                vhat = sum((pooled[p, c] * kernel[t, c] for c in range(channels) if chosen[p, c] == i), 0 * bias)
                taps.append((i, vhat))
        x = sum(vhat for _, vhat in taps) + bias
        norms = sum(np.linalg.norm(vhat) for _, vhat in taps)
        for i, vhat in taps:
            mu[j, i] += (vhat + np.linalg.norm(vhat) / norms * bias) @ x / (x @ x)
    return mu


def test_a_pool_before_a_convolution_is_one_step_counted_tap_by_tap():
    """Where overlapping windows lead from one i to one j along two taps, the bias is shared per tap."""
    images, kernel, bias = draw(2, 6, 3), draw(3, 3, 4), draw(4)

    def f(_, x):
        return logits(jax.nn.relu(conv(window(x, 3, 2, ((1, 0),)), kernel) + bias))

    flow, _, fields = explained(f, images)
    assert [layer.grid for layer in flow.layers] == [(6,), (3,)]
    for n in range(2):
        windows = [images[n, max(0, 2 * p - 1) : 2 * p + 2] for p in range(3)]
        pooled = np.stack([w.max(0) for w in windows])
        chosen = np.stack([max(0, 2 * p - 1) + w.argmax(0) for p, w in enumerate(windows)])
        np.testing.assert_allclose(fields[n], tap_by_tap(pooled, chosen, 6, kernel, bias), atol=1e-10)


@pytest.mark.parametrize(
    "after",
    [
        lambda x: sums(x, 2, 1, "SAME"),
        lambda x: jnp.flip(x, 1),
        lambda x: conv(x, draw(1, 3, 4)) + 0.1,
        lambda x: x[:, :2],
        lambda x: conv(jnp.pad(x, ((0, 0), (1, 0), (0, 0))), draw(2, 3, 4), "VALID"),
        lambda x: x * draw(3) + conv(x, draw(3, 3, 3)),
        lambda x: x.astype(jnp.float32).astype(jnp.float64),
    ],
    ids=["sum", "flip", "1x1", "slice", "pad and convolution", "scale and convolution", "casts"],
)
def test_a_pool_stays_lazy(after):
    """Linear steps after it are composed with it: there is no map of its own."""
    flow, _, _ = explained(lambda _, x: logits(jnp.tanh(after(window(x, 2, 2)))), draw(2, 6, 3))
    assert len(flow.layers) == 2


def test_a_pool_read_twice_is_composed_twice():
    kernel = draw(3, 3, 3)

    def f(_, x):
        y = window(jnp.tanh(x), 2, 2)
        return logits(jax.nn.relu(conv(y, kernel) + y))

    flow, _, _ = explained(f, draw(2, 6, 3))
    assert [layer.grid for layer in flow.layers] == [(6,), (3,)]
    assert len(flow.edges) == 2


def test_a_pool_after_a_pool_is_one_step_with_it():
    pools = [lambda x: window(window(x, 2), 2, 2), lambda x: window(x, 3, 2)]
    fields = [explained(lambda _, x, pool=pool: logits(jnp.tanh(pool(x))), draw(2, 6, 3))[2] for pool in pools]
    np.testing.assert_allclose(*fields, atol=1e-12)


def test_a_pool_after_a_pool_with_gaps_is_a_map_of_its_own():
    flow, *_ = explained(lambda _, x: logits(jnp.tanh(window(window(x, 2, 3), 2))), draw(2, 9, 3))
    assert [layer.grid for layer in flow.layers] == [(9,), (3,), (2,)]


def test_a_pool_of_an_open_sum_closes_it():
    flow, _, _ = explained(lambda _, x: logits(jax.nn.relu(window(conv(x, draw(3, 2, 3)) + 0.1, 2, 2))), draw(2, 6, 2))
    assert [layer.grid for layer in flow.layers] == [(6,), (6,), (3,)]


@pytest.mark.parametrize(
    "before",
    [jnp.tanh, lambda x: conv(x, draw(3, 3, 3)) + 0.1, lambda x: window(x, 2)],
    ids=["map", "open sum", "lazy pool"],
)
def test_minus_infinity_around_a_map_is_padding_like_that_of_the_pool(before):
    """Whichever way the maps are propagated, and where the pool is the head's."""
    images = draw(2, 7, 3)

    def inside(_, x):
        return window(before(x), 3, 2, ((1, 1),))

    def outside(_, x):
        return window(jnp.pad(before(x), ((0, 0), (1, 1), (0, 0)), constant_values=-jnp.inf), 3, 2)

    def maps(pool):
        flow = srd.decompose(lambda v, x: logits(jnp.tanh(pool(v, x))))(None, images)[1]
        fields = [flow.erf(flow.layers[-1].name, direction=way) for way in ("backward", "forward")]
        top = srd.explain(lambda v, x: jnp.max(pool(v, x), 1), contrast=None)(None, images, 1)
        return flow.relevance(1, contrast=None)["input"], *fields, top

    expected, got = jax.jit(lambda: (maps(inside), maps(outside)))()
    np.testing.assert_allclose(got[0], expected[0], atol=1e-10, err_msg="relevance")
    np.testing.assert_allclose(got[1], expected[1], atol=1e-10, err_msg="backward")
    np.testing.assert_allclose(got[2], expected[2], atol=1e-10, err_msg="forward")
    np.testing.assert_allclose(got[3].sum(1), expected[3].sum(1), atol=1e-10, err_msg="pool in the head")


def test_the_global_maximum_gives_each_channel_to_its_position():
    images, weights = draw(2, 3, 4, 3), draw(3, 4)
    _, heat, _ = explained(lambda _, x: jnp.max(x, (1, 2)) @ weights, images)
    flat = images.reshape((2, 12, 3))
    expected = np.sum((flat == flat.max(1, keepdims=True)) * flat * weights[:, 1], -1)
    np.testing.assert_allclose(heat.reshape((2, 12)), expected, atol=1e-10)


@pytest.mark.parametrize(
    "pool",
    [
        lambda x: jnp.max(x, (1, 2)),
        lambda x: window(x, (3, 4))[:, 0, 0],
        lambda x: jnp.max(x.transpose(0, 3, 1, 2), (3, 2))[:, ::-1][:, ::-1],
        lambda x: jnp.max(x, (1, 2), keepdims=True).reshape((2, 3)),
    ],
    ids=["max", "window", "channels first", "extents kept"],
)
def test_every_way_to_a_global_maximum(pool):
    images, weights = draw(2, 3, 4, 3), draw(3, 4)
    _, _, fields = explained(lambda _, x: jnp.tanh(pool(x)) @ weights, images, head="sharing")
    flat = images.reshape((2, 12, 3))
    chosen = flat == flat.max(1, keepdims=True)
    size = flat.max(1, keepdims=True) ** 2
    np.testing.assert_allclose(fields.reshape((2, 12)), np.sum(chosen * size, -1) / np.sum(size, -1), atol=1e-10)


@pytest.mark.parametrize(
    "pool",
    [
        lambda x: jnp.mean(x, (1, 2)),
        lambda x: sums(x, (3, 4))[:, 0, 0] / 12,
        lambda x: jnp.mean(x.reshape((2, 12, 3)), 1),
        lambda x: jnp.einsum("nhwc->nc", x) / 12,
        lambda x: jnp.mean(x.transpose(0, 3, 1, 2).reshape((2, 3, 12)), -1),
    ],
    ids=["mean", "window", "tokens", "einsum", "channels first tokens"],
)
def test_every_way_to_a_global_mean_is_the_authors_formula(pool):
    """(w_c . v_i + b_c) / n."""
    images, weights, bias = draw(2, 3, 4, 3), draw(3, 4), draw(4)
    _, heat, _ = explained(lambda _, x: pool(jnp.tanh(x)) @ weights + bias, images)
    expected = (np.tanh(images) @ weights[:, 1] + bias[1]) / 12
    np.testing.assert_allclose(heat, expected, atol=1e-10)


def test_a_mean_over_one_axis_keeps_the_other():
    def step(x):
        return jnp.mean(x, 2) + draw(3)

    flow, _, _ = explained(lambda _, x: logits(jnp.tanh(step(x))), draw(2, 3, 4, 3), [step])
    assert [layer.grid for layer in flow.layers] == [(3, 4), (3,)]


CHANNEL_WINDOWS = {
    "response norm": lambda y: y / (1 + 0.1 * lax.reduce_window(y * y, 0.0, lax.add, (1, 1, 3), (1, 1, 1), "SAME")),
    "maximum": lambda y: lax.reduce_window(y, -jnp.inf, lax.max, (1, 1, 3), (1, 1, 1), "SAME"),
    "minimum": lambda y: lax.reduce_window(y, jnp.inf, lax.min, (1, 1, 3), (1, 1, 1), "SAME"),
    "product": lambda y: lax.reduce_window(y, 1.0, lax.mul, (1, 1, 3), (1, 1, 1), "SAME"),
    "maximum of pairs": lambda y: lax.reduce_window(y, -jnp.inf, lax.max, (1, 1, 2), (1, 1, 2), "VALID"),
    "sum of pairs": lambda y: lax.reduce_window(y, 0.0, lax.add, (1, 1, 2), (1, 1, 2), "VALID"),
    "maximum over all": lambda y: jnp.max(y, -1, keepdims=True),
    "maxout": lambda y: jnp.max(y.reshape((*y.shape[:2], 2, 2)), -1),
    "sum over all": lambda y: jnp.sum(y, -1, keepdims=True),
}


@pytest.mark.parametrize("step", CHANNEL_WINDOWS)
def test_windows_over_channels_are_position_wise(step):
    """They stay on their map, and what reads them reads as many channels as there are."""
    over, first = CHANNEL_WINDOWS[step], draw(3, 2, 4)
    hidden = over(np.asarray(jnp.tanh(conv(draw(2, 4, 2), first))))
    kernel = draw(3, hidden.shape[-1], 3)

    def f(_, x):
        return logits(jnp.tanh(conv(over(jnp.tanh(conv(x, first))), kernel)))

    flow, _, _ = explained(f, draw(2, 4, 2))
    assert [layer.channels for layer in flow.layers] == [2, 4, 3]
    edge = replace(flow.edges[1], ratios=np.asarray(flow.edges[1].ratios))
    ratios = edge.apply(np.stack([np.eye(4)] * 2))
    expected = by_masking([lambda y: conv(y, kernel)], np.asarray(hidden))
    np.testing.assert_allclose(ratios.swapaxes(1, 2), expected, atol=1e-10)


@pytest.mark.parametrize("step", ["maximum of pairs", "sum of pairs", "maxout", "sum over all"])
def test_a_window_over_channels_may_be_the_last_step(step):
    over, first = CHANNEL_WINDOWS[step], draw(3, 2, 4)
    flow, _, _ = explained(lambda _, x: logits(over(jnp.tanh(conv(x, first)))), draw(2, 4, 2))
    assert len(flow.layers) == 2


def dilated(x):
    """A max pool that JAX has no derivative of."""
    return window(x, 2, window_dilation=(1, 2, 2, 1))


DILATED = {
    "in the head": lambda y: logits(dilated(y)),
    "flattened in the head": lambda y: dilated(y).reshape(2, -1) @ draw(60, 3),
    "before a convolution": lambda y: logits(jax.nn.relu(conv(dilated(y), draw(3, 3, 3, 3, seed=1)))),
}


@pytest.mark.parametrize("place", DILATED)
def test_the_account_of_dilated_windows_closes(place):
    explained(lambda _, x: DILATED[place](jax.nn.relu(conv(x, draw(3, 3, 3, 3)))), draw(2, 7, 6, 3))


def other(initial, operation):
    return lambda x: window(x, 2, 2, init=initial, operation=operation)


REFUSED = {
    "minimum of positions": (other(jnp.inf, lax.min), "reduce_window_min", "only maxima and sums over windows"),
    "product of positions": (other(1.0, lax.mul), "reduce_window", "only maxima and sums over windows"),
    "maximum from zero": (other(0.0, lax.max), "reduce_window", "only maxima and sums over windows of positions"),
    "maximum over positions and channels": (
        lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 2), (1, 2, 2, 2), "VALID"),
        "reduce_window_max", "a window over positions and channels at once",
    ),
    "sum over images": (
        lambda x: lax.reduce_window(x, 0.0, lax.add, (2, 1, 1, 1), (1, 1, 1, 1), "SAME"),
        "reduce_window_sum", "axis 0 is the batch, and images must not mix: call the model in evaluation mode",
    ),
    "mean over the batch": (lambda x: x - jnp.mean(x, 0), "reduce_sum", "call the model in evaluation mode"),
    "batch statistics": (lambda x: x / jnp.std(x, (0, 1, 2)), "reduce_sum", "it sums over the batch"),
    "maximum over the batch": (lambda x: jnp.max(x, 0), "reduce_max", "axis 0 is the batch"),
    "maximum over all": (lambda x: jnp.max(x, (1, 2, 3)), "reduce_max", "over positions together with channels"),
    "minimum over positions": (lambda x: jnp.min(x, (1, 2)), "reduce_min", "axis 1 runs over positions"),
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
