"""What sent a message, what kind it is, and what bounced."""

from collections.abc import Callable

import pytest

from app.mail.mime import Bounce, parse, summarise
from tests.fuzz.work import assert_linear


def of(*headers: bytes, body: bytes = b"x") -> bytes:
    return b"".join(header + b"\r\n" for header in headers) + b"\r\n" + body


PERSON = b"From: Ada <ada@example.org>"
DAEMON = b"From: Mail Delivery Subsystem <MAILER-DAEMON@mx.example.org>"


@pytest.mark.parametrize(
    ("headers", "what", "by"),
    [
        ([PERSON], None, None),
        ([PERSON, b"Return-Path: <ada@example.org>"], None, None),
        ([PERSON, b"Auto-Submitted: no"], None, None),
        ([PERSON, b"Auto-Submitted: No (really)"], None, None),
        ([PERSON, b"Auto-Submitted: auto-replied"], "auto_reply", "auto-submitted"),
        ([PERSON, b"Auto-Submitted: auto-replied (vacation)"], "auto_reply", "auto-submitted"),
        ([PERSON, b"auto-submitted: AUTO-REPLIED; owner-email=a@b"], "auto_reply", "auto-submitted"),
        ([PERSON, b"Auto-Submitted: auto_replied"], "auto_reply", "auto-submitted"),
        ([PERSON, b"Auto-Submitted: auto-generated"], "auto_generated", "auto-submitted"),
        ([PERSON, b"Auto-Submitted: auto-notified"], "auto_generated", "auto-submitted"),
        ([PERSON, b"Auto-Submitted: something-new"], "auto_generated", "auto-submitted"),
        ([PERSON, b"Auto-Submitted:"], None, None),
        ([PERSON, b"X-Autoreply: yes"], "auto_reply", "x-autoreply"),
        ([PERSON, b"X-Autoreply: no"], None, None),
        ([PERSON, b"X-Autorespond: out of office"], "auto_reply", "x-autorespond"),
        ([PERSON, b"X-Autoreply-From: a@b"], "auto_reply", "x-autoreply-from"),
        ([PERSON, b"Precedence: auto_reply"], "auto_reply", "precedence"),
        ([PERSON, b"Precedence: bulk"], "bulk", "precedence"),
        ([PERSON, b"Precedence: LIST"], "bulk", "precedence"),
        ([PERSON, b"Precedence: junk"], "bulk", "precedence"),
        ([PERSON, b"Precedence: first-class"], None, None),
        ([PERSON, b"Precedence: first-class", b"List-Id: <l.example.org>"], "bulk", "list-id"),
        ([PERSON, b"X-Precedence: bulk"], "bulk", "x-precedence"),
        ([PERSON, b"List-Id: <l.example.org>"], "bulk", "list-id"),
        ([PERSON, b"List-Unsubscribe: <mailto:a@b>"], "bulk", "list-unsubscribe"),
        ([PERSON, b"List-Post: NO"], "bulk", "list-post"),
        ([PERSON, b"List-Id: "], None, None),
        ([PERSON, b"List-Unsubscribe:\r\n <https://e.org/u>"], "bulk", "list-unsubscribe"),
        ([PERSON, b"Auto-Submitted:\r\n\tauto-replied"], "auto_reply", "auto-submitted"),
        ([PERSON, b"Auto-Submitted: (c) auto-replied"], "auto_reply", "auto-submitted"),
        ([PERSON, b"Auto-Submitted: no", b"Auto-Submitted: auto-replied"], None, None),
        ([PERSON, b"Auto-Submitted: auto-replied", b"Precedence: bulk"], "auto_reply", "auto-submitted"),
        ([PERSON, b"Precedence: bulk; x"], "bulk", "precedence"),
        ([PERSON, b"Precedence: special-delivery"], None, None),
        ([b"From: Mailer-Daemon Fan <fan@example.org>"], None, None),
        ([b'From: "MAILER-DAEMON" <fan@example.org>'], None, None),
        ([b"From: Ada <ada@mailer-daemon.example>"], None, None),
        ([b"From: Ada <mailer-daemon-list@example.org>"], None, None),
        ([b"From: mailer-daemon@mx.example.org (Mail Delivery System)"], "bounce", "from"),
        ([b'From: "MAILER-DAEMON" <>'], "bounce", "from"),
        ([b"From: MAILER-DAEMON (Mail Delivery System)"], "bounce", "from"),
        (
            [b"From: =?utf-8?q?Mail_Delivery_System?= <no@example.org>", b"Return-Path: <>"],
            "bounce",
            "return-path",
        ),
        ([DAEMON, b"Subject: Warning: could not send message for past 4 hours"], "auto_generated", "from"),
        ([DAEMON, b"Subject: Delivery Status Notification (Delay)"], "auto_generated", "from"),
        ([DAEMON, b"Subject: Undeliverable: your order is delayed"], "bounce", "from"),
        ([PERSON, b"Mailing-List: contact l-help@example.org; run by ezmlm"], "bulk", "mailing-list"),
        ([PERSON, b"Feedback-ID: 1:2:3:x"], "bulk", "feedback-id"),
        ([PERSON, b"Auto-Submitted: auto-generated", b"List-Id: <l.x>"], "auto_generated", "auto-submitted"),
        ([PERSON, b"Auto-Submitted: no", b"List-Id: <l.example.org>"], "bulk", "list-id"),
        ([PERSON, b"Return-Path: <>"], "auto_generated", "return-path"),
        ([PERSON, b"Return-Path: < >", b"Auto-Submitted: auto-replied"], "auto_reply", "auto-submitted"),
        ([PERSON, b"X-Cron-Env: <SHELL=/bin/sh>"], "auto_generated", "x-cron-env"),
        ([DAEMON], "bounce", "from"),
        ([DAEMON, b"Auto-Submitted: auto-replied"], "bounce", "from"),
        ([b"From: MAILER-DAEMON", b"Return-Path: <>"], "bounce", "from"),
        ([b"From: Postmaster <postmaster@example.org>", b"Return-Path: <>"], "bounce", "return-path"),
        ([b"From: Postmaster <postmaster@example.org>"], None, None),
        ([PERSON, b"X-Failed-Recipients: a@b"], "bounce", "x-failed-recipients"),
        ([PERSON, b"X-Auto-Response-Suppress: All"], None, None),
    ],
)
def test_what_a_program_sent(headers: list[bytes], what: str | None, by: str | None) -> None:
    summary = summarise(of(*headers))
    assert (summary.automated, summary.automated_by) == (what, by)
    assert ("bounce" in summary.kinds) == (what == "bounce")
    assert (summary.bounce is not None) == (what == "bounce")


