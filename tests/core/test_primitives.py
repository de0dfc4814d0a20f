"""What is known of primitives is said once, and everything that asks hears the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend.core import Primitive
from jax.extend.core import primitives as jp
from jax.interpreters import ad, batching, mlir

import srd_jax as srd
from srd_jax import extend
from srd_jax.core import registry

IMAGES = np.random.default_rng(0).normal(size=(2, 4, 5, 3))
KERNEL = np.random.default_rng(1).normal(size=(3, 3, 3, 4))
ACTIVATIONS = {
    "sin": jnp.sin, "cos": jnp.cos, "cbrt": jnp.cbrt, "atan": jnp.atan, "sinh": jnp.sinh, "asinh": jnp.asinh,
    "exp2": jnp.exp2, "square": jnp.square, "lgamma": lambda x: lax.lgamma(2 + jnp.abs(x)), "gelu": jax.nn.gelu,
    "mish": jax.nn.mish, "hard tanh": jax.nn.hard_tanh, "times its sine": lambda x: x * jnp.sin(x),
    "custom_jvp": jax.custom_jvp(lambda x: jnp.cbrt(jnp.sin(x))),
    "behind a barrier": lambda x: jnp.sin(lax.optimization_barrier((KERNEL, x))[1]),
}  # fmt: skip
ACTIVATIONS["custom_jvp"].defjvp(lambda p, t: (jnp.cbrt(jnp.sin(p[0])), t[0]))


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    with jax.enable_x64(True):
        yield


def network(activation):
    def f(_, images):
        x = lax.conv_general_dilated(images, KERNEL, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return activation(x + 0.3).mean((1, 2))

    return f


def explained(f, **options):
    return np.asarray(jax.jit(srd.explain(f, contrast=None, **options))((), IMAGES, 1))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_elementwise_function_is_an_activation(name):
    f = network(ACTIVATIONS[name])
    logits = f((), IMAGES)[:, 1]
    pre, post, scalar = (explained(f, **options) for options in ({}, {"relevance": "post"}, {"unit": "scalar"}))
    for heat in (pre, post, scalar):
        np.testing.assert_allclose(heat.sum((1, 2)), logits, atol=1e-10)
    assert np.abs(pre - post).max() > 1e-4
    assert np.abs(pre - scalar).max() > 1e-4


def test_every_primitive_with_a_rule_says_what_it_is():
    facts = {name: entry.facts for name, entry in registry._entries.items()}
    assert [name for name, known in facts.items() if "unknown" in (known.action, known.pattern)] == []
    linear = ("identity", "selection", "mixing", "linear", "sum", "scale", "random")
    assert [name for name, known in facts.items() if known.action in linear and known.pattern != "probe"] == []
    assert facts["max"].pattern == "larger"
    assert facts["atan"].pattern == extend.Limits(-np.pi / 2, np.pi / 2)


@pytest.fixture
def cube():
    """A primitive nobody has heard of: x ** 3."""
    primitive = Primitive("cube")
    primitive.def_abstract_eval(lambda x: x)
    primitive.def_impl(lambda x: x**3)
    mlir.register_lowering(primitive, mlir.lower_fun(lambda x: x**3, multiple_results=False))
    ad.defjvp(primitive, lambda g, x: 3 * x**2 * g)
    batching.defvectorized(primitive)
    return primitive


def test_an_activation_of_ones_own_works_everywhere(cube):
    extend.register_rule(cube, action="elementwise", pattern="probe")(extend.positionwise)
    ours, jaxs = network(cube.bind), network(lambda x: x**3)
    for options in ({}, {"relevance": "post"}, {"unit": "scalar"}, {"recursion": False}):
        np.testing.assert_allclose(explained(ours, **options), explained(jaxs, **options), atol=1e-12)
    probe = np.ones_like(IMAGES)
    np.testing.assert_allclose(srd.apop(ours)((), IMAGES, probe), ours((), probe), atol=1e-12)


def test_of_several_results_none_is_the_value_after_the_activation():
    both = Primitive("sine_and_cosine")
    both.multiple_results = True
    both.def_abstract_eval(lambda x: [x, x])
    mlir.register_lowering(both, mlir.lower_fun(lambda x: [jnp.sin(x), jnp.cos(x)], multiple_results=True))
    extend.register_rule(both, action="elementwise", pattern="probe")(extend.positionwise)
    ours, jaxs = network(lambda x: both.bind(x)[0]), network(jnp.sin)
    np.testing.assert_allclose(explained(ours), explained(jaxs), atol=1e-12)
    with pytest.raises(srd.UnsupportedPrimitiveError, match="which of its several results is the value after"):
        explained(ours, relevance="post")


def test_what_was_not_said_is_refused_where_it_is_needed(cube):
    rule = extend.positionwise
    extend.register_rule(cube)(rule)
    f = network(cube.bind)
    np.testing.assert_allclose(explained(f).sum((1, 2)), f((), IMAGES)[:, 1], atol=1e-10)
    for options in ({"relevance": "post"}, {"unit": "scalar"}):
        with pytest.raises(srd.UnsupportedPrimitiveError, match=r"'cube'.*register its rule with action="):
            explained(f, **options)
    with pytest.raises(srd.UnsupportedPrimitiveError, match=r"'cube'.*register its rule with pattern="):
        srd.apop(f)((), IMAGES, 1.0)
    extend.register_rule(cube, action="elementwise", pattern=extend.Limits(-1, 1))(rule)
    np.testing.assert_allclose(explained(f, relevance="post"), explained(network(lambda x: x**3), relevance="post"))
    np.testing.assert_allclose(srd.apop(f)((), IMAGES, 1.0), network(jnp.sign)((), IMAGES), atol=1e-12)


def test_a_selection_of_ones_own_works_for_single_neurons():
    """`jax.lax.dynamic_slice` is known as a selection, and has no rule."""

    def cropped(images):
        x = lax.conv_general_dilated(images, KERNEL, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return jax.nn.relu(lax.dynamic_slice(x + 0.1, (0, 1, 1, 0), (2, 2, 3, 4))).mean((1, 2))

    def crop(interpreter, equation, operands):
        value, layout = operands[0], [*operands[0].layout]
        for axis in (1, 2):
            (dim,) = layout[axis]
            layout[axis] = (extend.layout.Dim(dim.kind, equation.params["slice_sizes"][axis]),)
        step = extend.Slice(((1, 3, 1), (1, 4, 1)))
        return extend.select(value, lambda x, _: x[:, 1:3, 1:4], tuple(layout), step)

    extend.register_rule(jp.dynamic_slice_p)(crop)
    for options in ({}, {"unit": "scalar"}):
        heat = explained(lambda _, images: cropped(images), **options)
        np.testing.assert_allclose(heat.sum((1, 2)), cropped(IMAGES)[:, 1], atol=1e-10)


def test_words_that_mean_nothing_are_refused(cube):
    with pytest.raises(ValueError, match=r"action must be one of identity,.*not 'activation'"):
        extend.register_rule(cube, action="activation")(extend.positionwise)
    with pytest.raises(ValueError, match=r"pattern must be one of probe,.*not 'relu'"):
        extend.register_rule(cube, pattern="relu")(extend.positionwise)


def doubled(*, transposed=True, batched=True):
    """A primitive nobody has heard of: 2 * x."""
    primitive = Primitive("doubled")
    primitive.def_abstract_eval(lambda x: x)
    primitive.def_impl(lambda x: 2 * x)
    mlir.register_lowering(primitive, mlir.lower_fun(lambda x: 2 * x, multiple_results=False))
    ad.deflinear2(primitive, lambda t, x: [primitive.bind(t)])
    if batched:
        batching.defvectorized(primitive)
    if not transposed:
        del ad.primitive_transposes[primitive]
    return primitive


def linear_rule(interpreter, equation, operands):
    (value,) = operands
    return extend.extend(value, lambda x: extend.bind(equation, x)[0], value.layout, position_invariant=True)


def test_a_scaling_of_ones_own_works_everywhere():
    own = doubled()
    extend.register_rule(own, action="scale")(linear_rule)
    ours, jaxs = (network(lambda x, f=f: jax.nn.relu(f(x) + 0.1)) for f in (own.bind, lambda x: 2 * x))
    for options in ({}, {"relevance": "post"}, {"unit": "scalar"}):
        np.testing.assert_allclose(explained(ours, **options), explained(jaxs, **options), atol=1e-12)
    np.testing.assert_allclose(srd.apop(ours)((), IMAGES, 0.5), srd.apop(jaxs)((), IMAGES, 0.5), atol=1e-12)


@pytest.mark.parametrize(
    ("action", "message"), [("scale", "needs a transpose, and JAX says"), ("linear", "known of .mixing. alone")]
)
def test_what_single_neurons_cannot_have_of_ones_own_is_refused_by_name(action, message):
    own = doubled(transposed=False)
    extend.register_rule(own, action=action)(linear_rule)
    with pytest.raises(srd.UnsupportedPrimitiveError, match=f"'doubled'.*{message}"):
        explained(network(lambda x: jax.nn.relu(own.bind(x))), unit="scalar")


def test_a_pattern_through_a_primitive_that_nobody_registered_is_refused(cube):
    with pytest.raises(srd.UnsupportedPrimitiveError, match=r"'cube'.*register its rule with pattern="):
        srd.apop(network(cube.bind))((), IMAGES, 1.0)


STEPS = {
    "is positive": lambda x: (x > 0).astype(x.dtype),
    "is positive, moved": lambda x: (x > 0).reshape(x.shape[0], -1).reshape(x.shape).astype(x.dtype),
    "integers": lambda x: (2 * x).astype(jnp.int32).astype(x.dtype),
}


@pytest.mark.parametrize("name", STEPS)
def test_steps_are_activations(name):
    f = network(STEPS[name])
    pre, post, scalar = (explained(f, **options) for options in ({}, {"relevance": "post"}, {"unit": "scalar"}))
    for heat in (pre, post, scalar):
        np.testing.assert_allclose(heat.sum((1, 2)), f((), IMAGES)[:, 1], atol=1e-10)
    assert np.abs(pre - scalar).max() > 1e-4
    assert name == "is positive, moved" or np.abs(pre - post).max() > 1e-4


def test_constants_stacked_beside_neurons_are_refused():
    f = network(lambda x: jax.nn.relu(jnp.stack([x, jnp.ones_like(x)], -1).sum(-1)))
    with pytest.raises(srd.UnsupportedPrimitiveError, match="puts constants beside neurons"):
        explained(f, unit="scalar")


def test_a_remainder_takes_away_as_many_divisors_as_on_the_images():
    ours = srd.apop(network(lambda x: x % 1.0))((), IMAGES, 9.0)
    np.testing.assert_allclose(ours, srd.apop(network(lambda x: x - jnp.floor(x)))((), IMAGES, 9.0), atol=1e-12)


def test_what_jax_does_not_know_of_ones_own_is_said_with_its_name():
    own = doubled(batched=False)
    extend.register_rule(own, action="scale")(linear_rule)
    with pytest.raises(srd.UnsupportedPrimitiveError, match=r"'doubled' lacks .* Batching rule.*test_primitives"):
        explained(network(lambda x: jax.nn.relu(own.bind(x))))
