"""How JAX keeps calls, pinned, and what tracing makes of a program."""

from functools import partial

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend.core import primitives as jp

from srd_jax.core import tracing
from srd_jax.core.evaluate import evaluate
from srd_jax.core.tracing import Constant
from srd_jax.errors import ShapeError

IMAGES = jnp.linspace(-1, 1, 2 * 4 * 4 * 3, dtype=jnp.float32).reshape((2, 4, 4, 3))
KERNEL = np.ones((3, 2, 3, 5), np.float32)


def trace(f, variables=None, images=IMAGES):
    return tracing.trace(jax.make_jaxpr(f, return_shape=True), variables, images)


def run(program, images=IMAGES, variables=()):
    known = dict(program.constants)
    known.update(zip(program.arguments, [*variables, images], strict=True))
    return evaluate(program.equations, known, program.output)


def names(program):
    return [equation.primitive.name for equation in program.equations]


def channel_mean(x):
    return jnp.mean(x, range(1, x.ndim - 1))


def only_equation(f, primitive):
    (found,) = [eqn for eqn in jax.make_jaxpr(f)(IMAGES).jaxpr.eqns if eqn.primitive.name == primitive]
    return found


@jax.custom_vjp
def doubled(x):
    return x * 2


doubled.defvjp(lambda x: (x * 2, None), lambda _, g: (g * 2,))


@pytest.mark.parametrize(
    ("f", "primitive", "parameter", "closed"),
    [
        (jax.jit(jnp.sin), jp.jit_p, "jaxpr", True),
        (jax.checkpoint(jnp.sin), jp.remat_p, "jaxpr", False),
        (jax.nn.relu, jp.custom_jvp_call_p, "call_jaxpr", True),
        (doubled, jp.custom_vjp_call_p, "call_jaxpr", True),
    ],
    ids=["jit", "remat", "custom_jvp", "custom_vjp"],
)
def test_where_a_call_keeps_its_jaxpr(f, primitive, parameter, closed):
    eqn = only_equation(f, primitive.name)
    assert eqn.primitive is primitive
    assert isinstance(eqn.params[parameter], jex.ClosedJaxpr if closed else jex.Jaxpr)


def as_closed_call(f, primitive, *, closed):
    """A traced function whose one jit is replaced by another kind of call."""
    whole = jax.make_jaxpr(lambda variables, images: jax.jit(f)(images))(None, IMAGES)
    (eqn,) = whole.jaxpr.eqns
    inner = eqn.params["jaxpr"]
    call = eqn.replace(primitive=primitive, params={"call_jaxpr": inner if closed else inner.jaxpr})
    return jex.ClosedJaxpr(whole.jaxpr.replace(eqns=[call]), whole.consts), jax.ShapeDtypeStruct((2, 3), jnp.float32)


@pytest.mark.parametrize(
    ("primitive", "closed"), [(jp.closed_call_p, True), (jp.call_p, False)], ids=["closed_call", "call"]
)
def test_calls_that_no_public_function_makes_are_inlined(primitive, closed):
    f = as_closed_call(channel_mean, primitive, closed=closed)
    program = tracing.trace(lambda *_: f, None, IMAGES)
    assert names(program) == ["reduce_sum", "div"]
    np.testing.assert_allclose(run(program), channel_mean(IMAGES), atol=1e-6)


@pytest.mark.parametrize(
    ("wrap", "primitives"),
    [
        (jax.jit, ["sin"]),
        (jax.checkpoint, ["sin"]),
        (lambda f: jax.jit(jax.checkpoint(jax.jit(f))), ["sin"]),
        (lambda f: lambda x: doubled(f(x)), ["sin", "mul"]),
    ],
    ids=["jit", "remat", "nested", "custom_vjp"],
)
def test_calls_are_inlined(wrap, primitives):
    program = trace(lambda _, x: channel_mean(wrap(jnp.sin)(x)))
    assert names(program) == [*primitives, "reduce_sum", "div"]


def test_two_calls_of_one_cached_jaxpr_have_environments_of_their_own():
    half = jax.jit(lambda x, y: x * y + 0.5)

    def f(_, x):
        return channel_mean(half(half(x, x), x))

    first, second = [
        e.params["jaxpr"].jaxpr for e in jax.make_jaxpr(f)(None, IMAGES).jaxpr.eqns if e.primitive is jp.jit_p
    ]
    assert first is second
    np.testing.assert_allclose(run(trace(f)), f(None, IMAGES), atol=1e-6)


def test_two_calls_of_one_activation_have_results_of_their_own():
    def relu_twice(_, x):
        return channel_mean(jax.nn.relu(jax.nn.relu(x) - 0.25))

    program = trace(relu_twice)
    first, second = [e for e in program.equations if e.primitive is jp.custom_jvp_call_p]
    assert first.results != second.results
    np.testing.assert_allclose(run(program), relu_twice(None, IMAGES), atol=1e-6)


