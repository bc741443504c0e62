"""PURE  UIDL and LIST answers -> a listing."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from app.pop3.errors import LimitExceeded, ProtocolError

_LARGEST_NUMBER = 2**31 - 1
_LARGEST_SIZE = 2**62
_EXCERPT = 80


@dataclass(frozen=True, slots=True)
class Stat:
    """STAT's answer (RFC 1939 §5): how many messages, and how many octets altogether; a hint."""

    count: int
    octets: int


class Line(NamedTuple):
    """One message of a listing. ``octets`` as LIST said (a hint), None when it said nothing usable."""

    number: int
    unique_id: bytes
    octets: int | None


@dataclass(frozen=True, slots=True)
class RawListing:
    """The answers as they came, dot-unstuffed: cheap to compare with those of last time."""

    stat: Stat
    uidl: bytes
    sizes: bytes


@dataclass(frozen=True, slots=True)
class Listing:
    """UIDL joined with LIST, in the server's order. ``malformed``: excerpts of lines that could not be read."""

    stat: Stat
    entries: tuple[Line, ...]
    malformed: tuple[str, ...]

    @property
    def is_short(self) -> bool:
        """Fewer messages are listed than STAT said: the listing may be cut."""
        return len(self.entries) < self.stat.count


def parse_stat(text: str) -> Stat:
    """Read what stood behind +OK. Raises ProtocolError when there is no count."""
    words = text.split()
    if not words or not words[0].isascii() or not words[0].isdigit():
        raise ProtocolError(f"STAT was answered with {text[:_EXCERPT]!r}", text[:500])
    octets = words[1] if len(words) > 1 else ""
    size = int(octets[:18]) if octets.isascii() and octets.isdigit() else 0
    return Stat(int(words[0][:10]), size)


def parse_listing(raw: RawListing, *, most_entries: int = 2_000_000) -> Listing:
    """Join UIDL with LIST by number. A line that cannot be read spoils that line only.

    Tolerated: runs of spaces and tabs, trailing blanks, ids of any octets and length, gaps, any order, numbers
    and ids that come twice. Raises LimitExceeded.
    """
    if raw.uidl.count(b"\n") > most_entries:
        raise LimitExceeded(f"the listing has more than {most_entries} entries")
    sizes: dict[int, int] = {}
    for number, rest in _numbered(raw.sizes):
        if number is not None and (size := rest.split(None, 1)) and size[0].isdigit() and len(size[0]) < 19:
            sizes[number] = int(size[0])
    entries: list[Line] = []
    malformed: list[str] = []
    for number, rest in _numbered(raw.uidl):
        if number is None or not rest:
            malformed.append(repr(rest[:_EXCERPT])[1:])
        else:
            entries.append(Line(number, rest, sizes.get(number)))
    return Listing(raw.stat, tuple(entries), tuple(malformed))


def _numbered(body: bytes) -> Iterator[tuple[int | None, bytes]]:
    """Each line as its number and what follows; (None, line) when it does not begin with a message-number."""
    for line in body.replace(b"\r\n", b"\n").split(b"\n"):
        words = line.split(None, 1)
        if not words:
            continue
        if words[0].isdigit() and len(words[0]) < 11 and 0 < (number := int(words[0])) <= _LARGEST_NUMBER:
            yield number, words[1].rstrip(b" \t\r") if len(words) > 1 else b""
        else:
            yield None, line
