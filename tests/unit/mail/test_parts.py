"""The parts of a message, and what their fields say, as odd as senders write them."""

from collections.abc import Callable
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail import defects, text_charsets
from app.mail.budget import Budget
from app.mail.envelope import charset_of
from app.mail.mime import parse, summarise
from app.mail.octets.flowed import unflowed
from app.mail.octets.headers import Block
from app.mail.octets.scanner import Scanner
from app.mail.parts import leaves
from tests.fuzz.work import assert_linear
from tests.unit.mail.nasty import attachment, multipart, with_body


@pytest.mark.parametrize(
    "content_type",
    [
        b"multipart/*; boundary=x",
        b"multipart/mixed (c); boundary=x",
        b"multipart/mixed; (a \\) b) boundary=x",
        b"multipart/mixed\r\n\tboundary=x",
        b"multipart/mixed boundary=x",
        b"multipart/mixed; boundary=x; charset=utf-8",
        b"multipart/mixed; boundary*=us-ascii''x",
        b"multipart/mixed; boundary = \"x\" ; type=y",
        b"MULTIPART/MIXED;BOUNDARY=x",
        b"multipart / mixed; boundary=x",
        b"multipart/mixed; charset=\"utf-8\" boundary=\"x\"",
        b"multipart/mixed; boundary=\"x",
        b"multipart; boundary=x",
        b"multipart/; boundary=x",
        b"multipart/mixed, multipart/alternative; boundary=x",
        b"multipart/mixed;; boundary=x; boundary=y",
        b"multipart/mixed; (c) boundary=x (c)",
        b"multipart/mixed; boundary=\"x \"",
        b"multipart/mixed; boundary*0=\"\"; boundary*1*=%78",
        b"multipart/mixed; name=\"boundary=y\"; boundary=x",
        b"\"multipart/mixed\"; boundary=x\t",
    ],
)  # fmt: skip
def test_a_boundary_that_occurs_is_believed(content_type: bytes) -> None:
    raw = with_body(
        b"Content-Type: " + content_type,
        b"--x\r\n\r\nHello\r\n--x\r\nContent-Type: application/pdf; name=a.pdf\r\n\r\n%PDF\r\n--x--\r\n",
    )
    parsed = parse(raw)
    assert (parsed.text, [one.filename for one in parsed.attachments]) == ("Hello", ["a.pdf"])
    assert parsed.warnings == ()


@pytest.mark.parametrize("content_type", [b"mixed; boundary=x", b"boundary=x", b"=?utf-8?q?x?=; boundary=x"])
def test_a_boundary_that_occurs_is_believed_although_the_type_cannot_be_read(content_type: bytes) -> None:
    body = b"--x\r\n\r\nHello\r\n--x\r\nContent-Type: application/pdf\r\n\r\n%PDF\r\n--x--\r\n"
    parsed = parse(with_body(b"Content-Type: " + content_type, body))
    assert (parsed.text, len(parsed.attachments)) == ("Hello", 1)
    assert parsed.warnings == (defects.BAD_CONTENT_TYPE,)
    assert parse(with_body(b"Content-Type: " + content_type, b"Hello")).text == "Hello"


@pytest.mark.parametrize("content_type", [b"application-x-gzip", b"pdf", b"=?utf-8?q?x?=", b"application"])
def test_a_part_with_a_name_whose_type_cannot_be_read_is_a_file(content_type: bytes) -> None:
    raw = with_body(b"Content-Type: " + content_type + b"; name=a.gz", b"\x1f\x8b")
    parsed = parse(raw)
    assert [(one.filename, one.content_type) for one in parsed.attachments] == [
        ("a.gz", "application/octet-stream")
    ]
    assert (parsed.text, summarise(raw).has_attachments) == (None, True)
    assert defects.BAD_CONTENT_TYPE in parsed.warnings


@pytest.mark.parametrize("content_type", [b"text", b"plain", b"html", b"textplain"])
def test_a_type_that_is_only_half_written_is_text_with_a_name_too(content_type: bytes) -> None:
    parsed = parse(with_body(b"Content-Type: " + content_type + b"; name=a.txt", b"Hello"))
    assert (parsed.text, parsed.attachments) == ("Hello", ())


