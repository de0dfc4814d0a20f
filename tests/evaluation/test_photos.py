"""Photos explained: each is read once, mapped for what was asked for, and written under its own name."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from PIL import Image

import srd_jax as srd
from srd_jax.evaluation.photos import Asked, explain_photos, photo_files, predictions, read_photo, write_explanation
from srd_jax.models.photos import Preprocessing
from srd_jax.models.ranks import Rank

WEIGHTS = jax.random.normal(jax.random.key(0), (3, 4))


def network(weights, x):
    return jax.nn.relu(x @ weights).mean((1, 2))


NET = SimpleNamespace(
    name="small", labels=("owl", "cat", "dog", "cup, mug"), trained=True, apply=network, variables=WEIGHTS,
    preprocess=Preprocessing(16, 16, (0.5,) * 3, (0.5,) * 3),
)  # fmt: skip


@pytest.fixture
def crops(tmp_path):
    paths = [tmp_path / name for name in ("a.png", "b.png", "a.png")]
    for i, path in enumerate(paths[:2]):
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (40, 50, 3), np.uint8)).save(path)
    files = photo_files(paths)
    assert [file.stem for file in files] == ["a", "b"]
    return [read_photo(file, "tiny_resnet", 16) for file in files]


@pytest.mark.parametrize(("method", "options"), [("srd", {"contrast": None}), ("saliency", {"contrast": None})])
def test_classes_and_ranks(crops, method, options, tmp_path):
    asked = Asked((method,), options, "own")
    results = list(explain_photos(NET, crops, [3, Rank(1)], asked, batch=2))
    assert len(results) == 2
    x = np.stack([NET.preprocess(photo.crop) for photo in crops])
    logits = np.asarray(network(WEIGHTS, x))
    for row, result in enumerate(results):
        np.testing.assert_allclose(result.logits, logits[row], rtol=1e-5)
        assert set(result.maps) == {3, int(logits[row].argmax())}
    if method == "srd":
        heat = srd.explain(network, contrast=None)(WEIGHTS, x, 3)
        np.testing.assert_allclose([result.maps[3]["srd"] for result in results], heat, atol=1e-6)
    picture, numbers = write_explanation(NET, results[0], 3, asked, tmp_path)
    assert picture.stem == ("a_small_3-cup" if method == "srd" else "a_small_saliency_3-cup")
    with np.load(numbers) as kept:
        np.testing.assert_array_equal(kept["map"], results[0].maps[3][method])
        assert str(kept["contrast"]) == "none"
    title, headings, rows = predictions(NET, results[0])
    assert title.endswith("a.png: small")
    assert len(headings) == len(rows[0])
    assert [row[5] for row in rows if row[2] == "cup, mug"] == ["yes"]
