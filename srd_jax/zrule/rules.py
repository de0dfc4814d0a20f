"""Rules of layer-wise relevance propagation: how a layer z = w x + b divides the relevance of z among x.

w+ and w- are what is positive and negative of w; bias takes its part and keeps it. Denominators are moved away from
zero by a little.

Source: Bach et al., PLoS ONE 2015; Montavon et al., "Layer-Wise Relevance Propagation: An Overview", 2019.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from srd_jax.zrule.layerwise import LinearStep, Rule, stabilised

__all__ = ["alpha_beta", "box", "epsilon", "gamma", "in_proportion", "z_plus"]


def epsilon(size: float) -> Rule:
    """R_i = sum_j x_i w_ij / (z_j +- size) R_j."""

    def rule(step: LinearStep, relevance: jax.Array) -> jax.Array:
        z = step.forward(step.x, step.weights) + step.bias
        return step.x * step.back(relevance / stabilised(z, size), step.weights)

    return rule


def in_proportion(step: LinearStep, relevance: jax.Array) -> jax.Array:
    """R_i = sum_j x_i w_ij / sum_i' x_i' w_i'j R_j: of means, and of layers without their bias."""
    share = relevance / stabilised(step.forward(step.x, step.weights))
    return step.x * step.back(share, step.weights)


def z_plus(step: LinearStep, relevance: jax.Array) -> jax.Array:
    """R_i = sum_j (x_i w_ij)+ / (sum_i' (x_i' w_i'j)+ + b_j+) R_j."""
    return _signed(step, relevance, _positive(step.bias), positive=True)


def alpha_beta(alpha: float, beta: float) -> Rule:
    """Positive contributions get alpha of the relevance, negative ones -beta; alpha - beta = 1."""

    def rule(step: LinearStep, relevance: jax.Array) -> jax.Array:
        more = _signed(step, relevance, _positive(step.bias), positive=True)
        less = _signed(step, relevance, _negative(step.bias), positive=False)
        return alpha * more - beta * less

    return rule


def gamma(factor: float) -> Rule:
    """Contributions of z's sign count (1 + gamma) times, and so does a bias of that sign."""

    def rule(step: LinearStep, relevance: jax.Array) -> jax.Array:
        x, w, b = step.x, step.weights, step.bias
        above, below = _positive(x), _negative(x)
        more, less = w + factor * _positive(w), w + factor * _negative(w)
        z = step.forward(x, w) + b
        z_more = step.forward(above, more) + step.forward(below, less) + b + factor * _positive(b)
        z_less = step.forward(above, less) + step.forward(below, more) + b + factor * _negative(b)
        up = jnp.where(z > 0, relevance / stabilised(z_more), 0)
        down = jnp.where(z < 0, relevance / stabilised(z_less), 0)
        return above * (step.back(up, more) + step.back(down, less)) + below * (
            step.back(up, less) + step.back(down, more)
        )

    return rule


def box(low: float, high: float) -> Rule:
    """R_i = sum_j (x_i w_ij - low w_ij+ - high w_ij-) / (its sum over i) R_j, for inputs between two bounds."""

    def rule(step: LinearStep, relevance: jax.Array) -> jax.Array:
        w = step.weights
        parts: list[tuple[jax.Array, jax.Array]] = [
            (step.x, w),
            (-low * step.inside, _positive(w)),
            (-high * step.inside, _negative(w)),
        ]
        z = sum((step.forward(x, v) for x, v in parts[1:]), step.forward(*parts[0]))
        share = relevance / stabilised(z)
        return sum((x * step.back(share, v) for x, v in parts[1:]), parts[0][0] * step.back(share, w))

    return rule


def _signed(step: LinearStep, relevance: jax.Array, bias: jax.Array, *, positive: bool) -> jax.Array:
    """Relevance in proportion to the contributions of one sign."""
    above, below = _positive(step.x), _negative(step.x)
    weights: list[Callable[[jax.Array], jax.Array]] = [_positive, _negative] if positive else [_negative, _positive]
    first, second = (part(step.weights) for part in weights)
    share = relevance / stabilised(step.forward(above, first) + step.forward(below, second) + bias)
    return above * step.back(share, first) + below * step.back(share, second)


def _positive(x: jax.Array) -> jax.Array:
    return jnp.maximum(x, 0)


def _negative(x: jax.Array) -> jax.Array:
    return jnp.minimum(x, 0)
