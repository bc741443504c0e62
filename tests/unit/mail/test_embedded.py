"""Files within a text: found, decoded and named, wherever the text is cut."""

import base64
import binascii
import quopri
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.mail import defects
from app.mail.budget import Budget, Work
from app.mail.mime import attachment_facts, attachment_pieces, parse, summarise
from app.mail.octets.embedded import File, split
from tests.fuzz.work import assert_linear
from tests.unit.mail.nasty import attachment, multipart, with_body


def uu(data: bytes, name: bytes = b"a.png", mode: bytes = b"644") -> bytes:
    lines = (binascii.b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45))
    return b"begin " + mode + b" " + name + b"\n" + b"".join(lines) + b"`\nend\n"


def yenc(data: bytes, name: bytes = b"a.png") -> bytes:
    coded = b"".join(
        b"=" + bytes([(octet + 106) % 256])
        if (octet + 42) % 256 in b"\0\r\n="
        else bytes([(octet + 42) % 256])
        for octet in data
    )
    lines, at = [], 0
    while at < len(coded):
        end = at + 128 + (coded[at + 127 : at + 128] == b"=")
        lines.append(coded[at:end] + b"\r\n")
        at = end
    head = b"=ybegin line=128 size=%d name=%s\r\n" % (len(data), name)
    return head + b"".join(lines) + b"=yend size=%d crc32=00000000\r\n" % len(data)


DATA = bytes(range(256)) * 3
CODINGS = {"uuencode": uu(DATA), "uuencode, CRLF": uu(DATA).replace(b"\n", b"\r\n"), "yEnc": yenc(DATA)}


def parts_of(data: bytes, size: int) -> list[tuple[bytes, bytes] | bytes]:
    found: list[str] = []
    pieces = (data[at : at + size] for at in range(0, len(data), size))
    result: list[tuple[bytes, bytes] | bytes] = [b""]
    for each in split(pieces, Budget(found), found):
        if isinstance(each, File):
            result += [(each.name, b"".join(each.pieces)), b""]
        else:
            last = result[-1]
            assert isinstance(last, bytes)
            result[-1] = last + each
    return result


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [1, 2, 7, 61, 10_000])
def test_a_file_is_taken_out_of_its_text(coding: str, size: int) -> None:
    data = b"Hello,\nhere it is:\n" + CODINGS[coding] + b"Bye\n"
    assert parts_of(data, size) == [b"Hello,\nhere it is:\n", (b"a.png", DATA), b"Bye\n"]


@pytest.mark.parametrize("mode", [b"0644", b"100644"])
def test_a_mode_may_be_longer(mode: bytes) -> None:
    assert parts_of(uu(DATA, mode=mode), 50)[1] == (b"a.png", DATA)


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        (b"a.txt", "text/plain"),
        (b"A.HTM", "text/html"),
        (b"a.eml", "message/rfc822"),
        (b"a.jpeg", "image/jpeg"),
        (b"a.ics", "text/calendar"),
        (b"a.asc", "application/octet-stream"),
        (b"a", "application/octet-stream"),
        (b"a.tar.gz", "application/gzip"),
    ],
)
def test_the_name_tells_the_type(name: bytes, content_type: str) -> None:
    assert parse(b"Subject: x\r\n\r\n" + uu(b"x", name)).attachments[0].content_type == content_type


@pytest.mark.parametrize("coding", CODINGS)
def test_several_files_at_both_ends(coding: str) -> None:
    data = CODINGS[coding] + b"and\n" + CODINGS[coding]
    assert parts_of(data, 50) == [b"", (b"a.png", DATA), b"and\n", (b"a.png", DATA), b""]


@pytest.mark.parametrize(
    "text",
    [
        b"begin 644 words\nand more words that are none, and long\n",
        b"begin 644 words\n",
        b"begin 644 words",
        b"begin the beguine\n",
        b"So begin 644 a.png\nM" + b"x" * 60 + b"\n",
        b"> begin 644 a.png\n> M" + b"x" * 60 + b"\n",
        b"=ybegin line=128 name\n",
        b"=ybegin of words\n",
        b"end\nbegin\n",
        b"begin 999 a.png\n" + uu(b"x")[14:],
    ],
)  # fmt: skip
def test_what_only_looks_like_a_file_is_text(text: bytes) -> None:
    for size in (1, 5, 10_000):
        assert parts_of(b"Hello\n" + text, size) == [b"Hello\n" + text]


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [b"begin 644 a\n", b"`\n", b"end\n", b"#0V%T\n", b"M\n", b"\n", b"\r\n", b"words\n", b"begin ",
             b"=ybegin line=1 name=x\n", b"=yend size=1\n", b"=", b"=}", b"ab\n", b"=ypart begin=1\n"]
        )
        | st.binary(max_size=4),
        max_size=25,
    ).map(b"".join),
    st.integers(1, 9),
)  # fmt: skip
def test_it_comes_out_the_same_however_it_is_cut(data: bytes, size: int) -> None:
    assert parts_of(data, size) == parts_of(data, 10_000)


