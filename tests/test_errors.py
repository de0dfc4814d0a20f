"""Every error of the package is one that a caller can catch by its base, and is exported."""

import inspect

import srd_jax as srd
from srd_jax import errors


def test_every_error_has_the_base_and_is_exported():
    classes = {name: each for name, each in vars(errors).items() if inspect.isclass(each)}
    assert set(classes) == set(errors.__all__)
    assert set(classes) <= set(srd.__all__)
    for name, each in classes.items():
        assert issubclass(each, srd.SRDError) or issubclass(each, UserWarning), name
        assert each.__doc__