def test_a_part_without_headers_and_without_an_empty_line_is_text_and_it_is_told() -> None:
    parsed = parse(multipart(b"Hello", b"Content-Type: application/pdf\r\n\r\nx"))
    assert (parsed.text, parsed.warnings) == ("Hello", (defects.NO_EMPTY_LINE,))


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        *(
            (name, b"SGVsbG8=")
            for name in (b"base-64", b"x-base64", b"B64", b'"base64"', b"base64 (c)", b"base64;")
        ),
        *(
            (name, b"Hel=6Co")
            for name in (b"quoted_printable", b"QuotedPrintable", b"quoted printable", b"qp")
        ),
        *((name, b"Hello") for name in (b"8-bit", b"7bit (c)", b"binary;", b"")),
    ],
)
def test_encodings_are_known_by_other_names_too(encoding: bytes, body: bytes) -> None:
    parsed = parse(with_body(b"Content-Transfer-Encoding: " + encoding, body))
    assert (parsed.text, parsed.warnings) == ("Hello", ())


@pytest.mark.parametrize(
    ("field", "html", "filename"),
    [
        (b"Content-Type: text/html charset=utf-8", True, None),
        (b"Content-Type: text/html,text/html", True, None),
        (b"Content-Type: text/html: charset=utf-8", True, None),
        (b"Content-Type: 'text/html'", True, None),
        (b"Content-Type: text/html.", True, None),
        (b"Content-Type: text/html/x", True, None),
        (b"Content-Type: =text/html", True, None),
        (b"Content-Type: text/html (page); charset=utf-8", True, None),
        (b'Content-Type: application/pdf name="a.pdf"', False, "a.pdf"),
        (b"Content-Type: application/pdf; name=my report.pdf; x=y", False, "my report.pdf"),
        (b'Content-Type: application/pdf\r\nContent-Disposition: attachment filename="a.pdf"', False, "a.pdf"),
        (b"Content-Type: application/pdf\r\nContent-Disposition: attachment filename=a b.pdf size=3", False, "a b.pdf"),
        (b"Content-Type: application/pdf\r\nContent-Disposition: filename=a.pdf", False, "a.pdf"),
        (b'Content-Disposition: attachment; filename="C:\\Scans\\new\\report.pdf"', False, "report.pdf"),
        (b'Content-Disposition: attachment; filename="\\\\host\\share\\report.pdf"', False, "report.pdf"),
        (b'Content-Disposition: attachment; filename="a \\"b\\".pdf"', False, 'a "b".pdf'),
        (b"Content-Disposition: attachment; filename*0=zero; filename*=utf-8''%C3%BC.pdf", False, "ü.pdf"),
        (b"Content-Disposition: attachment; filename*=utf-8''%C3%BC.pdf; filename*1=one", False, "ü.pdf"),
        (b"Content-Disposition: attachment; filename*2=c.pdf; filename*0=a", False, "ac.pdf"),
        (b"Content-Disposition: attachment; filename=\r\nContent-Type: application/pdf; name=n.pdf", False, "n.pdf"),
        (b'Content-Disposition: attachment; filename=""\r\nContent-Type: application/pdf; name=n.pdf', False, "n.pdf"),
        (b'Content-Disposition: attachment; filename=3D"a b.pdf"', False, "a b.pdf"),
    ],
)  # fmt: skip
def test_a_type_and_a_name_that_can_be_read_are_believed(
    field: bytes, html: bool, filename: str | None
) -> None:
    parsed = parse(with_body(field, b"<p>x</p>"))
    assert (parsed.html is not None) is html
    assert [one.filename for one in parsed.attachments] == ([filename] if filename else [])


def test_text_around_a_lone_closing_delimiter_is_shown() -> None:
    for body in (b"Hello\r\n--x--\r\n", b"--x--\r\nHello\r\n", b"Hel\r\n--x--\r\nlo\r\n"):
        parsed = parse(with_body(b"Content-Type: multipart/mixed; boundary=x", body))
        assert parsed.text is not None
        assert "".join(parsed.text.split()) == "Hello"
        assert defects.NO_BOUNDARY in parsed.warnings


def test_junk_behind_a_delimiter_does_not_hide_its_part() -> None:
    raw = with_body(
        b"Content-Type: multipart/mixed; boundary=x", b"--x junk\r\n\r\nHello\r\n--x-- more\r\nepilogue"
    )
    assert parse(raw).text == "Hello"


