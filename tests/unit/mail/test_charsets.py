"""What names of charsets mean, and their octets, as the WHATWG Encoding Standard and mail have them."""

import pytest

from app.mail.octets.charsets import LIKE_ASCII, UNDECLARED, codec_of, text_of


def text(data: bytes, label: str) -> str:
    codec = codec_of(label)
    assert codec is not None
    return text_of(data, codec)[0]


@pytest.mark.parametrize(
    ("label", "data", "expected"),
    [
        ("windows-31j", b"\x87\x40", "①"),
        ("shift_jis", b"\x81\x60", "\uff5e"),
        ("x-sjis", b"\x83\x5c", "ソ"),
        ("x-cp1251", b"\xcf", "П"),
        ("Windows1251", b"\xcf", "П"),
        ("cp-850", b"\x81", "ü"),
        ("koi8-ru", b"\xae\xbe", "ўЎ"),
        ("koi8-u", b"\xa4", "є"),
        ("x-euc-jp", b"\xc6\xfc", "日"),
        ("euc-jp", b"\xad\xa1\xa1\xc1", "①\uff5e"),
        ("iso-2022-jp", b"\x1b$B-!F|\x1b(I1\x1b(B", "①日ｱ"),
        ("csISO2022JP", b"\x1b$BF|\x1b(B", "日"),
        ("big5", b"\x87\x40\xa4\xa4", "䏰中"),
        ("big5-hkscs", b"\xa4\xa4", "中"),
        ("iso-8859-2 (Plain)", b"\xb1", "ą"),
        ('"iso-8859-2"', b"\xb1", "ą"),
        ('3D"iso-8859-2"', b"\xb1", "ą"),
        ("iso-8859-2;", b"\xb1", "ą"),
        ("iso-8859-2*pl", b"\xb1", "ą"),
        ("ISO8859_2", b"\xb1", "ą"),
        ("iso-8859-1", b"\x80\x81", "€\x81"),
        ("latin1", b"\x93", "“"),
        ("iso-8859-9", b"\xfd\x80", "\u0131€"),
        ("iso-8859-11", b"\xa1\x85", "ก…"),
        ("tis-620", b"\xa1", "ก"),
        ("iso-8859-8-i", b"\xe0", "א"),
        ("gb2312", b"\x80\xc4\xe3", "€你"),
        ("gb2312", b"\x8a\x5a", "奪"),
        ("ks_c_5601-1987", b"\xb0\xa2", "각"),
        ("ks_c_5601-1987", b"\x8c\x63", "똠"),
        ("macintosh", b"\xdb", "€"),
        ("x-mac-cyrillic", b"\xff", "€"),
        ("ibm866", b"\x80", "\u0410"),
        ("utf-16", b"\xff\xfea\x00", "a"),
        ("utf-16", b"a\x00", "a"),
        ("utf-16be", b"\xfe\xff\x00a", "a"),
        ("unicode-1-1-utf-7", b"+AGE-", "a"),
        ("utf-7", b"+AGE-", "a"),
        ("iso-2022-kr", b"\x1b$)C\x0e0!\x0f", "가"),
        ("hz-gb-2312", b"~{Dc~}", "你"),
        ("iso-2022-cn", b"a~ \x1b$)A\x0eDc\x0f.\n\x1b$)A\x0e:C\x0f", "a~ 你.\n好"),
        ("ISO-2022-CN-EXT", b"\x1b$)A\x0eDc:C", "你好"),
        ("x-unicode-2-0-utf-7", b"+AGE-", "a"),
        ("dos-866", b"\x80", "\u0410"),
        ("3Diso-8859-2", b"\xb1", "ą"),
        ("UTF 8", "ü".encode(), "ü"),
        ("utf8mb4", "ü".encode(), "ü"),
        ("utf-8n", "ü".encode(), "ü"),
        ("csUTF8", "ü".encode(), "ü"),
        ("cp65001", "ü".encode(), "ü"),
        ("charset=utf-8", "ü".encode(), "ü"),
        ("8859_1", b"\x80\xfc", "€ü"),
        ("8859-5", b"\xd1", "\u0431"),
        ("ISO8859", b"\x80", "€"),
        ("cp874", b"\xa1\x85", "ก…"),
        ("cp737", b"\x80", "\u0391"),
        ("windows-932", b"\x87\x40", "①"),
        ("cp50221", b"\x1b(I1\x1b(B", "ｱ"),
        ("eucJP-ms", b"\xad\xa1", "①"),
        ("euc-cn", b"\x80\x8a\x5a", "€奪"),
        ("gb18030", b"\xa6\xd9\xa3\xa0\xa8\xbc", "\ufe10\u3000\u1e3f"),
        ("big5", b"\xc6\xe7\xc6\xa1\xc7\xf3", "ぁ①\u0410"),
        ("big5", b"\xa1\x45\xa1\xe3\xa2\x44\xa3\xe1", "\u2027\uff5e\uffe5€"),
        ("cp950", b"\xa4\xa4\xf9\xd6", "中碁"),
        ("us-ascii", b"\xff\xfea\x00", "a"),
        ("ibm-1251", b"\xcf", "П"),
        ("windows 1251", b"\xcf", "П"),
        ("ANSI_1251", b"\xcf", "П"),
        ("microsoft-cp1251", b"\xcf", "П"),
        ("cp20866", b"\xf0", "П"),
        ("28592", b"\xb1", "ą"),
        ("oem866", b"\x80", "\u0410"),
        ("dos-850", b"\x81", "ü"),
        ("IBM00858", b"\xd5", "€"),
        ("csWindows31J", b"\x87\x40", "①"),
        ("sjis-win", b"\x87\x40", "①"),
        ("ibm-943", b"\x87\x40", "①"),
        ("eucJP-win", b"\xad\xa1", "①"),
        ("iso-2022-jp-2", b"\x1b$B-!F|\x1b(I1\x1b(B", "①日ｱ"),
        ("iso-2022-jp-2", b"\x1b$A0!\x1b(B", "啊"),
        ("iso-2022-jp-3", b"\x1b$B-!F|\x1b(B", "①日"),
        ("KS_X_1001", b"\x8c\x63", "똠"),
        ("GB2312_CHARSET", b"\x8a\x5a", "奪"),
        ("cn-gb", b"\x8a\x5a", "奪"),
        ("big5-eten", b"\xa4\xa4", "中"),
        ("x-mac-croatian", b"\xf0", "đ"),
        ("tis-620-2533", b"\xa1", "ก"),
        ("csUnicode11UTF7", b"+AGE-", "a"),
        ("utf-32", "a\ufeff"[::-1].encode("utf-32-le"), "a"),
        ("iso-8859-1", b"\xef\xbb\xbf\xc3\xbc", "ü"),  # a byte order mark is believed
        ("iso-8859-1", b"\xef\xbb\xbf\xfc", "ï»¿ü"),  # if it is one
        ("utf-8", b"\xfe\xff\x00a", "a"),
    ],
)
def test_a_charset_is_what_the_standard_and_mail_mean_by_it(label: str, data: bytes, expected: str) -> None:
    assert text(data, label) == expected


