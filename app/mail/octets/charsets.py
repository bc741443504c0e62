"""PURE  What a charset's name means, and octets -> text, as the WHATWG Encoding Standard has both.

Labels and decoders are the standard's, for mail is written by the same programs as web pages, and under the same
wrong names. Three things are read as mail has them: the standard's ``replacement`` labels (ISO-2022-KR, ISO-2022-CN,
HZ) and UTF-7 are decoded, and us-ascii, x-user-defined and no name at all say nothing: UTF-8 where it is valid,
ISO-2022-JP where its escapes are, else windows-1252.
"""

import codecs
import re
from encodings.aliases import aliases
from functools import lru_cache
from typing import Final

from webencodings.labels import LABELS  # type: ignore[import-untyped]  # it has none

UTF_8: Final = "utf_8"
UNDECLARED: Final = ""  # the codec of what says nothing
WINDOWS_1252: Final = "windows-1252"
_UTF_16: Final = "utf_16"
_LONGEST_LABEL = 60

# Names are looked up here and not by codecs.lookup() alone: that imports a module for each name and remembers each
# one that it did not find, so that strangers' mail would fill our memory. Left out are codecs that are not charsets,
# that depend on the machine, or that take quadratic time (punycode, idna).
_REFUSED = frozenset(
    {
        *("base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec", "zlib_codec"),
        *("mbcs", "oem", "tactis", "idna", "punycode", "raw_unicode_escape", "unicode_escape", "undefined"),
    }
)
_PYTHON_ONLY = {"cp720", "cp737", "cp856", "cp874", "cp1006", "koi8_t", "mac_croatian", "mac_romanian"}
# Of the standard's encodings those that Python has under another name, or in a form that lacks characters.
_CODECS = {
    "big5": "big5hkscs",
    "euc-jp": "euc_jp",
    "euc-kr": "cp949",
    "gbk": "gb18030",
    "ibm866": "cp866",
    "iso-2022-jp": "iso2022_jp_ext",
    "iso-8859-8-i": "iso8859_8",
    "shift_jis": "cp932",
    "utf-8": UTF_8,
    "utf-16be": "utf_16_be",
    "utf-16le": _UTF_16,  # a byte order mark decides
    "x-user-defined": UNDECLARED,
    # And of Python's own those that are meant to be more.
    "gb2312": "gb18030",
    "iso2022_jp": "iso2022_jp_ext",
    "iso2022_jp_1": "iso2022_jp_ext",
    "latin_1": WINDOWS_1252,
    "cp874": "windows-874",
    "cp950": "big5hkscs",
}
# They have more sets of characters, and lack what Windows and telephones write in all of them.
_FURTHER_ISO_2022_JP = frozenset({"iso2022_jp_2", "iso2022_jp_3", "iso2022_jp_2004"})
_ISO_2022_CN = "iso2022_cn"
_AS_MAIL_HAS_THEM = {
    **dict.fromkeys(("iso2022kr", "csiso2022kr"), "iso2022_kr"),
    **dict.fromkeys(("iso2022cn", "iso2022cnext"), _ISO_2022_CN),
    "hzgb2312": "hz",
}
_FURTHER = {
    **dict.fromkeys(("utf8mb4", "utf8sig", "utf8bom", "utf8n", "utf8mac", "csutf8", "win65001"), UTF_8),
    **dict.fromkeys(("cp50220", "cp50221", "cp50222", "iso2022jpms"), "iso2022_jp_ext"),
    **dict.fromkeys(("cp51932", "eucjpms", "eucjpwin", "eucjpopen", "euc"), "euc_jp"),
    **dict.fromkeys(("cswin31j", "sjiswin", "ibm943c", "cp943c"), "cp932"),
    **dict.fromkeys(("big5eten", "big5uao", "big5hkscs2004", "chinesebig5"), "big5hkscs"),
    **dict.fromkeys(("cngb", "gb180302022"), "gb18030"),
    **dict.fromkeys(("unicode20utf7", "csunicode11utf7"), "utf_7"),
    **dict.fromkeys(("macce", "maccentraleurroman"), "mac_latin2"),
    **dict.fromkeys(("latin0", "iso8859151998"), "iso8859_15"),
    "ksx1001": "cp949",
    "macicelandic": "mac_iceland",
    "pcmultilingual850euro": "cp858",
    "tis6202533": "windows-874",
}
# What senders write before the number of a code page: ibm-1251, oem866, ANSI_1252, ms932, 20866.
_CODE_PAGE = re.compile(r"(?:cp|ibm|ansi|oem|dos|pc|win|ms|mscp|microsoftcp|ccsid)?0*(\d{3,5})")
_CODE_PAGES = {
    **{str(28590 + part): f"iso-8859-{part}" for part in range(1, 17)},
    **dict.fromkeys(("878", "20866"), "koi8-r"),
    **dict.fromkeys(("20932", "51932"), "euc-jp"),
    "943": "cp932",
    "21866": "koi8-u",
    "51936": "gbk",
    "51949": "euc-kr",
    "52936": "hz-gb-2312",
    "54936": "gb18030",
    "65000": "utf-7",
}
_SAYS_NOTHING = frozenset({"", "unknown8bit", "unknown", "default", "iso", "8bit", "7bit", "none", "binary"})
# Single octets that Python leaves undefined are C1 controls in the standard's tables of these.
_SINGLE = {
    "koi8-u": "koi8_u",
    "macintosh": "mac_roman",
    "windows-874": "cp874",
    "x-mac-cyrillic": "mac_cyrillic",
    **{f"windows-125{n}": f"cp125{n}" for n in range(9)},
}
LIKE_ASCII = frozenset({UTF_8, UNDECLARED, *_SINGLE})  # of octets of ASCII all of them make the same text
_KOI8_RU = {0xAE: "\u045e", 0xBE: "\u040e"}  # the standard's KOI8-U has the Belarusian letter of KOI8-RU
_ASCII = "".join(map(chr, range(0x20, 0x7E)))
_UNDEFINED = "\ufffe"  # what charmap_decode takes for undefined

