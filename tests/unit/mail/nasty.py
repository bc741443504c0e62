"""Messages as they should not be, each one as octets, for tests that hold for all of them."""

from typing import Final

from app.mail.mime import Attachment, attachment_facts, attachment_pieces


def attachment(raw: bytes, index: int) -> tuple[Attachment, bytes] | None:
    """What is told of an attachment, and all of its octets; None when there is none."""
    facts = attachment_facts(raw, index)
    return None if facts is None else (facts, b"".join(attachment_pieces(raw, index)))


def multipart(*parts: bytes, boundary: bytes = b"b", subtype: bytes = b"mixed") -> bytes:
    """A whole multipart message of these parts (their headers, an empty line, their body)."""
    head = b"Subject: parts\r\nContent-Type: multipart/" + subtype + b'; boundary="' + boundary + b'"\r\n\r\n'
    mark = b"--" + boundary
    return head + b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts) + mark + b"--\r\n"


def nested(levels: int) -> bytes:
    """Multiparts in multiparts, a text in the innermost."""
    openings = (
        b"Content-Type: multipart/mixed; boundary=level%d\n\n--level%d\n" % (level, level)
        for level in range(levels)
    )
    return b"".join(openings) + b"\ndeep text\n"


def with_body(headers: bytes, body: bytes) -> bytes:
    """A message of one part."""
    return b"Subject: one part\r\n" + headers + b"\r\n\r\n" + body


PNG: Final = b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n"

