"""A traced program gives what its function gives, and its derivatives."""

import jax
import jax.numpy as jnp
import numpy as np

from srd_jax.core.evaluate import evaluate
from srd_jax.core.tracing import trace

IMAGES = jnp.linspace(-1, 1, 2 * 4 * 4 * 3, dtype=jnp.float32).reshape((2, 4, 4, 3))


def run(program, images):
    known = dict(program.constants) | {program.image: images}
    return evaluate(program.equations, known, program.output)


def test_gradient_through_a_kept_activation():
    f = jax.make_jaxpr(lambda _, x: jax.nn.relu(x).mean((1, 2)), return_shape=True)
    gradient = jax.grad(lambda x: jnp.sum(run(trace(f, None, IMAGES), x)))(IMAGES)
    np.testing.assert_allclose(gradient, (IMAGES > 0) / 16, atol=1e-6)
