"""PURE  A header's value as text: encoded words (RFC 2047), raw 8-bit characters (RFC 6532 and before it), escapes.

Encoded words are found among the octets, and their content stays octets until their own charset reads it: a raw ``ö``
within ``=?iso-8859-1?Q?…?=`` is one octet of ISO-8859-1. Where a value has a structure (addresses, parameters), words
are read after it is known (RFC 2047 §5): ``masked`` puts marks in their places, ``unmasked`` the words in theirs.
"""

import binascii
import re
from itertools import groupby
from typing import NamedTuple

from app.mail import defects
from app.mail.octets.charsets import (
    UNDECLARED,
    WINDOWS_1252,
    codec_of,
    is_iso_2022_jp,
    tells_of_octets,
    text_of,
)
from app.mail.octets.decoding import decoded_text, printable
from app.mail.octets.transfer import decoded_base64

# The content of a word may hold blanks and question marks, as broken senders write them; it ends at the first ?= that
# is not the question mark before a coded octet (=3D), and never reaches into the next word. Possessive all over: no
# input makes it go back over what it has read.
_WORD = re.compile(
    rb"=\?([^?\s=]{1,80}+)\?([bBqQ])\?"
    rb"([^?=]*+(?:(?:=(?!\?[^=])|\?(?!=)|\?(?==[0-9A-Fa-f]{2}))[^?=]*+)*+)\?="
)
_MARK = re.compile("\x00([0-9]+)\x01")
_FIRST_MARK = "\x000\x01"


class Masked(NamedTuple):
    """Text in which a mark stands for each run of encoded words; what they came as, and what they say."""

    text: str
    raw: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


def decoded(value: bytes, found: list[str], *, charset: str = "") -> str:
    """A header's value as one line of text. ``charset``: of the text below, for raw octets that are not UTF-8."""
    if b"=?" not in value and value.isascii():
        text = value.decode("ascii")
        if text.isprintable():
            return text
        if "\t\t" not in text and (line := text.replace("\t", " ")).isprintable():  # it was folded by tabs
            return line
    if b"\x1b" not in value:
        if b"=?" not in value:
            return printable(_plain(value, found, charset))
        if word := _WORD.fullmatch(value):
            said = _said_at_once(word)
            return printable(_said([word], found)) if said is None else said
    return printable("".join([text for text, _ in _pieces(value, found, charset)]))


def plain(value: bytes) -> str | None:
    """A value as text where it is what it looks like, as most are: printable ASCII without any encoded word."""
    if b"=?" in value or not value.isascii():
        return None
    text = value.decode("ascii")
    return text if text.isprintable() else None


def masked(value: bytes, found: list[str], *, charset: str = "") -> Masked:
    """A value whose structure is still to be read: ``,`` ``@`` ``<`` within its encoded words are no part of it."""
    if value.isascii() and not (b"=?" in value or b"\x1b" in value or b"\0" in value or b"\x01" in value):
        return Masked(value.decode("ascii"))
    text: list[str] = []
    raw: list[str] = []
    words: list[str] = []
    for piece, came_as in _pieces(value, found, charset):
        if came_as is None:
            text.append(piece.replace("\x00", "\ufffd").replace("\x01", " "))
        else:
            text.append(f"\x00{len(words)}\x01")
            raw.append(came_as)
            words.append(piece)
    return Masked("".join(text), tuple(raw), tuple(words))


def unmasked(text: str, words: tuple[str, ...]) -> str:
    """Part of a masked text with its words (or with what they came as) in their places."""
    if text == _FIRST_MARK:
        return words[0]
    return _MARK.sub(lambda mark: words[int(mark[1])], text) if "\x00" in text else text


