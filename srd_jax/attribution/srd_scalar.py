"""Sharing ratios of single neurons, added up over the channels of each pixel."""

from collections.abc import Callable

from jaxtyping import Array, Float

from srd_jax.core.compiled import Model
from srd_jax.core.head import Contrast, HeadRule
from srd_jax.core.sharing import Bias, Relevance
from srd_jax.core.transforms import mapped
from srd_jax.zrule.flow import decomposed, scalar_options

__all__ = ["srd_scalar"]


def srd_scalar(
    f: Model,
    *,
    bias: Bias = "norm",
    contrast: Contrast | None = "spatial",
    head: HeadRule = "linear",
    relevance: Relevance = "pre",
    channel_axis: int = -1,
) -> Callable[..., Float[Array, "n ..."]]:
    """Make a function that returns the heatmap of a class where every neuron is a PFV of one channel.

    Then mu_{i->j} = (w_ij x_i + s_ij b_j) / z_j, the z-rule. A layer norm's or a gate's factor is held fixed, and
    biases are shared along every path of linear steps.

    Args:
        f: as in `srd_jax.decompose`.
        bias: as in `srd_jax.decompose`.
        contrast: as in `srd_jax.explain`; ``"spatial"`` takes every channel's own mean over positions.
        head: ``"linear"`` or ``"gradcam"``, as in `srd_jax.decompose`.
        relevance: as in `srd_jax.decompose`.
        channel_axis: as in `srd_jax.decompose`.

    Returns:
        ``explained(variables, images, targets=None) -> heatmaps``, as `srd_jax.explain`.

    Raises:
        ValueError: an unknown option.
        SRDError: raised by the returned function, as in `srd_jax.explain`; UnsupportedPrimitiveError for a step that
            has no rule for single neurons.

    Source: the ablation of Han, Kim, Kwak, ICLR 2024, arXiv 2402.03348; the z-rule of Bach et al., PLoS ONE 2015.
    """
    return mapped(decomposed, f, scalar_options(bias, head, relevance, channel_axis), contrast)
