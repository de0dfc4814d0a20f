"""Primitives that have no sharing rule, and what is known of them nevertheless."""

from jax.extend.core import primitives as jp

from srd_jax.core.registry import describe

describe(jp.gather_p, jp.dynamic_slice_p, "expand_dims", action="selection")
describe(jp.sort_p, jp.top_k_p, "reduce", pattern="refused")
describe(
    jp.random_bits_p, jp.random_gamma_p, jp.threefry2x32_p, jp.rng_bit_generator_p, jp.rng_uniform_p, action="random"
)
