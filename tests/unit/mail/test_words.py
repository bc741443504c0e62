"""Encoded words and raw 8-bit characters in headers."""

import pytest

from app.mail import defects
from app.mail.fields.words import decoded
from app.mail.mime import attachment_facts, parse, summarise
from tests.unit.mail.nasty import multipart


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"=?iso-8859-1?Q?Fr\xf6sche?=", "Frösche"),
        (b"=?iso-8859-1?Q?\xc3\xbc?=", "Ã¼"),  # never read again as UTF-8
        (b"=?gb2312?Q?\xc4\xe3\xba\xc3?=", "你好"),
        (b"=?utf-8?Q?What??=", "What?"),
        (b"=?utf-8?Q?a?b?= c", "a?b c"),
        (b"=?utf-8?Q?What?=3D?=", "What?="),
        (b"=?utf-8?Q?a?==?utf-8?Q?b?=", "ab"),
        (b"=?utf-8?B?aGk=?==?utf-8?B?aGk=?=", "hihi"),
        (b"=?utf-8?B?4pg=?= =?utf-8?B?gw==?=", "\N{SNOWMAN}"),
        (b"=?utf-8?Q?=E2=98?=\t =?utf-8?Q?=83?=", "\N{SNOWMAN}"),
        (b"=?utf-8?B?4pg=?= =?utf-8?Q?=83?=", "\N{SNOWMAN}"),
        (b"=?utf-8?B?4pg=?= =?UTF8*de?Q?=83?=", "\N{SNOWMAN}"),  # two names of one charset
        (b"=?utf-8?B?4p?= =?utf-8?B?iD?=", "\N{SNOWMAN}"),  # cut when it was base64 already
        (b"=?utf-8?B?4pi?=\t=?utf-8?B?D?=", "\N{SNOWMAN}"),
        (b"=?iso-8859-1?b?SGVsb?= =?iso-8859-1?b?G8=?=", "Hello"),
        (b"=?utf-8?B?YQ?= =?utf-8?B?Yg?=", "ab"),  # only the padding misses
        (b"=?utf-8*de?Q?a_b?=", "a b"),
        (b"=?utf-8?Q?a b?=", "a b"),
        (b"=?UTF-8?q?=c3=bc?=", "ü"),
        (b"=?us-ascii?Q?=FC?=", "ü"),
        (b"=?iso-2022-jp?B?GyRCRnw=?= =?iso-2022-jp?B?S1wbKEI=?=", "日本"),  # cut between two escapes
        (b"\x1b$BF|K\\\x1b(B and more", "日本 and more"),
        (b"a =?utf-8?Q?b?= c", "a b c"),
        (b"=?utf-8?Q?unfinished", "=?utf-8?Q?unfinished"),
        (b"=?x?= ?= =? a", "=?x?= ?= =? a"),
        (b"\x93Hi\x94 5 \x80", "“Hi” 5 €"),
        ("für".encode(), "für"),
    ],
)
def test_a_value_is_the_text_that_its_sender_wrote(value: bytes, expected: str) -> None:
    assert decoded(value, []) == expected


@pytest.mark.parametrize("encoding", ["koi8-r", "shift_jis", "gbk", "windows-1251", "iso-8859-7"])
def test_raw_octets_are_read_in_the_charset_of_the_text(encoding: str) -> None:
    words = {"shift_jis": "表ソ予定", "gbk": "乗你好", "iso-8859-7": "Γειά"}.get(encoding, "Привет")
    subject = words.encode(encoding)
    text = b"Content-Type: text/plain; charset=" + encoding.encode() + b"\r\n\r\n" + subject
    single = b"Subject: " + subject + b"\r\nFrom: " + subject + b" <a@x>\r\n" + text
    assert summarise(single).subject == parse(single).headers["subject"][0] == words
    assert summarise(single).authors[0].name == words
    several = multipart(text).replace(b"Subject: parts", b"Subject: " + subject)
    assert summarise(several).subject == parse(several).headers["subject"][0] == words
    assert defects.HEADER_8BIT in summarise(single).warnings


@pytest.mark.parametrize(
    "charset", ["utf-16", "utf-16be", "ibm037", "iso-2022-jp", "utf-7", "us-ascii", "foo"]
)
def test_a_charset_without_these_octets_or_with_other_letters_says_nothing_of_headers(charset: str) -> None:
    raw = b"Subject: Gr\xfc\xdfe!\r\nContent-Type: text/plain; charset=" + charset.encode() + b"\r\n\r\nx"
    assert summarise(raw).subject == parse(raw).headers["subject"][0] == "Grüße!"


