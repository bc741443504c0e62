"""PURE  Headers by which the feed can be filtered, beside what every message is kept with: which, and what is kept.

A value is kept as it is compared: decoded, and in the form in which criteria compare (``judging.comparable``), its
first 500 characters. Of a header that comes several times the first 20 different values are kept.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Final, NewType

from app.mail.mime import VERSION
from app.mailboxes.wanted.judging import JudgedHead, comparable

LONGEST_VALUE: Final = 500
MOST_VALUES: Final = 20

IndexDigest = NewType("IndexDigest", int)
"""Stands for names and the reader that read their values: what was kept under another one is read again."""


@dataclass(frozen=True, slots=True)
class IndexedHeaders:
    """``names`` in lower case, in order, each once."""

    names: tuple[str, ...] = ()

    @property
    def digest(self) -> IndexDigest | None:
        """None: no header is indexed."""
        if not self.names:
            return None
        text = f"{VERSION}:{','.join(self.names)}"
        return IndexDigest(int.from_bytes(sha256(text.encode()).digest()[:7]))

    def values_in(self, raw: bytes) -> tuple[tuple[str, str], ...]:
        """Names and values of a message, or of its header block. Takes any octets; never raises."""
        if not self.names:
            return ()
        head = JudgedHead(raw)
        return tuple((name, value) for name in self.names for value in _kept(head.texts(name)))


NO_HEADERS: Final = IndexedHeaders()


def compared(value: str) -> str:
    """A value as it is kept and asked for."""
    return comparable(value)[:LONGEST_VALUE]


def _kept(texts: Iterable[str]) -> Iterable[str]:
    return islice(dict.fromkeys(map(compared, texts)), MOST_VALUES)
