"""The slow, dense, float64 reference of Sharing Ratio Decomposition.

Read `description` (what a network is), `contributions` (one explicit vhat per tap) and `reference` (the method);
`as_jax` makes the equivalent JAX function from a description; `networks` holds small examples that together use every
feature, put together from the random parts in `draw`. Nothing here uses the library: the library is judged by it.
"""
