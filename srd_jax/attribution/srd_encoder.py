"""The relevance at the encoder's output, enlarged to the pixels: SRD without its recursion."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import jax
from jaxtyping import Array, Float

from srd_jax.core.build_flow import build_flow
from srd_jax.core.compiled import Model, Options, interpreted
from srd_jax.core.edges import enlarge
from srd_jax.core.flow import Flow, Layer
from srd_jax.core.head import Contrast, Head, HeadRule
from srd_jax.core.sharing import Bias
from srd_jax.core.transforms import check_options, mapped

__all__ = ["srd_encoder"]


def srd_encoder(
    f: Model,
    *,
    bias: Bias = "norm",
    contrast: Contrast | None = "spatial",
    head: HeadRule = "linear",
    channel_axis: int = -1,
) -> Callable[..., Float[Array, "n ..."]]:
    """Make a function that returns the relevance of a class at the encoder's output, enlarged bilinearly to the pixels.

    Each position's relevance is spread whole, so that the sum is kept. No sharing ratios are computed.

    Args:
        f: as in `srd_jax.decompose`.
        bias: how constants that no pixel brings are shared, as in `srd_jax.decompose`.
        contrast: as in `srd_jax.explain`.
        head: ``"linear"`` or ``"gradcam"``, as in `srd_jax.decompose`: the latter is Grad-CAM, less its mean with
            ``contrast="spatial"``.
        channel_axis: as in `srd_jax.decompose`.

    Returns:
        ``explained(variables, images, targets=None) -> heatmaps``, as `srd_jax.explain`.

    Raises:
        ValueError: an unknown option.
        SRDError: raised by the returned function, as in `srd_jax.explain`; ShapeError where the encoder's output has
            another number of axes than the images.
    """
    if head == "sharing":
        raise ValueError('head must be "linear" or "gradcam" without recursion, not "sharing"')
    return mapped(_decomposed, f, check_options(bias, head, "pre", channel_axis), contrast)


@dataclass(frozen=True)
class _EncoderFlow:
    """A flow that ends at the encoder's output."""

    flow: Flow

    @property
    def layers(self) -> tuple[Layer, ...]:
        return self.flow.layers

    @property
    def head(self) -> Head:
        assert isinstance(self.flow.head, Head)
        return self.flow.head

    def relevance(self, targets: Any, *, contrast: Contrast | None) -> dict[str, Array]:
        """{input: (N, *grid) or (N, K, *grid)}."""
        pixels = self.layers[0]
        maps = self.flow.relevance(targets, contrast=contrast)
        grids = {layer.name: layer.grid for layer in self.layers}
        single = all(m.ndim == 1 + len(grids[name]) for name, m in maps.items())
        large = [enlarge(m[:, None] if single else m, pixels.grid) for m in maps.values()]
        heat = reduce(add, large)
        return {pixels.name: heat[:, 0] if single else heat}


def _decomposed(
    tracer: Callable[..., Any], options: Options, variables: Any, images: jax.Array
) -> tuple[Float[Array, "n classes"], _EncoderFlow]:
    interpretation = interpreted(tracer, options, variables, images, recursion=False)
    return interpretation.logits.array, _EncoderFlow(build_flow(interpretation))