NASTY: Final[dict[str, bytes]] = {
    "nothing at all": b"",
    "one empty line": b"\r\n",
    "no headers": b"Hello,\nthis is only text.\n\nAnd more of it.\n",
    "only headers": b"Subject: no body\r\nFrom: a@example.org",
    "raw utf-8 headers": "Subject: Grüße\r\nFrom: Jürgen <j@example.org>\r\n\r\nx".encode(),
    "raw latin-1 headers": "Subject: Grüße\r\nFrom: Jürgen <j@example.org>\r\n\r\nx".encode("latin-1"),
    "encoded word cut off": b"Subject: =?utf-8?B?R3LDvMOfZQ\r\n\r\nx",
    "encoded word of broken base64": b"Subject: =?utf-8?B?R3L*D?=\r\n\r\nx",
    "encoded word in an unknown charset": b"Subject: =?x-klingon?Q?qapla=27?=\r\n\r\nx",
    "many openings of encoded words": b"Subject: " + b"=?a?q?" * 40_000 + b"\r\n\r\nx",
    "unknown charset": with_body(b"Content-Type: text/plain; charset=x-klingon", b"nuqneH"),
    "a codec that is no charset": with_body(b"Content-Type: text/plain; charset=zlib", b"text"),
    "a codec that takes quadratic time": with_body(
        b"Content-Type: text/plain; charset=punycode", b"a-" * 20_000
    ),
    "wrong charset": with_body(b"Content-Type: text/plain; charset=utf-8", b"caf\xe9"),
    "utf-16": with_body(b"Content-Type: text/plain; charset=utf-16", "wide \N{SNOWMAN}".encode("utf-16")),
    "utf-16 of odd length": with_body(b"Content-Type: text/plain; charset=utf-16le", b"a\0b\0c"),
    "utf-7 with a lone surrogate": with_body(b"Content-Type: text/plain; charset=utf-7", b"+2AA-"),
    "100,000 headers": b"Subject: many\r\n" + b"X-Filler: x\r\n" * 100_000 + b"\r\nbody",
    "one header of a megabyte": b"Subject: " + b"x" * 1_000_000 + b"\r\n\r\nbody",
    "100,000 recipients": b"To: " + b"a@example.org," * 100_000 + b"\r\n\r\nx",
    "thousands of open comments": b"From: " + b"(" * 10_000 + b"\r\n\r\nx",
    "thousands of nested groups": b"To: " + b"g:" * 8_000 + b"\r\n\r\nx",
    "no boundary": b"Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\nx\r\n--b--",
    "an empty boundary": b'Content-Type: multipart/mixed; boundary=""\r\n\r\n--\r\n\r\nx\r\n----',
    "a boundary that never comes": b"Content-Type: multipart/mixed; boundary=b\r\n\r\nonly text\r\n",
    "never closed": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nonly text\r\n",
    "closed before it begins": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b--\r\n",
    "a boundary of pattern characters": multipart(b"\r\nfound", boundary=b"(.*+?[^x]$"),
    "a boundary inside another": multipart(b"\r\n--bb\r\nnot a delimiter", boundary=b"b"),
    "nested 200 levels": nested(200),
    "50,000 parts": b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 50_000,
    "nearly delimiters": b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\n" + b"--bx\n" * 100_000,
    "garbage in base64": with_body(b"Content-Transfer-Encoding: base64", b"aGVs!!bG8*\r\n=\xff"),
    "broken quoted-printable": with_body(b"Content-Transfer-Encoding: quoted-printable", b"a=ZZb=\r\n=4"),
    "uuencode without begin": with_body(b"Content-Transfer-Encoding: x-uuencode", b"#0V%T\n`\nend\n"),
    "an unknown transfer encoding": with_body(b"Content-Transfer-Encoding: x-rot99", b"as it came"),
    "NULs": b"Subject: a\0b\r\nFrom: x\0y <a\0@example.org>\r\n\r\nnul \0 here",
    "bare CR": b"Subject: old Macintosh\rFrom: a@example.org\r\rline one\rline two",
    "CR CR LF": b"Subject: twice\r\r\nFrom: a@example.org\r\r\n\r\r\nbody\r\r\n",
    "one very long line": b"Subject: long\r\n\r\n" + b"x" * 1_000_000,
    "a date of garbage": b"Date: sometime last week\r\n\r\nx",
    "a date in the year 0": b"Date: Mon, 01 Jan 0000 00:00:00 +0000\r\n\r\nx",
    "a date before there was mail": b"Date: Mon, 01 Jan 1500 00:00:00 +0000\r\n\r\nx",
    "a date in an absurd zone": b"Date: Mon, 05 Jan 2026 08:00:00 +9999999999\r\n\r\nx",
    "a date of huge numbers": b"Date: " + b"9" * 5_000 + b" Jan 2026 08:00:00 +0000\r\n\r\nx",
    "the last date": b"Date: Fri, 31 Dec 9999 23:59:59 -2300\r\n\r\nx",
    "Subject and From twice": b"Subject: one\r\nFrom: a@example.org\r\nSubject: two\r\nFrom: b@example.org\r\n\r\nx",
    "From without address": b"From: Ada Lovelace\r\n\r\nx",
    "From of nothing": b"From: \r\nTo: ,,,;\r\n\r\nx",
    "groups": b"To: team: a@example.org, B <b@example.org>;, undisclosed-recipients:;\r\n\r\nx",
    "a colon in the first line of the body": b": :\r\n\r\nx",
    "an mbox line": b"From ada@example.org Mon Jan  5 08:00:00 2026\nSubject: mbox\n\nbody\n",
    "a broken line among headers": b"Subject: one\r\nthis is no header\r\nFrom: a@example.org\r\n\r\nx",
    "garbage as content type": with_body(b'Content-Type: \xff\xfe/;;;=;"', b"still text"),
    "a content type without subtype": with_body(b"Content-Type: text", b"still text"),
    "an endless parameter": with_body(b'Content-Type: text/plain; charset="' + b'a\\"' * 30_000, b"x"),
    "thousands of parameters": with_body(b"Content-Type: text/plain" + b'; a="' * 20_000, b"x"),
    "a filename in huge sections": multipart(
        PNG + b"Content-Disposition: attachment; filename*99999999999999=x\r\n\r\n"
    ),
    "a content id of blanks": multipart(PNG + b"Content-ID: <" + b" " * 20_000 + b"x\r\n\r\nAAAA"),
    "a message in a message": multipart(b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nx"),
    "tags without end": with_body(b"Content-Type: text/html", b"<a " * 100_000),
    "elements without end": with_body(b"Content-Type: text/html", b"<div>" * 100_000),
    "fonts without end": with_body(
        b"Content-Type: text/html", b"<p><font color=%d>" * 5_000 % (*range(5_000),)
    ),
    "a table in a table in a table": with_body(b"Content-Type: text/html", b"<table><tr><td>" * 3_000),
    "random-looking octets": bytes(range(256)) * 40,
}
