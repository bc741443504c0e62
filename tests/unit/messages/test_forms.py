"""Letters that were read, kept within bounds."""

import json

import pytest

from app.mail.mime import ParsedMessage
from app.messages.letters.forms import Form, Forms, form_of


def form(text: str | None = "words", html: str | None = None) -> Form:
    return form_of(ParsedMessage({"subject": ["Grüße"]}, text, html, (), ()))


def test_a_form_has_the_json_of_what_was_read() -> None:
    made = form("“Grüße”\n\u2028\x7f", "<p>\"'&amp;</p>")
    assert json.loads(made.text) == "“Grüße”\n\u2028\x7f"
    assert json.loads(made.html) == "<p>\"'&amp;</p>"
    assert json.loads(made.headers) == {"subject": ["Grüße"]}
    assert (form(None).text, form(None).html) == (b"null", b"null")


@pytest.mark.parametrize(
    ("limit", "cut"), [(1, ""), (2, "ü"), (3, "üa"), (5, "üa"), (6, "üa€"), (9, "üa€"), (10, "üa€😀")]
)
def test_a_text_is_cut_at_a_character_within_so_many_octets(limit: int, cut: str) -> None:
    made = form("üa€😀")
    octets, is_cut = made.text_up_to(limit)
    assert json.loads(octets) == cut
    assert len(cut.encode()) <= limit
    assert is_cut == (cut != "üa€😀")
    assert made.text_up_to(None) == (made.text, False)


def test_a_page_is_whole_or_not_there() -> None:
    made = form(html="<p>ü</p>")
    assert made.html_up_to(9) == (made.html, False)
    assert made.html_up_to(8) == (b"null", True)


def test_forms_are_kept_within_so_many_octets_and_those_used_last_stay() -> None:
    each = form("x" * 1000).octets
    forms = Forms(each * 5)
    for n in range(5):
        forms.keep(b"%d" % n, form("x" * 1000))
    assert forms.get(b"0") is not None
    forms.keep(b"5", form("x" * 1000))
    assert forms.octets == each * 5
    assert forms.get(b"1") is None
    assert forms.get(b"0") is not None
    forms.keep(b"0", form("y" * 1000))
    assert forms.octets == each * 5
    forms.forget(b"0")
    forms.forget(b"0")
    assert (forms.get(b"0"), forms.octets) == (None, each * 4)


def test_a_form_that_would_drive_others_out_is_not_kept() -> None:
    forms = Forms(100_000)
    forms.keep(b"small", form())
    forms.keep(b"large", form("x" * 30_000))
    assert forms.get(b"large") is None
    assert forms.get(b"small") is not None
    nothing = Forms(0)
    nothing.keep(b"small", form())
    assert (nothing.get(b"small"), nothing.octets) == (None, 0)
