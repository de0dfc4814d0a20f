"""What the core takes for granted of the parameters that JAX's primitives have, pinned."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from tests.core.test_tracing import KERNEL, only_equation


def reduce_window(init, operation):
    return lambda x: lax.reduce_window(
        x, init, operation, (1, 3, 2, 1), (1, 1, 2, 1), ((0, 0), (1, 0), (0, 1), (0, 0)), (1, 2, 1, 1), (1, 1, 3, 1)
    )


WINDOW = {
    "window_dimensions": (1, 3, 2, 1),
    "window_strides": (1, 1, 2, 1),
    "padding": ((0, 0), (1, 0), (0, 1), (0, 0)),
    "base_dilation": (1, 2, 1, 1),
    "window_dilation": (1, 1, 3, 1),
}

PARAMETERS = [
    (
        "conv_general_dilated",
        lambda x: lax.conv_general_dilated(
            x.transpose(3, 1, 0, 2), KERNEL, (2, 1), ((1, 0), (0, 1)), (1, 2), (2, 1), ("CHNW", "HWIO", "NCHW")
        ),
        {
            "window_strides": (2, 1),
            "padding": ((1, 0), (0, 1)),
            "lhs_dilation": (1, 2),
            "rhs_dilation": (2, 1),
            "feature_group_count": 1,
            "batch_group_count": 1,
        },
    ),
    ("reduce_window_max", reduce_window(-jnp.inf, lax.max), WINDOW),
    ("reduce_window_sum", reduce_window(0.0, lax.add), WINDOW),
    ("reduce_window_min", reduce_window(jnp.inf, lax.min), WINDOW),
    ("reduce_window", reduce_window(1.0, lax.mul), WINDOW),
    (
        "dot_general",
        lambda x: lax.dot_general(x, np.ones((4, 3, 5), np.float32), (((3,), (1,)), ((2,), (0,)))),
        {"dimension_numbers": (((3,), (1,)), ((2,), (0,)))},
    ),
    ("reshape", lambda x: x.reshape(2, -1), {"new_sizes": (2, 48), "dimensions": None}),
    (
        "broadcast_in_dim",
        lambda x: lax.broadcast_in_dim(x, (2, 4, 7, 4, 3), (0, 1, 3, 4)),
        {"shape": (2, 4, 7, 4, 3), "broadcast_dimensions": (0, 1, 3, 4)},
    ),
    (
        "slice",
        lambda x: x[:, 1:, ::2],
        {"start_indices": (0, 1, 0, 0), "limit_indices": (2, 4, 4, 3), "strides": (1, 1, 2, 1)},
    ),
    ("slice", lambda x: x[:, 1:], {"start_indices": (0, 1, 0, 0), "limit_indices": (2, 4, 4, 3), "strides": None}),
    (
        "pad",
        lambda x: lax.pad(x, 0.0, [(0, 0, 0), (1, 2, 0), (-1, 0, 1), (0, 0, 0)]),
        {"padding_config": ((0, 0, 0), (1, 2, 0), (-1, 0, 1), (0, 0, 0))},
    ),
    ("split", lambda x: jnp.split(x, [1], -1), {"sizes": (1, 2), "axis": 3}),
    ("concatenate", lambda x: jnp.concatenate([x, x], 1), {"dimension": 1}),
    ("transpose", lambda x: x.transpose(0, 3, 1, 2), {"permutation": (0, 3, 1, 2)}),
    ("squeeze", lambda x: lax.squeeze(x.sum(1, keepdims=True), (1,)), {"dimensions": (1,)}),
    ("rev", lambda x: lax.rev(x, (1, 3)), {"dimensions": (1, 3)}),
    ("reduce_sum", lambda x: jnp.sum(x, (1, 2)), {"axes": (1, 2)}),
    ("reduce_max", lambda x: jnp.max(x, (1, 2)), {"axes": (1, 2)}),
    ("reduce_min", lambda x: jnp.min(x, 3), {"axes": (3,)}),
    ("argmax", lambda x: lax.argmax(x, 3, jnp.int32), {"axes": (3,)}),
    ("cumsum", lambda x: lax.cumsum(x, 3), {"axis": 3}),
    ("cummax", lambda x: lax.cummax(x, 3), {"axis": 3}),
    ("name", lambda x: checkpoint_name(x, "layer1"), {"name": "layer1"}),
]


@pytest.mark.parametrize(
    ("primitive", "f", "parameters"), PARAMETERS, ids=[f"{p[0]}-{i}" for i, p in enumerate(PARAMETERS)]
)
def test_parameters_that_rules_read(primitive, f, parameters):
    found = only_equation(f, primitive).params
    assert {name: found[name] for name in parameters} == parameters


def test_specs_of_a_convolution_count_batch_then_feature_then_space():
    f, parameters = PARAMETERS[0][1:]
    del parameters
    numbers = only_equation(f, "conv_general_dilated").params["dimension_numbers"]
    assert numbers.lhs_spec == (2, 0, 1, 3)  # "CHNW": where N, C, H, W are
    assert numbers.rhs_spec == (3, 2, 0, 1)  # "HWIO": where O, I, H, W are
    assert numbers.out_spec == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("primitive", "multiple"),
    [
        ("reduce_window", True), ("split", True), ("custom_jvp_call", True), ("optimization_barrier", True),
        ("reduce_window_max", False), ("conv_general_dilated", False),
    ],
)  # fmt: skip
def test_whether_a_primitive_returns_a_list(primitive, multiple):
    functions = {p[0]: p[1] for p in PARAMETERS}
    functions |= {"custom_jvp_call": jax.nn.relu, "optimization_barrier": lax.optimization_barrier}
    assert only_equation(functions[primitive], primitive).primitive.multiple_results is multiple


def test_every_equation_can_be_bound_from_its_parameters():
    for primitive, f, _ in PARAMETERS:
        eqn = only_equation(f, primitive)
        assert isinstance(eqn.primitive.get_bind_params(eqn.params), dict)