def multipart(subtype: str, *parts: str, parameters: str = "") -> bytes:
    """Each part: its content type, and after a blank line what it holds."""
    body = "".join(f"--b\r\nContent-Type: {part}\r\n" for part in parts)
    return of(
        PERSON,
        f"Content-Type: multipart/{subtype}; boundary=b{parameters}".encode(),
        body=f"{body}--b--\r\n".encode(),
    )


TEXT = "text/plain\r\n\r\nHello"
ORIGINAL = "message/rfc822\r\n\r\nMessage-ID: <1@example.org>\r\nSubject: s\r\n\r\nx"
FAILED = (
    "message/delivery-status\r\n\r\nReporting-MTA: dns; mx\r\n\r\n"
    "Final-Recipient: rfc822; no@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n"
)
KINDS: dict[str, tuple[bytes, set[str], bool]] = {
    "text": (of(PERSON), set(), False),
    "alternatives": (multipart("alternative", TEXT, "text/html\r\n\r\n<p>x"), set(), False),
    "an attachment": (multipart("mixed", TEXT, "application/pdf\r\n\r\nx"), set(), True),
    "S/MIME, signed": (
        multipart(
            "signed",
            TEXT,
            'application/pkcs7-signature; name="smime.p7s"\r\n'
            "Content-Disposition: attachment; filename=smime.p7s\r\n\r\nx",
        ),
        {"signed"},
        False,
    ),
    "S/MIME, signed, with an attachment": (
        multipart(
            "signed",
            "multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nHello\r\n"
            "--c\r\nContent-Type: image/png; name=a.png\r\n\r\nx\r\n--c--",
            "application/x-pkcs7-signature\r\n\r\nx",
        ),
        {"signed"},
        True,
    ),
    "S/MIME, opaque": (
        of(PERSON, b"Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m"),
        {"signed"},
        False,
    ),
    "S/MIME, opaque, without its type": (
        of(
            PERSON,
            b"Content-Type: application/x-pkcs7-mime; name=smime.p7m",
            b"Content-Transfer-Encoding: base64",
            body=b"MIIFjgYJKoZIhvcNAQcCoIIFfzCCBXsCAQExDTALBglghkgBZQMEAgEw",
        ),
        {"signed"},
        False,
    ),
    "S/MIME, encrypted": (
        of(
            PERSON,
            b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m",
            b"Content-Disposition: attachment; filename=smime.p7m",
        ),
        {"encrypted"},
        False,
    ),
    "S/MIME, encrypted, without its type": (
        of(
            PERSON,
            b"Content-Type: application/x-pkcs7-mime",
            b"Content-Transfer-Encoding: base64",
            body=b"MIIBHgYJKoZIhvcNAQcDoIIBDzCCAQsCAQAxgcAwgb0CAQAw",
        ),
        {"encrypted"},
        False,
    ),
    "S/MIME, certificates": (
        of(PERSON, b"Content-Type: application/pkcs7-mime; smime-type=certs-only"),
        set(),
        False,
    ),
    "S/MIME, whose type a gateway has taken away": (
        of(
            PERSON,
            b"Content-Type: application/octet-stream; name=smime.p7m",
            b"Content-Transfer-Encoding: base64",
            body=b"MIIBHgYJKoZIhvcNAQcDoIIBDzCCAQsCAQAxgcAwgb0CAQAw",
        ),
        {"encrypted"},
        False,
    ),
    "S/MIME, signed, whose signature has no type": (
        multipart("mixed", TEXT, "application/octet-stream; name=smime.p7s\r\n\r\nx"),
        {"signed"},
        False,
    ),
    "another file": (multipart("mixed", TEXT, "application/octet-stream; name=a.p7x\r\n\r\nx"), set(), True),
    "PGP/MIME, signed": (
        multipart("signed", TEXT, "application/pgp-signature; name=signature.asc\r\n\r\nx"),
        {"signed"},
        False,
    ),
    "PGP/MIME, signed, in a list": (
        multipart(
            "mixed",
            "multipart/signed; boundary=c\r\n\r\n--c\r\n\r\nHello\r\n"
            "--c\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--c--",
            "text/plain\r\n\r\n-- of the list",
        ),
        {"signed"},
        False,
    ),
    "PGP/MIME, encrypted": (
        multipart(
            "encrypted",
            "application/pgp-encrypted\r\n\r\nVersion: 1",
            'application/octet-stream; name="encrypted.asc"\r\n\r\nx',
        ),
        {"encrypted"},
        False,
    ),
    "PGP in the text, signed": (
        of(PERSON, body=b"-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\nx"),
        {"signed"},
        False,
    ),
    "PGP in the text, encrypted": (
        of(PERSON, body=b"Hi\r\n-----BEGIN PGP MESSAGE-----\r\n\r\nx"),
        {"encrypted"},
        False,
    ),
    "PGP quoted": (of(PERSON, body=b"> -----BEGIN PGP MESSAGE-----\r\n"), set(), False),
    "a PGP key": (multipart("mixed", TEXT, "application/pgp-keys; name=key.asc\r\n\r\nx"), set(), True),
    "a bounce": (
        multipart("report", TEXT, FAILED, ORIGINAL, parameters="; report-type=delivery-status"),
        {"bounce", "report"},
        False,
    ),
    "a bounce, its report not first": (
        multipart("report", TEXT, ORIGINAL, FAILED),
        {"bounce", "report"},
        False,
    ),
    "a bounce in a mixed": (multipart("mixed", TEXT, FAILED, ORIGINAL), {"bounce", "report"}, True),
    "a delay": (
        multipart("report", TEXT, FAILED.replace("failed", "delayed").replace("5.1.1", "4.4.7")),
        {"delivery_report", "report"},
        False,
    ),
    "a delivery": (
        multipart("report", TEXT, FAILED.replace("failed", "delivered").replace("5.1.1", "2.0.0")),
        {"delivery_report", "report"},
        False,
    ),
    "a bounce, internationalised": (
        multipart("report", TEXT, FAILED.replace("message/", "message/global-")),
        {"bounce", "report"},
        False,
    ),
    "a read receipt": (
        multipart(
            "report", TEXT, "message/disposition-notification\r\n\r\nDisposition: manual-action/x; displayed"
        ),
        {"read_receipt", "report"},
        False,
    ),
    "an abuse report": (
        multipart("report", TEXT, "message/feedback-report\r\n\r\nFeedback-Type: abuse", ORIGINAL),
        {"abuse_report", "report"},
        False,
    ),
    "another report": (
        multipart("report", TEXT, "application/tlsrpt+gzip; name=r.json.gz\r\n\r\nx"),
        {"report"},
        True,
    ),
    "an invitation": (
        multipart("alternative", TEXT, "text/calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR"),
        {"invitation"},
        False,
    ),
    "an invitation alone": (
        of(PERSON, b"Content-Type: text/calendar; method=REQUEST", body=b"BEGIN:VCALENDAR"),
        {"invitation"},
        True,
    ),
    "an invitation, attached": (
        multipart("mixed", TEXT, "application/ics; name=invite.ics\r\n\r\nx"),
        {"invitation"},
        True,
    ),
    "an invitation behind an attachment": (
        multipart("mixed", TEXT, "image/png\r\n\r\nx", "text/calendar\r\n\r\nx"),
        {"invitation"},
        True,
    ),
    "forwarded": (multipart("mixed", TEXT, ORIGINAL), {"forwarded"}, True),
    "forwarded alone": (
        of(PERSON, b"Content-Type: message/rfc822", body=b"Subject: x\r\n\r\ny"),
        {"forwarded"},
        True,
    ),
    "forwarded, internationalised": (
        multipart("mixed", TEXT, "message/global\r\n\r\nx"),
        {"forwarded"},
        True,
    ),
    "what was forwarded is signed": (
        multipart(
            "mixed",
            TEXT,
            "message/rfc822\r\n\r\nContent-Type: multipart/signed; boundary=z\r\n\r\n--z\r\n\r\nx\r\n--z--",
        ),
        {"forwarded"},
        True,
    ),
    "a digest": (
        multipart("digest", "text/plain\r\n\r\ncontents", "\r\n\r\nSubject: x\r\n\r\ny"),
        set(),
        True,
    ),
    "several": (
        multipart(
            "signed",
            "multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nHi\r\n--c\r\nContent-Type: text/calendar\r\n\r\nx\r\n"
            "--c\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ny\r\n--c--",
            "application/pgp-signature\r\n\r\nx",
        ),
        {"signed", "invitation", "forwarded"},
        True,
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_kinds_and_what_is_attached(name: str) -> None:
    raw, kinds, has_attachments = KINDS[name]
    summary = summarise(raw)
    assert set(summary.kinds) == kinds
    assert len(summary.kinds) == len(kinds)
    assert summary.has_attachments == has_attachments


@pytest.mark.parametrize("name", KINDS)
def test_a_part_more_takes_no_kind_away(name: str) -> None:
    raw, kinds, _ = KINDS[name]
    head, body = raw.split(b"\r\n\r\n", 1)
    kept = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-")]
    inner = b"\r\n".join(kept) + b"\r\n\r\n" + body
    outer = of(
        PERSON,
        b"Content-Type: multipart/mixed; boundary=outer",
        body=b"--outer\r\n" + inner + b"\r\n--outer\r\nContent-Type: image/gif\r\n\r\nGIF\r\n--outer--\r\n",
    )
    assert set(summarise(outer).kinds) == kinds


@pytest.mark.parametrize("name", KINDS)
def test_reading_it_whole_finds_the_same_attachments(name: str) -> None:
    raw, _, has_attachments = KINDS[name]
    attachments = parse(raw).attachments
    assert has_attachments <= bool(attachments)


RECIPIENT = "Original-Recipient: rfc822;alias@example.net\r\nFinal-Recipient: rfc822; no@example.net\r\n"
QMAIL = b"""Hi. This is the qmail-send program at mx.example.org.
I'm afraid I wasn't able to deliver your message to the following addresses.

<no@example.net>:
192.0.2.1 does not like recipient.
Remote host said: 550 5.1.1 unknown

--- Below this line is a copy of the message.

Return-Path: <ada@example.org>
Message-ID: <1@example.org>
Subject: s
""".replace(b"\n", b"\r\n")
EXIM = b"""This message was created automatically by mail delivery software.

  no@example.net
    host mx.example.net [192.0.2.1]: 550 No such user

------ This is a copy of the message, including all the headers. ------

Message-Id: <1@example.org>
"""


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (multipart("report", TEXT, FAILED, ORIGINAL), Bounce("no@example.net", "5.1.1", "<1@example.org>")),
        (multipart("report", TEXT, FAILED), Bounce("no@example.net", "5.1.1", None)),
        (
            multipart("report", TEXT, FAILED, "text/rfc822-headers\r\n\r\nMessage-ID:\r\n <1@example.org>\r\n"),
            Bounce("no@example.net", "5.1.1", "<1@example.org>"),
        ),
        (
            multipart("report", TEXT, FAILED.replace("Final-Recipient: rfc822; no@example.net\r\n", RECIPIENT)),
            Bounce("alias@example.net", "5.1.1", None),
        ),
        (
            multipart("report", TEXT, FAILED + "\r\nFinal-Recipient: rfc822; o@x\r\nAction: failed\r\nStatus: 5.2.2"),
            Bounce("no@example.net", "5.1.1", None),
        ),
        (
            multipart(
                "report",
                TEXT,
                FAILED.replace("failed", "delivered").replace("5.1.1", "2.0.0")
                + "\r\nFinal-Recipient: RFC822;<other@x>\r\nAction: failed (here)\r\nStatus: 5.2.2 (full)",
            ),
            Bounce("other@x", "5.2.2", None),
        ),
        (multipart("report", TEXT, "message/delivery-status\r\n\r\nnonsense"), Bounce(None, None, None)),
        (
            multipart("report", TEXT, FAILED.replace("Status: 5.1.1", "Diagnostic-Code: smtp; 550 5.7.1 no")),
            Bounce("no@example.net", "5.7.1", None),
        ),
        (
            multipart("report", TEXT, FAILED.replace("no@example.net", "\r\n <no@example.net>\r\n (Nobody; x)")),
            Bounce("no@example.net", "5.1.1", None),
        ),
        (
            multipart("report", TEXT, FAILED.replace("failed", "delayed").replace("5.1.1", "4.0.0")
                      + "\r\nFinal-Recipient: rfc822; o@x\r\nAction: FAILED\r\nStatus: 5.5.5"),
            Bounce("o@x", "5.5.5", None),
        ),
        (of(DAEMON, body=b"<no@example.net>: host mx[192.0.2.1] said: 550 5.1.1 <no@example.net>: no"),
         Bounce("no@example.net", "5.1.1", None)),
        (of(DAEMON, body=b"Your message to ada@example.net: lost\r\nask b@c, please\r\n"), Bounce(None, None, None)),
        (
            of(PERSON, b"Content-Type: message/delivery-status", b"Content-Transfer-Encoding: base64",
               body=b"RmluYWwtUmVjaXBpZW50OiByZmM4MjI7IG5vQGV4YW1wbGUubmV0DQpTdGF0dXM6IDUuMS4x"),
            Bounce("no@example.net", "5.1.1", None),
        ),
        (of(DAEMON, b"Return-Path: <>", body=QMAIL), Bounce("no@example.net", "5.1.1", "<1@example.org>")),
        (of(DAEMON, body=EXIM), Bounce("no@example.net", None, "<1@example.org>")),
        (of(DAEMON, b"X-Failed-Recipients: no@example.net, b@c"), Bounce("no@example.net", None, None)),
        (of(DAEMON, b"References: <0@a> <1@example.org>"), Bounce(None, None, "<1@example.org>")),
        (of(DAEMON, b"In-Reply-To: <1@example.org>"), Bounce(None, None, "<1@example.org>")),
        (of(DAEMON, body=b"\xff\0" * 40_000), Bounce(None, None, None)),
    ],
)  # fmt: skip
def test_what_bounced(raw: bytes, expected: Bounce) -> None:
    summary = summarise(raw)
    assert summary.bounce == expected
    assert summary.automated == "bounce"


def test_the_work_grows_with_the_blanks_of_a_return_path() -> None:
    def work(size: int) -> Callable[[], object]:
        raw = of(PERSON, b"Return-Path: <" + b" " * size + b"x")
        return lambda: summarise(raw)

    assert_linear(work, 1_000)
