"""The reference implementation's arrays, one image at a time, float32 on the CPU."""

import pytest

from tests.golden.compare import differences


@pytest.mark.slow
@pytest.mark.parametrize(("name", "arrays"), [("resnet50", 15), ("vgg16", 5)])
def test_every_golden_array_agrees(name, arrays):
    found = differences(name)
    assert len(found) == arrays
    assert {key: value for key, value in found.items() if not value < 1e-4} == {}