@pytest.mark.parametrize("start", [b'"<second>"', b"second", b"<second>", b'" <second> "'])
def test_start_may_name_a_second_page(start: bytes) -> None:
    pages = (
        b"Content-Type: text/html\r\nContent-ID: <" + cid + b">\r\n\r\n<p>" + cid + b"</p>"
        for cid in (b"first", b"second", b"third")
    )
    raw = multipart(*pages, subtype=b"related").replace(b"related;", b"related; start=" + start + b";")
    parsed = parse(raw)
    assert parsed.html == "<p>second</p>"
    assert [part.content_id for part in parsed.attachments] == [
        "first",
        "third",
    ]  # known once the second is there
    assert summarise(raw).snippet == "second"
    assert attachment(raw, 0) == (parsed.attachments[0], b"<p>first</p>")


@pytest.mark.parametrize(
    ("parameters", "parts", "html"),
    [
        (b"; start=\"<root>\"", [(b"image/png", b"<i>"), (b"text/html", b"<root>")], "<p>page</p>"),
        (b"", [(b"image/png", b"<i>"), (b"text/html", b"<root>")], "<p>page</p>"),
        (b"; start=\"<nobody>\"", [(b"image/png", b"<i>"), (b"text/html", b"<root>")], "<p>page</p>"),
        (b"; start=\"<nobody>\"", [(b"text/html", b"<root>"), (b"image/png", b"<i>")], "<p>page</p>"),
    ],
)  # fmt: skip
def test_the_html_of_a_related_need_not_come_first(
    parameters: bytes, parts: list[tuple[bytes, bytes]], html: str
) -> None:
    raw = multipart(
        *(
            b"Content-Type: " + kind + b"\r\nContent-ID: " + cid + b"\r\n\r\n<p>page</p>"
            for kind, cid in parts
        ),
        subtype=b"related",
    ).replace(b"multipart/related;", b"multipart/related" + parameters + b";")
    assert parse(raw).html == html
    assert len(parse(raw).attachments) == 1
    assert not summarise(raw).has_attachments


@pytest.mark.parametrize(
    ("source", "location", "kept"),
    [
        ("logo.png", b"logo.png", "cid:logo.png"),
        ("http://e.org/a b.png", b"http://e.org/a b.png", None),
        ("http://e.org/a.png", b"http://e.org/\r\n\ta.png", "cid:http%3A%2F%2Fe.org%2Fa.png"),
        (" http://e.org/a.png ", b'"http://e.org/a.png"', "cid:http%3A%2F%2Fe.org%2Fa.png"),
        ("http://e.org/b.png", b"http://e.org/a.png", None),
        ("javascript:x()", b"javascript:x()", "cid:javascript%3Ax%28%29"),
        ("a.png", b"a.png\r\nContent-ID: <a@x>", "cid:a@x"),
        ("cid:a@x", b"a.png\r\nContent-ID: <a@x>", "cid:a@x"),
    ],
)
def test_an_image_may_be_named_by_its_location(source: str, location: bytes, kept: str | None) -> None:
    html = f'Content-Type: text/html\r\n\r\n<img src="{source}">'.encode()
    image = b"Content-Type: image/png\r\nContent-Location: " + location + b"\r\n\r\nPNG"
    raw = multipart(html, image, subtype=b"related")
    parsed = parse(raw)
    assert parsed.html == (f'<img src="{kept}">' if kept else "<img>")
    (found,) = parsed.attachments
    assert found.inline
    assert not summarise(raw).has_attachments
    if kept:
        assert found.content_id == unquote(kept.removeprefix("cid:"))
    assert not parse(raw.replace(b"related", b"mixed")).attachments[0].inline


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('<meta charset="windows-1251"><p>Привет</p>', "Привет"),
        ("<meta http-equiv=Content-Type content='text/html; charset=windows-1251'><p>Привет</p>", "Привет"),
        ("<!-- x --><META CHARSET=cp1251><p>Привет</p>", "Привет"),
        ("<!-- <meta charset=koi8-r> --><meta charset=windows-1251><p>Привет</p>", "Привет"),
        ('<meta name=x content="charset=koi8-r"><meta charset=windows-1251><p>Привет</p>', "Привет"),
        ("<meta charset=nonsense><meta charset=windows-1251><p>Привет</p>", "Привет"),
        ("<meta/charset=windows-1251><p>Привет</p>", "Привет"),
        ("<meta charset=windows-1251 content='text/html; charset=koi8-r'><p>Привет</p>", "Привет"),
        ('<?xml version="1.0" encoding="windows-1251"?><p>Привет</p>', "Привет"),
    ],
)
def test_html_names_its_charset_where_the_header_says_nothing(body: str, text: str) -> None:
    for field in (b"Content-Type: text/html", b"Content-Type: text/html; charset=us-ascii"):
        raw = with_body(field, body.encode("windows-1251"))
        assert parse(raw).text == summarise(raw).snippet == text
    declared = with_body(b"Content-Type: text/html; charset=koi8-r", body.encode("koi8-r"))
    assert parse(declared).text == text


