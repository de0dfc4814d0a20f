"""Maps of many images by several methods, and every metric of each map in each of its forms, chunk by chunk.

A blur alone, or taking a map's mean away alone, can decide which method comes first. So every map is measured as it is,
under one and the same blur, and both less its mean.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8
from PIL import Image

from srd_jax.attribution import Explain
from srd_jax.batch import check_logits
from srd_jax.data.annotations import IGNORED, OBJECT, OUTSIDE, shown_masks
from srd_jax.data.chunks import Chunk
from srd_jax.data.explaining import rows_of
from srd_jax.data.images import NO_LABEL, Images
from srd_jax.data.spreading import Devices, local_devices
from srd_jax.data.store import Writer
from srd_jax.errors import UnsupportedPrimitiveError
from srd_jax.evaluation.cost import multiply_adds
from srd_jax.metrics import METRICS, Estimate, Explained, blurred, mean_colour, noisy_maps, randomised

if TYPE_CHECKING:
    from srd_jax.models import Network
    from srd_jax.models.photos import Preprocessing

__all__ = ["FORMS", "Cost", "Noted", "Protocol", "Task", "forms", "measured", "measures", "noted"]

AS_IT_IS, BLURRED, CENTRED, BOTH = "as it is", "blurred", "less its mean", "blurred, less its mean"
FORMS = (AS_IT_IS, BLURRED, CENTRED, BOTH)
_SHIFT_OF: Mapping[str, str] = MappingProxyType({CENTRED: AS_IT_IS, BOTH: BLURRED})
_SAVING = 0.5  # of the multiply-adds of maps one at a time: from here on, the maps of an image are made together


@dataclass(frozen=True)
class Protocol:
    """What is measured of every map of every method.

    Attributes:
        metrics: names in `srd_jax.metrics.METRICS`.
        blur: standard deviation in pixels of the one blur.
        baseline: what stands for pixels that are not there: the image blurred (with a standard deviation of a fortieth
            of its side), or its mean colour.
        steps: of curves.
        runs: draws of metrics that draw at random.
        samples: noisy copies of an image.
        tolerance: of the pointing game in pixels.
        seed: of all that is random.
    """

    metrics: tuple[str, ...]
    blur: float
    baseline: Literal["blur", "mean"] = "blur"
    steps: int = 16
    runs: int = 100
    samples: int = 5
    tolerance: float = 0.0
    seed: int = 0

    def needs(self, what: str) -> bool:
        """Whether a metric needs something beside the maps and the model."""
        return any(what in METRICS[name].needs for name in self.metrics)


@dataclass(frozen=True)
class Cost:
    """What one map of one image takes.

    Attributes:
        forward_passes: multiply-adds, in those of a forward pass; None where they cannot be counted.
        temporary_bytes: memory beside arguments and results, of a batch; None where the device does not tell.
    """

    forward_passes: float | None
    temporary_bytes: int | None


@dataclass(frozen=True, eq=False)
class Task:
    """One method, and what is left of it to be made.

    Attributes:
        explain: the method on the model.
        writer: of its store.
        missing: chunks to be made.
    """

    explain: Explain
    writer: Writer
    missing: frozenset[int]


@dataclass(frozen=True, eq=False)
class Noted:
    """What is known of the objects of an image.

    Attributes:
        targets: K classes to explain, `NO_LABEL` for the predicted one.
        masks: (K, size, size) as `srd_jax.data.annotations.shown_masks` has them.
    """

    targets: tuple[int, ...]
    masks: UInt8[np.ndarray, "K size size"] | None


def noted(images: Images, shown: "Preprocessing", *, labelled: bool) -> Callable[[int, Image.Image], Noted]:
    """What `srd_jax.data.chunks.chunks` is to note of every image.

    Args:
        images: all of them.
        shown: how the model wants them.
        labelled: whether their own classes are explained; else the predicted one.
    """

    def note(place: int, image: Image.Image) -> Noted:
        if images.annotation is None:
            return Noted((images.read(place)[1] if labelled else NO_LABEL,), None)
        annotation = images.annotation(place)
        targets = annotation.targets if labelled else (NO_LABEL,) * len(annotation.targets)
        return Noted(targets, shown_masks(annotation, (image.height, image.width), shown))

    return note


def forms(blur: float) -> Mapping[str, Callable[[Float[Array, "... h w"]], Float[Array, "... h w"]]]:
    """By name, the forms in which a map is measured.

    Args:
        blur: standard deviation in pixels.
    """

    def blurring(maps: Array) -> Array:
        return blurred(maps.reshape((-1, *maps.shape[-2:], 1)), sigma=blur).reshape(maps.shape)

    def centred(maps: Array) -> Array:
        return maps - jnp.mean(maps, (-2, -1), keepdims=True)

    return {
        AS_IT_IS: lambda maps: maps,
        BLURRED: blurring,
        CENTRED: centred,
        BOTH: lambda maps: centred(blurring(maps)),
    }


def measures(
    made: Explained, protocol: Protocol, masks: UInt8[Array, "n h w"] | None = None
) -> Float[np.ndarray, "n form metric"]:
    """Every metric of some maps in each of their forms.

    Args:
        made: maps, and what the metrics need beside them but for masks and boxes.
        protocol: what is measured.
        masks: of the objects. Pixels to be ignored count for nothing: for metrics that order pixels they come last, for
            others they are zero. The box of an object is that of its mask.

    Returns:
        (N, forms, metrics); NaN for a map that is constant or not finite, and without an object where one is needed.
    """
    found: dict[tuple[str, str], np.ndarray] = {}
    for form, change in forms(protocol.blur).items():
        maps, others, random = (
            None if each is None else change(each) for each in (made.maps, made.others, made.randomised)
        )
        assert maps is not None
        means_something = jnp.isfinite(maps).all((1, 2)) & (maps.max((1, 2)) > maps.min((1, 2)))
        for name in protocol.metrics:
            metric = METRICS[name]
            if metric.by_order and form in _SHIFT_OF:
                found[form, name] = found[_SHIFT_OF[form], name]
                continue
            of = replace(made, maps=maps, others=others, randomised=random)
            known = means_something
            if {"masks", "boxes"} & set(metric.needs):
                assert masks is not None
                least = maps.min((1, 2), keepdims=True) if metric.by_order else 0
                on = masks == OBJECT
                of = replace(of, maps=jnp.where(masks == IGNORED, least, maps), masks=on, boxes=_boxes(on))
                known = known & on.any((1, 2))
            found[form, name] = np.asarray(jnp.where(known, _value(metric.measure(of)), jnp.nan), np.float32)
    return np.stack([np.stack([found[form, name] for name in protocol.metrics], -1) for form in FORMS], 1)


def measured(
    net: "Network",
    tasks: Mapping[str, Task],
    protocol: Protocol,
    found: Iterable[Chunk],
    *,
    several: int,
    kept: int,
    tell_cost: Callable[[str, Cost], object],
) -> Iterator[tuple[Chunk, str]]:
    """Chunks whose maps by one of the methods have been measured and written, on all devices of this process.

    Args:
        net: the model.
        tasks: by method.
        protocol: what is measured.
        found: chunks to explain, with what `noted` says of each image.
        several: how many targets an image has.
        kept: how many images' maps are kept.
        tell_cost: called with every method that runs and what a map of it takes, before its first chunk is written.

    Raises:
        WeightsError: logits that are not finite.
        SRDError: a store cannot be written.
    """
    devices = local_devices()
    predict = jax.jit(net.apply)
    variables = devices.copies(net.variables)
    random = devices.copies(_random_variables(net.variables, protocol.seed)) if protocol.needs("randomised") else None
    running: dict[str, _Running] = {}
    for chunk in found:
        batch = _placed(chunk, devices, predict, variables, protocol, several, net.name)
        for name, task in tasks.items():
            if chunk.index not in task.missing:
                continue
            if name not in running:
                running[name] = _started(task.explain, net, variables, batch)
                tell_cost(name, running[name].cost)
            maps, numbers = _measured(running[name], net, batch, variables, random, protocol)
            stored = np.array(maps)[: chunk.count]
            stored[max(0, kept - chunk.start) :] = np.nan
            scores = np.take_along_axis(batch.logits, batch.targets, 1)
            results = stored, batch.targets, scores, batch.logits.argmax(1).astype(np.int32)
            task.writer.write(chunk.index, rows_of(chunk, results, task.writer.dtype, numbers))
            yield chunk, name


@dataclass(frozen=True, eq=False)
class _Placed:
    """A chunk on the devices."""

    inputs: Array
    targets: Int[np.ndarray, "n k"]
    placed_targets: Array
    masks: Array | None
    logits: Float[np.ndarray, "n classes"]
    without: Array
    key: Array


@dataclass(frozen=True, eq=False)
class _Running:
    """A method's compiled function, which takes the K targets of an image together or one after the other."""

    explain: Explain
    together: bool
    cost: Cost

    def maps(self, variables: Any, inputs: Array, targets: Array) -> Float[Array, "n k h w"]:
        if self.together:
            return self.explain(variables, inputs, targets)
        return jnp.stack([self.explain(variables, inputs, targets[:, k]) for k in range(targets.shape[1])], 1)


