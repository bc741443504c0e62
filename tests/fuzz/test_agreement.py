"""What a list shows of a message and what is shown of it whole agree, whatever it is made of."""

import re
from typing import Final

from hypothesis import strategies as st

from app.mail.envelope import Envelope
from app.mail.fields.comparison import canonical
from app.mail.kinds import Kind
from app.mail.mime import Automated, ParsedMessage, Summary, parse, summarise
from app.mailboxes.wanted.judging import JudgedHead
from tests.fuzz.laws import law

_HEADERS: Final = st.sampled_from(
    [
        b"From: Ada <ada@example.org>", b"From: a@x, b@x", b"From: <a@x> <b@x>", b"From: a@b@c", b"From: a@x\r\n (c)",
        b"From: MAILER-DAEMON (Mail Delivery System)", b"From: =?utf-8?q?J=C3=B6rg?= <j@x>", b"Sender: s@x", b"To: t@x",
        b"Reply-To: r@x", b"Cc: c@x, d@x", b"Bcc: g: e@x;", b"Return-Path: <>", b"Return-Path: <a@x>",
        b"X: \rFrom: z@x",
        b"Message-ID: <1@x>", b"Message-ID: <>", b"Message-ID: <2@x> (c)", b"References: <0@x>\r\n\t<1@x>",
        b"References: 0@x, 1@x", b"In-Reply-To: <0@x>", b"In-Reply-To: Ada's of Monday <0@x>", b"List-Id: L <l.x>",
        b"Received: from a by b; Mon, 05 Jan 2026 08:00:00 +0100", b"Received: from a by b (c;\r\n d)",
        b"Received: by b; yesterday;", b"Delivered-To: d@x", b"X-Original-To: o@x", b"Auto-Submitted: auto-replied",
        b"Auto-Submitted: no", b"Precedence: bulk", b"X-Failed-Recipients: f@x", b"Date: Mon, 5 Jan 2026 8:00:00 CET-1",
        b"Date: Mon, 05 Jan 2026 08:00:00 +0100", b"Subject: =?utf-8?q?a?= =?utf-8?q?b?=", b"Subject: Delayed Mail",
        b"broken", b"X-Mailer: \xc3\xbc",
    ]
)  # fmt: skip
_LEAVES: Final = st.sampled_from(
    [
        b"\r\nplain words", b"Content-Type: text/plain\r\n\r\n \r\n", b"no headers at all", b"\r\n",
        b"Content-Type: text/plain; format=flowed; delsp=yes\r\n\r\nflo \r\nwed\r\n> quoted",
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nZ3LDvMOfZQ==",
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ngr=C3=BC=\r\n=C3=9Fe",
        b"Content-Type: text/plain\r\n\r\nhere:\r\nbegin 644 a.png\r\n#0V%T\r\n`\r\nend\r\nbye",
        b"Content-Type: text/plain\r\n\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\n",
        b"Content-Type: text/plain; name=a.txt\r\n\r\nnamed", b"Content-Type: text/markdown\r\n\r\n# marked",
        b"Content-Type: text/html\r\n\r\n<p>rich<b hidden>not</b> words</p>",
        b"Content-Type: text/html\r\n\r\n<p hidden>no",
        b"Content-Type: text/html:\r\n\r\n<div style='display:none'>not</div><ul><li>item<table><td>one<td>two</table>",
        b"Content-Type: text/html\r\nContent-ID: <root>\r\n\r\n<body style='font-size:0'>not<font size=2>seen</font>",
        b"Content-Type: image/png\r\nContent-ID: <i>\r\n\r\nPNG", b"Content-Type: image/png; name=a.png\r\n\r\nPNG",
        b"Content-Type: application/pdf\r\nContent-ID: <p>\r\n\r\nPDF",
        b"Content-Type: application/octet-stream\r\n\r\nx",
        b"Content-Type: application/octet-stream; name=smime.p7s\r\n\r\nx",
        b"Content-Type: application/pkcs7-mime; smime-type=signed-data\r\n\r\nx",
        b"Content-Type: application/pgp-signature\r\n\r\nx",
        b"Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1",
        b"Content-Type: message/delivery-status\r\n\r\nA: b\r\n\r\nFinal-Recipient: rfc822; f@x\r\nAction: failed",
        b"Content-Type: message/delivery-status\r\n\r\nAction: delayed\r\nStatus: 4.0.0",
        b"Content-Type: message/disposition-notification\r\n\r\nDisposition: x",
        b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ny",
        b"Content-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse",
        b"Content-Type: text/rfc822-headers\r\n\r\nMessage-ID: <returned@x>",
        b"Content-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR",
        b"Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nattached",
    ]
)  # fmt: skip
_SUBTYPES: Final = st.sampled_from(
    [b"mixed", b"alternative", b"related", b"report", b"signed", b"encrypted", b"digest", b"related; start=\"<root>\""]
)  # fmt: skip
_CALENDARS: Final = frozenset({"text/calendar"})
_WRAPPED: Final = frozenset({Kind.SIGNED, Kind.ENCRYPTED, Kind.REPORT})


