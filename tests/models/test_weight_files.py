import pickle
import sys
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.flax import save_file as save_jax
from safetensors.numpy import save_file

from srd_jax.errors import WeightsError
from srd_jax.models import weight_files

STATE = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "a.bias": np.ones(2, np.float16)}


class Payload:
    """Runs code when it is unpickled: writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def same(found, expected=STATE):
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(np.asarray(found[name]), array)


def test_a_mapping_is_taken_as_it_is():
    assert weight_files.read(STATE) is STATE


def test_a_state_dict_inside_is_unwrapped():
    assert weight_files.read({"epoch": 3, "state_dict": STATE}) is STATE


@pytest.mark.parametrize("state", [{0: np.ones(1)}, {("a", "b"): np.ones(1)}])
def test_names_must_be_strings(state):
    with pytest.raises(WeightsError, match="mapping of parameter names"):
        weight_files.read(state)


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("name", ["w.safetensors", "W.SAFETENSORS"])
def test_safetensors(tmp_path, kind, name):
    save_file(STATE, tmp_path / name)
    same(weight_files.read(kind(tmp_path / name)))


def test_safetensors_in_bfloat16(tmp_path):
    save_jax({"a": jnp.full(3, 1.5, jnp.bfloat16)}, tmp_path / "w.safetensors")
    assert weight_files.read(tmp_path / "w.safetensors")["a"].astype(np.float32).tolist() == [1.5, 1.5, 1.5]


def test_a_pickle_called_safetensors_is_not_unpickled(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
    with pytest.raises(WeightsError, match="not a sound safetensors file"):
        weight_files.read(tmp_path / "w.safetensors")
    assert not (tmp_path / "ran").exists()


def test_a_truncated_safetensors_file(tmp_path):
    save_file(STATE, tmp_path / "w.safetensors")
    whole = (tmp_path / "w.safetensors").read_bytes()
    (tmp_path / "w.safetensors").write_bytes(whole[:-5])
    with pytest.raises(WeightsError, match="not a sound safetensors file"):
        weight_files.read(tmp_path / "w.safetensors")


@pytest.mark.parametrize("source", ["imagenet", "weights.npz", "weights", ""])
def test_other_sources_are_refused_with_what_can_be_read(source):
    with pytest.raises(WeightsError, match=r'"untrained".*\.safetensors, \.pth, \.pt'):
        weight_files.read(source)


@pytest.mark.parametrize("suffix", ["safetensors", "pth", "pt"])
def test_a_missing_file(tmp_path, suffix):
    with pytest.raises(WeightsError, match="there is no weights file"):
        weight_files.read(tmp_path / f"none.{suffix}")


def test_a_folder_is_not_a_file(tmp_path):
    (tmp_path / "w.safetensors").mkdir()
    with pytest.raises(WeightsError, match="there is no weights file"):
        weight_files.read(tmp_path / "w.safetensors")


def test_without_pytorch_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "w.pth").touch()
    monkeypatch.setitem(sys.modules, "torch", None)  # import now fails
    with pytest.raises(WeightsError, match=r"srd_jax\[torch\]"):
        weight_files.read(tmp_path / "w.pth")


def test_pytorch_is_asked_for_weights_only(tmp_path, monkeypatch):
    calls = []

    def load(path, **options):
        calls.append((path, options))
        return {"state_dict": STATE}

    (tmp_path / "w.pt").touch()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(load=load))
    same(weight_files.read(tmp_path / "w.pt"))
    assert calls == [(tmp_path / "w.pt", {"map_location": "cpu", "weights_only": True})]


def test_a_checkpoint_that_is_no_mapping(tmp_path, monkeypatch):
    (tmp_path / "w.pt").touch()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(load=lambda *_, **__: [1, 2]))
    with pytest.raises(WeightsError, match="mapping of parameter names"):
        weight_files.read(tmp_path / "w.pt")


def test_the_hub_is_asked_for_torchvisions_weights(monkeypatch, tmp_path):
    calls = []

    def hub(**options):
        calls.append(options)
        return str(tmp_path / "model.safetensors")

    monkeypatch.setattr(weight_files.huggingface_hub, "hf_hub_download", hub)
    assert weight_files.download("vgg16_bn") == tmp_path / "model.safetensors"
    assert calls == [{"repo_id": "timm/vgg16_bn.tv_in1k", "filename": "model.safetensors"}]


@pytest.mark.parametrize("error", [ConnectionError("no route"), TimeoutError(), RuntimeError("closed")])
def test_an_unreachable_hub_says_what_to_do(monkeypatch, error):
    def hub(**_):
        raise error

    monkeypatch.setattr(weight_files.huggingface_hub, "hf_hub_download", hub)
    with pytest.raises(WeightsError, match=r'timm/resnet18\.tv_in1k.*weights=FILE.*weights="untrained"') as caught:
        weight_files.download("resnet18")
    assert caught.value.__cause__ is error


def test_a_real_hub_offline(monkeypatch, tmp_path):
    monkeypatch.setattr(weight_files.huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(weight_files.huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="could not be downloaded"):
        weight_files.download("resnet18")


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("name", ["w.pth", "w.pt"])
def test_checkpoints(torch, tmp_path, name, wrap):
    state = {key: torch.from_numpy(array.copy()) for key, array in STATE.items()}
    torch.save({"state_dict": state, "epoch": 2} if wrap else state, tmp_path / name)
    same(weight_files.read(tmp_path / name))


def test_code_in_a_checkpoint_is_not_run(torch, tmp_path):
    torch.save({"a": Payload(tmp_path / "ran")}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="never run"):
        weight_files.read(tmp_path / "w.pth")
    (tmp_path / "w.pth").write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
    with pytest.raises(WeightsError, match="never run"):
        weight_files.read(tmp_path / "w.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut short"])
def test_a_damaged_checkpoint(torch, tmp_path, content):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(WeightsError, match="no PyTorch checkpoint"):
        weight_files.read(tmp_path / "w.pth")
