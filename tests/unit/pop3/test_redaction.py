"""A secret does not appear, and everything else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pop3.redaction import Redaction

without_stars = st.characters(exclude_characters="*", exclude_categories=["Cs"])


@given(st.text(without_stars, min_size=4, max_size=80), st.text(max_size=30), st.text(max_size=30))
def test_law_a_secret_of_four_characters_or_more_never_comes_through(
    secret: str, before: str, after: str
) -> None:
    assert secret not in Redaction(secret).hide(f"{before}{secret}{after}")


@given(st.text(alphabet="abcxyz", min_size=9, max_size=80), st.integers(8, 80))
def test_law_a_long_beginning_of_it_does_not_either(secret: str, cut: int) -> None:
    assert Redaction(secret).hide(f"bad command: PASS {secret[:cut]}") == "bad command: PASS ***"


@given(st.text(max_size=60))
def test_law_without_a_secret_a_text_stays_as_it_is(text: str) -> None:
    assert Redaction().hide(text) == Redaction("").hide(text) == text


@pytest.mark.parametrize(
    ("secret", "text", "shown"),
    [
        ("abcd", "no abcd, ABCD or abcdabcd", "no ***, *** or ******"),
        ("a", "a man said a word", "a man said a word"),
        ("a", "PASS a", "PASS ***"),
        ("a", "pass A?", "pass ***?"),
        ("in", "maildrop in use", "maildrop in use"),
        ("in", "'in' is wrong", "'***' is wrong"),
        ("in", " in ", "***"),
        (".*+", "PASS .*+", "PASS ***"),
        ("(x|y)+z", "PASS (x|y)+z", "PASS ***"),
    ],
)
def test_short_secrets_are_hidden_where_they_are_an_echo(secret: str, text: str, shown: str) -> None:
    assert Redaction(secret).hide(text) == shown


def test_a_redaction_does_not_show_its_secret() -> None:
    assert repr(Redaction("hunter22")) == str(Redaction("hunter22")) == "Redaction()"


def test_a_token_of_thousands_of_characters_is_hidden_and_cut_short_too() -> None:
    token = "eyJhbGciOi.+" * 1000
    redaction = Redaction(token)
    assert redaction.hide(f"bad {token} here") == "bad *** here"
    assert redaction.hide(f"bad {token[:400]}") == "bad ***"
    assert redaction.hide(f"{token[:700]}!{token}") == "***!***"
