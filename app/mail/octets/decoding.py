"""PURE  Octets -> text that can be stored: charsets, forbidden characters."""

import re
from io import IncrementalNewlineDecoder

from app.mail import defects
from app.mail.octets.charsets import LIKE_ASCII, REPLACEMENT, UNDECLARED, codec_of, text_of

_UNSAFE = re.compile(r"[\x00\ud800-\udfff]")
_UNSEEN_CHARACTERS = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
# The flag of England and of others is a black one with tags behind it (UTS 51).
_UNSEEN = re.compile(
    f"(\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{{3,6}}\U000e007f)|[{_UNSEEN_CHARACTERS}]+"
)
# Joiners and variation selectors mean something behind a letter of the scripts that have them, or an emoji, and once.
_JOINERS = "\u200c\u200d"
_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_IDLE = re.compile(
    f"(?:\\A|(?<=[\\x00-\\x7f]))(?:(?<![0-9#*])|(?![\ufe0e\ufe0f]))[{_JOINERS}{_SELECTORS}]+"
    f"|(?<=[{_SELECTORS}])[{_SELECTORS}]+|(?<=[{_JOINERS}])[{_JOINERS}{_SELECTORS}]+"
)
_MAY_BE_UNSEEN = re.compile(f"[{_UNSEEN_CHARACTERS}{_JOINERS}{_SELECTORS}]")
_UNSEEN_OR_JOINERS = re.compile(f"[\u200c\u200d{_UNSEEN_CHARACTERS}]+")
# The first of them, and all from the second one on: most texts of Latin letters have none.
_SOFT_HYPHEN_OR_BEYOND_LATIN = re.compile("[\u00ad\u034f-\U0010ffff]")
_USUAL_LINE_ENDS = ("\r\n", ("\n", "\r\n"))
_CONTROL = re.compile(r"[\x01-\x1f\x7f-\x9f\u2028\u2029]+")


def clean(text: str) -> str:
    """Replace what storage refuses: NUL (PostgreSQL) and lone surrogates (UTF-8). Line ends and tabs stay."""
    if "\0" not in text:
        if text.isascii():
            return text
        try:
            text.encode()  # the quickest way to see that there is no surrogate
        except UnicodeEncodeError:
            pass
        else:
            return text
    return _UNSAFE.sub(REPLACEMENT, text)


def printable(text: str) -> str:
    """One line that is safe to store and show: control characters become a space: no line end is smuggled in."""
    if text.isprintable():
        return text
    return _CONTROL.sub(" ", clean(text))


def shown(text: str, found: list[str]) -> str:
    """One line for a person to read, of which nothing is hidden and nothing turned around.

    Left out are the marks that turn the reading direction (U+202E shows gpj.exe as exe.jpg) and characters without
    any shape; those that join, part or vary letters of many scripts and emoji (U+200C, U+200D, U+FE0F) stay where they
    do that.
    """
    if text.isprintable() and (text.isascii() or not _MAY_BE_UNSEEN.search(text)):
        return text
    line = text if text.isascii() else _IDLE.sub("", _UNSEEN.sub(r"\1", text))
    if line != text:
        found.append(defects.INVISIBLE)
    return printable(line)


def without_invisible(text: str) -> str:
    """Without what newsletters pad their first words with, hundreds of times, and what turns the reading direction."""
    may_hold_some = not text.isascii() and _SOFT_HYPHEN_OR_BEYOND_LATIN.search(text)
    return _UNSEEN_OR_JOINERS.sub("", text) if may_hold_some else text


def decoded_text(data: bytes, charset: str, found: list[str], *, cut: bool = False) -> str:
    """Text of octets in a charset that may be missing, unknown or a lie. Never raises.

    ``cut`` tells that the octets were cut off by us: a last character that is not whole is then no defect.
    """
    codec = codec_of(charset)
    if codec is None:
        found.append(defects.UNKNOWN_CHARSET)
        return clean(text_of(data, UNDECLARED, cut=cut)[0])
    text, is_valid = text_of(data, codec, cut=cut)
    if not is_valid:
        found.append(defects.WRONG_CHARSET)
    return text.replace("\0", REPLACEMENT) if codec in LIKE_ASCII else clean(text)  # they have no surrogates


def with_line_feeds(text: str) -> str:
    """A text whose lines end with LF, whatever they ended with."""
    if "\r" not in text:
        return text
    # Replacing two characters by one is slow. What reads files does it three times as fast, and tells what it met.
    lines = IncrementalNewlineDecoder(None, translate=True)
    translated = lines.decode(text, final=True)
    if lines.newlines in _USUAL_LINE_ENDS:
        return translated
    text = text.replace("\r\r\n", "\n").replace("\r\n", "\n")
    return text if "\n" in text.rstrip("\n") else text.replace("\r", "\n")  # lines of CR alone