# JIS X 0208 as Windows reads it, which is what the standard's index has.
_AS_WINDOWS = str.maketrans("\u301c\u2016\u2212\u00a2\u00a3\u00ac", "\uff5e\u2225\uff0d\uffe0\uffe1\uffe2")
_JAPANESE = frozenset({"euc_jp", "iso2022_jp_ext"})
_BIG5 = str.maketrans(
    "\u2022\uff64\u203e\u223c\u2641\u2609\xa5\xa2\xa3", "\u2027\ufe51\xaf\uff5e\u2295\u2299\uffe5\uffe0\uffe1"
)
_CP932 = dict.fromkeys(range(0xF8F0, 0xF8F4), 0xFFFD)  # of octets that are no character
# Where GB 18030 of 2022 has characters that Unicode did not have in 2000.
_GB18030 = {
    0xE5E5: 0x3000,
    0xE7C7: 0x1E3F,
    **dict(zip(range(0xE78D, 0xE797), (0xFE10, 0xFE12, 0xFE11, *range(0xFE13, 0xFE1A)), strict=True)),
    **dict(
        zip(
            (0xE81E, 0xE826, 0xE82B, 0xE82C, 0xE832, 0xE843, 0xE854, 0xE864),
            range(0x9FB4, 0x9FBC),
            strict=True,
        )
    ),
}
_CUT_ESCAPE = re.compile(rb"\x1b(?:\$\)?)?\Z")
_ESCAPES = (b"\x1b$", b"\x1b(I", b"\x1b(J")
_BYTE_ORDER = {codecs.BOM_UTF8: UTF_8, codecs.BOM_UTF16_LE: "utf_16_le", codecs.BOM_UTF16_BE: "utf_16_be"}
_MARKS = frozenset(mark[:1] for mark in _BYTE_ORDER)
_MENDING = "mail-mending"
_META = re.compile(rb"<!--.*?(?:-->|\Z)|<meta[\s/]([^>]{0,500})", re.IGNORECASE | re.DOTALL)
_ATTRIBUTE = re.compile(rb"([^\s=/>\"']+)\s*=\s*(?:\"([^\"]*)|'([^']*)|([^\s>\"']+))")
_CHARSET_OF_CONTENT = re.compile(rb"charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"<\?xml\s[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]{1,40})")
_KANA_OF_CP950 = (0xC6, 0xC7)  # rows that it has in an order of its own
_AT_ONCE = 64 * 1024  # octets that are decoded in one call
# Octets of a text in which errors are looked at one by one, which takes microseconds each.
_MENDED = 256 * 1024
REPLACEMENT = "\ufffd"


