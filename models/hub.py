"""Pretrained weights from the Hugging Face hub, or a quick word that it is out of reach."""

from pathlib import Path

import huggingface_hub

from srd_jax.errors import WeightsError

from . import weight_files

__all__ = ["fetch"]

_SECONDS = 5.0


def fetch(model: str) -> Path:
    """Path of a model's pretrained .safetensors file, from the cache or downloaded into it.

    Args:
        model: as in `srd_jax.models.names`.

    Raises:
        WeightsError: the file is neither cached nor within reach, which one request finds out.
    """
    repository, file = weight_files.hub_repository(model), weight_files.HUB_FILE
    cached = huggingface_hub.try_to_load_from_cache(repository, file)
    if isinstance(cached, str):
        return Path(cached)
    try:
        # the download itself would try again for half a minute, and report every time
        huggingface_hub.get_hf_file_metadata(huggingface_hub.hf_hub_url(repository, file), timeout=_SECONDS)
    except Exception as error:  # the hub's own errors and its HTTP library's share no base class
        raise WeightsError(
            f"the pretrained weights of {model} ({repository} on the Hugging Face hub) are out of reach "
            f"({type(error).__name__}). Pass weights=FILE, a .safetensors or .pth file with torchvision's names, "
            'or weights="untrained".'
        ) from error
    return weight_files.download(model)
