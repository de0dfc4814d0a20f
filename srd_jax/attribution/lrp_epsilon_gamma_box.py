"""The gamma rule in convolutions, the box rule at the pixels, the epsilon rule in dense layers."""

from collections.abc import Callable
from functools import partial

from jaxtyping import Array, Float

from srd_jax.attribution.derivatives import Reduce
from srd_jax.attribution.lrp import by_lrp
from srd_jax.core.compiled import Model
from srd_jax.zrule.layerwise import Composite
from srd_jax.zrule.rules import box, epsilon, gamma, in_proportion

__all__ = ["lrp_epsilon_gamma_box"]


def lrp_epsilon_gamma_box(
    f: Model,
    *,
    low: float = -3.0,
    high: float = 3.0,
    reduce: Reduce | None = "sum",
    channel_axis: int = -1,
) -> Callable[..., Float[Array, "n ..."]]:
    """Make a function that returns LRP with gamma = 0.25 in convolutions, a box at the pixels, epsilon in dense layers.

    The first layer's rule knows that its inputs lie between two bounds.

    Args:
        low: the least value of a pixel as the first layer sees it.
        high: the greatest.
        f: ``f(variables, images) -> logits``, as in `srd_jax.explain`.
        reduce: ``"sum"`` or ``"max"`` (of magnitudes) over the channels of a pixel, None for every channel.
        channel_axis: axis of ``images`` that holds the channels.

    Returns:
        ``explained(variables, images, targets=None) -> maps``, as `srd_jax.explain`; relevance starts from 1.

    Raises:
        ValueError: an unknown ``reduce``, or bounds in the wrong order.
        SRDError: raised by the returned function: images, targets or logits that cannot be explained;
            UnsupportedPrimitiveError for a step without a rule for single neurons.

    Source: Montavon et al., "Layer-Wise Relevance Propagation: An Overview", 2019; the composite that zennit calls
        EpsilonGammaBox.
    """
    if low >= high:
        raise ValueError(f"low must be less than high; got {low} and {high}")
    return by_lrp(partial(_composite, low, high), f, reduce=reduce, channel_axis=channel_axis)


def _composite(low: float, high: float) -> Composite:
    return {
        "first": box(low, high), "convolution": gamma(0.25), "dense": epsilon(1e-6), "pool": in_proportion,
    }  # fmt: skip
