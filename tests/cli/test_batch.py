"""``srd batch``: its maps are those of one image at a time, and nothing is lost, whatever happens."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from PIL import Image
from typer.testing import CliRunner

import srd_jax as srd
from srd_jax import models
from srd_jax.cli import app, inputs
from srd_jax.data import explaining, open_maps, processes
from srd_jax.models import photos
from tests.cli.processes import started
from tests.compiling import on_devices

SIZE, COUNT = 16, 19
CORRUPT = ("03.png", "below/16.png")
OPTIONS = ["--model", "tiny_resnet", "--weights", "untrained", "--size", SIZE, "--batch", 4]


class Network(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (3, 3), 2)(x))
        return nn.Dense(200)(x.mean((1, 2)))


NETWORK = Network()
NET = SimpleNamespace(
    name="small",
    labels=tuple(f"class {i}" for i in range(200)),
    trained=False,
    size=64,
    apply=NETWORK.apply,
    variables=NETWORK.init(jax.random.key(0), jnp.zeros((1, SIZE, SIZE, 3))),
    preprocess=photos.Preprocessing(64, 64),
)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in ("batch", *arguments)])


def check_finished(result, lost=2):
    """A run came to its end, and its exit code says whether there are images without maps."""
    assert result.exit_code == (2 if lost else 0), result.output
    assert f"{lost} could not be read" in result.stdout
    assert (f"srd: {lost} of " in result.stderr) == (lost > 0)


def left_out(stderr):
    return [line.split()[1] for line in stderr.splitlines() if "is left out" in line]


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("images")
    (made / "below").mkdir()
    rng = np.random.default_rng(0)
    for i in range(COUNT):
        path = made / ("below" if i > 12 else "") / f"{i:02}.png"
        Image.fromarray(rng.integers(0, 255, (20, 18 + i, 3), np.uint8)).save(path)
    for name in CORRUPT:
        (made / name).write_bytes((made / name).read_bytes()[:200])
    return made


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(inputs, "load_model", lambda name, weights: NET)


def inputs_of(folder, names, net=NET):
    return np.stack([net.preprocess.at(SIZE)(folder / name) for name in names])


@pytest.mark.slow
def test_maps_are_those_of_one_image_at_a_time(folder, tmp_path):
    result = run(folder, tmp_path / "out", *OPTIONS, "--target", "top1", "--target", "7", "--show", 3)
    check_finished(result)
    assert left_out(result.stderr) == list(CORRUPT)
    assert "17 of 19 images explained" in result.stdout
    assert "srd: 2 of 19 images have no map: 03.png is the first\n" in result.stderr

    found = open_maps(tmp_path / "out")
    done = found.status[:] == 1
    assert found.ids == tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png")))
    assert [name for name, fine in zip(found.ids, done, strict=True) if not fine] == list(CORRUPT)
    assert np.isnan(found.maps[~done]).all()
    assert np.isnan(found.scores[~done]).all()
    assert (found.targets[~done] == -1).all()
    assert (found.predicted[~done] == -1).all()

    net = models.load("tiny_resnet", "untrained")
    names = [name for name in found.ids if name not in CORRUPT]
    x = inputs_of(folder, names, net)
    logits = np.asarray(net.apply(net.variables, x))
    targets = np.stack([logits.argmax(1), np.full(17, 7)], 1)
    explain = jax.jit(srd.explain(net.apply))
    maps = [explain(net.variables, x[i : i + 1], targets[i : i + 1])[0] for i in range(17)]
    np.testing.assert_allclose(found.maps[done], maps, atol=1e-5)
    np.testing.assert_array_equal(found.predicted[done], logits.argmax(1))
    np.testing.assert_array_equal(found.targets[done], targets)
    np.testing.assert_allclose(found.scores[done], np.take_along_axis(logits, targets, 1), atol=1e-5)
    with Image.open(tmp_path / "out" / "sheet.png") as drawn:
        assert drawn.height > 300


@pytest.mark.usefixtures("small")
def test_a_list_in_half_precision(folder, tmp_path):
    names = ["below/14.png", "00.png", "nothing.png", "00.png"]
    (tmp_path / "list.txt").write_text("\n".join(str(folder / name) for name in names))
    outs = {dtype: tmp_path / dtype for dtype in ("float16", "float32")}
    for dtype, out in outs.items():
        result = run(tmp_path / "list.txt", out, *OPTIONS, "--dtype", dtype)
        check_finished(result, 1)
        assert f"{folder / 'nothing.png'} is left out: there is no image file" in result.stderr
    half, single = (open_maps(out) for out in outs.values())
    np.testing.assert_array_equal(half.status[:], [1, 1, 2, 1])
    assert half.maps.dtype == np.float16
    np.testing.assert_array_equal(half.maps[:], single.maps[:].astype(np.float16))
    np.testing.assert_array_equal(half.scores[:], single.scores[:])
    expected = srd.explain(NET.apply)(NET.variables, inputs_of(folder, [names[i] for i in (0, 1, 3)]))
    np.testing.assert_allclose(single.maps[[0, 1, 3], 0], expected, atol=1e-5)


@pytest.mark.usefixtures("small")
def test_the_true_labels_of_a_data_set(small_set, source, tmp_path):
    out = tmp_path / "out"
    result = run(
        "tiny_imagenet200", out, *OPTIONS, "--data-dir", small_set[1], "--target", "label", "--head", "gradcam"
    )
    check_finished(result, 0)
    found, examples = open_maps(out), [source("validation")[i] for i in range(16)]
    np.testing.assert_array_equal(found.targets[:, 0], [example.label for example in examples])
    assert found.run["targets"] == ["label"]
    assert found.ids[5] == "validation:5"
    x = np.stack([NET.preprocess.at(SIZE)(photos.decoded(e.encoded, "")) for e in examples])
    expected = srd.explain(NET.apply, head="gradcam")(NET.variables, x, found.targets[:, 0])
    np.testing.assert_allclose(found.maps[:, 0], expected, atol=1e-5)


@pytest.mark.usefixtures("small")
def test_what_is_done_is_not_done_again(folder, tmp_path, monkeypatch):
    whole, out = tmp_path / "whole", tmp_path / "out"
    for path in (whole, out):
        check_finished(run(folder, path, *OPTIONS))
    for name in ("status/c/1", "status/c/4", "maps/c/4/0/0/0"):
        (out / name).unlink()
    computed = []
    step = explaining._step
    monkeypatch.setattr(explaining, "_step", lambda *a: lambda *b: (computed.append(1), step(*a)(*b))[1])
    result = run(folder, out, *OPTIONS, "--resume")
    check_finished(result)
    assert len(computed) == 2
    assert content(out) == content(whole)
    # whoever sees the last run's messages alone sees every image that is left out
    assert sorted(left_out(result.stderr)) == sorted(CORRUPT)


@pytest.mark.usefixtures("small")
def test_processes_divide_the_chunks(folder, tmp_path, monkeypatch):
    whole, out = tmp_path / "whole", tmp_path / "out"
    check_finished(run(folder, whole, *OPTIONS))
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(processes, "together", lambda *_: None)
    for index, complete in ((0, [0, 2, 4]), (1, [0, 1, 2, 3, 4])):
        monkeypatch.setattr(jax, "process_index", lambda index=index: index)
        run(folder, out, *OPTIONS, "--resume")
        assert [int(k) for k in np.flatnonzero(open_maps(out).status[::4])] == complete
    assert content(out) == content(whole)


MISTAKES = {
    "maps are there already": (["SOURCE", "OUT", *OPTIONS], "exists already: --resume"),
    "another batch": (["SOURCE", "OUT", *OPTIONS, "--batch", 5, "--resume"], "another batch 4, not 5"),
    "another target": (["SOURCE", "OUT", *OPTIONS, "--target", 3, "--resume"], 'another targets ["top1"], not [3]'),
    "maps among the images": (["SOURCE", "SOURCE/out", *OPTIONS], "choose another folder for the maps"),
    "no labels": (["SOURCE", "NEW", *OPTIONS, "--target", "label"], "has no labels"),
    "no such source": (
        ["nowhere", "NEW", *OPTIONS],
        "nowhere is no folder and no list of images, and there is no data",
    ),
    "no such class": (["SOURCE", "NEW", *OPTIONS, "--target", "tabi"], "no class is called 'tabi'"),
    "images too small": (["SOURCE", "NEW", "--model", "vgg11", "--size", 16], "at least"),
}


@pytest.fixture(scope="module")
def begun(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("begun") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inputs, "load_model", lambda name, weights: NET)
        check_finished(run(folder, out, *OPTIONS))
    return out


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line_and_changes_nothing(case, folder, begun, tmp_path):
    arguments, message = MISTAKES[case]
    before = content(begun), content(folder)
    places = {"SOURCE": folder, "OUT": begun, "NEW": tmp_path / "new", "SOURCE/out": folder / "out"}
    result = run(*(places.get(each, each) for each in arguments))
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert (content(begun), content(folder)) == before
    assert not (tmp_path / "new").exists()


def start(folder, out, cache, *more, **environment):
    return started(cache, "batch", folder, out, *OPTIONS, *more, **environment)


def finish(process):
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 2, stderr
    assert "2 of 19 images have no map" in stderr
    return stdout, stderr


def files_begun(out):
    """How many files there are, unfinished ones among them."""
    return sum(path.is_file() for path in out.rglob("*"))


@pytest.mark.slow
def test_a_run_that_is_killed_and_resumed_equals_one_that_is_not(folder, tmp_path):
    whole, out, cache = tmp_path / "whole", tmp_path / "out", tmp_path / "cache"
    finish(start(folder, whole, cache))
    killed = 0
    # the first file, the metadata, amid the arrays of the first chunk, and amid those of later ones
    for moment in (1, 5, 10, 16, 23):
        process = start(folder, out, cache, "--resume")
        while process.poll() is None and files_begun(out) < moment:
            time.sleep(0.0005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed == 5
    assert set(content(out)) != set(content(whole))
    finish(start(folder, out, cache, "--resume"))
    assert content(out) == content(whole)


EIGHT_DEVICES = """
import sys
from tests.cli.test_batch import NET, check_finished, explaining, inputs, run

