"""A server's words are shown whole, or not at all where they repeat part of a secret."""

import json
from base64 import b64encode, urlsafe_b64encode
from binascii import b2a_qp
from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.pop3.wire.redaction import MOST_SHOWN, WITHHELD, Redaction
from app.pop3.words.refusals import SENTENCES, Meaning, is_known, meaning_of

Encoding = Callable[[str], str]

ENCODINGS: dict[str, Encoding] = {
    "percent": lambda text: "".join(f"%{octet:02x}" for octet in text.encode()),
    "percent, some": lambda text: "".join(
        f"%{octet:02X}" if number % 3 else chr(octet) for number, octet in enumerate(text.encode("latin-1"))
    ),
    "html": lambda text: "".join(f"&#{ord(each)};" for each in text),
    "html, hex": lambda text: "".join(f"&#x{ord(each):x};" for each in text),
    "json": lambda text: "".join(f"\\u{ord(each):04x}" for each in text),
    "json text": json.dumps,
    "hex": lambda text: text.encode().hex(),
    "hex, spaced": lambda text: text.encode().hex(":").upper(),
    "hex, of C": lambda text: "".join(f"\\x{octet:02x}" for octet in text.encode()),
    "hex, prefixed": lambda text: " ".join(f"0x{octet:02x}" for octet in text.encode()),
    "base64": lambda text: b64encode(text.encode()).decode(),
    "base64, url": lambda text: urlsafe_b64encode(b"?" + text.encode() + b"~").decode().rstrip("="),
    "base64, shifted": lambda text: b64encode(b"\0reader\0" + text.encode()).decode(),
    "base64, folded": lambda text: "\t".join(b64encode(text.encode()).decode()),
    "base64, utf-16": lambda text: b64encode(text.encode("utf-16-le")).decode(),
    "quoted-printable": lambda text: "".join(f"={octet:02X}" for octet in text.encode()),
    "each in another way": lambda text: "".join(
        ("%{:02x}", "&#{};", "\\u{:04x}", "={:02X}")[number % 4].format(ord(each))
        for number, each in enumerate(text)
    ),
    "quoted-printable, some": lambda text: b2a_qp(f"={text}".encode(), quotetabs=True).decode(),
}
SPOILT: dict[str, Encoding] = {
    "as it is": str,
    "upper case": str.upper,
    "swapped case": str.swapcase,
    "blanks": " ".join,
    "points": ".".join,
    "dashes and tabs": "-\t".join,
    "cut at the start": lambda text: text[3:],
    "cut at the end": lambda text: text[:7],
}
SECRET = "hunter2-zQ9!kW4v"


@pytest.mark.parametrize("spoilt", SPOILT)
@pytest.mark.parametrize("encoding", [None, *ENCODINGS])
def test_six_characters_of_it_are_seen_in_any_form(encoding: str | None, spoilt: str) -> None:
    said = SPOILT[spoilt](SECRET)
    said = ENCODINGS[encoding](said) if encoding else said
    for text in (said, f"bad command: PASS {said}", f"PASS {said}!"):
        assert Redaction(SECRET).shown(text) == WITHHELD, text


@pytest.mark.parametrize(("outer", "inner"), list(product(ENCODINGS, ENCODINGS)))
def test_one_form_within_another_is_seen(outer: str, inner: str) -> None:
    text = f"no: {ENCODINGS[outer](ENCODINGS[inner](SECRET))}"
    assert Redaction(SECRET).shown(text) == WITHHELD, text


@given(st.text(min_size=1, max_size=80), st.text(max_size=30), st.text(max_size=30))
def test_law_no_secret_comes_through_as_it_is(secret: str, before: str, behind: str) -> None:
    text = f"{before}{secret}{behind}"
    assume(not is_known(text))  # Hypothesis tries texts of our source too
    shown = Redaction(secret).shown(text)
    assert shown == WITHHELD or not secret.strip() or secret not in shown or not _bare(secret)


def _bare(secret: str) -> str:
    return "".join(each for each in secret.casefold() if each.isalnum())


