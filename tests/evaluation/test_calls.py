"""Calls made over and over: what compiles and what piles up is told, and the transformations do neither."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from srd_jax.evaluation.calls import Repeated, call_forms, repeat

MIB = 2**20


def f(kernel, images):
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.nn.relu(lax.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=numbers)).mean((1, 2))


@pytest.mark.slow
def test_only_first_calls_compile():
    kernel = jax.random.normal(jax.random.key(0), (3, 3, 2, 3))
    images = [jax.random.normal(jax.random.key(1), (n, 5, 4, 2)) for n in (1, 2)]
    told = []
    found = repeat(call_forms(f, kernel, images), 8, told.append)
    assert list(found) == [
        "explain", "explain under jit", "decompose, relevance and erf", "explain, 2 sizes in turn",
    ]  # fmt: skip
    assert told == [name for name in found for _ in range(8)]
    for each in found.values():
        assert each.first > 0
        assert each.later == 0
        assert list(each.memory) in ([1, 2, 4, 8], [])


def test_what_compiles_anew_is_counted():
    found = repeat({"anew": [lambda: jax.jit(lambda x: x + 1)(np.ones(3))]}, 4)["anew"]
    assert found.first == 1
    assert found.later == 3
    assert found.fault == "3 compilations after the first call"


def test_what_is_kept_is_seen():
    kept, size = [], 40 * MIB  # too large for memory that the process has and does not use
    found = repeat({"kept": [lambda: kept.append(np.ones(size // 8)) or jnp.zeros(())]}, 8)["kept"]
    if not found.memory:
        pytest.skip("this system does not tell how much memory a process has")
    assert found.growth >= 0.9 * 6 * size
    assert found.fault.startswith("memory grows by")


def test_growth_counts_from_the_second_note_on():
    assert Repeated(1, 0, {1: 0, 2: 50 * MIB, 4: 51 * MIB, 8: 52 * MIB}).growth == 2 * MIB
    assert not Repeated(1, 0, {1: 0, 2: 50 * MIB, 4: 51 * MIB, 8: 52 * MIB}).fault
    assert Repeated(1, 0, {}).growth == 0
