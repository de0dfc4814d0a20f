"""Sharing Ratio Decomposition, with each of its choices as an option."""

from collections.abc import Callable
from typing import Literal, get_args

from jaxtyping import Array, Float

from srd_jax.attribution.srd_encoder import srd_encoder
from srd_jax.attribution.srd_scalar import srd_scalar
from srd_jax.core.compiled import Model
from srd_jax.core.head import Contrast, HeadRule
from srd_jax.core.sharing import Bias, Relevance
from srd_jax.core.transforms import check_options, decomposed, mapped, one_of

__all__ = ["explain"]

Unit = Literal["vector", "scalar"]


def explain(
    f: Model,
    *,
    bias: Bias = "norm",
    contrast: Contrast | None = "spatial",
    head: HeadRule = "linear",
    relevance: Relevance = "pre",
    unit: Unit = "vector",
    recursion: bool = True,
    channel_axis: int = -1,
) -> Callable[..., Float[Array, "n ..."]]:
    """Make a function that returns the heatmap of a class at the input's pixels.

    Args:
        f: as in `decompose`.
        bias: as in `decompose`.
        contrast: ``"spatial"`` (the authors') subtracts from the encoder's relevance its mean over positions, so that
            the heatmap sums to zero, ``"class"`` its mean over all classes, None nothing: then it sums to the logit.
        head: as in `decompose`.
        relevance: as in `decompose`.
        unit: what has a sharing ratio: ``"vector"`` (the authors') all neurons of one position together, ``"scalar"``
            every neuron by itself, as `srd_jax.attribution.srd_scalar` says.
        recursion: whether relevance recurses to the pixels; else it is that of the encoder's output, enlarged, as
            `srd_jax.attribution.srd_encoder` says.
        channel_axis: as in `decompose`.

    Returns:
        ``explained(variables, images, targets=None) -> heatmaps``: (N, *grid) for an int or (N,) targets, (N, K, *grid)
        for (N, K); None explains the predicted class. float32 or wider.

    Raises:
        ValueError: an unknown option.
        SRDError: raised by the returned function, as in `decompose`; TargetError for a class that does not exist. Where
            targets are traced and cannot be looked at, the map of such a class is NaN.

    Source: Han, Kim, Kwak, ICLR 2024, arXiv 2402.03348.

    Example:
        >>> heat = jax.jit(srd_jax.explain(f))(variables, images, targets)
    """
    one_of("unit", unit, get_args(Unit))
    one_of("recursion", recursion, (True, False))
    options = check_options(bias, head, relevance, channel_axis)
    if not recursion:
        return srd_encoder(f, bias=bias, contrast=contrast, head=head, channel_axis=channel_axis)
    if unit == "scalar":
        return srd_scalar(f, bias=bias, contrast=contrast, head=head, relevance=relevance, channel_axis=channel_axis)
    return mapped(decomposed, f, options, contrast)
