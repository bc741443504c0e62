"""SASLprep: the examples of RFC 4013 §3, and what is not for it to judge."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pop3.auth.saslprep import saslprep


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("pass\u00a0word", "pass word"),
        ("pa\u200bss\u3000word", "pass word"),  # zero width space is mapped to nothing (RFC 3454 B.1)
        ("u\u0308ber", "\u00fcber"),
        ("\u0627\u0628", "\u0627\u0628"),
    ],
)
def test_what_is_written_in_several_ways_becomes_one(text: str, prepared: str) -> None:
    assert saslprep(text) == prepared


@pytest.mark.parametrize(
    "text",
    [
        "\u0007",
        "\u0627\u0031",  # from right to left, and not at both ends
        "\u0627x\u0628",
        "\u00aa\U0001f511",  # a key: not in Unicode 3.2
        "\u00aa\ue000",
        "\u00ad",  # nothing would be left
    ],
)
def test_what_the_profile_forbids_stays_as_it_is(text: str) -> None:
    assert saslprep(text) == text


@given(st.text())
def test_law_twice_is_once(text: str) -> None:
    assert saslprep(saslprep(text)) == saslprep(text)