@given(st.text(alphabet="abcxyz0189", min_size=9, max_size=80), st.data())
def test_law_no_part_of_it_does_either(secret: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(secret) - 6))
    form = data.draw(st.sampled_from(list(ENCODINGS.values())))
    assert Redaction(secret).shown(f"{form(secret[start : start + 6])} is not it") == WITHHELD


@given(st.text(max_size=600))
def test_law_without_a_secret_a_text_is_shown(text: str) -> None:
    assert Redaction().shown(text) == Redaction("").shown(text) == text[:MOST_SHOWN]


@pytest.mark.parametrize(
    ("secret", "text", "is_shown"),
    [
        ("correct horse", "the horse is dead", False),
        ("correct horse", "that is not correct, horst", False),  # a word
        ("correct horse", "a hors for a king", True),  # five in a row
        ("correct horse", "ct hor", False),
        ("correct horse", "mailbox of reader@example.org is full", True),
        ("abc def", "abcd", True),
        ("abc def", "a b-c d e/f!", False),
        ("a", "no", True),
        ("a", "bad", False),
        ("in", "maildrop on fire", True),
        ("in", "maildrop is in the pool", False),
        ("12345", "session 1234", True),
        ("12345", "session 1 2 3 4 5", False),
        ("!!!???", "what!!!???", False),
        ("!!!???", "what!?", True),
        (".*+", "PASS .*+", False),
        ("größe", "GRÖSSE", False),
        ("größe", "gr%F6%DFe", False),  # as octets of Latin-1
        ("vq7Zpaxw", "vq7Zpàx", False),  # a letter with an accent
        ("passwort", "\uff50\uff41\uff53\uff53\uff57\uff4f\uff52\uff54", False),
    ],
)
def test_what_repeats_a_secret(secret: str, text: str, is_shown: bool) -> None:
    assert Redaction(secret).shown(text) == (text if is_shown else WITHHELD)


@pytest.mark.parametrize("phrase", [sentence.phrase for sentence in SENTENCES])
def test_a_sentence_that_we_know_is_shown_whatever_the_secret_is(phrase: str) -> None:
    for text in (phrase, f"[AUTH] {phrase}.", f" {phrase.upper()}  "):
        assert Redaction(phrase, "password", "a", "mailbox").shown(text) == text


def test_a_sentence_with_anything_beside_it_is_not_one_that_we_know() -> None:
    for text in ("[PASSWORD] invalid password", "invalid password password", "invalid password: x"):
        assert Redaction("password").shown(text) == WITHHELD


def test_what_a_sentence_means_is_known_by_itself_or_by_its_words() -> None:
    assert meaning_of("[AUTH] Authentication failed.") is Meaning.WRONG_CREDENTIALS
    assert meaning_of("go and use your App Password, please") is Meaning.APP_PASSWORD
    assert meaning_of("HTTP/1.1 400 Bad Request") is Meaning.HTTP
    assert meaning_of("hm") is None


def test_a_secret_that_is_learnt_later_counts_from_then_on() -> None:
    redaction = Redaction("correct horse")
    assert redaction.shown("token 12345678") == "token 12345678"
    assert redaction.add("12345678")
    assert not redaction.add("12345678")
    assert redaction.shown("yz") == "yz"
    assert redaction.add("xyz")
    assert redaction.shown("eHl6 is it") == WITHHELD, "a shorter one than all before, in base64"
    assert redaction.shown("token 12345678") == redaction.shown("horse") == WITHHELD


def test_a_redaction_does_not_show_its_secret() -> None:
    assert repr(Redaction("hunter22")) == str(Redaction("hunter22")) == "Redaction()"


def test_a_token_of_thousands_of_characters_is_seen_in_parts() -> None:
    token = "eyJhbGciOi.+" * 1000
    for text in (token, token[:400], token[4000:4007], b64encode(token[500:700].encode()).decode()):
        assert Redaction(token).shown(f"bad {text} here") == WITHHELD


def test_a_long_text_is_shown_to_its_bound_and_judged_a_little_beyond() -> None:
    redaction = Redaction("correct horse")
    assert redaction.shown("x" * 70_000) == "x" * MOST_SHOWN
    assert redaction.shown("x" * (MOST_SHOWN - 3) + "correct horse") == WITHHELD
