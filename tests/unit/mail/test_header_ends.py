"""Where headers end when no empty line says so: what is there is shown, and it is told."""

import pytest

from app.mail import defects
from app.mail.mime import attachment_pieces, parse, summarise
from tests.unit.mail.nasty import multipart


@pytest.mark.parametrize(
    ("raw", "subject", "text", "warning"),
    [
        (b"Subject: s\r\nHello, you\r\nmore\r\n", "s", "Hello, you\nmore\n", defects.NO_EMPTY_LINE),
        (b"Subject: s\r\nHello, you\r\n\r\nmore\r\n", "s", "Hello, you\n\nmore\n", defects.NO_EMPTY_LINE),
        (b"Subject: s\r\nHello\r\nNote: this\r\n\r\n", "s", "Hello\nNote: this\n\n", defects.NO_EMPTY_LINE),
        (b"Subject: s\r\nhttp://x.example/a\r\n\r\n", "s", "http://x.example/a\n\n", defects.NO_EMPTY_LINE),
        (b"Subject: s\r\nhttps://x.example\r\nmore\r\n", "s", "https://x.example\nmore\n", defects.NO_EMPTY_LINE),
        (b"Subject: s\r\n \r\nHello\r\n", "s", "Hello\n", defects.NO_EMPTY_LINE),
        (b"Subject: s\r\n\t \r\nHello\r\n\r\nmore\r\n", "s", "Hello\n\nmore\n", defects.NO_EMPTY_LINE),
        (b"Subject: s\r\n \r\n\r\nHello\r\n", "s", "Hello\n", None),
        (b"Subject: s\r\nFrom: a@x\r\n \r\n  Hello\r\n", "s", "  Hello\n", defects.NO_EMPTY_LINE),
        (b"Subject: s\r\n \r\nFrom: a@x\r\n\r\nHello\r\n", "s", "Hello\n", None),
        (b"X: y\r\nbroken\r\nSubject: s\r\n\r\nHello\r\n", "s", "Hello\n", defects.BROKEN_HEADER_LINE),
        (b"Subject: s\r\r\nFrom: a@x\r\r\n\r\r\nHello\r\r\nmore\r\r\n", "s", "Hello\nmore\n", defects.CR_CR_LF),
        (b"Subject: s\rFrom: a@x\r\rHello\rmore\r\r\n", "s", "Hello\nmore\n\n", defects.BARE_CR),
        (b"Subject: s\rFrom: a@x\r\rHello\rmore", "s", "Hello\nmore", defects.BARE_CR),
        (b"Subject: s\rFrom: a@x\r\rHello\r\nmore\r\n", "s", "Hello\nmore\n", defects.BARE_CR),
        (b"Subject: s\r\nFrom: a@x\r\n\rHello\r\n", "s", "\nHello\n", defects.NO_EMPTY_LINE),
        (b"X: y\r\n\rSubject: s\r\n\r\nHello\r\n", "s", "Hello\n", None),
        (b"Subject: s\r\n\xa0\r\nHello\r\n", "s", "\xa0\nHello\n", defects.NO_EMPTY_LINE),
        (b"Subject: s\r\n\0\r\nHello\r\n", "s", "\ufffd\nHello\n", defects.NO_EMPTY_LINE),
        (b"Subject: s\r\n<p>Hello\r\n", "s", "<p>Hello\n", defects.NO_EMPTY_LINE),
        (b"+OK 9 octets\r\nSubject: s\r\n\r\nHello\r\n", "s", "Hello\n", defects.BROKEN_HEADER_LINE),
        (b" folded\r\nSubject: s\r\n\r\nHello\r\n", "s", "Hello\n", defects.BROKEN_HEADER_LINE),
        (b"Subject: s\n\nHello\n", "s", "Hello\n", None),
        (b" Subject: s\r\nFrom: a@x\r\n\r\nHello\r\n", "s", "Hello\n", defects.BROKEN_HEADER_LINE),
        (b" Hello: you\r\nmore\r\n", "", " Hello: you\nmore\n", defects.NO_EMPTY_LINE),
        (b"Subject: s\r\n\nHello\r\n", "s", "Hello\n", None),
        (b">From a@x Mon\r\nSubject : s\r\n\r\nHello\r\n", "s", "Hello\n", None),
        (b"\xef\xbb\xbfSubject: s\r\n\r\nHello\r\n", "s", "Hello\n", defects.BYTE_ORDER_MARK),
        (b'Subject: s\r\n{"a": 1}\r\n', "s", '{"a": 1}\n', defects.NO_EMPTY_LINE),
        (b"Subject: s\r\n10:00 we meet\r\n\r\nmore\r\n", "s", "10:00 we meet\n\nmore\n", defects.NO_EMPTY_LINE),
        (b'Subject: s\r\n"Be": she said\r\n', "s", '"Be": she said\n', defects.NO_EMPTY_LINE),
        (b"Subject: s\r\n*Note: read\r\n", "s", "*Note: read\n", defects.NO_EMPTY_LINE),
        (b"10: x\r\nSubject: s\r\n\r\nHello\r\n", "s", "Hello\n", defects.BROKEN_HEADER_LINE),
        (b"X-Foo(1)/b=c: x\r\nSubject: s\r\n\r\nHello\r\n", "s", "Hello\n", None),
        (b"\xef\xbb\xbf\xef\xbb\xbfSubject: s\r\n\r\nHello\r\n", "s", "Hello\n", defects.BYTE_ORDER_MARK),
        (b"X: y\r\n\xef\xbb\xbfSubject: s\r\n\r\nHello\r\n", "s", "Hello\n", defects.BYTE_ORDER_MARK),
        (b"From a@x Mon\r\n\xef\xbb\xbfSubject: s\r\n\r\nHello\r\n", "s", "Hello\n", defects.BYTE_ORDER_MARK),
        (b"\xef\xbb\xbfFrom a@x Mon\r\nSubject: s\r\n\r\nHello\r\n", "s", "Hello\n", defects.BYTE_ORDER_MARK),
    ],
)  # fmt: skip
def test_what_is_there_is_shown(raw: bytes, subject: str, text: str, warning: str | None) -> None:
    parsed, summary = parse(raw), summarise(raw)
    assert summary.subject == subject
    assert parsed.text == text
    assert summary.snippet == " ".join(text.split())
    told = {
        one
        for one in (defects.NO_EMPTY_LINE, defects.BROKEN_HEADER_LINE, defects.CR_CR_LF, defects.BARE_CR,
                    defects.BYTE_ORDER_MARK)
        if one in parsed.warnings
    }  # fmt: skip
    assert told == ({warning} if warning else set())


