"""The flow of relevance where every neuron is a PFV of its own, of one channel: ``unit="scalar"``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import primitives as jp
from jaxtyping import Array, Float, Int

from srd_jax.core import layout as lay
from srd_jax.core.build_flow import build_flow, layer_refs
from srd_jax.core.compiled import Model, Options, compiled, interpreted
from srd_jax.core.flow import Layer
from srd_jax.core.head import Contrast, Head, HeadRule
from srd_jax.core.layout import Layout
from srd_jax.core.meshes import transposed
from srd_jax.core.registry import facts_of
from srd_jax.core.sharing import Bias, Relevance
from srd_jax.core.targets import as_targets, check_targets
from srd_jax.core.tracing import Equation, Program, Ref
from srd_jax.core.transforms import check_images, check_logits, check_options
from srd_jax.core.values import Map, Sum
from srd_jax.errors import UnsupportedPrimitiveError
from srd_jax.zrule.engine import Neurons, refuse

__all__ = ["ScalarFlow", "decompose", "decomposed", "scalar_options"]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["values", "head"],
    meta_fields=["layers", "program", "places", "layouts", "ends", "bias", "against"],
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
        against: whether ratios are taken before or after the activation.
    """

    layers: tuple[Layer, ...]
    values: dict[Ref, Array]
    head: Head
    program: Program
    places: tuple[Ref, ...]
    layouts: tuple[tuple[Ref, Layout], ...]
    ends: frozenset[Ref]
    bias: Bias
    against: Relevance

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


@partial(jax.jit, static_argnums=2)
def _relevance_of(flow: ScalarFlow, targets: Array | None, contrast: Contrast | None) -> dict[str, Array]:
    each, single = as_targets(targets, flow.head.logits)
    layouts = dict(flow.layouts)
    neurons = Neurons(flow.program, flow.values, layouts, flow.bias, flow.against, flow.ends)
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


def decompose(
    f: Model,
    *,
    bias: Bias = "norm",
    head: HeadRule = "linear",
    relevance: Relevance = "pre",
    channel_axis: int = -1,
) -> Callable[[Any, Array], tuple[Float[Array, "n classes"], ScalarFlow]]:
    """Make a function that runs ``f`` and returns its logits with the flow of relevance through its single neurons.

    Args:
        f: as in `srd_jax.decompose`.
        bias: as in `srd_jax.decompose`.
        head: ``"linear"`` or ``"gradcam"``, as in `srd_jax.decompose`.
        relevance: as in `srd_jax.decompose`.
        channel_axis: as in `srd_jax.decompose`.

    Returns:
        ``decomposed(variables, images) -> (logits, flow)``.

    Raises:
        ValueError: an unknown option.
        SRDError: raised by the returned function, as in `srd_jax.decompose`.
    """
    run = compiled(decomposed, f, scalar_options(bias, head, relevance, channel_axis))

    def decomposing(variables: Any, images: Array) -> tuple[Float[Array, "n classes"], ScalarFlow]:
        logits, flow = run(variables, check_images(images, channel_axis))
        check_logits(logits, flow.head.squash)
        return logits, flow

    return decomposing


def scalar_options(bias: Bias, head: HeadRule, relevance: Relevance, channel_axis: int) -> Options:
    """The options of `decompose`.

    Raises:
        ValueError: an unknown one.
    """
    if head == "sharing":
        raise ValueError('head must be "linear" or "gradcam" for single neurons, not "sharing"')
    return check_options(bias, head, relevance, channel_axis)


def decomposed(
    tracer: Callable[..., Any], options: Options, variables: Any, images: Array
) -> tuple[Float[Array, "n classes"], ScalarFlow]:
    """The logits and the flow of a traced function; ``tracer`` is ``jax.make_jaxpr(f, return_shape=True)``.

    Raises:
        UnsupportedPrimitiveError: constants beside neurons, whose part of a later sum would be lost.
    """
    interpretation = interpreted(tracer, options, variables, images, recursion=False)
    flow = build_flow(interpretation)
    program, env = interpretation.program, interpretation.values
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
    unreached = next((node.name for node in interpretation.nodes if node.live is not None), None)
    if unreached is not None and options.bias != "none":
        raise UnsupportedPrimitiveError(
            f"some positions of {unreached!r} lie in padding, where no pixel reaches them: what they bring is "
            'constant, and there are no sharing ratios of single neurons that share it. Use unit="vector"'
        )
    known = {ref: env[ref] for ref in sorted(upstream)}
    layouts = ((ref, value.layout) for ref, value in known.items() if isinstance(value, Map | Sum))
    ends = {node.ref for node in interpretation.nodes} | set(head.refs)
    values = {ref: value.array if isinstance(value, Map | Sum) else value for ref, value in known.items()}
    places = layer_refs(interpretation)
    return interpretation.logits.array, ScalarFlow(
        flow.layers, values, head, program, places, tuple(layouts), frozenset(ends), options.bias, options.relevance
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
    elif (facts := facts_of(equation.primitive)) is not None and facts.action == "selection":
        fixed = (shape for x, shape in zip(own, equation.shapes, strict=True) if not isinstance(x, Map | Sum))
        if any(jnp.issubdtype(shape.dtype, jnp.inexact) for shape in fixed):
            refuse(equation, "it puts constants beside neurons")


def _of_shape(neurons: Float[Array, "n ..."], layout: Layout) -> Array:
    """(N, *grid, C) as the array that has a layout."""
    return transposed(lambda x: lay.to_pfvs(x, layout), lay.shape_of(layout), neurons)
