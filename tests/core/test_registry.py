"""The open registry: a rule of one's own is found, called only where images matter, and replaces an earlier one."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend.core import Primitive, primitives
from jax.interpreters import mlir

import srd_jax as srd
from srd_jax.core import layout as lay
from srd_jax.core import registry

IMAGES = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 2, 4)), jnp.float32)


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    """What a test registers ends with it."""
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))


@pytest.fixture
def cube():
    """A primitive nobody has heard of: x ** 3."""
    primitive = Primitive("cube")
    primitive.def_abstract_eval(lambda x: x)
    primitive.def_impl(lambda x: x**3)
    mlir.register_lowering(primitive, mlir.lower_fun(lambda x: x**3, multiple_results=False))
    return primitive


def pooled(activation):
    return lambda _, x: jnp.mean(activation(x), (1, 2))


def test_an_unknown_primitive_is_refused_until_it_has_a_rule(cube):
    f = pooled(cube.bind)
    with pytest.raises(srd.UnsupportedPrimitiveError, match="no sharing rule for primitive 'cube'") as error:
        srd.decompose(f)(None, IMAGES)
    assert "@srd_jax.register_rule('cube')" in str(error.value)
    assert __file__ in str(error.value)
    srd.register_rule(cube)(srd.rules.positionwise)
    logits, flow = srd.decompose(f)(None, IMAGES)
    np.testing.assert_allclose(logits, f(None, IMAGES), atol=1e-6)
    assert [layer.name for layer in flow.layers] == ["input"]


def test_a_rule_may_be_registered_by_name_and_is_returned_unchanged(cube):
    def rule(interpreter, equation, operands):
        return srd.rules.positionwise(interpreter, equation, operands)

    assert srd.register_rule("cube", "another")(rule) is rule
    assert registry.rule_for(cube) is rule
    assert registry.rule_for(Primitive("another")) is rule


def test_the_last_rule_registered_counts(cube):
    first, second = (lambda *_: None), (lambda *_: None)
    srd.register_rule(cube)(first)
    srd.register_rule("cube")(second)
    assert registry.rule_for(cube) is second


def test_what_is_described_keeps_its_rule():
    with pytest.raises(ValueError, match="primitive 'tanh' has a sharing rule"):
        registry.describe("tanh")
    assert registry.rule_for("tanh") is not None


def test_that_nothing_is_possible_is_no_fact_about_a_rule_of_ones_own():
    srd.register_rule("qr")(srd.rules.positionwise)
    assert (registry.facts_of("qr").action, registry.facts_of("qr").pattern) == ("unknown", "unknown")
    srd.register_rule("dynamic_slice")(srd.rules.positionwise)
    assert registry.facts_of("dynamic_slice").action == "selection"


def test_there_is_no_rule_for_an_unknown_primitive():
    assert registry.rule_for(Primitive("nobody registered this")) is None


def test_a_rule_is_called_with_its_equation_only_where_images_matter():
    seen = []
    earlier = registry.rule_for(primitives.tanh_p)

    def rule(interpreter, equation, operands):
        seen.append((equation.primitive.name, [type(x).__name__ for x in operands]))
        return earlier(interpreter, equation, operands)

    srd.register_rule(primitives.tanh_p)(rule)

    def f(scale, x):
        return jnp.mean(jnp.tanh(x) * jnp.tanh(scale), (1, 2))

    srd.decompose(f)(jnp.ones(4), IMAGES)
    assert seen == [("tanh", ["Map"])]


def test_a_rule_may_return_one_value_or_a_list():
    def one(interpreter, equation, operands):
        (value,) = srd.rules.positionwise(interpreter, equation, operands)
        return value

    f = pooled(jnp.tanh)
    expected = srd.explain(f)(None, IMAGES, 1)
    srd.register_rule("tanh")(one)
    np.testing.assert_array_equal(srd.explain(f)(None, IMAGES, 1), expected)


def test_a_rule_may_refuse():
    def refuse(interpreter, equation, operands):
        del operands
        interpreter.unsupported(equation, "not on Sundays")

    srd.register_rule("tanh")(refuse)
    with pytest.raises(srd.UnsupportedPrimitiveError, match=r"'tanh' of .float32.*: not on Sundays. It is at "):
        srd.decompose(pooled(jnp.tanh))(None, IMAGES)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda value: replace(value, array=value.array[..., :1]), r"an array of shape \(2, 3, 2, 1\) in place of"),
        (
            lambda value: replace(value, layout=value.layout[:-1]),
            r"an array of shape \(2, 3, 2, 4\) with a layout of shape \(2, 3, 2\)",
        ),
        (
            lambda value: replace(value, layout=(*value.layout[:2], value.layout[3], value.layout[3])),
            r"an array of shape \(2, 3, 2, 4\) with a layout of shape \(2, 3, 4, 4\)",
        ),
        (
            lambda value: replace(value, layout=(*value.layout[:2], (lay.Dim(lay.CHANNEL, 2),), value.layout[3])),
            r"a function of PFVs on grid \(3, 2\) with a layout on grid \(3,\)",
        ),
        (lambda value: [value, value], r"2 results \[\[2, 3, 2, 4\], \[2, .* 4\]\] in place of 1 \[\[2, 3, 2, 4\]\]"),
        (lambda value: [], r"0 results \[\] in place of 1 \[\[2, 3, 2, 4\]\]"),
        (lambda value: None, "NoneType in place of a Map, a Sum or an array"),
        (lambda value: value.array, r"a plain array of shape \(2, 3, 2, 4\), which counts as a constant"),
    ],
    ids=["array", "layout", "axis", "kind", "two", "none", "nothing", "plain array"],
)
def test_a_rule_is_held_to_its_equation(spoil, said):
    def rule(interpreter, equation, operands):
        (value,) = srd.rules.positionwise(interpreter, equation, operands)
        return spoil(value)

    srd.register_rule("tanh")(rule)
    with pytest.raises(srd.ShapeError, match=f"the sharing rule tests.*rule of primitive 'tanh' returned {said}"):
        srd.decompose(pooled(jnp.tanh))(None, IMAGES)


@pytest.mark.parametrize(
    "primitive",
    [
        "conv_general_dilated", "reduce_window_max", "reduce_window_sum", "dot_general", "add", "sub", "mul", "div",
        "reshape", "transpose", "broadcast_in_dim", "slice", "pad", "split", "concatenate", "rev", "squeeze", "name",
        "custom_jvp_call", "reduce_sum", "reduce_max", "cumsum", "convert_element_type", "select_n", "max", "tanh",
        "logistic", "erf", "exp", "rsqrt", "add_any", "optimization_barrier",
    ],
)  # fmt: skip
def test_what_vision_models_are_made_of_has_rules(primitive):
    assert registry.rule_for(Primitive(primitive)) is not None


def test_every_exported_elementwise_primitive_of_one_operand_has_a_rule():
    """A primitive that JAX adds shows up here instead of in a user's model."""
    functions = {
        "acos": lax.acos, "asin": lax.asin, "atan": lax.atan, "cbrt": lax.cbrt, "ceil": lax.ceil, "cos": lax.cos,
        "cosh": lax.cosh, "erf": lax.erf, "erfc": lax.erfc, "exp": lax.exp, "exp2": lax.exp2, "expm1": lax.expm1,
        "floor": lax.floor, "is_finite": lax.is_finite, "lgamma": lax.lgamma, "log": lax.log, "log1p": lax.log1p,
        "logistic": lax.logistic, "neg": lax.neg, "round": lax.round, "rsqrt": lax.rsqrt, "sign": lax.sign,
        "sin": lax.sin,
        "sinh": lax.sinh, "sqrt": lax.sqrt, "square": lax.square, "tan": lax.tan, "tanh": lax.tanh, "abs": lax.abs,
        "erf_inv": lax.erf_inv, "digamma": lax.digamma, "asinh": lax.asinh, "acosh": lax.acosh, "atanh": lax.atanh,
        "bessel_i0e": lax.bessel_i0e, "bessel_i1e": lax.bessel_i1e,
    }  # fmt: skip
    made = {name: jax.make_jaxpr(f)(jnp.ones(3)).jaxpr.eqns[-1].primitive for name, f in functions.items()}
    assert [name for name, primitive in made.items() if registry.rule_for(primitive) is None] == []