def test_a_multipart_without_an_empty_line_is_the_parts_that_it_is() -> None:
    raw = (
        b"Subject: s\r\nContent-Type: multipart/mixed; boundary=b\r\n--b\r\nContent-Type: text/plain\r\n\r\nHello\r\n"
        b"--b\r\nContent-Type: application/pdf; name=a.pdf\r\n\r\n%PDF\r\n--b--\r\n"
    )
    parsed = parse(raw)
    assert parsed.text == "Hello"
    assert [one.filename for one in parsed.attachments] == ["a.pdf"]
    assert defects.NO_EMPTY_LINE in parsed.warnings


@pytest.mark.parametrize("line_end", [b"\r\n", b"\r"])
def test_a_multipart_behind_headers_whose_lines_end_with_cr_alone_is_its_parts(line_end: bytes) -> None:
    headers = b"Subject: s\rContent-Type: multipart/mixed; boundary=b\r\r"
    parts = b"--b\nContent-Type: text/plain\n\nHello\n--b\nContent-Type: application/pdf; name=a.pdf\n\nx\n--b--\n"
    raw = headers + parts.replace(b"\n", line_end) + b"\r\n"
    for octets in (raw, (raw[at : at + 1] for at in range(len(raw)))):
        parsed = parse(octets)
        assert parsed.text == "Hello"
        assert [one.filename for one in parsed.attachments] == ["a.pdf"]
        assert parsed.warnings == (defects.BARE_CR,)
    assert summarise(raw).has_attachments


def test_the_line_end_before_a_delimiter_is_its_own_where_lines_end_with_cr_cr_lf() -> None:
    raw = multipart(b"Content-Type: text/plain\n\nHello", b"Content-Type: text/csv; name=a.csv\n\nx")
    raw = raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\r\n")
    for octets in (raw, (raw[at : at + 1] for at in range(len(raw)))):
        assert parse(octets).text == "Hello"
    assert b"".join(attachment_pieces(raw, 0)) == b"x"


def test_a_style_sheet_behind_headers_without_an_empty_line_is_html() -> None:
    raw = b"Subject: s\r\nContent-Type: text/html\r\n<style>p{color:red}</style>\r\n<p>Hello</p>\r\n"
    assert parse(raw).text == "Hello"


@pytest.mark.parametrize(
    "part",
    [
        b"Content-Type: text/plain\r\nHello",
        b"Content-Type: text/plain\r\n \r\nHello",
        b"Content-Type: text/plain\r\r\n\r\r\nHello",
        b"Content-Type: text/plain\rX-More: 1\r\rHello",
        b"\xef\xbb\xbfContent-Type: text/plain\r\n\r\nHello",
    ],
)
def test_the_same_holds_within_parts(part: bytes) -> None:
    parsed = parse(multipart(part, b"Content-Type: application/pdf; name=a.pdf\r\n\r\n%PDF"))
    assert parsed.text == "Hello"
    assert [one.filename for one in parsed.attachments] == ["a.pdf"]
    assert parsed.warnings != ()


def test_a_cr_within_a_value_is_no_line_end() -> None:
    """Whoever can put one into a subject must not choose who a message is from."""
    summary = summarise(b"Subject: a\rFrom: evil@evil.example\r\nFrom: a@x\r\n\r\nHello\r\n")
    assert summary.subject == "a From: evil@evil.example"
    assert summary.from_ is not None
    assert summary.from_.address == "a@x"
    assert not summary.from_ambiguous


def test_a_from_header_with_blanks_before_its_colon_is_no_line_of_an_mbox() -> None:
    assert [one.address for one in summarise(b"From  : Ada <a@x>\r\n\r\nHello\r\n").authors] == ["a@x"]
