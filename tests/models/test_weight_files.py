import json
import os
import pickle
import struct
import sys
import zipfile
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


@pytest.mark.parametrize("nest", ["state_dict", "model_state_dict", "model", "net", "model_ema", "network", "module"])
def test_what_training_scripts_save_beside_the_weights_is_left_out(nest):
    optimiser = {"state": {0: {"momentum": np.ones(3)}}, "param_groups": []}
    assert weight_files.read({nest: STATE, "optimizer": optimiser, "epoch": 3, "net_name": "x"}) is STATE
    assert weight_files.read({"state_dict": {nest: STATE}}) is STATE


@pytest.mark.parametrize(
    ("state", "named"),
    [
        ({"model": STATE, "model_ema": STATE, "epoch": 1}, "several sets of weights, model, model_ema"),
        ({"student": STATE, "teacher": STATE}, "mappings, student, teacher"),
        ({str(i): STATE for i in range(9)}, "mappings, 0, 1, 2, 3 and 5 more"),
        ({**STATE, "extra": {}}, "mappings, extra"),
    ],
)
def test_where_weights_may_lie_is_said_and_not_guessed(state, named):
    with pytest.raises(WeightsError, match=named):
        weight_files.read(state)


def test_a_mapping_within_itself_has_an_end():
    state = {}
    state["state_dict"] = state
    with pytest.raises(WeightsError, match="mapping of parameter names"):
        weight_files.read(state)


@pytest.mark.parametrize("source", [3, None, [STATE], np.ones(3)])
def test_other_types_are_refused(source):
    with pytest.raises(WeightsError, match="not a "):
        weight_files.read(source)


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


def write(path, header, content=b""):
    """A .safetensors file of a header, as text or as what JSON makes of it, and what follows it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content)
    return path


def stored(dtype, shape, stop):
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": [0, stop]}}


UNSOUND = {
    "eight bits": (stored("F8_E4M3", [4], 4), bytes(4)),
    "eight other bits": (stored("F8_E5M2", [4], 4), bytes(4)),
    "four bits": (stored("F4", [4], 2), bytes(2)),
    "complex": (stored("C64", [1], 8), bytes(8)),
    "unknown": (stored("F" * 10**6, [1], 4), bytes(4)),
    "too many axes": (stored("F32", [1] * 100, 4), bytes(4)),
    "too wide for NumPy": (stored("F32", [0, 2**62], 0), b""),
    "more than there is": (stored("F32", [2**40], 2**42), bytes(4)),
    "nested": (b'{"a":' + b"[" * 10**5 + b"]" * 10**5 + b"}", b""),
    "metadata that is no text": ({"__metadata__": {"class_names": ["a"]}}, b""),
    "no header": (b"", b""),
}


@pytest.mark.parametrize("case", UNSOUND)
def test_an_unsound_safetensors_file_is_one_short_line(case, tmp_path):
    path = write(tmp_path / "w.safetensors", *UNSOUND[case])
    with pytest.raises(WeightsError) as caught:
        weight_files.read(path)
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


def test_a_file_longer_than_any_model(tmp_path):
    path = write(tmp_path / "w.safetensors", stored("F32", [2**31], 2**33))
    os.truncate(path, path.stat().st_size + 2**33)  # a hole, which takes no room on the disk
    with pytest.raises(WeightsError, match=r"8\.0 GiB, more than"):
        weight_files.read(path)


NO_NAMES = ['"abc"', "{}", "5", "[]", "null", "[1, 2]", '["a", ""]', '["a", ["b"]]', '["\\ud800"]', "[", "[" * 10**5,
            "9" * 5000, json.dumps(["x" * 10**6]), "nonsense"]  # fmt: skip


@pytest.mark.parametrize("name", ["w.safetensors", "W.SAFETENSORS"])
def test_class_names(tmp_path, name):
    save_file(STATE, tmp_path / name, {"class_names": json.dumps(["crane", "b\u00e4r", "crane"])})
    assert weight_files.class_names(tmp_path / name) == ("crane", "b\u00e4r", "crane")
    save_file(STATE, tmp_path / name)
    assert weight_files.class_names(str(tmp_path / name)) == ()


@pytest.mark.parametrize("text", NO_NAMES, ids=range(len(NO_NAMES)))
def test_class_names_that_are_none(tmp_path, text):
    save_file(STATE, tmp_path / "w.safetensors", {"class_names": text})
    with pytest.raises(WeightsError, match="no JSON list of names") as caught:
        weight_files.class_names(tmp_path / "w.safetensors")
    assert len(str(caught.value)) < 600


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


def test_an_address_is_no_file():
    with pytest.raises(WeightsError, match=r"download https://host/w\.pth and pass the file"):
        weight_files.read("https://host/w.pth")


def test_a_name_longer_than_a_file_system_takes(tmp_path):
    with pytest.raises(WeightsError, match="there is no weights file") as caught:
        weight_files.read(tmp_path / f"{'x' * 10**6}.pth")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("suffix", ["safetensors", "pth", "pt", "ckpt", "bin", "pth.tar", "PTH", "Pth.Tar"])
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
@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.ckpt", "w.bin", "w.pth.tar", "W.PTH"])
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


def test_a_class_that_a_checkpoint_must_not_hold_is_named(torch, tmp_path):
    torch.save({"model": {"a": torch.ones(1)}, "args": SimpleNamespace(lr=1)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"more than plain tensors \(types\.SimpleNamespace\)"):
        weight_files.read(tmp_path / "w.pth")


def test_a_checkpoint_that_unpacks_to_more_than_it_is(torch, tmp_path):
    torch.save({"a": torch.zeros(10**6)}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "w.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    with pytest.raises(WeightsError, match="compressed archive"):
        weight_files.read(tmp_path / "w.pth")
