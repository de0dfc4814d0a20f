"""What is loaded with the package: no neural-network library, no pictures, no command line."""

import subprocess
import sys

import pytest

HEAVY = (
    "flax", "matplotlib", "typer", "rich", "PIL", "skimage", "huggingface_hub", "safetensors.torch", "torch", "optax",
    "orbax", "grain", "tensorstore", "tensorflow", "tensorflow_datasets", "equinox", "haiku",
)  # fmt: skip


def loaded(code):
    """Which of the heavy libraries a program has loaded at its end."""
    program = f"{code}\nimport sys\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split("\n")[-2].split())


@pytest.mark.parametrize(
    "module", ["srd_jax", "srd_jax.extend", "srd_jax.attribution", "srd_jax.metrics", "srd_jax.zrule"]
)
def test_the_library_needs_jax_alone(module):
    assert loaded(f"import {module}") == set()


HELP = """
from typer.testing import CliRunner
from srd_jax.cli import app
CliRunner().invoke(app, ["explain", "--help"])
"""


def test_help_loads_no_model_and_no_picture():
    assert loaded(HELP) <= {"typer", "rich"}
