"""PURE  A server's words are shown whole or not at all: not at all where they repeat part of a secret, in any form."""

import re
import unicodedata
from base64 import b64decode
from binascii import a2b_qp
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from html import unescape
from typing import Final
from urllib.parse import unquote_to_bytes

from app.pop3.words.refusals import is_known

WITHHELD: Final = "(withheld: it repeats part of what was sent)"
MOST_SHOWN: Final = 500  # characters
_MOST_JUDGED: Final = (
    1000  # what is behind is not shown; some more, so that no cut hides what the shown part holds
)
_OVERLAP: Final = 200
_MOST_DECODED: Final = 100_000
_FEW: Final = 300  # pieces; it is quicker to look for each of more than for each part of the text among them
_IN_A_ROW: Final = 6
_WORD: Final = 4  # letters
_DECODINGS: Final = 2  # one within another
_GAP: Final = (
    "\N{LATIN LETTER BILABIAL CLICK}"  # stands for octets that are no text; a letter, so that it stays
)
_NO_LETTER: Final = re.compile(r"[\W_]+")
_LETTERS: Final = re.compile(r"[^\W\d_]+")
_BLANK: Final = re.compile(r"\s+")
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+")
_BETWEEN_HEX: Final = re.compile(r"\\x|0x|[\W_]", re.IGNORECASE)
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+[0-9A-Fa-f]?")

_Pieces = Mapping[int, frozenset[str]]  # by their length


