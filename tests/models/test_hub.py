"""The hub within reach, out of reach, and not needed."""

import time

import huggingface_hub
import huggingface_hub.constants
import pytest

import srd_jax as srd
from srd_jax.models import hub, load, weight_files


@pytest.fixture(autouse=True)
def nothing_cached(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))


def test_a_hub_out_of_reach_is_found_out_at_once_and_in_silence(monkeypatch, capfd):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(weight_files, "download", lambda _: pytest.fail("tried for half a minute"))
    began = time.monotonic()
    with pytest.raises(srd.WeightsError, match=r"timm/resnet18\.tv_in1k.*out of reach.*weights=FILE"):
        load("resnet18")
    assert time.monotonic() - began < 6
    assert capfd.readouterr() == ("", "")


def test_a_hub_within_reach_is_asked_for_the_file(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda url, timeout: asked.append(url))
    monkeypatch.setattr(weight_files, "download", lambda model: tmp_path / model)
    assert hub.fetch("vgg16") == tmp_path / "vgg16"
    assert asked == ["https://huggingface.co/timm/vgg16.tv_in1k/resolve/main/model.safetensors"]


def test_what_is_cached_needs_no_hub(monkeypatch, tmp_path):
    snapshot = tmp_path / "models--timm--resnet18.tv_in1k" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").touch()
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda *_, **__: pytest.fail("asked the hub"))
    assert hub.fetch("resnet18") == snapshot / "model.safetensors"