@pytest.mark.parametrize("first", [b"us-ascii", b"utf-8", b"x-nobody-knows"])
@pytest.mark.parametrize("between", [(), (b"Content-Type: application/pdf; name=a.pdf\r\n\r\nx",)])
def test_the_first_text_whose_charset_tells_of_raw_octets_counts(
    first: bytes, between: tuple[bytes, ...]
) -> None:
    texts = (
        b"Content-Type: text/plain; charset=%s\r\n\r\nfirst" % first,
        *between,
        b"Content-Type: text/html; charset=koi8-r\r\n\r\nsecond",
    )
    raw = multipart(*texts).replace(b"Subject: parts", b"Subject: " + "Привет".encode("koi8-r"))
    assert summarise(raw).subject == parse(raw).headers["subject"][0] == "Привет"


@pytest.mark.parametrize("own", [b"", b"; charset=koi8-r"])
def test_raw_octets_of_a_file_name_are_read_in_its_charset_or_that_of_the_text(own: bytes) -> None:
    of_text = b"gbk" if own else b"koi8-r"
    file = b'Content-Type: text/csv%s\r\nContent-Disposition: attachment; filename="%s.csv"\r\n\r\nx'
    raw = multipart(
        b"Content-Type: text/plain; charset=%s\r\n\r\nx" % of_text, file % (own, "Привет".encode("koi8-r"))
    )
    facts = attachment_facts(raw, 0)
    assert facts is not None
    assert parse(raw).attachments[0].filename == facts.filename == "Привет.csv"


def test_what_cannot_be_seen_or_turns_around_is_left_out_of_subjects_and_it_is_told() -> None:
    summary = summarise("Subject: invoice\u202efdp.exe \u2066x\u2069 a\u200bb\u00ad\r\n\r\n".encode())
    assert summary.subject == "invoicefdp.exe x ab"
    assert defects.INVISIBLE in summary.warnings


@pytest.mark.parametrize(
    "unseen",
    "\u200b\u200e\u061c\u180e\u2028\u2062\u206a\u3164\ufff4\U0001bca1\U0001d173\U000e0041\U000e0099\u180f\U000e01f0"
    "\u200c\u200d\ufe00\ufe0f\U000e0100",  # behind a letter that they do nothing for
)
def test_nothing_unseen_is_in_subjects_and_names(unseen: str) -> None:
    summary = summarise(f"Subject: a{unseen}b\r\nTo: a{unseen}b <m@x>\r\n\r\n".encode())
    shown = " " if unseen == "\u2028" else ""
    assert summary.subject == summary.to[0].name == f"a{shown}b"


@pytest.mark.parametrize(
    "subject",
    [
        "👨‍👩‍👧 family",
        "می‌خواهم",
        "עברית",
        "नमस्ते",
        "naïve",
        "❤️‍🔥 1️⃣",
        "葛\U000e0100城",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    ],
)
def test_what_scripts_and_emoji_need_stays(subject: str) -> None:
    summary = summarise(f"Subject: {subject}\r\n\r\n".encode())
    assert (summary.subject, summary.warnings) == (subject, ())


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        ("inv\ufe0f\u200doice", "invoice"),
        ("\u200dinvoice", "invoice"),
        ("a \u200c\u200db", "a b"),
        ("\u200b\u200dinvoice", "invoice"),
        ("😀\ufe0f\U000e0100\U000e0150\U000e0160", "😀\ufe0f"),  # octets can be hidden in a row of selectors
        ("\u0645\u06cc\u200c\u200c\u200d\u062e", "\u0645\u06cc\u200c\u062e"),
        ("\U0001f3f4\U000e0067\U000e0062x", "\U0001f3f4x"),
        ("\U0001f600\U000e0067\U000e0062\U000e0065\U000e007f", "\U0001f600"),
    ],
)
def test_what_joins_or_varies_nothing_is_left_out_and_it_is_told(subject: str, shown: str) -> None:
    summary = summarise(f"Subject: {subject}\r\n\r\n".encode())
    assert summary.subject == shown
    assert defects.INVISIBLE in summary.warnings


def test_a_file_name_cut_into_sections_may_be_one_encoded_word() -> None:
    raw = multipart(
        b'Content-Type: application/pdf\r\nContent-Disposition: attachment; filename*0="=?utf-8?Q?r=C3=A9";'
        b' filename*1="s.pdf?="\r\n\r\nx'
    )
    assert parse(raw).attachments[0].filename == "rés.pdf"
