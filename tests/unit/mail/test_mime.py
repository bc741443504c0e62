"""What is read from particular messages, good and bad."""

from datetime import UTC, datetime

import pytest

from app.mail import defects
from app.mail.mime import Address, Attachment, header_values, parse, summarise
from tests.unit.mail.nasty import NASTY, PNG, attachment, multipart, nested, with_body

_TEXT = b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
_HTML = b"Content-Type: text/html; charset=utf-8\r\n\r\n"


def only_attachment(raw: bytes) -> Attachment:
    (found,) = parse(raw).attachments
    return found


# Headers


def test_a_summary_has_everything_a_row_of_the_feed_shows() -> None:
    raw = multipart(
        _TEXT + b"Dear\r\n  Bob,", PNG + b"Content-Disposition: attachment; filename=a.png\r\n\r\nAAAA"
    ).replace(
        b"Subject: parts\r\n",
        b"Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\nFrom: Ada <ada@example.org>\r\n"
        b'To: b@example.org, "C, D"\r\n <c@example.org>\r\n'
        b"Cc: d@example.org\r\nReply-To: e@example.org\r\n"
        b"Message-ID: <1@example.org>\r\nDate: Mon, 5 Jan 2026 08:00:00 +0100\r\n",
    )
    summary = summarise(raw)
    assert summary.subject == "Grüße"
    assert summary.from_ == Address("Ada", "ada@example.org")
    assert summary.to == (Address("", "b@example.org"), Address("C, D", "c@example.org"))
    assert summary.cc == (Address("", "d@example.org"),)
    assert summary.reply_to == (Address("", "e@example.org"),)
    assert summary.message_id == "<1@example.org>"
    assert summary.date == datetime(2026, 1, 5, 7, tzinfo=UTC)
    assert summary.has_attachments
    assert summary.snippet == "Dear Bob,"
    assert summary.warnings == ()


def test_headers_are_given_by_lower_case_name_with_all_values_in_order() -> None:
    raw = b"Received: one\r\nX-Tag: =?utf-8?q?=C3=A4?=\r\nRECEIVED: two\r\n three\r\n\r\nx"
    assert parse(raw).headers == {"received": ["one", "two three"], "x-tag": ["ä"]}


def test_one_header_is_found_in_any_case_in_headers_alone_and_in_a_whole_message() -> None:
    for raw in (b"Subject: a\r\nsubject: b", b"Subject: a\r\nsubject: b\r\n\r\nSubject: c"):
        assert header_values(raw, "SUBJECT") == ["a", "b"]
    assert header_values(b"Subject: a\r\n\r\n", "x-none") == []


@pytest.mark.parametrize(
    ("value", "subject"),
    [
        (b"=?utf-8?B?w7w=?= =?utf-8?B?w7w=?=", "üü"),
        (b"=?utf-8?B?4pg=?= =?utf-8?B?gw==?=", "\N{SNOWMAN}"),  # one character cut in two
        (b"=?utf-8*de?q?a_b?= c", "a b c"),
        (b"a =?iso-8859-1?q?=e9?= b", "a é b"),
        (b"=?utf-8?q?a=0D=0AX-Injected:_b?=", "a X-Injected: b"),
        (b"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"),
        (b"1 =? 2 ?= 3", "1 =? 2 ?= 3"),
    ],
)
def test_encoded_words_are_decoded_into_one_line(value: bytes, subject: str) -> None:
    assert summarise(b"Subject: " + value + b"\r\n\r\nx").subject == subject


@pytest.mark.parametrize("name", ["raw utf-8 headers", "raw latin-1 headers"])
def test_raw_8bit_headers_are_read_as_utf8_or_else_as_latin1(name: str) -> None:
    summary = summarise(NASTY[name])
    assert summary.subject == "Grüße"
    assert summary.from_ == Address("Jürgen", "j@example.org")
    assert (defects.HEADER_8BIT in summary.warnings) is ("latin-1" in name)


def test_an_encoded_name_with_a_comma_is_one_address() -> None:
    raw = b"From: =?utf-8?q?Doe=2C_J=C3=B6rg?= <j@example.org>\r\n\r\nx"
    assert summarise(raw).from_ == Address("Doe, Jörg", "j@example.org")