def _placed(
    chunk: Chunk,
    devices: Devices,
    predict: Callable[..., Array],
    variables: Any,
    protocol: Protocol,
    several: int,
    model: str,
) -> _Placed:
    inputs = devices.rows(chunk.inputs)
    logits = np.asarray(predict(variables, inputs))
    check_logits(np.delete(logits[: chunk.count], list(chunk.problems), 0), model)
    rows, side = len(inputs), inputs.shape[1:3]
    targets = np.full((rows, several), NO_LABEL, np.int32)
    masks = np.full((rows, several, *side), OUTSIDE, np.uint8)
    for row, note in chunk.notes.items():
        targets[row] = note.targets
        if note.masks is not None:
            masks[row] = note.masks
    targets = np.where(targets == NO_LABEL, logits.argmax(1)[:, None].astype(np.int32), targets)
    without = mean_colour(inputs) if protocol.baseline == "mean" else blurred(inputs, sigma=inputs.shape[1] / 40)
    key = jax.random.fold_in(jax.random.key(protocol.seed), chunk.index)
    placed = devices.rows(masks) if protocol.needs("masks") or protocol.needs("boxes") else None
    return _Placed(inputs, targets, devices.rows(targets), placed, logits, without, key)


def _started(explain: Explain, net: "Network", variables: Any, batch: _Placed) -> _Running:
    image = jax.ShapeDtypeStruct((1, *batch.inputs.shape[1:]), batch.inputs.dtype)
    several = batch.targets.shape[1]

    def counted(fn: Callable[..., Any], *targets: Any) -> int | None:
        try:
            return multiply_adds(fn, variables, image, *targets)
        except UnsupportedPrimitiveError:
            return None

    one = counted(explain, jax.ShapeDtypeStruct((1,), jnp.int32))
    each = counted(explain, jax.ShapeDtypeStruct((1, several), jnp.int32)) if several > 1 else None
    together = several > 1 and one is not None and each is not None and each <= _SAVING * several * one
    targets = batch.placed_targets if together else batch.placed_targets[:, 0]
    compiled = jax.jit(explain).lower(variables, batch.inputs, targets).compile()
    memory = compiled.memory_analysis()
    forward = counted(net.apply)
    cost = Cost(
        one / forward if one is not None and forward else None,
        None if memory is None else int(memory.temp_size_in_bytes),
    )
    return _Running(compiled, together, cost)


