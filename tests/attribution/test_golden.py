"""Other people's arrays, one image at a time, float32 on the CPU."""

import pytest

from tests.golden import methods

LOOPS = ("integrated_gradients_50", "smoothgrad_8", "occlusion_16", "scorecam")
"""What runs convolutions in loops takes minutes as the tests compile; the command compares these too."""


@pytest.mark.slow
@pytest.mark.parametrize("array", [array for array in methods.WAYS if array not in LOOPS])
def test_a_method_agrees(array):
    whole, _ = methods.differences("resnet18", array)
    assert whole < 1e-4