@pytest.mark.parametrize(
    ("text", "delsp", "expected"),
    [
        ("See https://exam \nple.com/a", True, "See https://example.com/a"),
        ("one \ntwo\nthree", False, "one two\nthree"),
        ("> one \n> two\n> three \nfour", False, "> one two\n> three \nfour"),
        (">> a \n>> b\n> c", False, "> > a b\n> c"),
        ("a \n-- \nAda", False, "a \n-- \nAda"),
        (" >not a quote", False, ">not a quote"),
        (" From here", False, "From here"),
        ("a ", False, "a "),
        ("", False, ""),
    ],
)
def test_lines_that_flow_are_joined_and_quotes_kept(text: str, delsp: bool, expected: str) -> None:
    assert unflowed(text, delsp=delsp) == expected


def test_quotes_may_be_those_of_undone_quoted_printable() -> None:
    raw = with_body(b'Content-Type: multipart/mixed; boundary=3D"x y"', b"--x y\r\n\r\nHello\r\n--x y--\r\n")
    assert parse(raw).text == "Hello"
    raw = with_body(b'Content-Type: text/plain; charset=3D"iso-8859-2"', b"\xb1")
    assert parse(raw).text == summarise(raw).snippet == "ą"


def test_a_flowed_text_is_read_as_one() -> None:
    raw = with_body(
        b"Content-Type: text/plain; format=flowed; delsp=yes", b"See https://exam \r\nple.com/a\r\n"
    )
    assert parse(raw).text == "See https://example.com/a\n"


@given(st.integers(0, 300), st.integers(0, 300), st.booleans())
def test_the_beginning_of_a_part_does_not_change_the_whole(first: int, second: int, looks: bool) -> None:
    raw = b"X: y\r\n\r\n" + bytes(range(32, 127)) * 2
    for octets in (raw, iter([raw[:50], raw[50:]])):
        budget, found = Budget([]), []  # type: Budget, list[str]
        scanner = Scanner(octets, budget, found)
        (part,) = leaves(scanner, scanner.block(), budget, found)
        for size in (first, second):
            assert part.beginning(size, budget, found) == (raw[8 : 8 + size], size < len(raw) - 8)
            assert not (looks and part.may_hold_files())
        assert b"".join(part.content(budget, found)) == raw[8:]


def test_headers_of_texts_are_looked_at_once_however_many_raw_names_ask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[Block] = []

    def look(block: Block) -> str:
        looked.append(block)
        return charset_of(block)

    monkeypatch.setattr(text_charsets, "charset_of", look)
    text = b"--x\r\nContent-Type: text/plain; charset=%b\r\n\r\nHello\r\n"
    file = b'--x\r\nContent-Type: application/pdf; name="\xb1.pdf"\r\n\r\n%%PDF\r\n'
    texts = text % b"us-ascii" + text % b"utf-8"
    content_type = b"Content-Type: multipart/mixed; boundary=x"
    for last, name in ((b"utf-8", "±.pdf"), (b"iso-8859-2", "ą.pdf")):
        looked.clear()
        raw = with_body(content_type, texts + text % last + 30 * file + b"--x--\r\n")
        assert {part.filename for part in parse(raw).attachments} == {name}
        assert len(looked) == 3


def test_the_work_grows_with_the_blanks_among_parameters() -> None:
    def work(size: int) -> Callable[[], object]:
        raw = with_body(b"Content-Type: text/plain" + b" " * size + b"; charset=utf-8", b"x")
        return lambda: parse(raw)

    assert_linear(work, 1_000)
