"""Models that were left in training mode are refused: an exchange between images, or random numbers."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

import srd_jax as srd

IMAGES = jax.random.normal(jax.random.key(0), (2, 4, 3, 3))


class Network(nn.Module):
    """One batch norm and one dropout."""

    norm: bool = False
    dropout: bool = False

    @nn.compact
    def __call__(self, x):
        x = nn.BatchNorm(use_running_average=not self.norm)(nn.Conv(4, (1, 1))(x))
        return nn.Dropout(0.5, deterministic=not self.dropout)(nn.relu(x)).mean((1, 2))


VARIABLES = jax.jit(Network().init)(jax.random.key(1), IMAGES)


def flattened(_, x):
    rows = x.reshape(-1, x.shape[-1])
    return jnp.tanh(x - rows.mean(0)).mean((1, 2))


def dropped(variables, x):
    return Network(dropout=True).apply(variables, x, rngs={"dropout": jax.random.key(2)})


def normalised(variables, x):
    return Network(norm=True).apply(variables, x, mutable=["batch_stats"])[0]


@pytest.mark.parametrize("images", [IMAGES[:1], IMAGES], ids=["one image", "two images"])
@pytest.mark.parametrize("f", [normalised, flattened])
def test_statistics_of_the_batch_are_refused(f, images):
    with pytest.raises(srd.UnsupportedPrimitiveError, match=r"batch|images") as error:
        srd.explain(f)(VARIABLES, images, 0)
    assert __file__ in str(error.value)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_random_numbers_are_refused_by_name_and_line(wrap):
    said = (
        rf"primitive 'random_bits'.*dropout.* at {__file__}:\d+ \(Network.__call__\) through .*, in Network/Dropout_0"
    )
    with pytest.raises(srd.UnsupportedPrimitiveError, match=said):
        wrap(srd.explain(dropped))(VARIABLES, IMAGES, 0)


def test_the_same_network_in_evaluation_mode_is_explained():
    logits, flow = srd.decompose(Network().apply)(VARIABLES, IMAGES)
    heat = flow.relevance(0, contrast=None)["input"]
    assert jnp.abs(heat.sum((1, 2)) - logits[:, 0]).max() < 1e-5


def test_random_numbers_that_do_not_reach_the_logits_do_no_harm():
    def f(variables, x):
        jax.random.normal(jax.random.key(3), x.shape)
        return Network().apply(variables, x)

    assert jnp.array_equal(srd.explain(f)(VARIABLES, IMAGES, 0), srd.explain(Network().apply)(VARIABLES, IMAGES, 0))
