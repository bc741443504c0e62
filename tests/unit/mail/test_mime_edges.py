"""Where reading stops, and what a careless reader would let through."""

import base64
from datetime import UTC, datetime

import pytest

from app.mail import defects
from app.mail.mime import parse, summarise
from app.mail.octets.headers import MAX_HEADERS
from tests.unit.mail.nasty import multipart, with_body


@pytest.mark.parametrize("charset", [b"punycode", b"idna", b"unicode_escape", b"rot13", b"mbcs", b"os.path"])
def test_codecs_that_are_no_charsets_of_mail_are_never_used(charset: bytes) -> None:
    raw = with_body(b"Content-Type: text/plain; charset=" + charset, rb"caf\xe9 bcher-kva")
    assert parse(raw).text == r"caf\xe9 bcher-kva"
    assert defects.UNKNOWN_CHARSET in parse(raw).warnings


@pytest.mark.parametrize("encoded", [b"aGVsbG8hI", b"aGVsbG8h=I=", b"aGVs\r\nbG8h\r\n\x00I"])
def test_a_lone_base64_character_at_the_end_is_left_out(encoded: bytes) -> None:
    parsed = parse(with_body(b"Content-Transfer-Encoding: base64", encoded))
    assert parsed.text == "hello!"
    assert defects.BAD_BASE64 in parsed.warnings


def test_headers_are_read_up_to_a_number_and_the_body_is_still_the_body() -> None:
    raw = b"X: 1\n" * (MAX_HEADERS + 1) + b"Subject: too late\n\nbody"
    parsed = parse(raw)
    assert len(parsed.headers["x"]) == MAX_HEADERS
    assert "subject" not in parsed.headers
    assert parsed.text == "body"
    assert parsed.warnings == (defects.HEADERS_CUT,)


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (b"Mon, 01 Jan 0001 00:00:00 +0000", None),
        (b"Fri, 31 Dec 9999 23:59:59 +0000", None),
        (b"Sun, 31 Dec 1899 23:59:59 +0000", None),
        (b"Mon, 01 Jan 1900 00:00:00 +0000", datetime(1900, 1, 1, tzinfo=UTC)),
        (b"Thu, 31 Dec 9998 23:59:59 +0000", datetime(9998, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_dates_at_the_ends_of_the_calendar_are_not_stored(value: bytes, moment: datetime | None) -> None:
    summary = summarise(b"Subject: x\nDate: " + value + b"\n\n")
    assert summary.date == moment
    assert (defects.BAD_DATE in summary.warnings) is (moment is None)


def test_a_text_without_name_that_says_attachment_is_one_even_as_the_first_part() -> None:
    raw = multipart(b"Content-Disposition: attachment\r\n\r\nlog lines", b"\r\nthe letter")
    assert parse(raw).text == "the letter"
    assert [part.filename for part in parse(raw).attachments] == [None]
    assert summarise(raw).has_attachments
    assert summarise(raw).snippet == "the letter"


def test_a_text_in_base64_that_is_longer_than_the_summary_reads_is_no_defect() -> None:
    body = base64.encodebytes("schöne Grüße ".encode() * 3_000)
    for skipped in range(4):  # whatever place in a group of four the summary stops at
        headers = b"X-Pad: " + b"p" * skipped + b"\r\nContent-Transfer-Encoding: base64"
        summary = summarise(
            with_body(headers + b"\r\nContent-Type: text/plain; charset=utf-8", body[skipped * 76 :])
        )
        assert defects.BAD_BASE64 not in summary.warnings


def test_a_snippet_skips_the_invisible_padding_of_newsletters() -> None:
    padding = "\u034f \u200c\u00ad" * 1_500
    raw = with_body(b"Content-Type: text/plain; charset=utf-8", f"Sale!{padding}Now half the price".encode())
    assert summarise(raw).snippet == "Sale! Now half the price"


def test_nothing_in_a_snippet_turns_the_reading_direction() -> None:
    raw = with_body(b"Content-Type: text/plain; charset=utf-8", "pay \u202e001\u202c \u2066x\u2069".encode())
    assert summarise(raw).snippet == "pay 001 x"


def test_a_snippet_holds_no_control_characters() -> None:
    assert summarise(with_body(b"", b"one\x1b[31m two\x07\x7f three")).snippet == "one [31m two three"


def test_an_encoded_word_cannot_add_a_header_line() -> None:
    raw = b"Subject: =?utf-8?Q?one=0D=0ABcc:_x?=\r\nFrom: =?utf-8?Q?a=0Ab?= <a@example.org>\r\n\r\n"
    summary = summarise(raw)
    assert summary.subject == "one Bcc: x"
    assert summary.from_ is not None
    assert summary.from_.name == "a b"


def test_a_multipart_whose_end_the_summary_does_not_reach_is_no_defect() -> None:
    raw = multipart(b"\r\nshort", b"Content-Type: text/html\r\n\r\n" + b"<p>long</p>\r\n" * 50_000)
    assert summarise(raw).warnings == ()
    assert summarise(raw[:100_000]).warnings == (defects.NOT_CLOSED,)


def test_the_text_of_a_related_whose_root_never_comes_counts_once() -> None:
    html = b"<p>" + b"x" * 1_500_000
    raw = (
        b'Content-Type: multipart/related; start="<root@x>"; boundary=b\r\n\r\n'
        b"--b\r\nContent-Type: text/html\r\nContent-ID: <other@x>\r\n\r\n" + html + b"\r\n--b--\r\n"
    )
    message = parse(raw)
    assert defects.TEXT_CUT not in message.warnings
    assert message.text == "x" * 1_500_000