def test_members_of_groups_are_addresses_and_empty_groups_are_nobody() -> None:
    summary = summarise(NASTY["groups"])
    assert summary.to == (Address("", "a@example.org"), Address("B", "b@example.org"))
    assert summary.warnings == ()


def test_a_sender_without_address_keeps_the_name() -> None:
    summary = summarise(NASTY["From without address"])
    assert summary.from_ == Address("Ada Lovelace", "")
    assert defects.BAD_ADDRESS in summary.warnings


@pytest.mark.parametrize(
    "headers",
    [
        b"From: a@example.org, b@example.org",
        b"From: a@example.org\r\nFrom: b@example.org",
        b"From: a@example.org\r\nSubject: x\r\nfrom: a@example.org",
        b"From: <a@example.org> <b@example.org>",
        b"From: a@example.org b@example.org",
        b"From: us: a@example.org, b@example.org;",
    ],
)
def test_of_several_senders_the_first_is_shown_and_it_is_told_that_it_is_not_certain(headers: bytes) -> None:
    summary = summarise(headers + b"\r\n\r\nx")
    assert summary.from_ == summary.authors[0] == Address("", "a@example.org")
    assert summary.from_ambiguous
    assert defects.AMBIGUOUS_SENDER in summary.warnings


def test_one_sender_is_certain() -> None:
    summary = summarise(b"From: Doe, Ada (us) <a@example.org>,\r\n\r\nx")
    assert summary.authors == (Address("Doe, Ada (us)", "a@example.org"),)
    assert not summary.from_ambiguous
    assert summary.warnings == ()


