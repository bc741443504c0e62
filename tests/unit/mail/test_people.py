"""Who is named in an address header: what mail programs show, and what a careless reader would be told."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.mail import defects
from app.mail.fields.comparison import canonical
from app.mail.fields.people import Address, addresses, marks_of_a_field, people_in
from app.mail.mime import summarise
from app.mailboxes.wanted.judging import JudgedHead
from tests.fuzz.work import assert_linear


def read(value: str | bytes, charset: str = "") -> list[tuple[str, str]]:
    octets = value.encode() if isinstance(value, str) else value
    return [(one.name, one.address) for one in addresses([octets], [], charset=charset)]


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("ceo@bank.example <evil@evil.example>", "ceo@bank.example"),
        ("ceo@bank.example<evil@evil.example>", "ceo@bank.example"),
        ('"ceo@bank.example" <evil@evil.example>', "ceo@bank.example"),
        ("Boss ceo@bank.example <evil@evil.example>", "Boss ceo@bank.example"),
        ("ceo@bank.example via List <evil@evil.example>", "ceo@bank.example via List"),
        ("ceo@bank.example, Boss <evil@evil.example>", None),
        ("evil@evil.example (<ceo@bank.example>)", "<ceo@bank.example>"),
        ("evil@evil.example (ceo@bank.example)", "ceo@bank.example"),
        ("=?utf-8?q?ceo=40bank.example?= <evil@evil.example>", "ceo@bank.example"),
        ("=?utf-8?q?ceo=40bank.example=3Cceo=40bank.example=3E?= <evil@evil.example>",
         "ceo@bank.example<ceo@bank.example>"),
        ("=?utf-8?q?<ceo@bank.example>,?= <evil@evil.example>", "<ceo@bank.example>,"),
        ("ceo\uff20bank.example <evil@evil.example>", "ceo\uff20bank.example"),
        ("\u202eceo@bank.example\u202c <evil@evil.example>", "ceo@bank.example"),
        ('"Boss <ceo@bank.example>" <evil@evil.example>', "Boss <ceo@bank.example>"),
        ('"a \\" <ceo@bank.example>" <evil@evil.example>', 'a " <ceo@bank.example>'),
        ("(<ceo@bank.example>) <evil@evil.example>", "<ceo@bank.example>"),
        ("ceo@bank.example (x) <evil@evil.example>", "ceo@bank.example (x)"),
        ("'ceo@bank.example' <evil@evil.example>", "'ceo@bank.example'"),
        ("[ceo@bank.example] <evil@evil.example>", "[ceo@bank.example]"),
        ("<evil@evil.example>ceo@bank.example", "ceo@bank.example"),
        ("ceo@bank.example\\<evil@evil.example>", "ceo@bank.example\\"),
        ("mailto:ceo@bank.example <evil@evil.example>", "ceo@bank.example"),
        ("ceo@bank.example\0 <evil@evil.example>", "ceo@bank.example\ufffd"),
        ("ceo@bank.example\t\t\t <evil@evil.example>", "ceo@bank.example"),
        ("=?utf-8?b?Y2VvQGJhbmsuZXhhbXBsZQ==?= <evil@evil.example>", "ceo@bank.example"),
        ('"ceo"@bank.example <evil@evil.example>', '"ceo"@bank.example'),
        ("'ceo'@bank.example <evil@evil.example>", "'ceo'@bank.example"),
        ("\u201cceo@bank.example\u201d <evil@evil.example>", "\u201cceo@bank.example\u201d"),
        ("ceo@[192.0.2.1] <evil@evil.example>", "ceo@[192.0.2.1]"),
        ("ceo\ufe6bbank.example <evil@evil.example>", "ceo\ufe6bbank.example"),
        ("ceo@bank.example, Boss; <evil@evil.example>", None),
    ],
)  # fmt: skip
def test_nobody_takes_the_place_of_the_sender_by_a_name(value: str, name: str | None) -> None:
    found: list[str] = []
    read = addresses([value.encode()], found)
    if name is None:
        assert [one.address for one in read] == ["ceo@bank.example", "evil@evil.example"]
    else:
        assert read == (Address(name, "evil@evil.example"),)
        assert defects.NAME_LIKE_ADDRESS in found


@pytest.mark.parametrize(
    "value",
    [
        "max@b\u00fccher.example <max@xn--bcher-kva.example>",
        '"Write to max@x.example." <Max@x.example>',
        "pat.o'brien@x.example <pat.o'brien@x.example>",
        "'max@x.example' <max@x.example>",
        "Max @ Acme <max@acme.example>",
    ],
)
def test_a_name_that_is_the_address_beside_it_is_no_other_one(value: str) -> None:
    found: list[str] = []
    addresses([value.encode()], found)
    assert found == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("<a@x> <b@x>", ["a@x", "b@x"]),
        ("Max <a@x> via <b@x>", ["a@x", "b@x"]),
        ("<a@x,b@x>", ["a@x", "b@x"]),
        ("a@x b@x", ["a@x", "b@x"]),
        ("ceo@bank.example <evil>", ["ceo@bank.example", "evil"]),
        ("a@x, b@x", ["a@x", "b@x"]),
        ("a@x; b@x", ["a@x", "b@x"]),
        ("team: a@x, b@x;", ["a@x", "b@x"]),
        ("<a@x> <a@x>", ["a@x"]),
        ("<a> <b>", ["a", "b"]),
        ('"Boss" <a@x>" <b@x>', ["a@x", "b@x"]),
        ("Boss =?utf-8?q?=22?= <a@x> =?utf-8?q?=22?= <b@x>", ["a@x", "b@x"]),
        ("a@x [b@x]", ["a@x", "b@x"]),
        ("Max <a@x> b@x", ["a@x", "b@x"]),
        ("Max <a@x> (c@x) Lee b@x", ["a@x", "b@x"]),
        ('"Max" <a@x> [mailto:a@x] "b@x"', ["a@x"]),
        ("a@x: b@x;", ["a@x:", "b@x"]),
        ("Max <a@x> (via List) <b@x>", ["a@x", "b@x"]),
    ],
)
def test_where_it_is_uncertain_who_is_meant_all_are_given(value: str, expected: list[str]) -> None:
    assert [address for _, address in read(value)] == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Doe, John <john@example.org>", ("Doe, John", "john@example.org")),
        ("Doe, John, Dr. <john@example.org>", ("Doe, John, Dr.", "john@example.org")),
        ("Max\t Muster  II <m@x>", ("Max Muster II", "m@x")),
        ('"Max  Muster" <m@x>', ("Max Muster", "m@x")),
        ('Max <"john  doe"@x>', ("Max", '"john  doe"@x')),
        ('Max <"john doe" @ x>', ("Max", '"john doe"@x')),
        ("Max m@x>", ("Max", "m@x")),
        ("m@x . example . org", ("", "m@x.example.org")),
        ("Max M. m@x .org", ("Max M.", "m@x.org")),
        ("m@x. Muster", ("Muster", "m@x.")),
        ("Max <<m@x>>", ("Max", "m@x")),
        ("=?utf-8?Q?M=C3=BCller,_Jos?= <j@x>", ("Müller, Jos", "j@x")),
        ("=?utf-8?Q?a;b@c?= =?utf-8?Q?,?= <j@x>", ("a;b@c,", "j@x")),
        ("[EXT] Max <m@x>", ("[EXT] Max", "m@x")),
        ("<@a,@b:max@x>", ("", "max@x")),
        ("root (Cron Daemon)", ("Cron Daemon", "root")),
        ("root@host (Cron Daemon)", ("Cron Daemon", "root@host")),
        ("Max <mailto:max@x>", ("Max", "max@x")),
        ("mailto:max@x", ("", "max@x")),
        ("=?utf-8?q?J=C3=B6rg?= j@x", ("Jörg", "j@x")),
        ("j@x =?utf-8?q?J=C3=B6rg?=", ("Jörg", "j@x")),
        ("Max (Sales) <m@x>", ("Max (Sales)", "m@x")),
        ("Max <m@x> (Sales)", ("Max", "m@x")),
        ("<m@x> Max", ("Max", "m@x")),
        ("max(c)@x.example", ("", "max@x.example")),
        ("max@(c)x.example (Max)", ("Max", "max@x.example")),
        ("pete (a) @ (b) x.example (host)", ("host", "pete@x.example")),
        ("Pete <pete(his \\) account)@x.example(his (old) host)>", ("Pete", "pete@x.example")),
        ("Max <m@x.example(>evil@evil.example>)>", ("Max", "m@x.example")),
        ("Max <m@x.example(<evil@evil.example>)>", ("Max", "m@x.example")),
        ('"john doe"@x.org', ("", '"john doe"@x.org')),
        ('<"a>b"@x.org>', ("", '"a>b"@x.org')),
        ("Max < m @ x.org (here) >", ("Max", "m@x.org")),
        ("m @ x.org", ("", "m@x.org")),
        ('"Max" "Maier" <m@x>', ("Max Maier", "m@x")),
        ('"Max <m@x>', ("Max", "m@x")),
        ('Max "the <m@x>', ("Max the", "m@x")),
        ("Max (the <m@x>", ("Max (the", "m@x")),
        ("Max <m@x", ("Max", "m@x")),
        ("<<m@x>>", ("", "m@x")),
        ("Max <the> <m@x>", ("Max <the>", "m@x")),
        ("Support: Max <m@x>", ("Support: Max", "m@x")),
        ("MAILER-DAEMON <>", ("MAILER-DAEMON", "")),
        ("Max <max>", ("Max", "max")),
        ("Ada Lovelace", ("Ada Lovelace", "")),
        ("Max (a (nested) one) <m@x>", ("Max (a (nested) one)", "m@x")),
        ("m@x (a \\) b)", ("a ) b", "m@x")),
        ("A\\, B <c@d>", ("A, B", "c@d")),
        ("Max\u200b\u00ad M <m@x>", ("Max M", "m@x")),
        ("<=?utf-8?q?a?=@x>", ("", "=?utf-8?q?a?=@x")),
        ("@handle <m@x>", ("@handle", "m@x")),
        ("@handle", ("@handle", "")),
        ("Max [mailto:m@x]", ("Max", "m@x")),
        ("Max [SMTP:m@x]", ("Max", "m@x")),
        ("SMTP:m@x", ("", "m@x")),
        ("<mailto:m@x?subject=hi>", ("", "m@x")),
        ("m@[IPv6:2001:db8::1]", ("", "m@[IPv6:2001:db8::1]")),
        ("Max \\<m@x>", ("Max \\", "m@x")),
        ("Max <m@x>.", ("Max", "m@x")),
        ("AT&amp;T <m@x>", ("AT&amp;T", "m@x")),
        ("Max &amp; Lee, Inc. <m@x>", ("Max &amp; Lee, Inc.", "m@x")),
        ("Max; Lee <m@x>", ("Max; Lee", "m@x")),
        ("max@x(host).example", ("", "max@x.example")),
        ("max(c).m@x.(host)example (Max)", ("Max", "max.m@x.example")),
        ('5"disk 3"m <m@x>', ("5disk 3m", "m@x")),
        ('5"disk <m@x>', ('5"disk', "m@x")),
        ('m"ax@x', ("", 'm"ax@x')),
        ("@a:max@x", ("", "max@x")),
        ("\u5c71\u7530\u3000\u592a\u90ce <m@x>", ("\u5c71\u7530\u3000\u592a\u90ce", "m@x")),
        ('Max, "Dr." M <m@x>;', ("Max, Dr. M", "m@x")),
    ],
)  # fmt: skip
def test_one_person_is_one_person(value: str, expected: tuple[str, str]) -> None:
    assert read(value) == [expected]


@pytest.mark.parametrize("value", [b"", b"<>", b"undisclosed:;", b"(nobody)", b",;"])
def test_a_sender_that_names_nobody_is_told(value: bytes) -> None:
    summary = summarise(b"From: " + value + b"\r\n\r\n")
    assert summary.from_ is None
    assert defects.BAD_ADDRESS in summary.warnings


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("'max@x' <max@x>, b@x <b@x>", [("'max@x'", "max@x"), ("b@x", "b@x")]),
        ("Max <m@x>, Doe, J. <j@x>, z@x", [("Max", "m@x"), ("Doe, J.", "j@x"), ("", "z@x")]),
        ("g: a@x, B <b@x>; c@x", [("", "a@x"), ("B", "b@x"), ("", "c@x")]),
        ("g: a@x; h: b@x;", [("", "a@x"), ("", "b@x")]),
        ("undisclosed-recipients:;", []),
        ("undisclosed-recipients:", []),
        ("(Empty list)(start)Undisclosed recipients  :(nobody(that I know))  ;", []),
        (
            "A Group(Some people)  :Chris <c@public.example>, joe@x ;",
            [("Chris", "c@public.example"), ("", "joe@x")],
        ),
        ("(only a comment)", []),
        (", ,, ;,", []),
        ("<>", []),
        ("Undisclosed-Recipient:@host;", []),
        ("<Undisclosed-Recipient:;>", []),
        ("<Undisclosed-Recipient:@host;>", []),
        ("<Undisclosed recipients:@mail.host;>, Max <m@x>", [("Max", "m@x")]),
        ("<Undisclosed-Recipient:>", []),
        ("unlisted-recipients:; (no To-header on input)", []),
        ("undisclosed-recipients:;@host", []),
        ("g: a@x, Lee; Max; M <c@x>", [("", "a@x"), ("Lee", ""), ("Max; M", "c@x")]),
        ("g: @x;, a@b", [("", "a@b")]),
        ("a@b,,c@d, ", [("", "a@b"), ("", "c@d")]),
    ],
)
def test_several_persons_are_several(value: str, expected: list[tuple[str, str]]) -> None:
    assert read(value) == expected


@pytest.mark.parametrize("encoding", ["shift_jis", "gbk", "big5", "euc_jp", "iso2022_jp"])
def test_octets_of_other_charsets_that_look_like_marks_are_none(encoding: str) -> None:
    """The second octet of a character may be @ , ; < or a backslash, and within ISO-2022-JP any of them."""
    names = {"shift_jis": "表ソ", "gbk": "乗誠", "big5": "功許", "euc_jp": "表現", "iso2022_jp": "表現を見"}
    name = names[encoding]
    value = name.encode(encoding) + b" <m@x>, b@x"
    assert read(value, encoding) == [(name, "m@x"), ("", "b@x")]


def test_raw_octets_within_an_encoded_word_are_octets_of_its_charset() -> None:
    assert read(b"=?iso-8859-1?Q?Fr\xf6sche?= <f@x>") == [("Frösche", "f@x")]
    assert read(b"=?gb2312?Q?\xc4\xe3\xba\xc3?= <f@x>") == [("你好", "f@x")]


@pytest.mark.parametrize(
    ("value", "is_uncertain"),
    [
        ("ceo@bank.example@evil.example", True),
        ("Boss <ceo@bank.example@evil.example>", True),
        ('Boss <"x"@bank.example@evil.example>', True),
        ('"ceo@bank.example"@evil.example', False),
        ("<@a,@b:ceo@bank.example>", False),
        ("ceo@bank.example <evil@evil.example>", False),
        ("ceo@bank.example <evil>", True),
        ("<a@x> <a@x>", False),
        ("a@x, a@x", True),
        ("=?utf-8?q?ceo=40bank.example=2C?= <evil@evil.example>", False),
        ("AT&amp;T <ceo@bank.example>", False),
        ("Boss <ceo@bank.exam\u202eple>", True),
        ("Boss <c\u200beo@bank.example>", True),
        ("ceo@bank.example\u00ad", True),
        ("evil@" + "a" * 482 + ".bank.example.evil.example", True),  # cut, it would end otherwise
        ("Boss\u200b <ceo@bank.example>", False),
        ('"x"' * 10_001 + " <ceo@bank.example>", True),
        ("Boss <ceo@bank.example> via <evil@evil.example>", True),
        ("Boss <ceo@bank.example evil.example>", True),  # joined it would be another domain
        ("Boss <ceo@bank.example (c) evil.example>", True),
        ("Boss <evil ceo@bank.example>", True),
        ("Boss <ceo@bank.exam\r\n ple>", True),
        ("Boss < ceo @ bank . example (c) >", False),
        ('Boss <"the ceo" @ bank.example>', False),
    ],
)
def test_conditions_on_the_sender_are_met_only_where_it_is_certain(value: str, is_uncertain: bool) -> None:
    raw = f"From: {value}\r\n\r\n".encode()
    assert summarise(raw).from_ambiguous is is_uncertain
    assert JudgedHead(raw).from_ambiguous is is_uncertain
    assert (JudgedHead(raw).from_address() == []) is is_uncertain
    assert (defects.AMBIGUOUS_SENDER in summarise(raw).warnings) is is_uncertain


@pytest.mark.parametrize(
    "headers",
    [
        "From: a@x\r\nFrom: b@x\r\n",
        "From: a@x\r\nFROM : b@x\r\n",
        "From: a@x\r\nbroken\r\nFrom: b@x\r\n",
        "From: a@x\r\n\rFrom: b@x\r\n",
        "From: a@x\r\n \r\nFrom: b@x\r\n",
        " From: a@x\r\nFrom: b@x\r\n",
        "\t From : a@x\r\nbroken\r\nFrom: b@x\r\n",
        "\0From: a@x\r\n\r\0From: b@x\r\n",
        "From\0: a@x\r\nFrom: b@x\r\n",
        "From: a@x\r\n\x0c\r\nFrom: b@x\r\n",
        "From:\r\n a@x\r\nfrom:\r\n\tb@x\r\n",
        "From: a@x,\r\n b@x\r\n",
        "\ufefffrom: a@x\r\nFrom: b@x\r\n",
        "From: a@x\r\n\ufeffFrom: b@x\r\n",
        "From: a@x,\r\n \r\n b@x\r\n",
        "From: a@x\r\n\t\r\n\tLee\r\n <b@x>\r\n",
        "From: a@x\r\nbroken\r\n\ufeffFrom: b@x\r\n",
        "From: a@x\r\nbroken\r\n\r\0From\0: b@x\r\n",
        "\ufeff\ufeffFrom: a@x\r\n\r\ufeff\0From: b@x\r\n",
    ],
)
def test_no_second_sender_goes_unseen(headers: str) -> None:
    summary = summarise((headers + "\r\nx").encode())
    assert [one.address for one in summary.authors] == ["a@x", "b@x"]
    assert summary.from_ambiguous


@pytest.mark.parametrize("others", [b"X: y\r\n" * 2_000, b"X: " + b"y" * 256 * 1024 + b"\r\n"])
def test_the_sender_is_uncertain_where_one_more_may_stand_beyond_the_headers_that_are_read(
    others: bytes,
) -> None:
    raw = b"From: ceo@bank.example\r\n" + others + b"From: evil@evil.example\r\n\r\n"
    assert summarise(raw).from_ambiguous
    assert JudgedHead(raw).from_ambiguous
    assert not JudgedHead(raw).from_address()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Max@Example.ORG", "max@example.org"),
        ("max@bücher.example", "max@xn--bcher-kva.example"),
        ("max@example.org.", "max@example.org"),
    ],
)
def test_addresses_are_compared_in_one_form(one: str, other: str) -> None:
    assert canonical(one) == canonical(other)


_PIECES = [
    "Ada", "Ada L.", '"Ada, L"', '""', "'", "=?utf-8?q?J=C3=B6rg?=", "=?utf-8?q?a=40b?=", "=?iso-8859-1?b?5A==?=",
    "=?utf-8?q?a_=E2=80=AE?=", "=?x?q?", "?=", "ada@example.org", "<ada@example.org>", "<a@b>", "<", ">", "@", " ",
    "  ", "\t", ",", ";", ":", "(c)", "\\", '"', "=", "\0", "\x1b$B", "ä", "[E]", "<a@b@c>", "mailto:",
]  # fmt: skip


@given(st.lists(st.sampled_from(_PIECES), max_size=5).map("".join))
@settings(max_examples=400)
def test_one_usual_person_is_read_as_all_others_are(value: str) -> None:
    found, slowly = [], []  # type: list[str], list[str]
    assert addresses([value.encode()], found) == tuple(people_in(value.encode(), slowly, marks_of_a_field()))
    assert found == slowly


@pytest.mark.parametrize("unit", [b"@,", b"x,", b'"', b"(", b"<", b"g:", b"\\"])
def test_marks_beyond_what_people_need_are_not_looked_at_and_it_is_told(unit: bytes) -> None:
    found: list[str] = []
    names = addresses([unit * 20_000 + b", last@x"], found)
    assert defects.ADDRESSES_CUT in found
    assert not any(one.address == "last@x" for one in names)
    assert [one.address for one in addresses([unit * 9_000 + b", last@x"], [])][-1:] == ["last@x"]


def test_marks_are_counted_in_all_values_of_a_field_together() -> None:
    found: list[str] = []
    assert [one.address for one in addresses([b"x," * 4_000 + b" one@x"] * 2, found)] == ["one@x"] * 2
    assert defects.ADDRESSES_CUT not in found
    addresses([b"x," * 4_000 + b" one@x"] * 3, found)
    assert defects.ADDRESSES_CUT in found


def test_brackets_that_are_broken_by_quotes_are_not_each_looked_through() -> None:
    assert_linear(lambda size: lambda: addresses([b'<\\"' * (size // 3)], []), 1_500)


@pytest.mark.parametrize(
    "unit",
    [b", ", b"(", b"<", b'"', b"a@b ", b"<a@b>", b"g:", b"g:;", b";", b"\\", b"((a)", b'<"', b"()", b"@", b"a,",
     b"<@a:", b"=?utf-8?q?a?= ,", b"=?utf-8?q?", b"=?a?q?b?", b'("', b'"a" ', b": ", b"a@b,c d,", b"\x1b$B", b"\xff<",
     b"((<)", b"<\\(<)", b"(a)@", b"<a(b)@c>", b" ", b" \t", b"\xe3\x80\x80"],
)  # fmt: skip
def test_the_work_grows_with_the_value(unit: bytes) -> None:
    def work(size: int) -> Callable[[], object]:
        value = unit * (size // len(unit))
        return lambda: (addresses([value], []), JudgedHead(b"From: " + value).from_address())

    assert_linear(work, 8_000)