def codec_of(label: str) -> str | None:
    """The name by which ``text_of`` knows a charset; UNDECLARED for what says nothing, None for what nobody knows."""
    return _codec_of(label if len(label) <= _LONGEST_LABEL else label[:_LONGEST_LABEL])


def text_of(data: bytes, codec: str, *, cut: bool = False) -> tuple[str, bool]:
    """Octets as text, and whether all of them were valid. ``cut``: a last character may lack its end. Never raises."""
    if codec in LIKE_ASCII and data.isascii() and b"\x1b" not in data:
        return data.decode("ascii"), True
    may_be_marked = data[:1] in _MARKS
    if codec == UTF_8 and not may_be_marked and (text := _strict(data, UTF_8, cut=cut)) is not None:
        return text, True
    if may_be_marked and not codec.startswith("utf_32") and (marked := _marked(data, cut=cut)) is not None:
        return marked, True
    if codec == UNDECLARED:
        return _undeclared(data, cut=cut)
    if codec in _SINGLE:
        return _single(data, codec)
    if codec == _ISO_2022_CN:
        return _iso_2022_cn(data, cut=cut)
    if codec == _UTF_16:
        codec = "utf_16_be" if data.startswith(codecs.BOM_UTF16_BE) else "utf_16_le"
    text = _strict(data, codec, cut=cut)
    if text is None and codec in _FURTHER_ISO_2022_JP:
        codec = "iso2022_jp_ext"
        text = _strict(data, codec, cut=cut)
    is_valid = text is not None
    if text is None:
        try:
            text = _in_slices(data, codec, _MENDING, is_whole=True)
            is_valid = REPLACEMENT not in text
        except (UnicodeError, LookupError, ValueError):  # UTF-16 refuses some input whatever the handler
            return data.decode("latin-1"), False
    if not text.isascii() and (table := _table_of(codec)) and any(chr(code) in text for code in table):
        text = text.translate(table)
        is_valid = is_valid and not (codec == "cp932" and REPLACEMENT in text)
    return text.removeprefix("\ufeff"), is_valid


def _marked(data: bytes, *, cut: bool) -> str | None:
    """A text with a byte order mark, whatever was declared (Encoding Standard §6.1); None where it is not valid so."""
    for mark, codec in _BYTE_ORDER.items():
        if data.startswith(mark):
            return _strict(data[len(mark) :], codec, cut=cut)
    return None


def _table_of(codec: str) -> dict[int, int] | None:
    """What the standard has in the place of characters that Python's codec gives."""
    if codec in _JAPANESE:
        return _AS_WINDOWS
    if codec == "gb18030":
        return _GB18030
    if codec == "cp932":
        return _CP932
    return _BIG5 if codec == "big5hkscs" else None


@lru_cache(maxsize=256)
def tells_of_octets(label: str) -> bool:
    """Whether a charset says what the octets beyond ASCII in a header are, where they are not UTF-8."""
    codec = codec_of(label)
    if codec in {None, UNDECLARED, UTF_8}:
        return False
    return text_of(_ASCII.encode(), str(codec)) == (_ASCII, True)  # UTF-16 and EBCDIC have other letters


def is_iso_2022_jp(data: bytes) -> bool:
    """Whether octets that name no charset hold its escapes (RFC 1468)."""
    return b"\x1b" in data and any(escape in data for escape in _ESCAPES) and data.isascii()


