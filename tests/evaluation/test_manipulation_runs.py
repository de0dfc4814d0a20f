"""Attacks on many photos: what is kept of each batch, and that a run which was killed ends as one that was not."""

import json

import numpy as np
import pytest

import srd_jax as srd
from srd_jax.evaluation.manipulation import Attack
from srd_jax.evaluation.manipulation_runs import attack_all

from .attacked_networks import IMAGES, NET

METHODS = ("saliency", "gradcam")
HOW = Attack(steps=12, rate=0.4)
RUN = {"model": "small", "batch": 2}


class Killed(BaseException):
    """What ends a run at any moment."""


def attacked(out, images=IMAGES, batch=2, methods=METHODS, **options):
    return attack_all(NET, methods, images, batch, out, RUN, attack=HOW, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    told = []
    return out, attacked(out, advance=lambda done, total: told.append((done, total))), told


def test_each_batch_is_a_file_and_each_photo_has_its_maps(whole):
    out, found, told = whole
    batches = [f"{name}_000{batch}.npz" for name in sorted(METHODS) for batch in (0, 1)]
    assert {file.name for file in out.iterdir()} == {"run.json", *batches}
    assert sum(done for done, _ in told) == told[0][1] == 12 * 2 * (1 + 2)  # Grad-CAM goes two ways
    for name in METHODS:
        one = found[name]
        np.testing.assert_array_equal(one.images, IMAGES)
        np.testing.assert_array_equal(one.classes, one.logits.argmax(-1))
        pixels = NET.preprocess.normalise(one.images)
        maps = srd.attribution.METHODS[name](NET.apply)(NET.variables, pixels, one.classes)
        np.testing.assert_allclose(one.maps, maps, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(one.goals, np.roll(maps, -1, 0), rtol=1e-4, atol=1e-6)
        assert 1 <= np.abs(one.changed.astype(int) - IMAGES).max() <= 8


def test_a_run_that_was_killed_ends_as_one_that_was_not(whole, tmp_path):
    out, found, _ = whole
    steps = []

    def kill(done, total):
        del total
        steps.append(done)
        if sum(steps) > 30:  # in the second method's first batch
            raise Killed

    left = tmp_path / ".0.part"  # of a file that an earlier run began
    left.touch()
    with pytest.raises(Killed):
        attacked(tmp_path, advance=kill)
    left.unlink()
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["run.json", "saliency_0000.npz", "saliency_0001.npz"]
    damaged = tmp_path / "saliency_0000.npz"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    again = attacked(tmp_path, resume=True)
    for file in out.iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()
    for name in METHODS:
        for field, array in vars(found[name]).items():
            np.testing.assert_array_equal(getattr(again[name], field), array)


def test_what_is_there_is_not_made_again(whole):
    out, *_ = whole
    before = {file: file.stat().st_mtime_ns for file in out.iterdir()}
    attacked(out, resume=True, advance=lambda *_: pytest.fail("nothing was to be done"))
    assert {file: file.stat().st_mtime_ns for file in out.iterdir()} == before


def test_a_frame_is_a_target_and_so_is_a_sample_for_a_single_photo(tmp_path):
    framed = attacked(tmp_path / "frame", IMAGES[:1], 1, ["saliency"], towards="frame")["saliency"].goals[0]
    assert framed[8, 8] == framed[0, 0] == 0
    assert framed[4, 8] == framed[8, 4] == framed[11, 8] == framed[8, 11] == 1
    alone = attacked(tmp_path / "alone", IMAGES[:1], 1, ["saliency"])["saliency"]
    assert not np.array_equal(alone.goals, alone.maps)


@pytest.mark.parametrize(
    ("run", "resume", "message"),
    [
        (json.dumps(RUN).encode(), False, "exists already: --resume goes on with it"),
        (json.dumps(RUN | {"batch": 3}).encode(), True, "begun with another batch 3, not 2: --resume goes on with"),
        (b"[1]", True, "does not say what was begun"),
        (b"{", True, "does not say what was begun"),
        (b"\xff", True, "does not say what was begun"),
    ],
)
def test_another_run_in_the_folder_is_refused(run, resume, message, tmp_path):
    (tmp_path / "run.json").write_bytes(run)
    with pytest.raises(srd.SRDError, match=message):
        attacked(tmp_path, resume=resume)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [run]


def test_a_folder_of_others_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(srd.SRDError, match="holds other files than attacks"):
            attacked(tmp_path, resume=resume)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]
