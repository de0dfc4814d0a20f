"""The flow of relevance where every neuron is a PFV of its own, of one channel: ``unit="scalar"``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import primitives as jp
from jaxtyping import Array, Float, Int

from srd_jax.core import layout as lay
from srd_jax.core.build_flow import references
from srd_jax.core.flow import Flow, Layer
from srd_jax.core.head import Contrast, Head
from srd_jax.core.interpreter import Interpreter
from srd_jax.core.layout import Layout
from srd_jax.core.meshes import transposed
from srd_jax.core.sharing import Bias, Relevance
from srd_jax.core.targets import as_targets, check_targets
from srd_jax.core.tracing import Equation, Program, Ref
from srd_jax.core.values import Map, Sum, Value
from srd_jax.errors import LayerError, UnsupportedPrimitiveError
from srd_jax.zrule.engine import Neurons, refuse

__all__ = ["ScalarFlow", "scalar_flow"]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["values", "head"],
    meta_fields=["layers", "program", "places", "layouts", "ends", "bias", "kind"],
)
@dataclass(frozen=True)
class ScalarFlow:
    """Relevance of single neurons, from the encoder's output to the pixels' channels.

    A pytree, as `Flow`, but one that holds every activation: ratios between single neurons are too many to keep.

    Attributes:
        layers: the PFV maps, as in `Flow`.
        values: every value of the program on the images.
        head: from the encoder's output to the logits.
        program: the traced program.
        places: the value of each layer.
        layouts: what the axes of the values that depend on the images mean.
        ends: values that end a sum.
        bias: how constants are shared.
        kind: whether ratios are taken before or after the activation.
    """

    layers: tuple[Layer, ...]
    values: dict[Ref, Array]
    head: Head
    program: Program
    places: tuple[Ref, ...]
    layouts: tuple[tuple[Ref, Layout], ...]
    ends: frozenset[Ref]
    bias: Bias
    kind: Relevance

    def relevance(
        self,
        targets: int | Int[Array, " n"] | Int[Array, "n k"] | None = None,
        *,
        contrast: Contrast | None = "spatial",
    ) -> dict[str, Float[Array, "n ..."]]:
        """Relevance of classes at every PFV map, its neurons' added up over the channels.

        Args:
            targets: as in `Flow.relevance`.
            contrast: as in `Flow.relevance`; ``"spatial"`` takes every channel's own mean over positions.

        Returns:
            {layer: (N, *grid)}, or (N, K, *grid) for (N, K) targets, as `Flow.relevance`.

        Raises:
            TargetError: a class that does not exist, or targets of another shape.
            UnsupportedPrimitiveError: a step that has no rule for single neurons.
        """
        return _relevance_of(
            self, None if targets is None else check_targets(targets, self.head.logits.shape), contrast
        )

    def erf(self, *_: Any, **__: Any) -> NoReturn:
        """There are none: a field is that of a vector.

        Raises:
            LayerError: always.
        """
        raise LayerError('there are no effective receptive fields of single neurons; decompose with unit="vector"')


@partial(jax.jit, static_argnums=2)
def _relevance_of(flow: ScalarFlow, targets: Array | None, contrast: Contrast | None) -> dict[str, Array]:
    each, single = as_targets(targets, flow.head.logits)
    layouts = dict(flow.layouts)
    neurons = Neurons(flow.program, flow.values, layouts, flow.bias, flow.kind, flow.ends)
    tops = list(zip(flow.head.refs, flow.head.neurons(each, contrast), strict=True))

    def one(seeds: Sequence[Array]) -> list[Array]:
        totals: dict[Ref, Array] = {}
        for (ref, _), seed in zip(tops, seeds, strict=True):
            totals[ref] = _of_shape(seed, layouts[ref])
        relevance = neurons.back(totals)
        return [
            lay.channel_sum(relevance[ref], layouts[ref]) if ref in relevance else jnp.zeros(()) for ref in flow.places
        ]

    maps = lax.map(one, [jnp.moveaxis(seed, 1, 0) for _, seed in tops])
    found = zip(flow.layers, maps, strict=True)
    return {
        layer.name: m[0] if single else jnp.moveaxis(m, 0, 1) for layer, m in found if m.ndim == len(layer.grid) + 2
    }


def scalar_flow(
    flow: Flow, interpreter: Interpreter, program: Program, env: dict[Ref, Any], logits: Value, kind: Relevance
) -> ScalarFlow:
    """The flow of single neurons through a program.

    Args:
        flow: of the interpreted program, without recursion: its layers and its head.
        interpreter: after the forward pass.
        program: what was interpreted.
        env: every value by reference.
        logits: the program's output.
        kind: whether ratios are taken before or after the activation.
    """
    head = flow.head
    assert isinstance(head, Head)
    upstream = set(head.refs)
    for equation in reversed(program.equations):
        if upstream.intersection(equation.results):
            upstream.update(operand for operand in equation.operands if isinstance(operand, int))
            upstream.update(equation.results)
    for equation in program.equations:
        if equation.results[0] in upstream & program.from_image:
            _refuse_constants(equation, env)
    unreached = next((node.name for node in interpreter.nodes if node.live is not None), None)
    if unreached is not None and interpreter.bias != "none":
        raise UnsupportedPrimitiveError(
            f"some positions of {unreached!r} lie in padding, where no pixel reaches them: what they bring is "
            'constant, and there are no sharing ratios of single neurons that share it. Use unit="vector"'
        )
    known = {ref: env[ref] for ref in sorted(upstream)}
    layouts = ((ref, value.layout) for ref, value in known.items() if isinstance(value, Map | Sum))
    ends = {node.ref for node in interpreter.nodes} | set(head.refs)
    values = {ref: value.array if isinstance(value, Map | Sum) else value for ref, value in known.items()}
    places = references(interpreter, logits, head.kind)
    return ScalarFlow(
        flow.layers, values, head, program, places, tuple(layouts), frozenset(ends), interpreter.bias, kind
    )


def _refuse_constants(equation: Equation, env: Mapping[Ref, Any]) -> None:
    """Refuse constants beside neurons, while they are known: their part of a later sum would be lost.

    Raises:
        UnsupportedPrimitiveError: it pads with another constant than zero, or concatenates some.
    """
    own = [env[operand] if isinstance(operand, int) else operand.value for operand in equation.operands]
    if equation.primitive is jp.pad_p:
        fill = own[1]
        unknown = isinstance(fill, jax.core.Tracer | Map | Sum)
        if unknown or (np.isfinite(float(fill)) and float(fill) != 0):
            refuse(equation, "it pads with a constant other than zero")
    elif equation.primitive is jp.concatenate_p and not all(isinstance(x, Map | Sum) for x in own):
        refuse(equation, "it puts constants beside neurons")


def _of_shape(neurons: Float[Array, "n ..."], layout: Layout) -> Array:
    """(N, *grid, C) as the array that has a layout."""
    return transposed(lambda x: lay.to_pfvs(x, layout), lay.shape_of(layout), neurons)
