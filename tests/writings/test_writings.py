"""The same network, written in another way, gives the same map or is refused."""

from functools import cache

import jax
import pytest

from tests.writings.agreement import SAME_LOGITS, SAME_MAPS, compare, explain
from tests.writings.families import FAMILIES, MAY_BE_REFUSED

pytestmark = pytest.mark.slow

BY_NAME = {family.name: family for family in FAMILIES}
CASES = [
    pytest.param(family.name, name, bias, id=f"{family.name}: {name}, {bias}")
    for family in FAMILIES
    for bias in family.biases
    for name in family.writings
]


@cache
def reference(family, bias):
    return explain(BY_NAME[family].reference, bias)


@pytest.mark.parametrize(("family", "name", "bias"), CASES)
def test_a_writing_gives_the_map_of_its_reference_or_is_refused(family, name, bias):
    with jax.enable_x64(True):
        found = compare(BY_NAME[family].writings[name], reference(family, bias), bias)
    assert found.logits < SAME_LOGITS, "it is another network"
    if found.verdict == "refused":
        assert (family, name) in MAY_BE_REFUSED, found.why
    else:
        assert found.maps < SAME_MAPS


def test_what_may_be_refused_is_a_writing():
    written = {(family.name, name) for family in FAMILIES for name in family.writings}
    assert written >= MAY_BE_REFUSED
    assert len(written - MAY_BE_REFUSED) >= 40
