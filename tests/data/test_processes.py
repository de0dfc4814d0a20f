"""Where a process has a problem, all end; one alone with its own."""

import pytest

from srd_jax.data import processes
from srd_jax.errors import SRDError


def test_what_is_made_is_handed_on():
    assert processes.agreed("here", lambda: 7) == 7


def test_a_problem_ends_the_work():
    def work():
        raise SRDError("no space")

    with pytest.raises(SRDError, match="no space"):
        processes.agreed("here", work)
    with pytest.raises(SRDError, match="gone"):
        processes.together("here", SRDError("gone"))
    processes.together("here")
