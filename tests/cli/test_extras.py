"""A missing extra is named; a fault of our own is not taken for one."""

import pytest

from srd_jax.cli.extras import needing
from srd_jax.errors import SRDError


def test_the_extra_is_named():
    with pytest.raises(SRDError, match=r"needs nowhere_to_be_found: pip install 'srd_jax\[data\]'"), needing("data"):
        import nowhere_to_be_found  # noqa: F401, PLC0415


def test_a_module_of_ours_that_is_missing_is_a_fault():
    with pytest.raises(ModuleNotFoundError, match=r"srd_jax\.nowhere"), needing("data"):
        import srd_jax.nowhere  # noqa: F401, PLC0415
