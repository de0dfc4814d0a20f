"""Targets in every form they may be given, and the ones that are refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import srd_jax as srd
from srd_jax.core.targets import as_targets
from srd_jax.errors import TargetError

LOGITS = jnp.asarray([[0.0, 3.0, 1.0], [5.0, -1.0, 2.0]])


@pytest.mark.parametrize(
    ("targets", "indices", "single"),
    [
        (None, [[1], [0]], True),
        (2, [[2], [2]], True),
        (np.int64(1), [[1], [1]], True),
        (np.asarray(0), [[0], [0]], True),
        ([2, 0], [[2], [0]], True),
        (np.asarray([2, 0], np.uint8), [[2], [0]], True),
        (jnp.asarray([2, 0]), [[2], [0]], True),
        ([[2, 0, 2], [1, 1, 0]], [[2, 0, 2], [1, 1, 0]], False),
        (np.asarray([[1], [2]]), [[1], [2]], False),
    ],
    ids=["predicted", "int", "numpy int", "0-d", "list", "uint8", "jax", "several", "one each"],
)
def test_targets_become_indices_per_image(targets, indices, single):
    each, is_single = as_targets(targets, LOGITS)
    np.testing.assert_array_equal(each, indices)
    assert jnp.issubdtype(each.dtype, jnp.integer)
    assert is_single is single


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (3, "class 3 does not exist: the model has classes 0 to 2"),
        (-1, "class -1 does not exist"),
        ([0, 7], "class 7 does not exist"),
        ([[0, 1], [2, -4]], "class -4 does not exist"),
        (1.0, "must be integers .class indices., not 1.0 of type float"),
        ([True, False], "must be integers .class indices., not .True, False. of type bool"),
        ([0, 1, 2], r"one int, \(2,\) ints or \(2, K\) ints for 2 images; got shape \(3,\)"),
        ("1", "must be integers .class indices., not '1' of type"),
        ({1}, "must be integers"),
        ([[0], [1, 2]], "integers in a rectangular array"),
        (np.zeros((2, 0), int), r"got shape \(2, 0\)"),
        ([], r"got shape \(0,\)"),
        (2**33 + 1, "class 8589934593 does not exist"),
        (np.asarray([0, 2**33 + 1]), "class 8589934593 does not exist"),
        (np.uint64(2**64 - 1), "class 18446744073709551615 does not exist"),
        (10**30, "class int does not exist"),
        (True, "must be integers .class indices., not True of type bool"),
        (np.asarray([0.0, 1.0]), "must be integers"),
        ([0], r"got shape \(1,\)"),
        (np.zeros((3, 2), int), r"got shape \(3, 2\)"),
        (np.zeros((2, 1, 1), int), r"got shape \(2, 1, 1\)"),
    ],
)
def test_targets_that_are_refused(targets, said):
    with pytest.raises(TargetError, match=said):
        as_targets(targets, LOGITS)


def test_targets_may_be_traced():
    def indices(targets):
        return as_targets(targets, LOGITS)[0]

    np.testing.assert_array_equal(jax.jit(indices)(jnp.asarray([2, 0])), [[2], [0]])
    np.testing.assert_array_equal(jax.jit(indices)(1), [[1], [1]])
    with pytest.raises(TargetError, match=r"got shape \(3,\)"):
        jax.jit(indices)(jnp.asarray([0, 1, 2]))


def test_the_predicted_class_may_be_traced():
    np.testing.assert_array_equal(jax.jit(lambda logits: as_targets(None, logits)[0])(LOGITS), [[1], [0]])


def network(_, x):
    return jnp.tanh(x).mean((1, 2))


IMAGES = jax.random.normal(jax.random.key(0), (2, 4, 3, 3))


@pytest.mark.parametrize("contrast", ["spatial", "class", None])
def test_the_map_of_a_traced_class_that_does_not_exist_is_nan(contrast):
    heat = jax.jit(srd.explain(network, contrast=contrast))(None, IMAGES, jnp.asarray([[0, 3], [-1, 2]]))
    np.testing.assert_array_equal(jnp.isnan(heat).all((2, 3)), [[False, True], [True, False]])
    np.testing.assert_array_equal(jnp.isnan(heat).any((2, 3)), [[False, True], [True, False]])


def test_one_logit_has_no_other_class():
    with pytest.raises(TargetError, match="there is one logit"):
        srd.explain(lambda _, x: network(_, x)[:, :1], contrast="class")(None, IMAGES, 0)


def test_an_unknown_contrast_of_a_flow():
    _, flow = srd.decompose(network)(None, IMAGES)
    with pytest.raises(ValueError, match="contrast must be one of 'spatial', 'class', None, not 'classes'"):
        flow.relevance(0, contrast="classes")
