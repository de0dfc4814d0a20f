import numpy as np
import pytest

from srd_jax.errors import TargetError
from srd_jax.models import imagenet_labels, resolve_target
from srd_jax.models.labels import imagenet_classes, nameless, readable, tiny_imagenet_classes, unlike

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
        ("maillot", 638),  # also the first synonym of 639
        ("cardigan", 474),  # the dog is a "Cardigan, Cardigan Welsh corgi"
        ("Cardigan Welsh corgi", 264),
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
        ("corgi", "2 classes: 263 (Pembroke, Pembroke Welsh corgi); 264 (Cardigan, Cardigan Welsh corgi)"),
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


@pytest.mark.parametrize(
    ("target", "labels", "index"),
    [
        ("cat", ("cat", "cat, big"), 0),
        ("cat, big", ("cat", "cat, big", "big"), 1),
        ("Cat", ("cat", "Cat", "CAT"), 1),
        ("big_cat", ("big cat house", "Big  Cat"), 1),
        ("a,b", ("b", "a,b", "a"), 1),
        ("b", ("a,b", "c"), 0),
        ("class 1", ("class 10", "class 1"), 1),
        ("10", ("3", "10", "7"), 1),  # a whole label, and so no index
        ("2", ("3", "10", "7"), 2),
        ("+1", ("x", "y"), 1),
    ],
)
def test_a_whole_label_wins(target, labels, index):
    assert resolve_target(target, labels) == index


ODD = ["9" * 5000, "-" + "9" * 5000, 10**5000, "+-3", "--3", "x" * 10**6, "\N{ARABIC-INDIC DIGIT THREE}" * 10**5]


@pytest.mark.parametrize("target", ODD, ids=range(len(ODD)))
def test_odd_targets_end_in_one_short_error(target):
    with pytest.raises(TargetError) as caught:
        resolve_target(target, LABELS)
    assert len(str(caught.value)) < 500


def test_ids_and_names_of_both_sets_agree():
    known = dict(imagenet_classes())
    assert list(known) == sorted(known)
    assert len(known) == 1000
    assert all(known[synset] == name for synset, name in tiny_imagenet_classes())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("tabby, tabby cat", "Tabby_Cat"),
        ("tabby, tabby cat", "tabby"),
        ("tabby, tabby cat", "n02123045"),
        ("tabby, tabby cat", "n02123045-tabby"),
        ("n99999999-tabby", "Tabby"),
        ("flat-coated retriever", "flat coated  retriever"),
        ("ba\N{COMBINING DIAERESIS}r", "bär"),
        ("+", "+"),
    ],
)
def test_names_that_say_the_same(one, other):
    assert unlike([one], [other]) == unlike([other], [one]) == []


@pytest.mark.parametrize(
    ("one", "other"), [("tabby", "tiger cat"), ("tabby", "n02123159"), ("+", "-"), ("class 1", "1"), ("cat", "")]
)
def test_names_that_do_not(one, other):
    assert unlike(["owl", one], ["owl", other]) == [1]


@pytest.mark.parametrize(
    ("labels", "expected"), [(("0", "1"), True), (("class 0", "Class_1"), True), (("0", "one"), False)]
)
def test_numbers_are_no_names(labels, expected):
    assert nameless(labels) is expected


def test_names_that_people_read():
    assert readable(["n02123045", "Great_Tit", "n99999999"]) == ("tabby, tabby cat", "Great Tit", "n99999999")


def test_labels_may_be_any_models():
    assert resolve_target("class 1", ("class 0", "class 1")) == 1
    with pytest.raises(TargetError, match="classes 0 to 1"):
        resolve_target(2, ("class 0", "class 1"))
