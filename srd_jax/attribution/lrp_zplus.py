"""Relevance in proportion to positive contributions, layer by layer."""

from collections.abc import Callable

from jaxtyping import Array, Float

from srd_jax.attribution.derivatives import Reduce
from srd_jax.attribution.lrp import by_lrp
from srd_jax.core.compiled import Model
from srd_jax.zrule.layerwise import Composite
from srd_jax.zrule.rules import in_proportion, z_plus

__all__ = ["lrp_zplus"]


def lrp_zplus(
    f: Model, *, reduce: Reduce | None = "sum", channel_axis: int = -1
) -> Callable[..., Float[Array, "n ..."]]:
    """Make a function that returns LRP with the z+ rule in every layer.

    Only positive contributions count, in convolutions and dense layers alike.

    Args:
        f: ``f(variables, images) -> logits``, as in `srd_jax.explain`.
        reduce: ``"sum"`` or ``"max"`` (of magnitudes) over the channels of a pixel, None for every channel.
        channel_axis: axis of ``images`` that holds the channels.

    Returns:
        ``explained(variables, images, targets=None) -> maps``, as `srd_jax.explain`; relevance starts from 1.

    Raises:
        ValueError: an unknown ``reduce``.
        SRDError: raised by the returned function: images, targets or logits that cannot be explained;
            UnsupportedPrimitiveError for a step without a rule for single neurons.

    Source: Montavon, Lapuschkin, Binder, Samek, Müller, Pattern Recognition 2017, arXiv 1512.02479.
    """
    return by_lrp(_composite, f, reduce=reduce, channel_axis=channel_axis)


def _composite() -> Composite:
    return {"first": z_plus, "convolution": z_plus, "dense": z_plus, "pool": in_proportion}
