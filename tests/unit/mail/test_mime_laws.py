"""What holds for any octets whatever."""

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.mail.budget import Budget, Work
from app.mail.fields.words import Masked, masked, plain
from app.mail.mime import (
    attachment_facts,
    attachment_pieces,
    header_values,
    parse,
    summarise,
)
from app.mail.octets.decoding import shown, with_line_feeds
from app.mail.octets.headers import Block
from app.mail.octets.scanner import Scanner
from app.mail.parts import leaves
from tests.unit.mail.nasty import NASTY, attachment

_FRAGMENTS = st.sampled_from(
    [
        b"Subject: ", b"From: ", b"To: ", b"Date: ", b"Message-ID: ", b"Content-Type: ", b"multipart/mixed; ",
        b"multipart/alternative; boundary=b\n", b"boundary=b", b"\n\n--b\n", b"\n--b--\n", b"text/html; charset=",
        b"utf-7", b"utf-16", b"iso-2022-jp", b"=?utf-8?q?", b"=?iso-2022-jp?B?", b"?=", b"\r\n", b"\n", b"\r", b"\r\n ",
        b"\0", b"+2AA-", b"<", b">", b"@", b",", b";", b":", b'"', b"\\", b"(", b"Content-Transfer-Encoding: base64\n",
        b"Content-Disposition: attachment; filename*0*=utf-8''%00%ff", b"message/rfc822\n\n", b"<p>", b"\xff", b"\xc3",
        b"Mon, 05 Jan 2026 08:00:00 +0100", b"begin 644 x\n",
    ]
)  # fmt: skip
_MESSAGES = st.one_of(
    st.binary(max_size=400), st.lists(_FRAGMENTS | st.binary(max_size=8), max_size=40).map(b"".join)
)


def strings(value: object) -> Iterator[str]:
    """Every string in a value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from strings(key)
            yield from strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings(item)
    elif is_dataclass(value):
        for field in fields(value):
            yield from strings(getattr(value, field.name))


def assert_lawful(raw: bytes) -> None:
    summary, parsed = summarise(raw), parse(raw)
    for text in strings((summary, parsed, header_values(raw, "subject"))):
        text.encode()  # PostgreSQL and JSON take no lone surrogates
        assert "\0" not in text  # PostgreSQL takes no NUL
    assert len(summary.subject) <= 2_000
    assert len(summary.message_id or "") <= 1_000
    assert len(summary.snippet) <= 200
    assert "\n" not in summary.subject + summary.snippet
    for several in (summary.to, summary.cc, summary.reply_to):
        assert len(several) <= 500
    assert len(summary.warnings) <= 50
    if summary.date is not None:
        assert summary.date.utcoffset() is not None
        assert not summary.date.utcoffset()
    assert [part.index for part in parsed.attachments] == list(range(len(parsed.attachments)))
    for part in parsed.attachments[:3]:
        found = attachment(raw, part.index)
        assert found is not None
        assert found[0] == part
        assert len(found[1]) == part.octets
        assert attachment_facts(raw, part.index) == part
        assert b"".join(attachment_pieces(raw, part.index)) == found[1]
    assert attachment(raw, len(parsed.attachments)) is None
    assert attachment(raw, -1) is None


@given(_MESSAGES)
def test_any_octets_are_read_without_an_error_into_bounded_text_that_can_be_stored(raw: bytes) -> None:
    assert_lawful(raw)


# A first header that makes the reader's window, of 64 KiB at the least, end anywhere in what follows.
_PADS = st.integers(64 * 1024 - 1_800, 64 * 1024 + 10)


def padded(raw: bytes, octets: int) -> bytes:
    return b"X: " + b"p" * (octets - 5) + b"\r\n" + raw


def assert_same_in_pieces(raw: bytes, octets: int) -> None:
    def pieces() -> Iterator[bytes]:
        return (raw[start : start + octets] for start in range(0, len(raw), octets))

    whole = parse(raw)
    assert parse(pieces()) == whole
    for part in whole.attachments[:2]:
        assert attachment_facts(pieces(), part.index) == part
        assert sum(map(len, attachment_pieces(pieces(), part.index))) == part.octets
    assert attachment_facts(pieces(), len(whole.attachments)) is None
    assert list(attachment_pieces(pieces(), len(whole.attachments))) == []


@settings(max_examples=60, deadline=None)
@given(_MESSAGES, _PADS, st.sampled_from([500, 1_000, 64 * 1024, 70_000]))
def test_a_message_in_pieces_is_the_same_message(raw: bytes, pad: int, octets: int) -> None:
    assert_same_in_pieces(raw, 100)
    assert_same_in_pieces(padded(raw, pad), octets)


@pytest.mark.parametrize("name", NASTY)
@settings(max_examples=10, deadline=None)
@given(_PADS)
def test_a_nasty_message_in_pieces_is_the_same_message(name: str, pad: int) -> None:
    assert_same_in_pieces(padded(NASTY[name][:2_000], pad), 64 * 1024)


@pytest.mark.parametrize("name", [name for name in NASTY if len(NASTY[name]) > 64 * 1024])
def test_a_nasty_message_that_is_long_is_the_same_in_pieces(name: str) -> None:
    assert_same_in_pieces(NASTY[name], 64 * 1024)


@pytest.mark.parametrize("name", NASTY)
def test_each_nasty_message_is_read_without_an_error(name: str) -> None:
    assert_lawful(NASTY[name])


@pytest.mark.parametrize("name", NASTY)
@settings(max_examples=8)
@given(where=st.floats(0, 1))
def test_a_nasty_message_cut_anywhere_is_read_too(name: str, where: float) -> None:
    raw = NASTY[name][:2_000]
    assert_lawful(raw[: int(len(raw) * where)])


_WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20)


@st.composite
def well_formed(draw: st.DrawFn) -> tuple[EmailMessage, str, str | None, list[tuple[str, bytes]]]:
    """A message built by the standard library, with its subject, its HTML and its attachments."""
    message = EmailMessage(policy=SMTP)
    subject = " ".join(draw(st.lists(_WORDS, min_size=1, max_size=4)))
    message["From"] = "Ada <ada@example.org>"
    message.set_content(draw(_WORDS), cte=draw(st.sampled_from(["base64", "quoted-printable", "8bit"])))
    html = None
    if draw(st.booleans()):
        html = "<p>some <b>words</b></p>"
        message.add_alternative(html, subtype="html")
    attached = draw(
        st.lists(
            st.tuples(st.from_regex(r"[a-zäß][a-zäß ]{0,8}\.pdf", fullmatch=True), st.binary()), max_size=3
        )
    )
    attached = [(name.strip(), data) for name, data in attached]
    for name, data in attached:
        message.add_attachment(data, maintype="application", subtype="pdf", filename=name)
    return message, subject, html, attached


def octets(message: EmailMessage, subject: str) -> bytes:
    """The message with its subject encoded by ``Header``: the policy's own folding loses spaces between words."""
    encoded = Header(subject, "utf-8").encode(linesep="\r\n")
    return b"Subject: " + encoded.encode("ascii") + b"\r\n" + message.as_bytes()