def test_results_of_calls_can_be_literals():
    @jax.jit
    def with_literal(x):
        return x, 2.0

    def f(_, x):
        x, two = with_literal(x)
        return channel_mean(x * two)

    (call, *_) = jax.make_jaxpr(f)(None, IMAGES).jaxpr.eqns
    assert isinstance(call.params["jaxpr"].jaxpr.outvars[1], jex.Literal)
    program = trace(f)
    (literal,) = program.equations[0].operands
    assert isinstance(literal, Constant)
    assert literal.value == 2
    np.testing.assert_allclose(run(program), f(None, IMAGES), atol=1e-6)


def test_arguments_can_be_results_of_calls():
    program = trace(lambda _, x: channel_mean(jax.jit(lambda a, b: (b, a))(x, x + 1)[1]))
    assert names(program) == ["reduce_sum", "div"]
    assert program.equations[0].operands == (program.image,)


def test_dead_code_is_dropped():
    def f(_, x):
        unused = jnp.sin(x)
        del unused
        both = jax.jit(lambda x: (x + 1, jnp.exp(x)))(x)
        return channel_mean(both[0])

    assert names(trace(f)) == ["add", "reduce_sum", "div"]


def test_uses_count_every_operand_and_the_output():
    def f(_, x):
        y = jnp.sin(x)
        return channel_mean(y * y + x)

    program = trace(f)
    sine, product, total, summed, mean = program.equations
    assert program.uses[program.image] == 2
    assert program.uses[sine.results[0]] == 2
    assert [program.uses[e.results[0]] for e in (product, total, summed, mean)] == [1, 1, 1, 1]


def test_what_depends_on_the_images():
    variables = {"scale": jnp.ones(3)}
    program = trace(lambda v, x: channel_mean(x) * jnp.exp(v["scale"]), variables)
    by_name = {e.primitive.name: e.results[0] for e in program.equations}
    assert by_name["exp"] not in program.from_image
    assert {program.image, by_name["reduce_sum"], by_name["mul"]} <= program.from_image


def test_arguments_are_the_leaves_of_the_variables_then_the_images():
    variables = {"b": jnp.full(3, 2.0), "a": jnp.full(3, 5.0)}
    program = trace(lambda v, x: channel_mean(x) * v["a"] + v["b"], variables)
    assert len(program.arguments) == 3
    assert program.arguments[-1] == program.image
    out = run(program, variables=jax.tree.leaves(variables))
    np.testing.assert_allclose(out, channel_mean(IMAGES) * 5 + 2, atol=1e-6)


def test_arrays_closed_over_are_constants():
    weights = jnp.arange(3.0)
    unused = jnp.arange(4.0)
    inner = jax.jit(lambda x: x * weights)
    program = trace(lambda _, x: (unused + 1, channel_mean(inner(x)))[1])
    assert [value.shape for _, value in program.constants] == [(3,)]
    np.testing.assert_allclose(run(program), channel_mean(IMAGES) * weights, atol=1e-6)


def test_scope_is_the_name_stack_through_calls():
    def block(x):
        with jax.named_scope("conv1"):
            return jnp.sin(x)

    def f(_, x):
        with jax.named_scope("Net"):
            x = jax.jit(block)(x)
            with jax.named_scope("layer1"):
                x = jax.checkpoint(jax.jit(block))(x)
        return channel_mean(x)

    scopes = [e.scope for e in trace(f).equations if e.primitive.name == "sin"]
    assert [scope.split("/")[0] for scope in scopes] == ["Net", "Net"]
    assert [scope.split("/")[-1] for scope in scopes] == ["conv1", "conv1"]
    assert "layer1" in scopes[1].split("/")
    assert trace(f).equations[-1].scope == ""


def test_where_is_the_users_line():
    def activation(x):
        return jnp.tanh(x)

    program = trace(lambda _, x: channel_mean(activation(x)))
    line = activation.__code__.co_firstlineno + 1
    assert program.equations[0].where == f"{__file__}:{line} ({activation.__qualname__})"
    assert __file__ in program.equations[1].where  # made inside jnp.mean, asked for here


def test_a_step_inside_a_library_helper_is_at_the_line_that_called_it():
    """`jnp.var` is a jit of its own, whose equations know nothing of their caller."""

    def first(_, x):
        return jnp.var(x, (1, 2))

    def second(_, x):
        return jnp.var(x, (1, 2))

    for f in (first, second):
        line = f.__code__.co_firstlineno + 1
        assert {e.where for e in trace(f).equations} == {f"{__file__}:{line} ({f.__qualname__})"}


def test_shapes_of_operands_and_results():
    program = trace(lambda _, x: jnp.sum(x, (1, 2)))
    (equation,) = program.equations
    assert equation.shapes == (jax.ShapeDtypeStruct((2, 4, 4, 3), jnp.float32),)
    assert equation.out_shapes == (jax.ShapeDtypeStruct((2, 3), jnp.float32),)


