"""Compiler options with which a program that runs only once is there soonest."""

import jax


def _known(options: dict) -> bool:
    """Whether this compiler, which knows other options in other releases, takes these."""
    try:
        jax.jit(lambda: 0, compiler_options=options)()
    except jax.errors.JaxRuntimeError:
        return False
    return True


CHEAP = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
_UNFUSED = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
QUICK = _UNFUSED if _known(_UNFUSED) else CHEAP  # twice as quick as CHEAP for small programs, where there is a choice