def declared_in_html(data: bytes) -> str:
    """The charset that HTML names in its first 1,024 octets, "" where it names none (HTML Standard §13.2.3.2)."""
    named = list(filter(None, map(_charset_of_meta, _META.findall(data, 0, 1024))))
    if not named and (xml := _XML_ENCODING.match(data)):
        named = [xml[1].decode("latin-1")]
    label = next((label for label in named if codec_of(label) is not None), named[0] if named else "")
    return (
        "utf-8" if (codec_of(label) or "").startswith("utf_16") else label
    )  # it was read as ASCII until here


def _charset_of_meta(attributes: bytes) -> str:
    """The charset that the attributes of a meta element name: its own, or that of a content type it stands for."""
    named: dict[bytes, bytes] = {}
    for name, *values in _ATTRIBUTE.findall(attributes):
        named.setdefault(name.lower(), b"".join(values))
    charset = named.get(b"charset", b"").strip()
    if (
        not charset
        and b"name" not in named
        and named.get(b"http-equiv", b"content-type").lower() == b"content-type"
    ):
        match = _CHARSET_OF_CONTENT.search(named.get(b"content", b""))
        charset = match[1] if match else b""
    return charset.decode("latin-1")


@lru_cache(maxsize=256)
def _codec_of(label: str) -> str | None:
    joined = "".join(label.split())
    label = _bare(joined if _squeezed(joined.lower()) in _STANDARD else label)  # windows 1251
    squeezed = _squeezed(label)
    if squeezed in _AS_MAIL_HAS_THEM:
        return _AS_MAIL_HAS_THEM[squeezed]
    if squeezed in _SAYS_NOTHING or _PYTHON.get(squeezed) == "ascii":
        return UNDECLARED
    name: str | None = LABELS.get(label) or _STANDARD.get(squeezed)
    if name is None or name == "replacement":
        further: str | None = _FURTHER.get(squeezed) or _PYTHON.get(squeezed)
        return _CODECS.get(further, further) if further else _by_parts(label, squeezed)
    return name if name in _SINGLE else _CODECS.get(name, name)


def _by_parts(label: str, squeezed: str) -> str | None:
    """A charset by the number of its code page, or without the word charset: gb2312_charset."""
    if match := _CODE_PAGE.fullmatch(squeezed):
        name = _CODE_PAGES.get(match[1], f"cp{match[1]}")
        return _codec_of(name) if name != label else None
    return _codec_of(squeezed.replace("charset", "")) if "charset" in squeezed else None


def _bare(label: str) -> str:
    """Without what senders put around it: quotes (also those of undone quoted-printable), remarks, a language."""
    label = re.sub(r"^=?3d(?=[\"'a-z])|^charset\s*=", "", label.strip().lower())
    return re.split(r"[\s(;,*\"']", label.strip(" \t\"'"), maxsplit=1)[0]


def _squeezed(label: str) -> str:
    """Letters and digits: so many senders write cp-850, UTF8, iso_8859.1, windows1251 or 8859_1."""
    label = re.sub(r"^(?:x[-_])+|^(?=8859[-_]\d)", lambda found: "" if found[0] else "iso", label)
    return re.sub(r"[^a-z0-9]", "", label).replace("windows", "win") if label.isascii() else "?"


_STANDARD = {_squeezed(label): name for label, name in LABELS.items()}
_PYTHON = {
    _squeezed(alias): codec
    for alias, codec in [
        *aliases.items(),
        *((codec, codec) for codec in {*aliases.values(), *_PYTHON_ONLY}),
    ]
    if codec not in _REFUSED
}


def _undeclared(data: bytes, *, cut: bool) -> tuple[str, bool]:
    if is_iso_2022_jp(data):
        text, is_valid = text_of(data, "iso2022_jp_ext", cut=cut)
        if is_valid:
            return text, True
    text_or_none = _strict(data, UTF_8, cut=cut)
    if text_or_none is not None:
        return text_or_none, True
    return _single(data, WINDOWS_1252)[0], False


def _iso_2022_cn(data: bytes, *, cut: bool) -> tuple[str, bool]:
    """GB 2312 of RFC 1922 as HZ, whose shifts are other octets. What designates CNS 11643 is not read, and told."""
    data = _CUT_ESCAPE.sub(b"", data) if cut else data
    if b"\x1b" in (data := data.replace(b"\x1b$)A", b"")):
        return data.decode("latin-1"), False
    return text_of(data.replace(b"~", b"~~").replace(b"\x0e", b"~{").replace(b"\x0f", b"~}"), "hz", cut=cut)


