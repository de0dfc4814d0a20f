"""Names of files and folders, whatever their owners called them."""

from pathlib import Path

import pytest

import srd_jax as srd
from srd_jax.files import check_folder, is_address, read_regular, replacing, unique_stems


def test_stems_fit_every_file_system(tmp_path):
    paths = [Path(name) for name in ("å" * 100, "å" * 90, "\udcff.jpg", "a\nb.jpg", "猫" * 60 + ".png", "cat.png")]
    stems = unique_stems(paths)
    assert stems == ["å" * 40, "å" * 40 + "-2", "_", "a_b", "猫" * 26, "cat"]
    for stem in stems:
        with replacing(tmp_path / f"{stem}_resnet152_erf_layer4.2.relu3_100-100.npz") as file:
            file.write(b"0")


@pytest.mark.parametrize("name", ["a" * 256, "no/" + "a" * 256, "å" * 150, "a/" * 2000 + "a"])
def test_a_folder_that_cannot_be_called_so(name, tmp_path):
    with pytest.raises(srd.SRDError, match="cannot write into"):
        check_folder(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_name_of_full_length_is_taken(tmp_path):
    check_folder(tmp_path / ("a" * 255))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_a_file_that_holds_more_than_it_says():
    with pytest.raises(OSError, match="changes while it is read"):
        read_regular(Path("/proc/self/status"), 10_000)


def test_addresses():
    assert all(map(is_address, ("https://x.org/a.jpg", "HTTPS:/x.org/a.jpg", "s3://bucket", "file:/a")))
    assert not any(map(is_address, ("C:/a.jpg", "a.jpg", "/a:/b", "a:b", "")))