@pytest.mark.parametrize("coding", CODINGS)
def test_the_message_has_the_file_among_its_attachments(coding: str) -> None:
    body = b"Hello, here it is:\n" + CODINGS[coding] + b"Bye\n"
    for raw in (
        with_body(b"Content-Type: text/plain", body),
        b"Subject: x\r\n\r\n" + body,
        with_body(b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64", base64.encodebytes(body)),
        multipart(b"Content-Type: text/plain\r\n\r\n" + body),
    ):
        summary, parsed = summarise(raw), parse(raw)
        assert summary.has_attachments
        assert (parsed.text or "").split() == ["Hello,", "here", "it", "is:", "Bye"]
        assert summary.snippet == "Hello, here it is: Bye"
        (found,) = parsed.attachments
        assert (found.filename, found.content_type, found.octets, found.inline) == (
            "a.png",
            "image/png",
            len(DATA),
            False,
        )
        assert attachment(raw, 0) == (found, DATA)
        assert attachment_facts(raw, 0) == found
        assert b"".join(attachment_pieces(raw, 0)) == DATA
        assert attachment(raw, 1) is None
        assert parsed.warnings == summary.warnings == ()


def test_uuencode_in_quoted_printable_is_found() -> None:
    body = quopri.encodestring(b"Hi\n" + uu(DATA))
    raw = with_body(b"Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable", body)
    assert attachment(raw, 0) is not None
    assert summarise(raw).has_attachments


def test_attachments_around_are_counted_on() -> None:
    raw = multipart(
        b"Content-Type: application/pdf; name=first.pdf\r\n\r\n1",
        b"Content-Type: text/plain\r\n\r\n" + uu(b"2", b"second.png") + uu(b"3", b"third.png"),
        b"Content-Type: application/pdf; name=fourth.pdf\r\n\r\n4",
    )
    names = [part.filename for part in parse(raw).attachments]
    assert names == ["first.pdf", "second.png", "third.png", "fourth.pdf"]
    for index, name in enumerate(names):
        found = attachment(raw, index)
        assert found is not None
        assert (found[0].filename, found[1]) == (name, b"%d" % (index + 1))


@pytest.mark.parametrize(
    ("name", "filename"),
    [
        (b"../../etc/passwd", "passwd"),
        (b"C:\\Scans\\report.pdf", "report.pdf"),
        ("grüße.pdf".encode(), "grüße.pdf"),
        (b"=?utf-8?q?=C3=BC=2Epdf?=", "ü.pdf"),
        (b"my report.pdf", "my report.pdf"),
    ],
)
def test_names_are_safe(name: bytes, filename: str) -> None:
    raw = b"Subject: x\r\n\r\n" + uu(b"x", name)
    assert [part.filename for part in parse(raw).attachments] == [filename]


@pytest.mark.parametrize(
    ("body", "data", "warning"),
    [
        (uu(DATA).removesuffix(b"`\nend\n"), DATA, defects.BAD_UUENCODE),
        (uu(b"abc").replace(b"end\n", b"some words\n"), b"abc", defects.BAD_UUENCODE),
        (yenc(DATA).rpartition(b"=yend")[0], DATA, defects.BAD_YENC),
    ],
)
def test_a_file_that_breaks_off_is_given_as_far_as_it_goes(body: bytes, data: bytes, warning: str) -> None:
    raw = b"Subject: x\r\n\r\nHi\n" + body
    found = attachment(raw, 0)
    assert found is not None
    assert found[1] == data
    assert parse(raw).warnings == (warning,)


def _files(data: bytes, found: list[str]) -> list[bytes]:
    parts = split(iter((data,)), Budget(found), found)
    return [b"".join(part.pieces) for part in parts if isinstance(part, File)]


@pytest.mark.parametrize("line", [b"!00\n", b"\r\n"])
def test_a_line_of_a_file_costs_the_same_whatever_follows_it(line: bytes) -> None:
    assert_linear(lambda size: lambda: _files(b"begin 644 x\n" + line * (size // len(line)), []), 32 * 1024)


def test_a_long_file_of_full_lines_is_given_whole() -> None:
    found: list[str] = []
    data = bytes(range(256)) * (45 * (Work.STEPS.units // 3) // 256)
    assert _files(uu(data), found) == [data]
    assert not found


def test_short_lines_cost_more_than_full_ones_do() -> None:
    found: list[str] = []
    _files(b"begin 644 x\n" + b"!00\n" * (Work.STEPS.units // 3) + b"`\nend\n", found)
    assert defects.TOO_COSTLY in found


def test_a_file_of_short_lines_comes_in_few_pieces() -> None:
    parts = split(iter((b"begin 644 x\n" + b"!00\n" * 100_000 + b"`\nend\n",)), Budget([]), [])
    pieces = [piece for part in parts if isinstance(part, File) for piece in part.pieces]
    assert sum(map(len, pieces)) == 100_000
    assert len(pieces) < 5


def test_a_file_in_yenc_without_a_line_end_is_not_held_as_a_whole() -> None:
    given = 0

    def pieces() -> Iterator[bytes]:
        nonlocal given
        yield b"=ybegin line=128 size=9 name=x\n"
        for _ in range(100):
            given += 1
            yield b"=ab" * 10_000

    found: list[str] = []
    for each in split(pieces(), Budget(found), found):
        if isinstance(each, File):
            assert next(each.pieces)
            assert given < 10
