"""Flows as files: safetensors, with what is not an array as JSON in the header."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from math import prod
from pathlib import Path
from typing import Any, TypeVar, get_args

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from srd_jax.core import geometry
from srd_jax.core.edges import Edge
from srd_jax.core.head import HeadRule, HeadTable
from srd_jax.core.sharing import Bias
from srd_jax.core.squash import Squash
from srd_jax.errors import DataError
from srd_jax.files import read_regular, replacing

__all__ = ["load", "save"]

_FORMAT = "srd_jax flow 2"
_LARGEST = 16 * 2**30
_POSITIONS = 2**28
_STEPS = {step.__name__: step for step in get_args(geometry.Step)}

F = TypeVar("F")


def save(flow: Any, path: Path) -> None:
    """Write a flow whose head is a table.

    Raises:
        SRDError: it cannot be written there.
    """
    head = flow.head
    arrays = {"logits": head.logits, "maps": head.maps}
    arrays |= {f"ratios.{i}": edge.ratios for i, edge in enumerate(flow.edges) if edge.ratios is not None}
    about = {
        "format": _FORMAT,
        "layers": [asdict(layer) for layer in flow.layers],
        "edges": [
            {
                "source": edge.source,
                "target": edge.target,
                "grid": edge.grid,
                "steps": [{"step": type(step).__name__, **asdict(step)} for step in edge.steps],
            }
            for edge in flow.edges
        ],
        "head": {"rule": head.rule, "bias": head.bias, "nodes": head.nodes, "grids": head.grids},
        "squash": asdict(head.squash),
        "live": flow.live,
        "apart": flow.apart,
    }
    content = safetensors.numpy.save({k: np.asarray(v) for k, v in arrays.items()}, {"flow": json.dumps(about)})
    with replacing(path) as file:
        file.write(content)


def load(path: Path, flow: Callable[..., F], layer: Callable[..., Any]) -> F:
    """Read a flow.

    Args:
        path: of the file.
        flow: makes a `srd_jax.Flow` of its parts.
        layer: makes a `srd_jax.Layer` of its parts.

    Raises:
        DataError: it does not exist or is not such a file.
    """
    try:
        content = read_regular(path, _LARGEST)
        arrays = safetensors.numpy.load(content)
        length = int.from_bytes(content[:8], "little")
        about = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["flow"])
        return _made(about, arrays, flow, layer)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        raise DataError(f"{path} is not a file that Flow.save wrote, or it was changed since") from error


def _made(
    about: Mapping[str, Any], arrays: Mapping[str, np.ndarray], flow: Callable[..., F], layer: Callable[..., Any]
) -> F:
    _hold(about["format"] == _FORMAT)
    layers = []
    for each in about["layers"]:
        grid, field = _ints(each["grid"]), _ints(each["receptive_field"])
        _hold(isinstance(each["name"], str) and _is_int(each["channels"]) and prod(grid) <= _POSITIONS)
        layers.append(layer(each["name"], grid, each["channels"], field))
    logits, maps = _floats(arrays["logits"], 2), _floats(arrays["maps"], 3)
    head = about["head"]
    nodes, grids = _ints(head["nodes"]), tuple(_ints(grid) for grid in head["grids"])
    _hold(head["rule"] in get_args(HeadRule) and head["bias"] in get_args(Bias) and len(nodes) > 0)
    own = dict(zip(nodes, grids, strict=True))
    _hold(all(layers[node].grid == grid for node, grid in own.items()))
    _hold(maps.shape == (*logits.shape, sum(map(prod, own.values()))) and logits.shape[0] > 0)
    edges = tuple(_edge(each, arrays.get(f"ratios.{i}"), layers, len(logits)) for i, each in enumerate(about["edges"]))
    _hold([edge.target for edge in edges] == sorted(edge.target for edge in edges))
    live = _masks(about["live"], layers)
    apart = _masks(about["apart"], layers) if about.get("apart") else ()
    squash = Squash(str(about["squash"]["step"]), str(about["squash"]["where"]))  # type: ignore[arg-type]
    table = HeadTable(jnp.asarray(logits), jnp.asarray(maps), head["rule"], head["bias"], nodes, grids, squash)
    return flow(tuple(layers), edges, table, live, apart)


def _masks(about: Any, layers: Sequence[Any]) -> tuple[tuple[bool, ...] | None, ...]:
    masks = tuple(None if each is None else tuple(map(bool, each)) for each in about)
    _hold(all(mask is None or len(mask) == prod(each.grid) for mask, each in zip(masks, layers, strict=True)))
    return masks


def _edge(about: Mapping[str, Any], ratios: np.ndarray | None, layers: Sequence[Any], images: int) -> Edge:
    source, target, grid = about["source"], about["target"], _ints(about["grid"])
    _hold(_is_int(source) and _is_int(target) and source < target and layers[source].grid == grid)
    steps = tuple(_step(each) for each in about["steps"])
    reached = jax.ShapeDtypeStruct(grid, np.float32)
    for step in steps:
        reached = jax.eval_shape(lambda x, step=step: step.select(x, 0), reached)
    _hold(reached.shape == layers[target].grid)
    if ratios is None:
        return Edge(None, source, target, grid, steps)
    _floats(ratios, 2 + len(reached.shape))
    _hold(ratios.shape == (images, geometry.count_taps(steps), *reached.shape))
    return Edge(jnp.asarray(ratios), source, target, grid, steps)


def _step(about: Mapping[str, Any]) -> geometry.Step:
    make = _STEPS[about["step"]]
    return make(**{field.name: _nested(about[field.name]) for field in fields(make)})


def _nested(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_nested, value))
    _hold(_is_int(value) and abs(value) <= _POSITIONS)
    return value


def _ints(values: Any) -> tuple[int, ...]:
    _hold(isinstance(values, list) and all(_is_int(value) and value >= 0 for value in values))
    return tuple(values)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _floats(array: np.ndarray, rank: int) -> np.ndarray:
    _hold(array.ndim == rank and array.dtype in (np.float32, np.float64, np.float16) and bool(np.isfinite(array).all()))
    return array


def _hold(true: bool) -> None:
    if not true:
        raise ValueError
