"""How the programs of tests are compiled: most run once, so that optimising them would take longest of all."""

import os
import subprocess
import sys

__all__ = ["QUICK", "choose_flags", "on_devices"]

QUICK = ("--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false", "--xla_backend_optimization_level=0")
"""Flags of XLA, the quickest first; which of them a release knows, only asking it tells."""


def choose_flags() -> None:
    """Let this process and those that it starts compile quickly, unless ``XLA_FLAGS`` is set already.

    With ``XLA_FLAGS= pytest`` programs are compiled as users compile them.
    """
    if "XLA_FLAGS" in os.environ:
        return
    for flags in QUICK:
        command = [sys.executable, "-c", "import jax; jax.devices()"]
        if not subprocess.run(
            command, env=os.environ | {"XLA_FLAGS": flags}, capture_output=True, check=False
        ).returncode:
            os.environ["XLA_FLAGS"] = flags
            return


def on_devices(count: int) -> dict[str, str]:
    """The environment of a process with so many simulated devices, which compiles as this one does."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
    return os.environ | {"XLA_FLAGS": flags.strip(), "JAX_PLATFORMS": "cpu"}
