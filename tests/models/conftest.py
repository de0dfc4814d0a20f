import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.golden import recipe


@pytest.fixture(scope="session")
def resnet18_state():
    """The recipe's ResNet-18 weights; tests that change them copy the mapping first."""
    return recipe.state_dict(recipe.shapes("resnet18"))


@pytest.fixture(scope="session")
def template():
    """Shapes and dtypes of a module's variables, nothing computed."""

    def shapes_of(module, extent=32):
        return jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, extent, extent, 3)))

    return shapes_of


@pytest.fixture(scope="session")
def named_maps():
    """The checkpoint names in a module's forward pass, in the order of its equations, with their shapes."""

    def names_of(module, variables, extent):
        jaxpr = jax.make_jaxpr(module.apply)(variables, jnp.zeros((1, extent, extent, 3))).jaxpr
        return {e.params["name"]: e.outvars[0].aval.shape for e in jaxpr.eqns if e.primitive.name == "name"}

    return names_of


@pytest.fixture(scope="session")
def relative_error():
    def error(found, expected):
        return np.linalg.norm(np.asarray(found) - expected) / np.linalg.norm(expected)

    return error
