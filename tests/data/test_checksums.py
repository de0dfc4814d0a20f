"""What tells weights and images from others."""

import numpy as np

from srd_jax.data.checksums import checksum, file_checksum, image_checksum, weights_checksum
from srd_jax.data.images import NO_LABEL

WEIGHTS = {"a": np.arange(6.0, dtype=np.float32).reshape(2, 3), "b": np.ones(2, np.float32)}


def test_weights_are_told_by_name_shape_type_and_value():
    same = {name: np.asfortranarray(array) for name, array in WEIGHTS.items()}
    others = [
        {"c": WEIGHTS["a"], "b": WEIGHTS["b"]},
        {**WEIGHTS, "a": WEIGHTS["a"].reshape(3, 2)},
        {**WEIGHTS, "b": WEIGHTS["b"].astype(np.float64)},
        {**WEIGHTS, "b": WEIGHTS["b"] + np.float32(1e-6)},
    ]
    assert weights_checksum(same) == weights_checksum(WEIGHTS)
    assert len({weights_checksum(each) for each in (WEIGHTS, *others)}) == 5


def test_an_image_is_told_by_its_label_too(tmp_path):
    assert image_checksum(b"pixels", NO_LABEL) == checksum(b"pixels")
    assert len({image_checksum(b"pixels", label) for label in (NO_LABEL, 0, 1)}) == 3
    file = tmp_path / "x"
    file.write_bytes(b"pixels")
    assert file_checksum(file) == checksum(b"pixels")
    assert file_checksum(tmp_path / "y") is None
