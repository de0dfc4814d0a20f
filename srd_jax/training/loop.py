"""A whole training run: checkpoints that survive a kill, metrics on disk, weights at the end."""

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
import orbax.checkpoint as ocp
import safetensors.numpy
from flax import linen as nn
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from srd_jax.data import Source, training_batches
from srd_jax.drawing.pictures import write_png
from srd_jax.errors import DataError, ShapeError, SRDError
from srd_jax.files import replacing
from srd_jax.models import weight_files
from srd_jax.models.weights import from_torchvision, to_torchvision

from .curves import draw_curves
from .evaluate import Accuracy, accuracy
from .recipe import Phase, Recipe
from .steps import initial_state, train_step

__all__ = ["train"]

Metrics = dict[str, float]
Report = Callable[[int, int, Metrics], None]
"""``(steps done, of how many, latest metrics)``."""


def train(
    module: nn.Module,
    recipe: Recipe,
    images: Source,
    validation: Source,
    out: str | os.PathLike[str],
    *,
    resize: int,
    checkpoints: int = 20,
    resume: bool = False,
    report: Report = lambda done, total, metrics: None,
) -> Path:
    """Train a model and keep its averaged weights.

    The batch is spread over all devices, of all processes. What is done in a step follows from the recipe and the
    step's number alone, so a run that was killed and resumed takes the same steps as one that was not.

    Args:
        module: a Flax module whose call takes ``train``.
        recipe: how.
        images: to train on.
        validation: to evaluate on, at the size of the recipe's last phase.
        out: folder for ``recipe.json``, ``metrics.json``, ``curves.png``, ``checkpoints/`` and the weights, as
            ``weights.safetensors`` with a ``weights.json`` that says where they come from.
        resize: length of the shorter side in evaluation, before the centre is cropped.
        checkpoints: how often the state is written and evaluated.
        resume: go on from the latest checkpoint in ``out``, if there is one.
        report: called after every step.

    Returns:
        Path of the weights, float16 in torchvision's names, with the class names among the file's metadata.

    Raises:
        WeightsError: the weights to start from cannot be read or do not fit.
        ImageError: an image cannot be decoded.
        DataError: an image to train on has no label, or none to evaluate on.
        ShapeError: the batch cannot be spread over the devices.
        SRDError: ``out`` holds another training, or the loss is not finite when it is evaluated.
    """
    out = Path(out).resolve()
    phases = recipe.phases(len(images))
    total, size = phases[-1].stop, phases[-1].size
    mesh = Mesh(np.array(jax.devices()), ("batch",))
    if recipe.batch % mesh.size:
        raise ShapeError(
            f"a batch of {recipe.batch} cannot be spread over {mesh.size} devices; take a multiple of their number"
        )
    if all(validation[place].label < 0 for place in range(len(validation))):  # the first one with a label ends this
        raise DataError(f"no image of {validation.name} has a label")
    start = _initial_variables(module, recipe, size)
    _claim(out, recipe, resume)
    state = initial_state(module, recipe, size, total, variables=start)
    state = jax.device_put(state, NamedSharding(mesh, PartitionSpec()))
    step = jax.jit(partial(train_step, module, recipe, total), donate_argnums=0)
    checkpoints = min(checkpoints, total)
    due = {round((i + 1) * total / checkpoints) for i in range(checkpoints)}
    history: list[Metrics] = []
    recent: list[dict[str, jax.Array]] = []
    began = time.monotonic()

    def apply(variables: Any, pixels: jax.Array) -> jax.Array:
        return cast(jax.Array, module.apply(variables, pixels))

    with _manager(out) as manager:
        latest = manager.latest_step() or 0
        if latest:
            state = manager.restore(latest, args=ocp.args.StandardRestore(state))
            history = [each for each in _read_metrics(out) if each["step"] <= latest]
        spent = history[-1]["seconds"] if history else 0.0
        for done, pixels, labels in _batches(images, recipe, phases, latest, mesh):
            state, metrics = step(state, pixels, labels)
            recent.append(metrics)
            if done in due:
                found = accuracy(apply, state.average, validation, size=size, resize=resize)
                if not np.isfinite(found.loss):
                    raise SRDError(f"the loss is not finite after step {done}; lower the learning rate")
                mean = {f"train_{name}": float(np.mean([each[name] for each in recent])) for name in metrics}
                seconds = spent + time.monotonic() - began
                history.append({"step": done, "seconds": seconds, **mean, **_validation(found)})
                recent.clear()
                if jax.process_index() == 0:  # first: what a kill leaves beyond the last checkpoint is done again
                    _write_metrics(out, history)
                manager.save(done, args=ocp.args.StandardSave(state), force=True)
            report(done, total, history[-1] if history else {})
    path = out / "weights.safetensors"
    if jax.process_index() == 0:
        origin = {"data": images.name, "initial": _checksum(recipe.initial)}
        keep_weights(path, state.average, images.labels, {**dataclasses.asdict(recipe), **origin}, history[-1])
    return path


