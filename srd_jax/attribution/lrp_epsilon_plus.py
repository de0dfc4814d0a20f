"""The z+ rule in convolutions, the epsilon rule in dense layers."""

from collections.abc import Callable

from jaxtyping import Array, Float

from srd_jax.attribution.derivatives import Reduce
from srd_jax.attribution.lrp import by_lrp
from srd_jax.core.compiled import Model
from srd_jax.zrule.layerwise import Composite
from srd_jax.zrule.rules import epsilon, in_proportion, z_plus

__all__ = ["lrp_epsilon_plus"]


def lrp_epsilon_plus(
    f: Model, *, reduce: Reduce | None = "sum", channel_axis: int = -1
) -> Callable[..., Float[Array, "n ..."]]:
    """Make a function that returns LRP with the z+ rule in convolutions and epsilon = 1e-6 in dense layers.

    A dense layer is a step with weights that makes one position.

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

    Source: Bach et al., PLoS ONE 2015; the composite that zennit calls EpsilonPlus.
    """
    return by_lrp(_composite, f, reduce=reduce, channel_axis=channel_axis)


def _composite() -> Composite:
    return {"first": z_plus, "convolution": z_plus, "dense": epsilon(1e-6), "pool": in_proportion}
