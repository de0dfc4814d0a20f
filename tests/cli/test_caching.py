"""Compiled programs are kept in the user's cache folder, or not, as the user says."""

import os
import subprocess
import sys

import jax
import pytest

COMMAND = (
    "from srd_jax.cli.caching import keep_programs\n"
    "import jax, sys\n"
    "keep_programs(cache=sys.argv[1] == 'yes')\n"
    "jax.jit(lambda x: x * 2 + 1)(1.0)\n"
)


def run(home, cache="yes", **more):
    environment = {name: value for name, value in os.environ.items() if "COMPILATION_CACHE" not in name}
    environment |= {"XDG_CACHE_HOME": str(home), "JAX_PLATFORMS": "cpu"} | more
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, cache], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return sorted(path.relative_to(home) for path in home.rglob("*-cache"))


@pytest.mark.skipif(sys.platform != "linux", reason="cache folders are elsewhere on other systems")
@pytest.mark.skipif(jax.__version_info__ < (0, 10, 2), reason="JAX logs errors where it finds programs again")
def test_programs_are_kept_in_the_users_cache_folder(tmp_path):
    kept = run(tmp_path)
    assert kept
    assert {str(path.parent) for path in kept} == {"srd_jax/programs"}
    assert run(tmp_path) == kept


def test_none_are_kept_where_the_user_wants_none(tmp_path):
    assert run(tmp_path, "no") == []
    assert run(tmp_path, JAX_ENABLE_COMPILATION_CACHE="0") == []


def test_a_folder_that_the_environment_names_is_used_instead(tmp_path):
    other = tmp_path / "other"
    kept = run(tmp_path, JAX_COMPILATION_CACHE_DIR=str(other), JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0")
    assert {path.parts[0] for path in kept} == {"other"}


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / "file").write_text("no folder")
    assert run(tmp_path / "file") == []
