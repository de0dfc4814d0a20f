"""What pyproject.toml says of the package and of its tests."""

import tomllib
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
FOLDERS = {ROOT / SETUPTOOLS["package-dir"].get(name, name.replace(".", "/")): name for name in SETUPTOOLS["packages"]}


def test_every_package_is_installed():
    assert {file.parent for top in ("srd_jax", "models") for file in (ROOT / top).rglob("*.py")} == set(FOLDERS)


def test_every_file_of_a_package_is_installed():
    files = {file for folder in FOLDERS for file in folder.iterdir() if file.is_file() and file.suffix != ".py"}
    patterns = [(folder, each) for folder, name in FOLDERS.items() for each in SETUPTOOLS["package-data"].get(name, ())]
    assert files == {file for folder, pattern in patterns for file in folder.glob(pattern)}


@pytest.mark.parametrize("category", [DeprecationWarning, PendingDeprecationWarning, FutureWarning])
def test_only_what_this_project_uses_must_not_be_deprecated(category):
    for other in ("flax.nnx", "jax", "srd_jax_plugin", "contests"):
        warnings.warn_explicit("old", category, "there.py", 1, module=other)
    for own in ("srd_jax", "srd_jax.cli", "tests.test_packaging", "__main__", "<string>"):
        with pytest.raises(category):
            warnings.warn_explicit("old", category, "here.py", 1, module=own)
