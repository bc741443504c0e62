"""The sample mail of the demo: short, varied, and none of it real."""

from base64 import encodebytes

_INVOICE = b"%PDF-1.4\n% Not a real invoice, and not a real PDF: the demo's attachment.\n" + b"0 " * 700

_PLAIN = (
    ("Ada Lovelace <ada@example.org>", "The engine weaves algebraic patterns", "Lunch on Thursday?"),
    ("Build <ci@example.org>", "main is green again", "Build 4211 passed in 3 min 12 s."),
    (
        "Grace Hopper <grace@example.org>",
        "It is easier to ask forgiveness",
        ".. than it is to get permission.",
    ),
    (
        "=?UTF-8?Q?J=C3=BCrgen_M=C3=BCller?= <jm@example.org>",
        "=?UTF-8?B?R3LDvMOfZSBhdXMgS8O2bG4=?=",
        "Bis bald!",
    ),
    ("Backup <backup@example.org>", "Nightly backup: 0 errors", "1,204 files, 3.1 GB."),
    ("Edsger <ewd@example.org>", "On the cruelty of really teaching", "A short note, and a long shadow."),
    ("Newsletter <news@example.org>", "Seven things about POP3", "Number four will not surprise you."),
)


# Written out, as a person reads them: a subject that is decoded wrongly must break the story.
SUBJECTS = (
    "The engine weaves algebraic patterns",
    "main is green again",
    "It is easier to ask forgiveness",
    "Grüße aus Köln",
    "Nightly backup: 0 errors",
    "On the cruelty of really teaching",
    "Seven things about POP3",
    "The new look",
    "Invoice 2026-117",
    "Invoice 2026-118",
)
LATE_SUBJECT = "The numbers check out"


def sample_mail() -> list[bytes]:
    """What lies in the maildrop at the beginning: ten messages."""
    plain = [_plain(serial, *facts) for serial, facts in enumerate(_PLAIN, 1)]
    return [
        *plain,
        _with_html(8),
        _with_attachment(9, "Invoice 2026-117"),
        _with_attachment(10, "Invoice 2026-118"),
    ]


def late_mail() -> bytes:
    """What arrives while the demo runs."""
    return _plain(11, "Katherine Johnson <kj@example.org>", "The numbers check out", "Go for launch.")


def _head(serial: int, sender: str, subject: str) -> str:
    return (
        f"Return-Path: <sender{serial}@example.org>\r\n"
        f"Message-ID: <demo-{serial}@example.org>\r\n"
        f"Date: Mon, 23 Nov 2026 08:{serial:02}:00 +0000\r\n"
        f"From: {sender}\r\n"
        "To: Demo <demo@example.org>\r\n"
        f"Subject: {subject}\r\n"
        "MIME-Version: 1.0\r\n"
    )


def _plain(serial: int, sender: str, subject: str, text: str) -> bytes:
    content = f"Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
    return (_head(serial, sender, subject) + content).encode()


def _with_html(serial: int) -> bytes:
    head = _head(serial, "Design <design@example.org>", "The new look")
    return (
        head + "Content-Type: multipart/alternative; boundary=alt\r\n\r\n"
        "--alt\r\nContent-Type: text/plain\r\n\r\nIt is blue now.\r\n"
        "--alt\r\nContent-Type: text/html\r\n\r\n<p>It is <b>blue</b> now.</p><script>alert(1)</script>\r\n"
        "--alt--\r\n"
    ).encode()


def _with_attachment(serial: int, subject: str) -> bytes:
    head = _head(serial, "Accounts <accounts@example.org>", subject)
    data = encodebytes(_INVOICE).replace(b"\n", b"\r\n")
    return (
        (
            head + "Content-Type: multipart/mixed; boundary=mix\r\n\r\n"
            "--mix\r\nContent-Type: text/plain\r\n\r\nPlease find the invoice attached.\r\n"
            f'--mix\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename="{subject}.pdf"\r\n'
            "Content-Transfer-Encoding: base64\r\n\r\n"
        ).encode()
        + data
        + b"--mix--\r\n"
    )
