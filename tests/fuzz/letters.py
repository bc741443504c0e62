"""Letters that are made to cost: by name, each of about so many octets as one asks for. None of them is stored.

The first of each kind is one that was seen to cost gigabytes or minutes; the others are its relatives.
"""

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Letter:
    """A hostile letter. ``make(size)`` gives one of about so many octets; ``large`` is the size that once hurt,
    ``small`` one for tests that run each time."""

    make: Callable[[int], bytes]
    large: int
    small: int


def filled(start: str | bytes, unit: str | bytes, size: int, end: str | bytes = b"") -> bytes:
    """The unit between start and end, as often as the size takes."""
    first, one, last = (part.encode() if isinstance(part, str) else part for part in (start, unit, end))
    return first + one * max(1, (size - len(first) - len(last)) // len(one)) + last


def html(start: str, unit: str = "", end: str = "") -> Callable[[int], bytes]:
    """A letter of HTML alone."""
    return lambda size: filled(
        "Subject: x\r\nContent-Type: text/html\r\n\r\n" + start, unit or "x", size, end
    )


def numbered(unit: str, size: int) -> str:
    """The unit with %d, and other numbers in each."""
    return "".join(unit.replace("%d", str(number)) for number in range(max(1, size // (len(unit) + 3))))


def html_numbered(unit: str, start: str = "", end: str = "") -> Callable[[int], bytes]:
    """HTML whose units differ by a number."""
    head = "Subject: x\r\nContent-Type: text/html\r\n\r\n" + start
    return lambda size: (head + numbered(unit, size) + end).encode()


def in_halves(opening: str, closing: str, middle: str = "x") -> Callable[[int], bytes]:
    """HTML that is nested as deep as the size allows, and closed again."""

    def make(size: int) -> bytes:
        levels = max(1, size // (len(opening) + len(closing)))
        body = opening * levels + middle + closing * levels
        return b"Subject: x\r\nContent-Type: text/html\r\n\r\n" + body.encode()

    return make


def in_parts(count: int, make: Callable[[int], str], kind: str = "text/html") -> Callable[[int], bytes]:
    """A multipart of so many parts of one kind."""

    def made(size: int) -> bytes:
        body = make(max(1, size // count))
        part = f"--b\r\nContent-Type: {kind}\r\n\r\n{body}\r\n"
        return (f"Content-Type: multipart/mixed; boundary=b\r\n\r\n{part * count}--b--\r\n").encode()

    return made


def encoded(
    encoding: str, unit: bytes, start: bytes = b"", kind: str = "application/x"
) -> Callable[[int], bytes]:
    """A letter whose only part is in a transfer encoding."""
    head = f"Subject: x\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode()
    return lambda size: filled(head + start, unit, size)


def boundaries(lengths: Iterator[int] | range, line: str) -> Callable[[int], bytes]:
    """Multiparts in each other, the boundary of each so many times ``a``, then lines to be compared with them all."""

    def made(size: int) -> bytes:
        opening = "".join(
            f"Content-Type: multipart/mixed; boundary={'a' * length}\r\n\r\n--{'a' * length}\r\n"
            for length in lengths
        )
        return filled(opening + "\r\n", line, size)

    return made


def parts_with_headers(headers: int) -> Callable[[int], bytes]:
    """Parts of nothing but headers."""
    part = "--b\r\n" + "A:b\r\n" * headers + "\r\nx\r\n"
    return lambda size: filled("Content-Type: multipart/mixed; boundary=b\r\n\r\n", part, size)


def with_attachment(size: int) -> bytes:
    """An ordinary letter with one large attachment."""
    line = base64.b64encode(bytes(range(57))) + b"\r\n"
    head = (
        b"From: a@example.org\r\nSubject: the film\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: multipart/mixed; boundary=film\r\n\r\n--film\r\n"
        b"Content-Type: text/plain\r\n\r\nHere it is.\r\n--film\r\nContent-Type: video/mp4; name=film.mp4\r\n"
        b"Content-Disposition: attachment; filename=film.mp4\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    )
    return filled(head, line, size, b"--film--\r\n")


def slow_to_summarise(size: int) -> bytes:
    """Addresses in forms that only a grammar reads, in each field that has some."""
    fields = ("From", "To", "Cc", "Reply-To")
    unit = b'"a\\"b" (c (d)) <@x,@y:a@[1.2.3.4]>, '
    return b"".join(filled(f"{name}: ", unit, size // 4, "\r\n") for name in fields) + b"\r\nx\r\n"


def deep_parts(count: int, levels: int) -> Callable[[int], bytes]:
    return in_parts(
        count, lambda size: "<div>" * levels + "x" * max(1, size - 11 * levels) + "</div>" * levels
    )


_LI = "<ul><li>"
_CELL = "x" * 40
LETTERS: Final[dict[str, Letter]] = {
    # Layout: styles, widths, indents
    "padding of 100,000 em": Letter(html('<div style="padding-left:100000em">', "x<br>"), 75 * KIB, 20 * KIB),
    "margins and indents": Letter(
        html('<div style="margin-left:9999em;text-indent:9999em">', "<p>x</p>"), 75 * KIB, 20 * KIB
    ),
    "white space that is kept": Letter(
        html('<div style="white-space:pre;padding:9999em 9999em">', "x\n"), 75 * KIB, 20 * KIB
    ),
    "quotes in quotes": Letter(in_halves("<blockquote>x<br>", "y</blockquote>"), 250 * KIB, 20 * KIB),
    "quotes deep, lines many": Letter(html("<blockquote>" * 200, "x<br>"), 500 * KIB, 20 * KIB),
    "lists deep, items many": Letter(html("<ul><li>" * 200, "<li>x"), 500 * KIB, 20 * KIB),
    # Tables
    "one wide cell, many rows": Letter(
        lambda size: html("<table><tr><td>" + "w" * (size // 2) + "</td></tr>", "<tr><td>x</td></tr>")(size),
        254 * KIB,
        20 * KIB,
    ),
    "one row of many cells": Letter(html("<table><tr>", "<td>x"), 254 * KIB, 20 * KIB),
    "cells that span": Letter(
        html("<table>", "<tr><td colspan=9999 rowspan=9999>x</td></tr>"), 254 * KIB, 20 * KIB
    ),
    "tall and wide cells": Letter(
        html("<table>", "<tr><td>" + "x<br>" * 300 + "<td>" + "w" * 3_000),
        500 * KIB,
        20 * KIB,
    ),
    "tables in tables": Letter(in_halves("<table><tr><td>", "</td></tr></table>"), 500 * KIB, 20 * KIB),
    "tables never closed": Letter(html("", "<table><tr><td>x"), 500 * KIB, 20 * KIB),
    "text that belongs into no cell": Letter(
        html("x<br>" * 3_000 + "<table>", "x<br><b>y</b>"), 500 * KIB, 20 * KIB
    ),
    "rows that belong into no table": Letter(html("", "<tr><td>x</td></tr>"), 500 * KIB, 20 * KIB),
    # Elements
    "open list items in ten parts": Letter(
        in_parts(10, lambda size: _LI * (size // 20) + "<li>" * (size // 8)), 720 * KIB, 30 * KIB
    ),
    "three parts of bold": Letter(in_parts(3, lambda size: "<b>" * (size // 3)), 5_400 * KIB, 60 * KIB),
    "a hundred parts nested": Letter(deep_parts(100, 1_990), 2_200 * KIB, 50 * KIB),
    "ten thousand open blocks": Letter(html("", "<div>"), 2 * MIB, 30 * KIB),
    "blocks opened and closed": Letter(in_halves("<div>", "</div>"), 2 * MIB, 30 * KIB),
    "open paragraphs with fonts": Letter(html_numbered("<p><font color=%d>x"), 2 * MIB, 30 * KIB),
    "links that overlap tables": Letter(
        html_numbered("<a href=http://e.org/%d><table><tr><td>x</a>"), 1 * MIB, 30 * KIB
    ),
    "links never closed": Letter(html_numbered("<p><a href=http://e.org/%d>x"), 1 * MIB, 30 * KIB),
    "ends that close nothing": Letter(html("<div>" * 200 + "<i><table><tr><td>", "</i>"), 1 * MIB, 30 * KIB),
    "misnested formatting": Letter(html("", "<b><i><p></b>x</i>"), 1 * MIB, 30 * KIB),
    "definitions": Letter(html("<dl>", "<dd><dt><div>"), 1 * MIB, 30 * KIB),
    "headings": Letter(html("", "<h1><h2><center>"), 1 * MIB, 30 * KIB),
    "ruby": Letter(html("<ruby>", "<rt><rp><ruby>x"), 1 * MIB, 30 * KIB),
    # Characters
    "ampersands before long text": Letter(
        lambda size: html("&" * min(29_000, size // 4), "x")(size), 1_900 * KIB, 60 * KIB
    ),
    "ampersands in an attribute": Letter(
        lambda size: html('<p title="' + "&" * min(29_000, size // 4), "x", '">y')(size),
        1_900 * KIB,
        60 * KIB,
    ),
    "hard blanks": Letter(
        lambda size: filled(b"Content-Type: text/html; charset=utf-8\r\n\r\n", "\xa0".encode(), size),
        4 * MIB,
        60 * KIB,
    ),
    "character references": Letter(html("", "&#160;"), 2 * MIB, 30 * KIB),
    "references without end": Letter(html("&#", "9"), 2 * MIB, 30 * KIB),
    "names that are no references": Letter(html("", "&" + "a" * 32), 2 * MIB, 30 * KIB),
    # Attributes and tokens
    "attributes many": Letter(
        lambda size: html("<p " + numbered("a%d=1 ", size) + ">x")(size), 1 * MIB, 30 * KIB
    ),
    "images by address": Letter(
        lambda size: (
            "Content-Type: multipart/related; boundary=b\r\n\r\n"
            "--b\r\nContent-Type: image/png\r\nContent-Location: x\r\n\r\n"
            f"--b\r\nContent-Type: text/html\r\nContent-Location: http://e.org/{'a/' * 400}\r\n\r\n"
            f"{numbered('<img src=%d>', size)}"
        ).encode(),
        1 * MIB,
        30 * KIB,
    ),
    "attributes long": Letter(html("<p title='", "y ", "'>x"), 2 * MIB, 30 * KIB),
    "styles": Letter(html("", '<p style="color:red;font-size:1px;margin:1px">x</p>'), 1 * MIB, 30 * KIB),
    "blanks before an exclamation mark": Letter(
        html_numbered("<p style='color:red" + " " * 4_000 + "!%d'>x"), 250 * KIB, 30 * KIB
    ),
    "one long style": Letter(html('<p style="', "color:red;", '">x'), 1 * MIB, 30 * KIB),
    "comments": Letter(html("", "<!-- x -->"), 2 * MIB, 30 * KIB),
    "tags without end": Letter(html("", "<a "), 2 * MIB, 30 * KIB),
    "scripts without end": Letter(html("", "<script>x</scrip>"), 2 * MIB, 30 * KIB),
    # Parts and headers
    "1,000 parts of 1,300 headers": Letter(parts_with_headers(1_300), 8 * MIB, 300 * KIB),
    "parts of nothing": Letter(
        lambda size: filled("Content-Type: multipart/mixed; boundary=b\r\n\r\n", "--b\n\n", size),
        8 * MIB,
        60 * KIB,
    ),
    "47 boundaries, each begins the next": Letter(
        boundaries(range(1, 48), "--" + "a" * 47 + "b\r\n"), 10 * MIB, 200 * KIB
    ),
    "47 boundaries, the longest first": Letter(
        boundaries(range(47, 0, -1), "--" + "a" * 48 + "\r\n"), 10 * MIB, 200 * KIB
    ),
    "47 boundaries and blank lines": Letter(boundaries(range(1, 48), "\r\n--\r\n"), 10 * MIB, 200 * KIB),
    "nearly delimiters": Letter(
        lambda size: filled("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n", "--bx\n", size),
        10 * MIB,
        60 * KIB,
    ),
    "nearly delimiters to the end": Letter(
        lambda size: filled("Content-Type: multipart/mixed; boundary=b\r\n\r\n", "\n--bx", size),
        60 * MIB,
        60 * KIB,
    ),
    "hyphens among headers": Letter(lambda size: filled("Subject: x\r\n", "--\n", size), 60 * MIB, 60 * KIB),
    "parts without an empty line": Letter(
        lambda size: filled("Content-Type: multipart/mixed; boundary=b\r\n\r\n", "--b\nX: y\n", size),
        10 * MIB,
        60 * KIB,
    ),
    "headers without end": Letter(lambda size: filled("", "X-Filler: x\r\n", size), 10 * MIB, 300 * KIB),
    "one header without end": Letter(lambda size: filled("Subject: ", "x", size), 10 * MIB, 300 * KIB),
    "encoded words": Letter(lambda size: filled("Subject: ", "=?utf-8?b?w6Q=?= ", size), 1 * MIB, 60 * KIB),
    "encoded words in many charsets": Letter(
        lambda size: filled("Subject: ", "=?gb2312?q?=C4?= =?koi8-r?q?=C4?= ", size), 1 * MIB, 60 * KIB
    ),
    "addresses by the book": Letter(slow_to_summarise, 80 * KIB, 20 * KIB),
    "file names in sections": Letter(
        lambda size: (
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
            + filled(
                "",
                filled("--b\r\nContent-Disposition: attachment", "; filename*1*=%41", 4_000, "\r\n\r\nx\r\n"),
                size,
            )
        ),
        4 * MIB,
        60 * KIB,
    ),
    # Transfer encodings and charsets
    "broken uuencode": Letter(
        encoded("x-uuencode", b"M" + b"x" * 3 + b"\n", b"begin 644 x\n"), 20 * MIB, 300 * KIB
    ),
    "uuencode of empty lines": Letter(encoded("x-uuencode", b"\n", b"begin 644 x\n"), 20 * MIB, 300 * KIB),
    "base64 in many pieces": Letter(encoded("base64", b"QQ=="), 20 * MIB, 300 * KIB),
    "base64 of padding": Letter(encoded("base64", b"="), 20 * MIB, 300 * KIB),
    "base64 of short lines with marks": Letter(encoded("base64", b"!00\n"), 60 * MIB, 300 * KIB),
    "base64 among garbage": Letter(encoded("base64", b"Q!!!\n"), 20 * MIB, 300 * KIB),
    "quoted-printable of soft line ends": Letter(encoded("quoted-printable", b"=\n"), 20 * MIB, 300 * KIB),
    "quoted-printable of blanks behind equals signs": Letter(
        encoded("quoted-printable", b"= \n"), 60 * MIB, 300 * KIB
    ),
    "quoted-printable of trailing blanks": Letter(
        encoded("quoted-printable", b" " * 990 + b"\n"), 20 * MIB, 300 * KIB
    ),
    "a text of 20 MB": Letter(encoded("8bit", b"some words\r\n", kind="text/plain"), 20 * MIB, 300 * KIB),
    "a text in base64": Letter(
        encoded("base64", base64.b64encode(b"word " * 12) + b"\r\n", kind="text/plain"), 20 * MIB, 300 * KIB
    ),
    "a text in a charset of shifts": Letter(
        encoded("8bit", b'\x1b$B$"\x1b(Bx', kind="text/plain; charset=iso-2022-jp"), 8 * MIB, 60 * KIB
    ),
    "a text in no charset at all": Letter(
        encoded("8bit", b"\xff\xfe\x80x", kind="text/plain; charset=gb18030"), 8 * MIB, 60 * KIB
    ),
    "files within a text": Letter(
        lambda size: filled("Subject: x\r\n\r\n", "begin 644 x\n`\nend\n", size), 4 * MIB, 60 * KIB
    ),
    "a file of short lines within a text": Letter(
        lambda size: filled("Subject: x\r\n\r\nbegin 644 x\n", "!00\n", size), 4 * MIB, 60 * KIB
    ),
    "what begins no file": Letter(
        lambda size: filled("Subject: x\r\n\r\n", "begin 644 x\n", size), 4 * MIB, 60 * KIB
    ),
    "yEnc of escapes": Letter(
        lambda size: filled("Subject: x\r\n\r\n=ybegin line=1 size=1 name=x\r\n", "=}" * 60 + "\n", size),
        4 * MIB,
        60 * KIB,
    ),
    "nearly footers": Letter(encoded("base64", b"Q-QQ\n"), 20 * MIB, 300 * KIB),
    "quoted-printable of equals signs": Letter(encoded("quoted-printable", b"=="), 20 * MIB, 300 * KIB),
    "hidden in hidden": Letter(
        html("", "<p hidden style='font-size:0;visibility:hidden'>x"), 1 * MIB, 30 * KIB
    ),
    "colours in colours": Letter(
        html("", '<p style="color:red;background:blue"><b style="color:white">x'), 1 * MIB, 30 * KIB
    ),
    "delivery reports": Letter(
        in_parts(500, lambda size: "Status: 5.1.1\n\n" * (size // 15), "message/delivery-status"),
        1 * MIB,
        30 * KIB,
    ),
    "references": Letter(lambda size: filled("References: ", "<a@b> ", size), 1 * MIB, 60 * KIB),
    "CR alone": Letter(lambda size: filled("Subject: x\r\r", "x\r", size), 10 * MIB, 60 * KIB),
    "an ordinary letter with a large attachment": Letter(with_attachment, 60 * MIB, 300 * KIB),
}