@given(well_formed())
def test_what_the_standard_library_writes_is_read_back(
    built: tuple[EmailMessage, str, str | None, list[tuple[str, bytes]]],
) -> None:
    message, subject, html, attached = built
    raw = octets(message, subject)
    parsed, summary = parse(raw), summarise(raw)
    body = message.get_body(("plain",))
    assert body is not None
    assert parsed.text == body.get_content().replace("\r\n", "\n")
    assert (parsed.html is None) is (html is None)
    assert [(part.filename, attachment(raw, part.index)[1]) for part in parsed.attachments] == attached  # type: ignore[index]  # each is there
    assert summary.subject == subject
    assert summary.warnings == parsed.warnings == ()


@given(well_formed())
def test_the_summary_and_the_whole_agree_on_attachments(
    built: tuple[EmailMessage, str, str | None, list[tuple[str, bytes]]],
) -> None:
    raw = octets(built[0], built[1])
    assert summarise(raw).has_attachments is any(not part.inline for part in parse(raw).attachments)
    assert summarise(raw).has_attachments is bool(built[3])


class _Thorough(Scanner):
    """Reads all headers in the way that is there for the odd ones."""

    def _usual_block(self) -> Block | None:
        return None


_USUAL_LINES = st.sampled_from(
    [
        *(
            b"Subject: x",
            b"Content-Type: multipart/mixed; boundary=b",
            b"Content-Type: text/plain",
            b"From: a@x",
        ),
        *(b"X-Tag : y ", b" folded ", b"\tb", b" \xa0", b"Subject:", b"SUBJECT: y", b"X\xe4: y", b"To: \x0b"),
    ]
)
_ODD_LINES = st.sampled_from(
    [
        b"From",
        b"From a@x Mon",
        b": z",
        b"--b",
        b"--b--",
        b"--",
        b"",
        b" ",
        b"\t",
        b"no header",
        b"\xef\xbb\xbfTo: c@x",
        b"\x0b",
    ]
)
_ENDS = st.one_of(st.just(b"\r\n"), st.just(b"\r\n"), st.sampled_from([b"\n", b"\r\r\n", b"\r"]))


def _block(lines: st.SearchStrategy[bytes], most: int) -> st.SearchStrategy[bytes]:
    return st.lists(st.tuples(lines, _ENDS).map(b"".join), max_size=most).map(b"".join)


_BLOCKS = st.tuples(
    _block(_USUAL_LINES, 4) | _block(_USUAL_LINES | _ODD_LINES, 4),
    _ENDS,
    _block(_USUAL_LINES | _ODD_LINES, 8),
).map(b"".join)


@given(_BLOCKS, st.integers(0, 7))
@settings(max_examples=500)
def test_headers_without_anything_odd_are_read_as_all_others_are(raw: bytes, spent: int) -> None:
    def read(kind: type[Scanner]) -> object:
        found: list[str] = []
        budget = Budget(found)
        budget.take(Work.HEADERS, Work.HEADERS.units - spent)
        scanner = kind(raw, budget, found)
        read = [
            (part.block, part.content_type, b"".join(part.content(budget, found)))
            for part in leaves(scanner, scanner.block(), budget, found)
        ]
        return read, found, [budget.left(work) for work in Work]

    assert read(Scanner) == read(_Thorough)


@given(st.text(st.characters(max_codepoint=0x7F) | st.sampled_from('<>@(),;:"\\'), max_size=60))
def test_a_value_that_is_what_it_looks_like_has_no_other_meaning(text: str) -> None:
    value = text.encode()
    if plain(value) is not None:
        found: list[str] = []
        assert masked(value, found) == Masked(text)
        assert shown(text, found) == text
        assert not found


@pytest.mark.parametrize("length", range(7))
def test_lines_end_with_lf_whichever_ends_they_had(length: int) -> None:
    for characters in product("a\r\n", repeat=length):
        text = "".join(characters)
        ends = re.sub("\r\r?\n", "\n", text)
        ends = re.sub("\r\n", "\n", ends)  # of more CR than two
        assert with_line_feeds(text) == (ends if "\n" in ends.rstrip("\n") else ends.replace("\r", "\n")), (
            repr(text)
        )
