"""PURE  Octets -> text that can be stored: charsets, forbidden characters."""

import codecs
import re
from encodings import normalize_encoding
from encodings.aliases import aliases
from functools import lru_cache

from app.mail import defects

# Names are looked up here and not by codecs.lookup() alone: that imports a module for each name and remembers each
# one that it did not find, so that strangers' mail would fill our memory. Left out are codecs that are not charsets,
# that depend on the machine, or that take quadratic time (punycode, idna).
_REFUSED = frozenset(
    {
        *("base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec", "zlib_codec"),
        *("mbcs", "oem", "tactis", "idna", "punycode", "raw_unicode_escape", "unicode_escape", "undefined"),
    }
)
_CODECS = (frozenset(aliases.values()) - _REFUSED) | {"cp874", "cp720", "cp856", "cp1006", "koi8_t", "koi8_u"}
# Senders say the narrow name and mean its superset, as browsers read them (WHATWG Encoding Standard, 4.2).
_MEANT = {
    "latin_1": "cp1252",
    "iso8859_9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "iso_8859_8_i": "iso8859_8",
    "iso_8859_8_e": "iso8859_8",
    "windows_874": "cp874",
    "x_mac_roman": "mac_roman",
    "x_sjis": "cp932",
    "x_gbk": "gb18030",
    "utf8mb4": "utf_8",
}
_UNDECLARED = frozenset({"", "us_ascii", "ascii", "unknown_8bit", "x_unknown", "unknown", "default", "_iso"})
_UTF8 = frozenset({"utf_8", "utf8"})
_UNSAFE = re.compile(r"[\x00\ud800-\udfff]")
_CONTROL = re.compile(r"[\x01-\x1f\x7f-\x9f\u2028\u2029]+")
REPLACEMENT = "\ufffd"


def clean(text: str) -> str:
    """Replace what storage refuses: NUL (PostgreSQL) and lone surrogates (UTF-8). Line ends and tabs stay."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNSAFE.sub(REPLACEMENT, text)


def printable(text: str) -> str:
    """One line that is safe to store and show: control characters become a space: no line end is smuggled in."""
    if text.isprintable():
        return text
    return _CONTROL.sub(" ", clean(text))


def decoded_text(data: bytes, charset: str, found: list[str], *, cut: bool = False) -> str:
    """Text of octets in a charset that may be missing, unknown or a lie. Never raises.

    ``cut`` tells that the octets were cut off by us: a last character that is not whole is then no defect.
    """
    name = _normal_name(charset[:60])
    if name in _UTF8 or name in _UNDECLARED:
        return _utf8_or_latin(data, found, declared=name in _UTF8, cut=cut)
    codec = _codec(name)
    if codec is None:
        found.append(defects.UNKNOWN_CHARSET)
        return _utf8_or_latin(data, [], declared=False, cut=cut)
    return _decoded(data, codec, found, cut=cut)


@lru_cache(maxsize=256)
def _normal_name(charset: str) -> str:
    return normalize_encoding(charset.strip(" \t'\"")).lower() if charset.isascii() else "?"


def _codec(name: str) -> str | None:
    codec = _MEANT.get(name) or aliases.get(name, name)
    codec = _MEANT.get(codec, codec)
    return codec if codec in _CODECS else None


def _utf8_or_latin(data: bytes, found: list[str], *, declared: bool, cut: bool) -> str:
    if declared:
        text = _decoded(data, "utf_8", found, cut=cut)
        return text.removeprefix("\ufeff")
    ours: list[str] = []
    text = _decoded(data, "utf_8", ours, cut=cut)
    if not ours:
        return text.removeprefix("\ufeff")
    found.append(defects.WRONG_CHARSET)
    return clean(data.decode("latin-1"))


def _decoded(data: bytes, codec: str, found: list[str], *, cut: bool) -> str:
    try:
        if cut:
            return clean(codecs.getincrementaldecoder(codec)("strict").decode(data, final=False))
        return clean(data.decode(codec))
    except (UnicodeError, LookupError, ValueError):
        found.append(defects.WRONG_CHARSET)
    try:
        return clean(data.decode(codec, "replace"))
    except (UnicodeError, LookupError, ValueError):  # UTF-16 refuses some input whatever the error handler
        return clean(data.decode("latin-1"))