def test_of_headers_that_may_come_once_the_first_counts_and_it_is_told() -> None:
    summary = summarise(NASTY["Subject and From twice"])
    assert (summary.subject, summary.from_) == ("one", Address("", "a@example.org"))
    assert summary.warnings == (defects.REPEATED_HEADER, defects.AMBIGUOUS_SENDER)


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (b"Mon, 05 Jan 2026 08:00:00 +0100", datetime(2026, 1, 5, 7, tzinfo=UTC)),
        (b"Mon, 5 Jan 26 08:00:00 GMT", datetime(2026, 1, 5, 8, tzinfo=UTC)),
        (b"5 Jan 2026 08:00 -0000", datetime(2026, 1, 5, 8, tzinfo=UTC)),
        (b"Mon, 05 Jan 2026 08:00:00 -0500 (EST)", datetime(2026, 1, 5, 13, tzinfo=UTC)),
        (b"Wed, 31 Dec 2025 23:59:60 +0000", datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_dates_are_read_into_utc(value: bytes, moment: datetime) -> None:
    summary = summarise(b"Date: " + value + b"\r\n\r\nx")
    assert summary.date == moment
    assert summary.warnings == ()


@pytest.mark.parametrize(
    "name",
    [
        "a date of garbage",
        "a date in the year 0",
        "a date before there was mail",
        "a date in an absurd zone",
        "a date of huge numbers",
        "the last date",
    ],
)
def test_dates_that_cannot_be_read_or_stored_are_none_with_a_warning(name: str) -> None:
    summary = summarise(NASTY[name])
    assert summary.date is None
    assert summary.warnings == (defects.BAD_DATE,)


def test_a_message_of_nothing_says_that_it_has_no_headers() -> None:
    summary = summarise(b"")
    assert (summary.subject, summary.from_, summary.date, summary.message_id) == ("", None, None, None)
    assert summary.warnings == (defects.NO_HEADERS,)


def test_a_text_without_headers_is_all_body() -> None:
    assert parse(NASTY["no headers"]).text == "Hello,\nthis is only text.\n\nAnd more of it.\n"
    assert summarise(NASTY["no headers"]).snippet == "Hello, this is only text. And more of it."


def test_a_line_that_is_no_header_hides_no_header_after_it() -> None:
    summary = summarise(NASTY["a broken line among headers"])
    assert summary.from_ == Address("", "a@example.org")
    assert summary.warnings == (defects.BROKEN_HEADER_LINE,)


def test_an_mbox_line_is_no_header() -> None:
    assert summarise(NASTY["an mbox line"]).subject == "mbox"
    assert parse(NASTY["an mbox line"]).text == "body\n"


def test_lines_that_end_with_cr_alone_are_lines() -> None:
    parsed = parse(NASTY["bare CR"])
    assert parsed.headers == {"subject": ["old Macintosh"], "from": ["a@example.org"]}
    assert parsed.text == "line one\nline two"
    assert parsed.warnings == (defects.BARE_CR,)


def test_more_headers_than_are_read_leave_the_body_where_it_is() -> None:
    summary = summarise(NASTY["100,000 headers"][:500_000] + b"\r\n\r\nbody")
    assert (summary.subject, summary.snippet) == ("many", "body")
    assert summary.warnings == (defects.HEADERS_CUT, defects.AMBIGUOUS_SENDER)


def test_nul_becomes_something_that_can_be_stored() -> None:
    parsed = parse(NASTY["NULs"])
    assert parsed.headers["subject"] == ["a\N{REPLACEMENT CHARACTER}b"]
    assert parsed.text == "nul \N{REPLACEMENT CHARACTER} here"


# Text


@pytest.mark.parametrize(
    ("charset", "body", "text"),
    [
        (b"utf-8", "für".encode(), "für"),
        (b"iso-8859-1", b"f\xfcr \x80", "für €"),
        (b"", "für".encode(), "für"),
        (b"us-ascii", b"f\xfcr", "für"),
        (b"utf-16", "für".encode("utf-16"), "für"),
        (b"gb2312", "中文".encode("gbk"), "中文"),
        (b"ks_c_5601-1987", "한국".encode("cp949"), "한국"),
        (b"'UTF8'", "für".encode(), "für"),
    ],
)
def test_text_is_read_in_the_charset_it_names_or_means(charset: bytes, body: bytes, text: str) -> None:
    assert parse(with_body(b"Content-Type: text/plain; charset=" + charset, body)).text == text


@pytest.mark.parametrize(
    "name", ["unknown charset", "a codec that is no charset", "a codec that takes quadratic time"]
)
def test_an_unknown_charset_is_told_and_the_text_is_there(name: str) -> None:
    parsed, summary = parse(NASTY[name]), summarise(NASTY[name])
    assert parsed.warnings == summary.warnings == (defects.UNKNOWN_CHARSET,)
    assert parsed.text
    assert summary.snippet


@pytest.mark.parametrize(
    ("encoding", "body", "text", "warnings"),
    [
        (b"base64", b"aGVsbG8=", "hello", ()),
        (b"BASE64", b"aGVs\r\nbG8", "hello", (defects.BAD_BASE64,)),
        (b"base64", b"aGVs!!bG8=", "hello", (defects.BAD_BASE64,)),
        (b"base64", b"aGVsbG8=IQ==", "hello!", ()),
        (b"quoted-printable", b"a=C3=BC=\r\nb=ZZ", "aüb=ZZ", ()),
        (b"x-uuencode", b"begin 644 x\r\n%:&5L;&\\ \r\n`\r\nend\r\n", "hello", ()),
        (b"x-rot99", b"as it came", "as it came", (defects.UNKNOWN_ENCODING,)),
        (b"8bit", b"hello", "hello", ()),
    ],
)
def test_transfer_encodings_are_undone_as_far_as_they_can_be(
    encoding: bytes, body: bytes, text: str, warnings: tuple[str, ...]
) -> None:
    parsed = parse(with_body(b"Content-Transfer-Encoding: " + encoding, body))
    assert (parsed.text, parsed.warnings) == (text, warnings)


@pytest.mark.parametrize("name", ["garbage as content type", "a content type without subtype"])
def test_a_content_type_that_cannot_be_read_means_plain_text(name: str) -> None:
    assert parse(NASTY[name]).text == "still text"
    assert defects.BAD_CONTENT_TYPE in parse(NASTY[name]).warnings


def test_a_snippet_is_one_line_of_at_most_200_characters() -> None:
    snippet = summarise(b"Subject: x\r\n\r\n" + b"many\t words\r\n" * 2_000).snippet
    assert len(snippet) <= 200
    assert snippet.startswith("many words many words")


def test_a_character_that_is_cut_at_the_end_of_what_is_looked_at_is_no_defect() -> None:
    summary = summarise(with_body(b"Content-Type: text/plain", "€".encode() * 10_000))
    assert summary.snippet == "€" * 200
    assert summary.warnings == ()


# Parts


def test_of_alternatives_text_and_html_are_given_each() -> None:
    parsed = parse(multipart(_TEXT + b"plain", _HTML + b"<p>rich</p>", subtype=b"alternative"))
    assert (parsed.text, parsed.html, parsed.attachments) == ("plain", "<p>rich</p>", ())


def test_html_alone_gives_text_too_and_its_snippet_has_no_markup() -> None:
    raw = with_body(b"Content-Type: text/html", b"<style>p{}</style><p>Dear <b>Bob</b></p><script>x</script>")
    parsed = parse(raw)
    assert (parsed.text, parsed.html) == ("Dear Bob", "<p>Dear <b>Bob</b></p>")
    assert summarise(raw).snippet == "Dear Bob"


def test_a_snippet_has_no_words_that_are_hidden() -> None:
    hidden = '<div style="display:none;font-size:1px;mso-hide:all">not this' + "&nbsp;&zwnj;" * 200 + "</div>"
    page = f"<html><head><style>p{{}}</style></head><body>{hidden}<p>Dear Bob,</p><p>bye</p></body></html>"
    assert summarise(with_body(b"Content-Type: text/html", page.encode())).snippet == "Dear Bob, bye"
    long = page.replace("not this", "not this " * 2_000)  # longer than what is looked at first
    assert summarise(with_body(b"Content-Type: text/html", long.encode())).snippet == "Dear Bob, bye"
    hidden_at_all = page.replace("<p>", "<p hidden>").encode()
    assert summarise(with_body(b"Content-Type: text/html", hidden_at_all)).snippet == ""


@pytest.mark.parametrize(
    ("raw", "snippet"),
    [
        (multipart(_HTML + b"<p>letter</p>", _TEXT + b"-- footer"), "letter"),
        (multipart(_HTML + b"<p hidden>x</p>", _TEXT + b"-- footer"), "-- footer"),
        (multipart(_HTML + b"<p>letter</p>", _TEXT + b"plain", subtype=b"alternative"), "plain"),
        (multipart(_TEXT + b" ", _HTML + b"<p>letter</p>", subtype=b"alternative"), "letter"),
        (
            multipart(
                b"Content-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n"
                + (_HTML + b"<p>letter</p>\r\n--c\r\n" + _TEXT + b"plain\r\n--c--"),
                _TEXT + b"-- footer",
            ),
            "plain",
        ),
        (multipart(_TEXT + b"plain", _HTML + b"<p>footer</p>"), "plain"),
        (with_body(b"Content-Type: text/html", b"<dl><dt>term<dd>what</dl><details><summary>more"), "term what more"),
        (with_body(b"Content-Type: text/html", b"<section>one</section><td>two"), "onetwo"),
        (with_body(b"Content-Type: text/plain; format=flowed; delsp=yes", b"https://e \r\nxample.org"),
         "https://example.org"),
    ],
)  # fmt: skip
def test_a_snippet_is_how_the_text_begins(raw: bytes, snippet: str) -> None:
    assert summarise(raw).snippet == snippet
    assert " ".join((parse(raw).text or "").split()).startswith(snippet)


def test_text_alone_gives_no_html() -> None:
    assert parse(b"Subject: x\r\n\r\n<b>not html</b>").html is None


def test_an_empty_text_beside_html_gives_the_text_of_the_html() -> None:
    raw = multipart(_TEXT + b" \r\n", _HTML + b"<p>rich</p>", subtype=b"alternative")
    assert parse(raw).text == "rich"
    assert summarise(raw).snippet == "rich"


def test_a_footer_of_a_list_does_not_replace_the_html_in_the_text() -> None:
    parsed = parse(multipart(_HTML + b"<p>letter</p>", _TEXT + b"<list> footer"))
    assert parsed.text == "letter\n<list> footer"
    assert parsed.html == "<p>letter</p>\n<pre>&lt;list&gt; footer</pre>"


def test_an_image_of_the_html_is_inline_with_its_content_id_and_no_attachment_for_the_feed() -> None:
    raw = multipart(
        _HTML + b'<img src="cid:logo@example.org">',
        PNG + b"Content-ID: <logo@example.org>\r\n\r\nAAAA",
        subtype=b"related",
    )
    assert only_attachment(raw) == Attachment(0, None, "image/png", 3, True, "logo@example.org")
    assert parse(raw).html == '<img src="cid:logo@example.org">'
    assert not summarise(raw).has_attachments


def test_a_part_that_says_attachment_is_one_although_it_has_a_content_id() -> None:
    raw = multipart(_TEXT + b"x", PNG + b"Content-ID: <a>\r\nContent-Disposition: attachment\r\n\r\nAAAA")
    assert not only_attachment(raw).inline
    assert summarise(raw).has_attachments


def test_an_attachment_is_given_decoded_by_its_index() -> None:
    raw = multipart(
        _TEXT + b"x",
        PNG + b"Content-Disposition: attachment; filename=one.png\r\n\r\nAAAA",
        PNG + b"Content-Disposition: attachment; filename=two.png\r\n\r\n/////w==",
    )
    found = attachment(raw, 1)
    assert found is not None
    assert (found[0].filename, found[0].octets, found[1]) == ("two.png", 4, b"\xff" * 4)
    assert attachment(raw, 2) is None


def test_a_text_that_says_attachment_is_one() -> None:
    raw = multipart(
        _TEXT + b"body",
        b"Content-Type: text/plain\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\nno body",
    )
    assert parse(raw).text == "body"
    assert only_attachment(raw).filename == "a.txt"


def test_a_text_without_a_name_that_says_attachment_is_one_too() -> None:
    raw = multipart(
        _TEXT + b"body", b"Content-Type: text/plain\r\nContent-Disposition: ATTACHMENT\r\n\r\nno body"
    )
    assert parse(raw).text == "body"
    assert only_attachment(raw).filename is None
    assert summarise(raw).has_attachments


@pytest.mark.parametrize(
    ("content_type", "filename"),
    [
        (b"application/pdf", "attachment-0.pdf"),
        (b"IMAGE/JPEG", "attachment-0.jpg"),
        (b"image/png", "attachment-0.png"),
        (b"text/csv; charset=utf-8", "attachment-0.csv"),
        (b"text/calendar; method=REQUEST", "attachment-0.ics"),
        (b"application/vnd.openxmlformats-officedocument.wordprocessingml.document", "attachment-0.docx"),
        (b"message/rfc822", "message.eml"),
        (b"message/delivery-status", "attachment-0.txt"),
        (b"message/global-delivery-status", "attachment-0.txt"),
        (b"application/x-tar", "attachment-0.tar"),
        (b"audio/x-unheard-of", None),
        (b"application/octet-stream", None),
    ],
)
def test_a_part_without_a_name_has_the_ending_of_its_type(content_type: bytes, filename: str | None) -> None:
    raw = multipart(_TEXT + b"x", b"Content-Type: " + content_type + b"\r\n\r\nx")
    assert only_attachment(raw).filename == filename


@pytest.mark.parametrize(
    "content_type",
    [b"application/ms-tnef", b"application/vnd.ms-tnef", b"application/octet-stream; name=WINMAIL.DAT"],
)
def test_winmail_stays_closed_and_says_so(content_type: bytes) -> None:
    raw = multipart(_TEXT + b"x", b"Content-Type: " + content_type + b"\r\n\r\nx")
    parsed = parse(raw)
    assert (parsed.text, [part.octets for part in parsed.attachments]) == ("x", [1])
    assert parsed.warnings == (defects.TNEF_CLOSED,)
    assert defects.TNEF_CLOSED in parse(b"Content-Type: application/ms-tnef\r\n\r\nx").warnings


@pytest.mark.parametrize(
    "raw",
    [
        b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\nx",
        b"Content-Type: application/pdf\r\n\r\nx",
        b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ny",
        multipart(b"Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1", subtype=b"encrypted"),
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b--\r\n",
    ],
)
def test_a_message_without_text_says_why(raw: bytes) -> None:
    parsed = parse(raw)
    assert bool(parsed.text) or bool(parsed.warnings)


def test_a_message_in_a_message_stays_closed_and_can_be_saved() -> None:
    found = only_attachment(NASTY["a message in a message"])
    assert (found.content_type, found.filename) == ("message/rfc822", "message.eml")
    given = attachment(NASTY["a message in a message"], 0)
    assert given is not None
    assert given[1] == b"Subject: inner\r\n\r\nx"


@pytest.mark.parametrize(
    ("fields", "is_inline"),
    [
        (b"Content-Type: image/png", True),
        (b"Content-Type: application/octet-stream; name=image001.png", True),
        (b"Content-Type: application/octet-stream", True),
        (b"Content-Type: text/css", True),
        (b"Content-Type: application/pdf; name=a.pdf", False),
        (b"Content-Type: application/octet-stream; name=a.pdf", False),
        (b"Content-Type: application/pdf; name=a.pdf\r\nContent-Disposition: inline", False),
        (b"Content-Type: image/png\r\nContent-Disposition: attachment", False),
    ],
)
def test_beside_html_is_inline_what_html_can_show(fields: bytes, is_inline: bool) -> None:
    raw = multipart(_HTML + b"<p>x", fields + b"\r\nContent-ID: <a>\r\n\r\nx", subtype=b"related")
    assert only_attachment(raw).inline is is_inline
    assert summarise(raw).has_attachments is not is_inline


def test_an_invitation_is_an_attachment_and_so_is_winmail() -> None:
    raw = multipart(
        _TEXT + b"come",
        b"Content-Type: text/calendar; method=REQUEST; name=invite.ics\r\n\r\nBEGIN:VCALENDAR",
        b"Content-Type: application/ms-tnef; name=winmail.dat\r\n\r\nx",
    )
    assert [part.filename for part in parse(raw).attachments] == ["invite.ics", "winmail.dat"]
    assert parse(raw).text == "come"


def test_a_message_that_is_only_a_file_has_no_text() -> None:
    parsed = parse(with_body(b"Content-Type: application/pdf; name=a.pdf", b"%PDF"))
    assert (parsed.text, parsed.html, len(parsed.attachments)) == (None, None, 1)


@pytest.mark.parametrize(
    ("parameter", "filename"),
    [
        (b"filename=plain.pdf", "plain.pdf"),
        (b'filename="a; b.pdf"', "a; b.pdf"),
        (b'filename="../../etc/passwd"', "passwd"),
        (b'filename="C:\\\\dir\\\\evil.exe"', "evil.exe"),
        (b'filename="a\0\x01\x7fb.pdf"', "a\N{REPLACEMENT CHARACTER} b.pdf"),
        ('filename="invoice\u202efdp.exe"'.encode(), "invoicefdp.exe"),
        (b'filename="=?utf-8?q?gr=C3=BC=C3=9Fe=2Epdf?="', "grüße.pdf"),
        (b"filename*=utf-8''gr%C3%BC%C3%9Fe.pdf", "grüße.pdf"),
        (b"filename*=iso-8859-1'de'gr%FC%DFe.pdf", "grüße.pdf"),
        (b"filename*1*=%C3%9Fe.pdf; filename*0*=utf-8''gr%C3%BC", "grüße.pdf"),
        (b'filename*0="long "; filename*1=name.pdf', "long name.pdf"),
        (b"filename=plain.pdf; filename*=utf-8''better.pdf", "better.pdf"),
        (b'filename*0="rep"; filename*2="ort.pdf"', "report.pdf"),
        (b'filename*1="rep"; filename*7="ort.pdf"', "report.pdf"),
        (b"filename*0=wrong; filename*=utf-8''report.pdf; filename*1=.pdf", "report.pdf"),
        (b"filename*=; filename*0=report; filename*1=.pdf", "report.pdf"),
        (b"filename*=report.pdf", "report.pdf"),
        (b"filename*=\"utf-8''report%2Epdf\"", "report.pdf"),
        (b"filename*0=re; filename*1*=utf-8''p%6Frt.pdf", "report.pdf"),
        (b"filename*00*=utf-8''re; filename*01=port.pdf", "report.pdf"),
        (b"FileName*0*=UTF-8''%e2%82; FILENAME*1*=%ac.pdf", "€.pdf"),
        (b"filename*0*=utf-8'en're; filename*0*=zz; filename*1=port.pdf", "report.pdf"),
        (rb'filename="C:\Scans\new\report.pdf"', "report.pdf"),
        (rb"filename=\\server\scans\report.pdf", "report.pdf"),
        (b"filename*=utf-8''..%2F..%5Creport.pdf", "report.pdf"),
        ('filename="grüße.pdf"'.encode(), "grüße.pdf"),
        (b'filename=".."', "attachment-0.pdf"),
        (b'filename="a/"', "attachment-0.pdf"),
        (b'filename=""', "attachment-0.pdf"),
        (b"filename*=utf-8''", "attachment-0.pdf"),
        (b"filename*10=k.pdf; filename*9=j; filename*0=a", "ajk.pdf"),
        (b"filename*999=b.pdf; filename*0=a", "ab.pdf"),
        (b"filename*0*=utf-8''a%20; filename*1=b%20.pdf", "a b%20.pdf"),
        (b"filename*0*=utf-8''; filename*1*=%C3%BC; filename*2=.pdf", "ü.pdf"),
        (b"filename*=utf-8''a'b.pdf", "a'b.pdf"),
        (b"filename*=utf-8''%zz%2.pdf", "%zz%2.pdf"),
        (b"filename*-1=x; filename*x=y; filename=report.pdf", "report.pdf"),
        (b"filename*=utf-8''%E2%80%AEfdp.exe", "fdp.exe"),
        ('filename="a\u200b\u00ad.pdf"'.encode(), "a.pdf"),
        (b"filename=report(1).pdf", "report(1).pdf"),
        (b"filename=report (1).pdf", "report (1).pdf"),
        (b"filename=report.pdf (final)", "report.pdf"),
        (b"(c) filename=(c)report.pdf;", "(c)report.pdf"),
        (b'filename="' + b"x" * 5_000 + b'.pdf"', "x" * 176 + ".pdf"),
    ],
)
def test_filenames_are_decoded_and_safe_to_save_under(parameter: bytes, filename: str | None) -> None:
    raw = multipart(
        _TEXT + b"x",
        b"Content-Type: application/pdf\r\nContent-Disposition: attachment; " + parameter + b"\r\n\r\nx",
    )
    assert only_attachment(raw).filename == filename


@pytest.mark.parametrize(
    ("name", "text", "warning"),
    [
        ("no boundary", "--b\n\nx\n--b--", defects.NO_BOUNDARY),
        ("a boundary that never comes", "only text\n", defects.NO_BOUNDARY),
        ("never closed", "only text\n", defects.NOT_CLOSED),
        ("a boundary of pattern characters", "found", None),
        ("a boundary inside another", "--bb\nnot a delimiter", None),
        ("nested 200 levels", None, defects.TOO_DEEP),
    ],
)
def test_broken_multiparts_give_what_can_be_read(name: str, text: str | None, warning: str | None) -> None:
    parsed = parse(NASTY[name])
    assert parsed.text == text
    assert (warning in parsed.warnings) if warning else parsed.warnings == ()


def test_nesting_that_mail_may_have_is_read_to_the_innermost_part() -> None:
    assert parse(nested(40)).text == "deep text\n"


def test_more_parts_than_are_read_are_left_out_and_it_is_told() -> None:
    parsed = parse(NASTY["50,000 parts"])
    assert defects.TOO_MANY_PARTS in parsed.warnings
    assert parsed.text is not None
    assert parsed.text.count("x") <= 1_000


def test_a_summary_of_the_beginning_of_a_large_message_is_no_defect() -> None:
    raw = multipart(_TEXT + b"x", PNG + b"Content-Disposition: attachment\r\n\r\n" + b"AAAA\r\n" * 200_000)
    assert summarise(raw[: 512 * 1024]).warnings == ()
    assert summarise(raw[: 512 * 1024]).has_attachments