class Redaction:
    """Judges texts by secrets. A text is withheld when it holds, case folded, decoded as servers encode what they
    echo (up to twice), without blanks and punctuation: six characters in a row of a secret, a word of it of four
    letters or more, or all of a shorter one. It is shown all the same when it is a sentence that we know
    (``refusals``): "incorrect password" repeats no password.

    The cost is bounded: of a text as much is judged as is shown, and some more.
    """

    def __init__(self, *secrets: str) -> None:
        self._secrets = {secret for secret in secrets if secret}

    def __repr__(self) -> str:
        return "Redaction()"

    def add(self, secret: str) -> bool:
        """One more secret from now on; whether it is a new one."""
        if not secret or secret in self._secrets:
            return False
        self._secrets.add(secret)
        for cached in ("_pieces", "_least", "_is_ascii"):
            self.__dict__.pop(cached, None)
        return True

    def shown(self, text: str) -> str:
        """The text, at most 500 characters of it, or WITHHELD in its place."""
        if not self._secrets or is_known(text):
            return text[:MOST_SHOWN]
        return WITHHELD if self.is_repeated_in(text) else text[:MOST_SHOWN]

    def is_repeated_in(self, text: str) -> bool:
        """Whether the text repeats part of a secret."""
        forms = text[:_MOST_JUDGED]
        for _ in range(_DECODINGS):
            if self._is_in(forms):
                return True
            forms = _GAP.join(self._decoded(forms))[
                :_MOST_DECODED
            ]  # one text of all: each step is one call for all
        return self._is_in(forms)

    def is_cut_up_in(self, texts: Iterable[str]) -> bool:
        """Whether texts that are harmless one by one repeat part of a secret, one behind the other."""
        joined = "".join(text for text in texts if not is_known(text))
        return any(
            self.is_repeated_in(joined[at : at + _MOST_JUDGED])
            for at in range(0, len(joined), _MOST_JUDGED - _OVERLAP)
        )

    @cached_property
    def _pieces(self) -> tuple[_Pieces, _Pieces]:
        """What is looked for in texts as they are, and in texts of letters and digits alone. Made when something is to
        be shown: most sessions show nothing.
        """
        as_they_are, bare = set[str](), set[str]()
        for secret in self._secrets:
            folded, letters = _folded(secret), _bare(secret)
            as_they_are.update(piece for piece in _in_a_row(folded) if not piece.isalnum() and piece.strip())
            if len(letters) >= _WORD or len(folded) < _IN_A_ROW:
                bare.update(_in_a_row(letters))
            bare.update(_bare(word) for word in _LETTERS.findall(folded) if _WORD <= len(word) < _IN_A_ROW)
        return _by_length(as_they_are), _by_length(bare)

    @cached_property
    def _is_ascii(self) -> bool:
        return all(secret.isascii() for secret in self._secrets)

    @cached_property
    def _least(self) -> int:
        """The fewest characters that can repeat something."""
        return min((length for pieces in self._pieces for length in pieces), default=_IN_A_ROW)

    def _is_in(self, text: str) -> bool:
        as_they_are, bare = self._pieces
        return _holds(_folded(text), as_they_are) or _holds(_bare(text), bare)

    def _decoded(self, text: str) -> Iterator[str]:
        """What the text, or parts of it, would be if it were encoded."""
        octets = text.encode("utf-8", "replace")
        if "%" in text and (decoded := unquote_to_bytes(octets)) != octets:
            yield from self._texts(decoded)
        if "&" in text and (plain := unescape(text)) != text:
            yield plain
        if "\\" in text:
            yield _unescaped(text)
        if "=" in text and (decoded := a2b_qp(octets)) != octets:
            yield from self._texts(decoded)
        closed = _BLANK.sub("", text)
        if (decoded := _all_unescaped(closed)) != closed.encode("utf-8", "replace"):
            yield from self._texts(decoded)
        closed = closed.replace("-", "+").replace("_", "/")  # RFC 4648 §5 has two other characters
        for run in {*_BASE64.findall(closed), *_BASE64.findall(_NO_LETTER.sub("", text))}:
            if len(run) * 3 >= self._least * 4 - 3:
                for start in range(min(4, len(run))):  # wherever in a group of four it begins
                    yield from self._texts(_base64(run[start:]))
        for run in _HEX.findall(_BETWEEN_HEX.sub("", text)):
            if len(run) >= 2 * self._least:
                for start in (0, 1):
                    yield from self._texts(bytes.fromhex(run[start : start + (len(run) - start) // 2 * 2]))

    def _texts(self, octets: bytes) -> Iterator[str]:
        """As UTF-8 or UTF-16, and as what servers send that know only Latin-1."""
        octets = octets.replace(b"\0", b"")
        if octets.isascii():
            yield octets.decode()
            return
        yield octets.decode("utf-8", "replace").replace("\N{REPLACEMENT CHARACTER}", _GAP)
        if not self._is_ascii:
            yield octets.decode("latin-1")


def _holds(text: str, pieces: _Pieces) -> bool:
    for length, some in pieces.items():
        if len(some) < _FEW:
            if any(piece in text for piece in some):
                return True
        elif not some.isdisjoint([text[at : at + length] for at in range(len(text) - length + 1)]):
            return True
    return False


def _in_a_row(secret: str) -> Iterator[str]:
    """All of a short one, else each six characters of it."""
    for at in range(max(len(secret) - _IN_A_ROW, 0) + 1):
        yield secret[at : at + _IN_A_ROW]


def _by_length(pieces: Iterable[str]) -> _Pieces:
    some: dict[int, set[str]] = {}
    for piece in pieces:
        if piece:
            some.setdefault(len(piece), set()).add(piece)
    return {length: frozenset(found) for length, found in some.items()}


def _folded(text: str) -> str:
    return (text if text.isascii() else unicodedata.normalize("NFKC", text)).casefold()


def _bare(text: str) -> str:
    """Letters and digits alone, without accents: each may bear one that the secret has not."""
    return _NO_LETTER.sub(
        "", text.casefold() if text.isascii() else unicodedata.normalize("NFKD", text).casefold()
    )


def _base64(run: str) -> bytes:
    if len(run) % 4 == 1:
        run = run[:-1]
    return b64decode(run + "=" * (-len(run) % 4))


def _all_unescaped(text: str) -> bytes:
    """Where each character may be written in another way."""
    text = unescape(text)
    if "\\" in text:
        text = _unescaped(text)
    return a2b_qp(unquote_to_bytes(text.encode("utf-8", "replace")))


def _unescaped(text: str) -> str:
    """As in JSON (RFC 8259 §7), and with ``\\xNN``."""

    def character(found: re.Match[str]) -> str:
        escaped = found[1]
        if len(escaped) > 1:
            return chr(int(escaped[1:], 16))
        return " " if escaped in "bfnrt" else escaped

    octets = _ESCAPE.sub(character, text).encode("utf-16", "surrogatepass")
    return octets.decode("utf-16", "replace")