inputs.load_model = lambda name, weights: NET
step, parts = explaining._step, set()

def watched(*chosen):
    compiled = step(*chosen)
    def each(variables, images, labels):
        found = compiled(variables, images, labels)
        for array in (images, labels, *found):
            parts.update((shard.device.id, len(shard.data)) for shard in array.addressable_shards)
        return found
    return each

explaining._step = watched
for batch in (16, 12):
    check_finished(run(sys.argv[1], f"{sys.argv[2]}/{batch}", *sys.argv[3:], "--batch", batch))
assert parts == {(device, 2) for device in range(8)}, parts
"""


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_eight_devices_divide_a_batch(folder, tmp_path):
    eight, one = tmp_path / "eight", tmp_path / "one"
    options = [str(each) for each in OPTIONS]
    done = subprocess.run(
        [sys.executable, "-c", EIGHT_DEVICES, folder, eight, *options],
        cwd=Path(__file__).parents[2],
        env=on_devices(8),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for batch in (16, 12):  # two for every device, and four too few
        check_finished(run(folder, one / str(batch), *OPTIONS, "--batch", batch))
        found, expected = open_maps(eight / str(batch)), open_maps(one / str(batch))
        assert set(content(eight / str(batch))) == set(content(one / str(batch)))
        np.testing.assert_allclose(found.maps[:], expected.maps[:], atol=1e-7)
        np.testing.assert_allclose(found.scores[:], expected.scores[:], atol=1e-6)
        for name in ("targets", "predicted", "status"):
            np.testing.assert_array_equal(getattr(found, name)[:], getattr(expected, name)[:])


@pytest.mark.slow
def test_two_processes_write_what_one_does(folder, tmp_path):
    whole, out, cache = tmp_path / "whole", tmp_path / "out", tmp_path / "cache"
    finish(start(folder, whole, cache))
    cluster = {
        "OMPI_MCA_orte_hnp_uri": "1234.0;tcp://127.0.0.1:1234",
        "OMPI_COMM_WORLD_SIZE": "2",
        "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{20000 + os.getpid() % 20000}",
        "no_proxy": "127.0.0.1",
    }
    both = [
        start(folder, out, cache, "--distributed", OMPI_COMM_WORLD_RANK=str(rank), OMPI_COMM_WORLD_LOCAL_RANK="0",
              **cluster)
        for rank in range(2)
    ]  # fmt: skip
    outputs = [finish(process) for process in both]
    assert content(out) == content(whole)
    assert ["17 of 19 images explained" in stdout for stdout, _ in outputs] == [True, False]
