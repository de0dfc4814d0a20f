from srd_jax.messages import shortened


def test_both_ends_of_a_long_text():
    assert shortened("ab" * 10**6, 8) == "abab…abab"
    assert shortened("a" * 8, 8) == "a" * 8


def test_what_cannot_be_printed_is_escaped():
    assert shortened("two\nlines \x1b[1m \ud800") == r"two\nlines \x1b[1m \ud800"
    assert shortened("bär") == "bär"


def test_other_values_are_quoted_as_text():
    assert shortened(ValueError("no")) == "no"
