"""A recipe says what is done at every step."""

import pytest

from srd_jax.training import Recipe
from srd_jax.training.recipe import Phase


def test_steps_and_phases():
    recipe = Recipe(epochs=2, batch=10, sizes=((0.0, 32), (0.25, 48), (0.9, 64)))
    assert recipe.steps(100) == 20
    assert recipe.phases(100) == (Phase(0, 5, 32), Phase(5, 18, 48), Phase(18, 20, 64))


def test_a_phase_without_a_step_is_left_out():
    assert Recipe(epochs=1, batch=10, sizes=((0.0, 32), (0.01, 48))).phases(20) == (Phase(0, 2, 48),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 0}, "batch must be between 1"),
        ({"epochs": -1}, "epochs must be between 0"),
        ({"average": 1.5}, "average must be between 0 and 1"),
        ({"sizes": ((0.1, 32),)}, "sizes must start at share 0"),
        ({"sizes": ((0.0, 32), (0.5, 48), (0.5, 64))}, "sizes must start at share 0 and rise"),
        ({"sizes": ()}, "sizes must start"),
        ({"sizes": ((0.0, 32), (float("nan"), 48))}, "sizes must start at share 0 and rise"),
        ({"sizes": ((0.0, 0),)}, "sizes must be between 1 and 4096"),
        ({"sizes": ((0.0, 10**9),)}, "sizes must be between 1 and 4096"),
        ({"epochs": float("inf")}, "epochs must be between 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be between 0"),
        ({"seed": 10**30}, "seed must be between 0"),
    ],
)
def test_what_cannot_be_trained(change, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**change)
