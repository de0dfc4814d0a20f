import numpy as np
import pytest

from srd_jax.errors import TargetError
from srd_jax.models import imagenet_labels, resolve_target

LABELS = imagenet_labels()


def test_there_are_a_thousand_names():
    assert len(LABELS) == 1000
    assert all(label == label.strip() and label for label in LABELS)


@pytest.mark.parametrize(
    ("index", "label"),
    [
        (0, "tench, Tinca tinca"),
        (134, "crane"),
        (207, "golden retriever"),
        (281, "tabby, tabby cat"),
        (517, "crane"),
        (638, "maillot"),
        (639, "maillot, tank suit"),
        (999, "toilet tissue, toilet paper, bathroom tissue"),
    ],
)
def test_classes_are_in_the_order_of_the_logits(index, label):
    assert LABELS[index] == label


def test_crane_is_the_only_label_given_twice():
    assert sorted(label for label in set(LABELS) if LABELS.count(label) > 1) == ["crane"]


@pytest.mark.parametrize(
    "target", [281, np.int32(281), "281", " 281 ", "tabby", "Tabby Cat", "tabby_cat", "TABBY, tabby cat"]
)
def test_an_index_or_any_synonym_in_any_case(target):
    index = resolve_target(target, LABELS)
    assert index == 281
    assert type(index) is int


@pytest.mark.parametrize(
    ("target", "index"),
    [
        ("hen", 8),  # also a part of "hen-of-the-woods" and "kitchen"
        ("tank suit", 639),
        ("maillot, tank suit", 639),
        ("golden", 207),  # a part of one label alone
        ("tinca", 0),
    ],
)
def test_an_exact_name_comes_before_a_part(target, index):
    assert resolve_target(target, LABELS) == index


@pytest.mark.parametrize(
    ("target", "candidates"),
    [
        ("crane", "2 classes: 134 (crane); 517 (crane)"),
        ("maillot", "2 classes: 638 (maillot); 639 (maillot, tank suit)"),
        ("cardigan", "2 classes: 264 (Cardigan, Cardigan Welsh corgi); 474 (cardigan)"),
        ("retriever", "5 classes: 205 (flat-coated retriever); 206 (curly-coated retriever); 207 (golden retriever)"),
        ("cat", "16 classes: 281 (tabby, tabby cat); 282 (tiger cat); 283 (Persian cat)"),
        ("cat", " and 6 more."),
    ],
)
def test_an_ambiguous_name_lists_its_classes(target, candidates):
    with pytest.raises(TargetError) as caught:
        resolve_target(target, LABELS)
    assert candidates in str(caught.value)


def test_an_unknown_name_has_suggestions():
    with pytest.raises(TargetError, match=r"no class is called 'tabi cat'. Did you mean 281 \(tabby, tabby cat\)"):
        resolve_target("tabi cat", LABELS)


@pytest.mark.parametrize("target", ["zzzz", "", " "])
def test_a_name_like_no_other_is_refused(target):
    with pytest.raises(TargetError, match="Give a class name or an index"):
        resolve_target(target, LABELS)


@pytest.mark.parametrize("target", [-1, 1000, "1000", "-1", np.int64(10**6), True])
def test_an_index_out_of_range(target):
    with pytest.raises(TargetError, match="the model has classes 0 to 999"):
        resolve_target(target, LABELS)


@pytest.mark.parametrize("target", [2.5, None, [1]])
def test_a_target_of_another_type(target):
    with pytest.raises(TargetError, match="an index or a name"):
        resolve_target(target, LABELS)


def test_labels_may_be_any_models():
    assert resolve_target("class 1", ("class 0", "class 1")) == 1
    with pytest.raises(TargetError, match="classes 0 to 1"):
        resolve_target(2, ("class 0", "class 1"))
