"""Annotations are checked while the tests run, in the packages whose values are plain arrays."""

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

CHECKED = ["srd_jax.metrics"]
install_import_hook(CHECKED, "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that makes fuzzing longer."""
    parser.addoption("--fuzz", type=int, default=1, metavar="N", help="N times the usual examples of every fuzzed test")


def pytest_configure(config: pytest.Config) -> None:
    """Let every test with examples see how many are wanted."""
    times = config.getoption("--fuzz")
    if times != 1:
        settings.register_profile("fuzz", max_examples=times * settings().max_examples)
        settings.load_profile("fuzz")
