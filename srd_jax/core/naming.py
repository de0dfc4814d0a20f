"""What a step of a traced program is called, and where in the user's code it stands."""

import re
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

__all__ = ["label_of", "module_of", "user_line"]

_WRAPPED = re.compile(r"\b(?:vmap|jvp|transpose)\(([^()]*)\)")
"""A scope inside a transformation of JAX's."""

_JAX = str(Path(jax.__file__).parent)
_INSTALLED = (sysconfig.get_path("purelib"), sysconfig.get_path("stdlib"), _JAX, str(Path(__file__).parents[1]))


def module_of(path: Sequence[Any]) -> str:
    """Where in a model a variable is, by its path in the pytree of variables: ``blocks.0.conv``."""
    names = [jax.tree_util.keystr((key,), simple=True) for key in path]
    while names and names[-1] in ("value", "raw_value"):
        names.pop()
    return ".".join(names[1:-1] if names[:1] == ["params"] else names[:-1])


def label_of(scope: str, module: str) -> str:
    """What to call a result: its scope, or the module whose variable it reads where the scope says little."""
    bare = scope
    while (unwrapped := _WRAPPED.sub(r"\1", bare)) != bare:
        bare = unwrapped
    if module and (bare != scope or not scope):
        return module
    return "/".join(part for part in bare.split("/") if part)


def _is_outside_jax(file: str) -> bool:
    ours = file.startswith((_JAX, str(Path(__file__).parents[1])))
    return not ours and ("-packages/" in file or not file.startswith(sysconfig.get_path("stdlib")))


def user_line(source_info: Any) -> str:
    """The innermost line outside installed packages, with the innermost outside JAX where that is another.

    Empty for a step of a library's own jit.
    """
    frames = getattr(source_info.traceback, "frames", ()) or ()
    own = next((f for f in frames if not f.file_name.startswith(_INSTALLED) and "-packages/" not in f.file_name), None)
    inner = next((f for f in frames if _is_outside_jax(f.file_name)), None)
    lines = [f"{f.file_name}:{f.line_num} ({f.function_name})" for f in (own, inner) if f is not None]
    return " through ".join(dict.fromkeys(lines))