@st.composite
def _parts(draw: st.DrawFn, depth: int = 0) -> bytes:
    if depth == 3 or draw(st.integers(0, 2)) == 0:
        return draw(_LEAVES)
    mark = b"b%d" % depth
    inner = draw(st.lists(_parts(depth + 1), min_size=1, max_size=3))
    head = b"Content-Type: multipart/" + draw(_SUBTYPES) + b"; boundary=" + mark + b"\r\n\r\n"
    return head + b"".join(b"--" + mark + b"\r\n" + part + b"\r\n" for part in inner) + b"--" + mark + b"--"


_MESSAGES: Final = st.tuples(st.lists(_HEADERS, max_size=7), _parts()).map(
    lambda made: b"".join(header + b"\r\n" for header in made[0]) + made[1]
)


@law(_MESSAGES, examples=400)
def test_the_summary_and_the_whole_agree(raw: bytes) -> None:
    summary, parsed = summarise(raw), parse(raw)
    assert_first_words_agree(summary, parsed)
    assert_attachments_agree(summary, parsed)
    assert_headers_agree(summary, parsed)
    assert_sender_agrees(summary, raw)
    assert summarise(raw) == summary
    assert (
        (summary.bounce is not None)
        == (Kind.BOUNCE in summary.kinds)
        == (summary.automated is Automated.BOUNCE)
    )


@law(_MESSAGES, examples=150)
def test_what_headers_say_does_not_depend_on_what_they_stand_above(raw: bytes) -> None:
    head, empty_line, _ = raw.partition(b"\r\n\r\n")
    whole, alone = summarise(raw), summarise(head + empty_line)
    for name in Envelope.__slots__:
        assert getattr(whole, name) == getattr(alone, name), name


def letters(text: str) -> str:
    """What is left where bullets, quote marks and what parts cells are taken out."""
    return re.sub(r"[\W_]+", "", text)


def assert_first_words_agree(summary: Summary, parsed: ParsedMessage) -> None:
    assert letters(parsed.text or "").startswith(letters(summary.snippet))
    assert bool(letters(parsed.text or "")) == bool(letters(summary.snippet))
    assert "not" not in summary.snippet


def assert_attachments_agree(summary: Summary, parsed: ParsedMessage) -> None:
    attached = [part for part in parsed.attachments if not part.inline]
    assert bool(attached) or not summary.has_attachments
    if not _WRAPPED & set(summary.kinds):
        assert summary.has_attachments is bool(attached)
    types = {part.content_type for part in parsed.attachments}
    assert (Kind.INVITATION in summary.kinds) == bool(types & _CALENDARS)
    assert (Kind.READ_RECEIPT in summary.kinds) == ("message/disposition-notification" in types)
    assert (Kind.ABUSE_REPORT in summary.kinds) == ("message/feedback-report" in types)
    assert Kind.FORWARDED not in summary.kinds or "message/rfc822" in types


def assert_headers_agree(summary: Summary, parsed: ParsedMessage) -> None:
    assert (summary.automated is None) == (summary.automated_by is None)
    assert summary.automated_by is None or summary.automated_by in parsed.headers
    for told, name in (
        (summary.message_id, "message-id"),
        (summary.in_reply_to, "in-reply-to"),
        *((reference, "references") for reference in summary.references),
        (summary.list_id, "list-id"),
        *((moment.decode(), "received") for moment in summary.received),
    ):
        assert told is None or any(told in "".join(value) for value in parsed.headers[name])
    named = summary.references[:1] or tuple(filter(None, (summary.in_reply_to, summary.message_id)))
    assert (summary.thread is None) == (not named)
    if named:
        answer = summarise(b"References: " + named[0].encode() + b"\r\n\r\n")
        assert answer.thread == summary.thread


def assert_sender_agrees(summary: Summary, raw: bytes) -> None:
    head = JudgedHead(raw)
    assert head.from_ambiguous == summary.from_ambiguous
    if not summary.from_ambiguous:
        assert head.from_address() == [
            canonical(author.address) for author in summary.authors if author.address
        ]
