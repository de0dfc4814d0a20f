"""Annotations are checked while the tests run, in the packages whose values are plain arrays; the versions are said."""

import os
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from platform import python_version

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

import srd_jax
from tests.compiling import choose_flags

choose_flags()
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "0"  # commands would keep programs in the user's folder

CHECKED = ["srd_jax.metrics"]
install_import_hook(CHECKED, "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

if not find_spec("srd_jax.models"):  # not an editable install: this folder's srd_jax hides the one with models in it
    srd_jax.__path__.append(str(Path(__file__).parents[1]))


def pytest_report_header() -> str:
    """With which versions the tests run."""
    libraries = (f"{name} {version(name)}" for name in ("jax", "flax", "numpy"))
    return f"versions: python {python_version()}, {', '.join(libraries)}"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that makes fuzzing longer."""
    parser.addoption("--fuzz", type=int, default=1, metavar="N", help="N times the usual examples of every fuzzed test")


def pytest_configure(config: pytest.Config) -> None:
    """Let every test with examples see how many are wanted."""
    times = config.getoption("--fuzz")
    if times != 1:
        settings.register_profile("fuzz", max_examples=times * settings().max_examples)
        settings.load_profile("fuzz")
