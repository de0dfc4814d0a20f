"""Where weights come from: a mapping, a .safetensors file, a PyTorch checkpoint, or the Hugging Face hub.

No source runs code: checkpoints are read with PyTorch's weights-only loader.
"""

import importlib
import json
import os
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import huggingface_hub
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from srd_jax.errors import WeightsError
from srd_jax.files import is_address
from srd_jax.messages import shortened

from .families import family_of

__all__ = ["class_names", "download", "hub_repository", "read"]

HUB_FILE = "model.safetensors"

# what training scripts call the parameters beside the optimiser's state
_NESTS = (
    "state_dict", "model_state_dict", "model", "net", "network", "module", "backbone",
    "model_ema", "state_dict_ema", "ema_state_dict", "ema",
)  # fmt: skip
_DEEPEST = 4
_LARGEST = 4 * 2**30  # bytes; the largest model has 0.6 GB of parameters
_LONGEST_NAME = 1000
_STORED_AS = frozenset({"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"})


def hub_repository(model: str) -> str:
    """Repository of a model's pretrained weights on the Hugging Face hub."""
    family = family_of(model)
    return family.entries[model].repository or family.repository.format(name=model)


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
    """A mapping of parameter names to arrays, from a file or as given.

    What training scripts put around it, as in ``{"state_dict": ..., "epoch": 3}``, is taken off.

    Args:
        source: a mapping, or the path of a .safetensors file or of a PyTorch checkpoint (.pth, .pt, .ckpt, .bin,
            .pth.tar), which needs PyTorch.

    Raises:
        WeightsError: if there is no such file, it is of another kind, damaged, too large, or holds anything but plain
            arrays, or several sets of weights.
    """
    if isinstance(source, Mapping):
        return _unwrapped(source)
    if not isinstance(source, str | os.PathLike):
        raise WeightsError(f'weights are a mapping, a file\'s path or "untrained", not a {type(source).__name__}.')
    path = Path(os.fsdecode(source))
    reader = _READERS.get(_suffix(path))
    if is_address(os.fsdecode(source)):
        raise WeightsError(f"weights are read from files: download {shortened(source)} and pass the file.")
    if reader is None:
        raise WeightsError(
            f'weights={shortened(source)!r} is neither "untrained" nor a file that can be read: pass a '
            f"{', '.join(_READERS)} file."
        )
    try:
        size = path.stat().st_size if path.is_file() else None
    except OSError:  # such as a name that is too long for the file system
        size = None
    if size is None:
        raise WeightsError(f"there is no weights file {shortened(path)}.")
    if size > _LARGEST:
        raise WeightsError(f"{shortened(path)} has {size / 2**30:.1f} GiB, more than the weights of any model here.")
    return _unwrapped(reader(path))


def class_names(source: Any) -> tuple[str, ...]:
    """The class names among a .safetensors file's metadata, () where there are none.

    Args:
        source: what `read` takes.

    Raises:
        WeightsError: if what is there is no list of names.
    """
    if isinstance(source, Mapping) or _suffix(Path(source)) != ".safetensors":
        return ()
    try:
        with safe_open(source, framework="numpy") as file:
            text = (file.metadata() or {}).get("class_names")
    except (SafetensorError, OSError) as error:
        raise _unsound(Path(source), error) from error
    if text is None:
        return ()
    try:
        names = json.loads(text)
        sound = isinstance(names, list) and all(
            isinstance(name, str) and name.strip() and len(name.encode()) <= _LONGEST_NAME for name in names
        )
    except (ValueError, RecursionError):
        sound = False
    if not sound or not names:
        raise WeightsError(
            f"{shortened(source)} has class names that are no JSON list of names: {shortened(text)}. "
            "Save it without them, or with one for each class."
        )
    return tuple(names)


def _suffix(path: Path) -> str:
    """Which of the kinds of file that can be read the name ends as, in small letters; else nothing."""
    return next((suffix for suffix in _READERS if path.name.lower().endswith(suffix)), "")


def _unwrapped(state: Any) -> Mapping[str, Any]:
    """The mapping of names to arrays in what a training script has saved."""
    for _ in range(_DEEPEST):
        if not isinstance(state, Mapping):
            break
        inner = [name for name, value in state.items() if isinstance(value, Mapping)]
        found = [name for name in _NESTS if name in inner]
        if not inner and all(isinstance(name, str) for name in state):
            return state
        if len(found) != 1 and inner:
            what = f"several sets of weights, {', '.join(found)}" if found else f"mappings, {_listed(inner)}"
            raise WeightsError(
                f"the weights hold {what}, in place of arrays by name: save or pass the one that is meant."
            )
        if not found:
            break
        state = state[found[0]]
    raise WeightsError("the weights must be a mapping of parameter names to arrays (a state dict).")


def _listed(names: list[Any]) -> str:
    shown = ", ".join(map(shortened, names[:_DEEPEST]))
    return shown if len(names) <= _DEEPEST else f"{shown} and {len(names) - _DEEPEST} more"


def _unsound(path: Path, error: Exception) -> WeightsError:
    return WeightsError(f"{shortened(path)} is not a sound safetensors file ({shortened(error)}).")


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    try:
        with safe_open(path, framework="numpy") as file:
            names = file.keys()
            stored = {file.get_slice(name).get_dtype() for name in names}
        if stored <= _STORED_AS:
            return load_file(path)
    except (SafetensorError, OSError, TypeError, KeyError, ValueError) as error:
        raise _unsound(path, error) from error
    raise WeightsError(
        f"{shortened(path)} holds {', '.join(sorted(stored - _STORED_AS))}, which is not read: save the weights as "
        "float32, float16 or bfloat16."
    )


def _read_torch(path: Path) -> Any:
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        raise WeightsError(
            f"reading {shortened(path.name)} needs PyTorch: pip install 'srd_jax[torch]', or pass a .safetensors file."
        ) from error
    _check_archive(path)
    try:
        with warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged file raises depends on where the damage is
        raise WeightsError(
            f"{shortened(path)} was not read: it is no PyTorch checkpoint, or holds more than plain tensors"
            f"{_foreign(torch, path)}, and code in a checkpoint is never run. Save model.state_dict(), or convert it "
            "to .safetensors."
        ) from error


def _check_archive(path: Path) -> None:
    """Refuse an archive that grows when it is unpacked: PyTorch's own do not, and memory has an end."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # older checkpoints are no archives, and PyTorch says what it finds wrong with others
    if unpacked > path.stat().st_size:
        raise WeightsError(f"{shortened(path)} is a compressed archive, as PyTorch saves none: save it again.")


def _foreign(torch: Any, path: Path) -> str:
    """The classes in a checkpoint that are not PyTorch's own, in brackets."""
    try:
        found = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # a damaged file, or a version of PyTorch that does not tell
        return ""
    return f" ({_listed(found)})" if found else ""


_READERS = {
    ".safetensors": _read_safetensors,
    ".pth": _read_torch,
    ".pt": _read_torch,
    ".ckpt": _read_torch,
    ".bin": _read_torch,
    ".pth.tar": _read_torch,
}