def _measured(
    running: _Running, net: "Network", batch: _Placed, variables: Any, random: Any, protocol: Protocol
) -> tuple[Float[Array, "n k h w"], Float[np.ndarray, "n k form metric"]]:
    maps = running.maps(variables, batch.inputs, batch.placed_targets)
    several: int = maps.shape[1]

    def flat(each: Array) -> Array:
        return each.reshape((-1, *each.shape[2:]))

    explain = partial(running.maps, variables, targets=batch.placed_targets)
    others = (
        noisy_maps(batch.key, explain, batch.inputs, samples=protocol.samples) if protocol.needs("others") else None
    )
    made = Explained(
        flat(maps),
        net.apply,
        variables,
        jnp.repeat(batch.inputs, several, 0) if several > 1 else batch.inputs,
        flat(batch.placed_targets),
        jnp.repeat(batch.without, several, 0) if several > 1 else batch.without,
        steps=protocol.steps,
        tolerance=protocol.tolerance,
        key=batch.key,
        others=None if others is None else others.reshape((len(others), -1, *others.shape[3:])),
        randomised=None if random is None else flat(running.maps(random, batch.inputs, batch.placed_targets)),
        runs=protocol.runs,
    )
    numbers = measures(made, protocol, None if batch.masks is None else flat(batch.masks))
    return maps, numbers.reshape((len(batch.inputs), several, *numbers.shape[1:]))


def _value(found: Array | Estimate) -> Array:
    return found.value if isinstance(found, Estimate) else found


def _boxes(masks: Array) -> Int[Array, "n 4"]:
    """Row and column of the first pixel of each mask, and those after its last."""
    ends = []
    for axis in (2, 1):
        on = masks.any(axis)
        first, last = jnp.argmax(on, 1), on.shape[1] - jnp.argmax(on[:, ::-1], 1)
        ends.append((first, jnp.where(on.any(1), last, 0)))
    (top, bottom), (left, right) = ends
    return jnp.stack([top, left, bottom, right], 1).astype(jnp.int32)


def _random_variables(variables: Any, seed: int) -> Any:
    """Every layer's values permuted."""
    *_, (_, changed) = randomised(jax.random.key(seed), variables)
    return changed