def test_an_activation_is_kept_whole_with_the_gradient_of_its_author():
    program = trace(lambda _, x: channel_mean(jax.nn.relu(x)))
    assert names(program)[0] == "custom_jvp_call"
    gradient = jax.grad(lambda x: jnp.sum(tracing.bind(program.equations[0], x)[0]))(jnp.zeros(IMAGES.shape))
    assert not np.any(gradient)  # that of a bare maximum would be 1/2


def test_what_is_written_for_several_platforms_is_its_general_form():
    def f(_, x):
        x = lax.platform_dependent(x, cpu=lambda x: x * 2, default=lambda x: x + x)
        return channel_mean(lax.platform_dependent(x, cpu=jnp.sin, tpu=jnp.cos))

    assert names(trace(f))[:2] == ["add", "cos"]


def test_a_custom_jvp_that_does_more_than_elementwise_work_is_inlined():
    @jax.custom_jvp
    def pooled(x):
        return jnp.maximum(lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"), 0)

    pooled.defjvp(lambda p, t: (pooled(*p), pooled(*t)))
    assert names(trace(lambda _, x: channel_mean(pooled(x))))[:2] == ["reduce_window_sum", "max"]
    assert "reduce_max" in names(trace(lambda _, x: channel_mean(jax.nn.softmax(x))))


@pytest.mark.parametrize(
    "f",
    [
        jax.nn.relu,
        doubled,
        partial(lax.reduce_window, init_value=1.0, computation=lax.mul, window_dimensions=(1, 2, 2, 1),
                window_strides=(1, 1, 1, 1), padding="VALID"),
        lambda x: lax.scan(lambda c, a: (c + a, a), x[0], x)[0][None].repeat(2, 0),
        lambda x: lax.cond(jnp.array(True), jnp.sin, jnp.cos, x),
        lambda x: lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * 2), (0, x))[1],
        lambda x: jnp.split(x, 2, 1)[1],
        lambda x: x @ jnp.linalg.qr(jnp.ones((3, 3)))[0],
    ],
    ids=["custom_jvp", "custom_vjp", "reduce_window", "scan", "cond", "while", "split", "linalg"],
)  # fmt: skip
def test_bound_equations_reproduce_the_function(f):
    def logits(_, x):
        return channel_mean(f(x))

    np.testing.assert_allclose(run(trace(logits)), logits(None, IMAGES), atol=1e-5)


def test_bind_returns_a_list_either_way():
    program = trace(lambda _, x: channel_mean(jnp.split(jnp.sin(x), 2, 1)[0]))
    sine, split = program.equations[:2]
    assert [len(tracing.bind(e, IMAGES)) for e in (sine, split)] == [1, 2]


def test_downstream_is_what_lies_between_values_and_the_output():
    def f(_, x):
        features = jnp.sin(x)
        gate = jnp.exp(jnp.mean(x, (1, 2)))
        return channel_mean(features * 2) * gate

    program = trace(f)
    start = program.equations[0].results[0]
    between = tracing.downstream(program.equations, [start], program.output)
    assert "sin" not in [e.primitive.name for e in between]
    assert "exp" not in [e.primitive.name for e in between]
    gate = next(e.results[0] for e in program.equations if e.primitive.name == "exp")
    known = {start: jnp.sin(IMAGES), gate: jnp.exp(jnp.mean(IMAGES, (1, 2)))}
    np.testing.assert_allclose(evaluate(between, known, program.output), f(None, IMAGES), atol=1e-6)


def test_downstream_stops_at_values_that_come_after_others():
    program = trace(lambda _, x: channel_mean(jnp.exp(jnp.sin(x))))
    sine, exponential = (e.results[0] for e in program.equations[:2])
    between = tracing.downstream(program.equations, [sine, exponential], program.output)
    assert [e.primitive.name for e in between] == ["reduce_sum", "div"]


def test_nothing_is_downstream_of_the_output():
    program = trace(lambda _, x: channel_mean(x))
    assert tracing.downstream(program.equations, [program.output], program.output) == ()


def test_a_constant_output_is_read():
    program = trace(lambda _, x: jax.jit(lambda: jnp.ones((2, 3)))())
    np.testing.assert_array_equal(run(program), np.ones((2, 3)))


@pytest.mark.parametrize(
    ("f", "said"),
    [
        (lambda _, x: x, r"\(2, 4, 4, 3\)"),
        (lambda _, x: channel_mean(x)[0], r"\(3,\)"),
        (lambda _, x: channel_mean(x)[:1], r"\(1, 3\)"),
        (lambda _, x: (channel_mean(x), x), r"\(2, 3\), \(2, 4, 4, 3\)"),
        (lambda _, x: None, "nothing"),
    ],
    ids=["map", "vector", "lost image", "tuple", "nothing"],
)
def test_other_outputs_than_logits_are_refused(f, said):
    with pytest.raises(ShapeError, match=said) as error:
        trace(f)
    assert "Wrap it: lambda variables, images:" in str(error.value)
