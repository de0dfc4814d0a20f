"""Primitives that have no sharing rule, and what is known of them nevertheless."""

from jax.extend.core import primitives as jp

from srd_jax.core.registry import describe

describe("expand_dims", action="selection")
describe(
    jp.complex_p, jp.conj_p, jp.dynamic_update_slice_p, jp.fft_p, jp.imag_p, jp.real_p, jp.scatter_add_p, jp.scatter_p,
    "ragged_dot", "ragged_dot_general", action="linear",
)  # fmt: skip
describe(
    jp.bitcast_convert_type_p, jp.cholesky_p, jp.eig_p, jp.eigh_p, jp.hessenberg_p, jp.householder_product_p,
    jp.linear_solve_p, jp.lu_p, jp.qr_p, jp.scatter_max_p, jp.scatter_min_p, jp.scatter_mul_p, jp.schur_p,
    jp.select_and_gather_add_p, jp.select_and_scatter_add_p, jp.select_and_scatter_p, jp.svd_p, jp.triangular_solve_p,
    jp.tridiagonal_p, jp.tridiagonal_solve_p,
)  # fmt: skip
describe("reduce", pattern="refused")
describe(
    jp.random_bits_p, jp.random_gamma_p, jp.threefry2x32_p, jp.rng_bit_generator_p, jp.rng_uniform_p, action="random"
)
