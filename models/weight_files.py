"""Where weights come from: a mapping, a .safetensors file, a PyTorch checkpoint, or the Hugging Face hub.

No source runs code: checkpoints are read with PyTorch's weights-only loader.
"""

import importlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import huggingface_hub
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from srd_jax.errors import WeightsError

__all__ = ["class_names", "download", "hub_repository", "read"]

HUB_FILE = "model.safetensors"


def hub_repository(model: str) -> str:
    """Repository of torchvision's ImageNet-1k weights (the V1 set) for a model on the Hugging Face hub."""
    return f"timm/{model}.tv_in1k"


def download(model: str) -> Path:
    """Path of a model's pretrained .safetensors file, downloaded from the hub on first use and cached.

    Raises:
        WeightsError: if the file is neither cached nor within reach.
    """
    repository = hub_repository(model)
    try:
        return Path(huggingface_hub.hf_hub_download(repo_id=repository, filename=HUB_FILE))
    except Exception as error:  # the hub's own errors, its HTTP library's and the disk's share no base class
        raise WeightsError(
            f"the pretrained weights of {model} ({repository} on the Hugging Face hub) could not be downloaded: "
            f"{type(error).__name__}. Pass weights=FILE, a .safetensors or .pth file with torchvision's names, "
            'or weights="untrained".'
        ) from error


def read(source: str | os.PathLike[str] | Mapping[str, Any]) -> Mapping[str, Any]:
    """A mapping of parameter names to arrays, from a file or as given; {"state_dict": ...} is unwrapped.

    Args:
        source: a mapping, or the path of a .safetensors, .pth or .pt file (the last two need PyTorch).

    Raises:
        WeightsError: if there is no such file, it is of another kind, damaged, or holds anything but plain arrays.
    """
    if isinstance(source, Mapping):
        state: Any = source
    else:
        path = Path(source)
        if path.suffix.lower() not in _READERS:
            raise WeightsError(
                f'weights={os.fspath(source)!r} is neither "untrained" nor a file that can be read: pass a '
                f"{', '.join(_READERS)} file."
            )
        if not path.is_file():
            raise WeightsError(f"there is no weights file {path}.")
        state = _READERS[path.suffix.lower()](path)
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise WeightsError("the weights must be a mapping of parameter names to arrays (a state dict).")
    return state


def class_names(source: Any) -> tuple[str, ...]:
    """The class names among a .safetensors file's metadata, () where there are none.

    Args:
        source: what `read` takes.
    """
    if isinstance(source, Mapping) or not str(source).endswith(".safetensors"):
        return ()
    with safe_open(source, framework="numpy") as file:
        names = (file.metadata() or {}).get("class_names", "[]")
    try:
        return tuple(map(str, json.loads(names)))
    except ValueError as error:
        raise WeightsError(f"{source} has class names that are no JSON list ({error}).") from error


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, TypeError, KeyError, ValueError) as error:
        raise WeightsError(f"{path} is not a sound safetensors file ({error}).") from error


def _read_torch(path: Path) -> Any:
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        raise WeightsError(
            f"reading {path.name} needs PyTorch: pip install 'srd_jax[torch]', or pass a .safetensors file."
        ) from error
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged file raises depends on where the damage is
        raise WeightsError(
            f"{path} was not read: it is no PyTorch checkpoint, or holds more than plain tensors, and code in a "
            "checkpoint is never run. Save model.state_dict(), or convert it to .safetensors."
        ) from error


_READERS = {".safetensors": _read_safetensors, ".pth": _read_torch, ".pt": _read_torch}
