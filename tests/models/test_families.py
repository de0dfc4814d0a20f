"""The registry of families: every model once, and what others call its parameters."""

import pytest

from srd_jax import models
from srd_jax.models import families


def test_every_model_has_one_family_and_a_name_of_its_own():
    every = [name for family in families.FAMILIES for name in family.entries]
    assert len(every) == len(set(every))
    assert tuple(every) == models.names() == tuple(families.entries())
    assert all(name in families.family_of(name).entries for name in every)


@pytest.mark.parametrize(
    ("model", "theirs", "ours"),
    [
        ("vgg16", "head.fc.", "classifier.6."),
        ("efficientnet_b1", "_blocks.2.", None),
        ("efficientnet_b1", "_blocks.2._expand_conv.", "blocks.1.0.conv_pw."),
        ("efficientnet_b0", "_blocks.2._expand_conv.", "blocks.1.1.conv_pw."),
        ("resnet18", "head.fc.", None),
        ("a file of one's own", "head.fc.", None),
    ],
)
def test_others_names_are_a_models_own(model, theirs, ours):
    assert families.renamed(model).get(theirs) == ours