def _pieces(value: bytes, found: list[str], charset: str) -> list[tuple[str, str | None]]:
    """Text, and what it came as where it was encoded. Blanks between encoded words are no text (RFC 2047 §6.2)."""
    if b"\x1b" in value and is_iso_2022_jp(value):
        value = text_of(value, "iso2022_jp_ext")[0].encode("utf-8", "replace")
    if b"=?" not in value:
        return [(_plain(value, found, charset), None)]
    pieces: list[tuple[str, str | None]] = []
    run: list[re.Match[bytes]] = []
    end = 0
    for word in _WORD.finditer(value):
        between = value[end : word.start()]
        if run and between.strip():
            pieces.append((_said(run, found), _as_it_came(run)))
            run = []
        if not run and between:
            pieces.append((_plain(between, found, charset), None))
        run.append(word)
        end = word.end()
    if run:
        pieces.append((_said(run, found), _as_it_came(run)))
    elif b"?=" in value:
        found.append(defects.BROKEN_ENCODED_WORD)
    if end < len(value):
        pieces.append((_plain(value[end:], found, charset), None))
    return pieces


def _as_it_came(run: list[re.Match[bytes]]) -> str:
    return b" ".join(word[0] for word in run).decode("latin-1")


def _said_at_once(word: re.Match[bytes]) -> str | None:
    """What a word in UTF-8 says, as most do; None where anything is odd about it."""
    charset, encoding, content = word.groups()
    if charset.lower() != b"utf-8":
        return None
    try:
        if encoding in b"qQ":
            text = binascii.a2b_qp(content, header=True).decode()
        else:
            text = binascii.a2b_base64(content, strict_mode=True).decode()
    except ValueError:
        return None
    return text if text.isprintable() else None


def _said(run: list[re.Match[bytes]], found: list[str]) -> str:
    """A run of words as text. Octets of neighbours in one charset are joined first: many senders cut in the middle of
    a character (against §5).
    """
    if len(run) == 1:
        return decoded_text(_octets(run[0][2], run[0][3], found), _charset(run[0]), found)
    return "".join(_joined(list(words), found) for _, words in groupby(run, key=_codec))


def _joined(words: list[re.Match[bytes]], found: list[str]) -> str:
    """Words of one charset. Some senders cut what is base64 already, so that none of its parts can be decoded alone."""
    charset, odd = _charset(words[0]), list[str]()
    octets = b"".join(_octets(word[2], word[3], odd) for word in words)
    if any(word[2] in b"bB" and len(word[3]) % 4 and not word[3].endswith(b"=") for word in words[:-1]):
        at_once = _octets(b"b", b"".join(word[3] for word in words), [])
        if _is_readable(at_once, charset) and not _is_readable(octets, charset):
            octets, odd = at_once, []
    found += odd
    return decoded_text(octets, charset, found)


def _is_readable(octets: bytes, charset: str) -> bool:
    text, is_valid = text_of(octets, codec_of(charset) or UNDECLARED)
    return is_valid and text.isprintable()


def _codec(word: re.Match[bytes]) -> str:
    charset = _charset(word)
    return codec_of(charset) or charset


def _charset(word: re.Match[bytes]) -> str:
    return word[1].partition(b"*")[0].decode("latin-1").lower()  # RFC 2231 §5: a language may follow


def _octets(encoding: bytes, content: bytes, found: list[str]) -> bytes:
    if encoding in b"qQ":
        return binascii.a2b_qp(content, header=True)
    broken: list[str] = []
    result = decoded_base64(content, broken)
    if broken:
        found.append(defects.BROKEN_ENCODED_WORD)
    return result


def _plain(octets: bytes, found: list[str], charset: str) -> str:
    if octets.isascii():
        return octets.decode("ascii")
    try:
        return octets.decode()  # RFC 6532, and senders that never heard of it
    except UnicodeDecodeError:
        found.append(defects.HEADER_8BIT)
    if charset and tells_of_octets(charset):
        text, is_valid = text_of(octets, str(codec_of(charset)))
        if is_valid:
            return text
    return text_of(octets, WINDOWS_1252)[0]