def _single(data: bytes, codec: str) -> tuple[str, bool]:
    if len(data) <= _AT_ONCE:
        try:
            return codecs.charmap_decode(data, "strict", _table(codec))[0], True
        except UnicodeError:
            return codecs.charmap_decode(data, "replace", _table(codec))[0], False
    slices = [data[at : at + _AT_ONCE] for at in range(0, len(data), _AT_ONCE)]
    try:
        return "".join(codecs.charmap_decode(part, "strict", _table(codec))[0] for part in slices), True
    except UnicodeError:
        return "".join(codecs.charmap_decode(part, "replace", _table(codec))[0] for part in slices), False


@lru_cache
def _table(codec: str) -> str:
    """256 characters, as the standard's index of a single-byte encoding."""
    return "".join(_character(octet, codec) for octet in range(256))


def _character(octet: int, codec: str) -> str:
    if codec == "koi8-u" and octet in _KOI8_RU:
        return _KOI8_RU[octet]
    try:
        return bytes([octet]).decode(_SINGLE[codec])
    except UnicodeError:
        return chr(octet) if 0x80 <= octet <= 0x9F else _UNDEFINED


def _strict(data: bytes, codec: str, *, cut: bool) -> str | None:
    try:
        return _in_slices(data, codec, "strict", is_whole=not cut)
    except (UnicodeError, LookupError, ValueError):
        return None


def _in_slices(data: bytes, codec: str, errors: str, *, is_whole: bool) -> str:
    """One call keeps the interpreter's lock for as long as it takes: so it gets a part of a long text only."""
    if len(data) <= _AT_ONCE:
        if codec == UTF_8:  # what most texts are; it needs no decoder to leave a character that is cut
            return codecs.utf_8_decode(data, errors, is_whole)[0]
        if is_whole:
            return data.decode(codec, errors)
    decoder = codecs.getincrementaldecoder(codec)(errors)
    slices = []
    for at in range(0, len(data), _AT_ONCE):
        if at >= _MENDED and errors == _MENDING:
            decoder.errors = "replace"
        slices.append(decoder.decode(data[at : at + _AT_ONCE]))
    return "".join([*slices, decoder.decode(b"", final=is_whole)])


def _mend(error: UnicodeError) -> tuple[str, int]:
    """What the standard's decoders read and Python's do not; else one replacement character for one octet."""
    assert isinstance(error, UnicodeDecodeError)
    start, data = error.start, error.object
    if error.encoding == "gb18030" and data[start] == 0x80:
        return "€", start + 1
    found = _pair(error.encoding, data[start : start + 2])
    if found is not None:
        return found, start + 2
    if start + 1 < error.end and data[start + 1] >= 0x80:
        return REPLACEMENT, error.end
    return REPLACEMENT, start + 1  # an ASCII character behind half a character is not part of it


def _pair(encoding: str, pair: bytes) -> str | None:
    if len(pair) < 2:
        return None
    if encoding in _JAPANESE:
        high = 0x80 if encoding == "euc_jp" else 0
        return _row_and_cell(pair[0] ^ high, pair[1] ^ high)
    try:
        return pair.decode("cp950") if encoding == "big5hkscs" and pair[0] not in _KANA_OF_CP950 else None
    except UnicodeError:
        return None


def _row_and_cell(row: int, cell: int) -> str | None:
    """A pair of JIS X 0208 with the extensions of NEC and IBM, by way of Shift_JIS, whose codec has them."""
    if not (0x21 <= row <= 0x7E and 0x21 <= cell <= 0x7E):
        return None
    lead = (row + 1) // 2 + (0x70 if row < 0x5F else 0xB0)
    trail = cell + ((0x1F if cell < 0x60 else 0x20) if row % 2 else 0x7E)
    try:
        return bytes((lead, trail)).decode("cp932")
    except UnicodeError:
        return None


codecs.register_error(_MENDING, _mend)