def _initial_variables(module: nn.Module, recipe: Recipe, size: int) -> Any:
    """The variables that the recipe starts from, None for random ones."""
    if not recipe.initial:
        return None
    template = jax.eval_shape(module.init, jax.random.key(0), np.zeros((1, size, size, 3), np.float32))
    return from_torchvision(template, weight_files.read(recipe.initial), recipe.initial)


def _checksum(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else ""


def _manager(out: Path) -> ocp.CheckpointManager:
    # written before the next step is taken: the step after a checkpoint donates the state's memory
    options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False)
    return ocp.CheckpointManager(out / "checkpoints", options=options)


def _batches(
    source: Source, recipe: Recipe, phases: Sequence[Phase], start: int, mesh: Mesh
) -> Iterator[tuple[int, jax.Array, jax.Array]]:
    """The steps after ``start``: each step's number from 1, its images and its labels, spread over the devices."""
    spread = NamedSharding(mesh, PartitionSpec("batch"))
    shard = (jax.process_index(), jax.process_count())
    for phase in phases:
        steps = range(max(start, phase.start), phase.stop)
        parts = training_batches(
            source,
            recipe.batch,
            size=phase.size,
            smallest_area=recipe.smallest_area,
            seed=recipe.seed,
            start=steps.start,
            stop=steps.stop,
            shard=shard,
        )
        for step, part in zip(steps, parts, strict=True):
            yield step + 1, *(jax.make_array_from_process_local_data(spread, array) for array in part)


def _claim(out: Path, recipe: Recipe, resume: bool) -> None:
    """Write the recipe into the folder, or find that it is the one that is there.

    Raises:
        SRDError: the folder holds a training that is not to be resumed, or another one.
    """
    file = out / "recipe.json"
    wanted = json.dumps(dataclasses.asdict(recipe), indent=2) + "\n"
    if file.exists():
        if not resume:
            raise SRDError(f"{out} holds a training already; resume it, or choose another folder")
        if file.read_text() != wanted:
            raise SRDError(f"{out} holds a training with another recipe; see {file}")
    elif jax.process_index() == 0:
        with replacing(file) as target:
            target.write(wanted.encode())


def _validation(found: Accuracy) -> Metrics:
    return {f"validation_{name}": value for name, value in found._asdict().items() if name != "images"}


def _read_metrics(out: Path) -> list[Metrics]:
    file = out / "metrics.json"
    return list(json.loads(file.read_text())) if file.exists() else []


def _write_metrics(out: Path, history: Sequence[Metrics]) -> None:
    with replacing(out / "metrics.json") as file:
        file.write((json.dumps(history, indent=1) + "\n").encode())
    with replacing(out / "curves.png") as file:
        write_png(draw_curves(history), file)


def keep_weights(
    path: Path, variables: Any, labels: Sequence[str], recipe: Mapping[str, Any], metrics: Metrics
) -> None:
    """Write weights as float16 in torchvision's names, and a .json beside them that says where they come from.

    Args:
        path: of the .safetensors file.
        variables: Flax's {"params": ..., "batch_stats": ...}.
        labels: class names, which go among the file's metadata.
        recipe: how they were trained, and on what.
        metrics: what they reached.
    """
    weights = {name: array.astype(np.float16) for name, array in to_torchvision(variables).items()}
    content = safetensors.numpy.save(weights, {"class_names": json.dumps(list(labels))})
    card = {"sha256": hashlib.sha256(content).hexdigest(), "recipe": recipe, "metrics": metrics}
    with replacing(path) as file:
        file.write(content)
    with replacing(path.with_suffix(".json")) as file:
        file.write((json.dumps(card, indent=1) + "\n").encode())