@pytest.mark.parametrize(
    "label",
    [
        "",
        "us-ascii",
        "ANSI_X3.4-1968",
        "ascii",
        "iso646-us",
        "646",
        "x-user-defined",
        "unknown-8bit",
        "x-unknown",
    ],
)
def test_what_says_nothing_is_read_as_it_is_valid(label: str) -> None:
    assert codec_of(label) == UNDECLARED
    assert text_of("für".encode(), UNDECLARED) == ("für", True)
    assert text_of(b"\x93Hi\x94 5 \x80", UNDECLARED) == ("“Hi” 5 €", False)
    assert text_of(b"\x1b$B-!F|\x1b(B \x1b(I1\x1b(B", UNDECLARED) == ("①日 ｱ", True)
    assert text_of(b"\x1b[31mred", UNDECLARED) == ("\x1b[31mred", True)


@pytest.mark.parametrize(
    ("label", "data", "expected"),
    [
        ("iso-2022-jp", b"\xc6\xfc a", "\ufffd\ufffd a"),  # it has seven bits
        ("iso-2022-jp", b"\x1b$B\xc6\xfc\x1b(B", "\ufffd\ufffd"),
        ("euc-jp", b"\xc6| a", "\ufffd| a"),
        ("shift_jis", b"a\xa0\xfd\xff", "a\ufffd\ufffd\ufffd"),
    ],
)
def test_octets_that_a_charset_does_not_have_are_no_characters(
    label: str, data: bytes, expected: str
) -> None:
    assert text_of(data, str(codec_of(label))) == (expected, False)


@pytest.mark.parametrize(
    "label",
    [
        "punycode",
        "idna",
        "cp9999",
        "99999",
        "rot13",
        "mbcs",
        "zlib",
        "os.path",
        "x" * 500,
        "ü",
    ],
)
def test_what_is_no_charset_is_unknown(label: str) -> None:
    assert codec_of(label) is None


@pytest.mark.parametrize(
    "label", ["utf-8", "euc-jp", "iso-2022-jp", "gbk", "big5", "euc-kr", "utf-16", "iso-8859-3"]
)
def test_octets_that_are_not_valid_are_replaced_and_it_is_told(label: str) -> None:
    data = b"a\xff\x80\xa5" if label != "utf-16" else b"\xff\xfea\x00\x00\xd8b"
    found, is_valid = text_of(data, str(codec_of(label)))
    assert "\ufffd" in found or label == "utf-16"
    assert not is_valid


def test_a_character_that_is_cut_at_the_end_is_no_fault_where_it_is_cut() -> None:
    for label, data in [
        ("utf-8", "ü".encode()),
        ("gbk", b"\xc4\xe3"),
        ("euc-jp", b"\xc6\xfc"),
        ("utf-16le", b"a\0b\0"),
        ("iso-2022-cn", b"\x1b$)A"),
        ("iso-2022-cn", b"\x1b$)"),
        ("iso-2022-cn", b"\x1b$"),
    ]:
        assert text_of(data[:-1], str(codec_of(label)), cut=True)[1]


def test_an_ascii_character_behind_half_a_character_is_not_swallowed() -> None:
    assert text(b"\xa4<b>", "big5").endswith("<b>")
    assert text(b'\x81"x', "shift_jis").endswith('"x')


@pytest.mark.parametrize("codec", sorted(LIKE_ASCII))
def test_octets_of_ascii_are_the_same_text_in_each_charset_that_is_said_to_have_them(codec: str) -> None:
    octets = bytes(range(128))
    slowly, is_valid = text_of(b"\x1b" + octets, codec)
    assert (slowly, is_valid) == ("\x1b" + octets.decode("ascii"), True)
    assert text_of(octets.replace(b"\x1b", b""), codec) == (slowly.replace("\x1b", ""), True)
