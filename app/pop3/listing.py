"""PURE  UIDL and LIST answers -> a listing."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, overload

from app.pop3.errors import LimitExceeded, ProtocolError

_LARGEST_NUMBER: Final = 2**31 - 1
_EXCERPT: Final = 80
_MOST_NOTED: Final = 100

# Two words on every line and nothing else: then the words can be taken all at once. RFC 1939 has no other lines.
_PLAIN_UIDL = re.compile(rb"(?:[0-9]{1,10}[ \t]+\S+[ \t]*\r?\n)*+")
_PLAIN_SIZES = re.compile(rb"(?:[0-9]{1,10}[ \t]+[0-9]{1,18}[ \t]*\r?\n)*+")
_NUMBER = re.compile(rb"([0-9]{1,10})(?:[ \t]+|$)")
_SIZE = re.compile(rb"([0-9]{1,18})(?:[ \t]|$)")


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


class Lines(Sequence[Line]):
    """The messages of a listing. A Line is made when it is looked at: keeping 100,000 of them costs the garbage
    collector more time than reading the listing does."""

    __slots__ = ("_columns",)

    def __init__(
        self,
        numbers: Sequence[int] = (),
        unique_ids: Sequence[bytes] = (),
        octets: Sequence[int | None] = (),
    ) -> None:
        self._columns = (numbers, unique_ids, octets)

    def __len__(self) -> int:
        return len(self._columns[0])

    @overload
    def __getitem__(self, index: int) -> Line: ...
    @overload
    def __getitem__(self, index: slice) -> "Lines": ...
    def __getitem__(self, index: int | slice) -> "Line | Lines":
        numbers, unique_ids, octets = self._columns
        if isinstance(index, slice):
            return Lines(numbers[index], unique_ids[index], octets[index])
        return Line(numbers[index], unique_ids[index], octets[index])

    def __iter__(self) -> Iterator[Line]:
        return map(Line, *self._columns)

    def __repr__(self) -> str:
        return f"<{len(self)} lines>"


@dataclass(frozen=True, slots=True)
class RawListing:
    """The answers as they came, dot-unstuffed: cheap to compare with those of last time."""

    stat: Stat
    uidl: bytes
    sizes: bytes


@dataclass(frozen=True, slots=True)
class Listing:
    """UIDL joined with LIST, in the server's order, each message-number once.

    ``malformed``: excerpts of lines that could not be read, the first hundred of them.
    """

    stat: Stat
    entries: Lines
    malformed: tuple[str, ...]

    @property
    def is_short(self) -> bool:
        """Fewer messages are listed than STAT said, or not all could be read: nothing follows from an absence."""
        return len(self.entries) < self.stat.count or bool(self.malformed)


def parse_stat(text: str) -> Stat:
    """Read what stood behind +OK. Raises ProtocolError when there is no count."""
    words = text.split()
    if not words or not _is_number(words[0]) or len(words[0]) > 10:
        raise ProtocolError("STAT was answered without a count.", text)
    # The octets are a hint that nobody needs: negative ones and ones of many digits have been seen.
    has_octets = len(words) > 1 and _is_number(words[1]) and len(words[1]) < 19
    return Stat(int(words[0]), int(words[1]) if has_octets else 0)


def sizes_by_number(body: bytes) -> dict[int, int | None]:
    """LIST's answer by itself: each message-number with its octets; None where it says nothing usable of them."""
    sizes: dict[int, int | None] = {}
    for number, rest, _line in _lines(body):
        if number is not None and number not in sizes:
            size = _SIZE.match(rest)
            sizes[number] = int(size[1]) if size else None
    return sizes


def parse_listing(raw: RawListing, *, most_entries: int = 2_000_000) -> Listing:
    """Join UIDL with LIST by number. A line that cannot be read spoils that line only.

    Tolerated: runs of spaces and tabs, trailing blanks, ids of any octets and length, gaps, any order, ids that
    come twice. A number that comes twice counts once. Raises LimitExceeded.
    """
    if max(raw.uidl.count(b"\n"), raw.sizes.count(b"\n")) > most_entries:
        raise LimitExceeded(f"The listing has more than {most_entries} entries.")
    numbers, ids, malformed = _unique_ids(raw.uidl)
    return Listing(raw.stat, Lines(numbers, ids, _sizes(raw.sizes, numbers)), tuple(malformed))


def _unique_ids(body: bytes) -> tuple[list[int], list[bytes], list[str]]:
    """The numbers, their unique-ids, and excerpts of what could not be read."""
    if _PLAIN_UIDL.fullmatch(body):
        words = body.split()
        numbers = list(map(int, words[0::2]))
        if _are_sound(numbers):
            return numbers, words[1::2], []
    found: dict[int, bytes] = {}
    malformed: list[str] = []
    for number, rest, line in _lines(body):
        if number is not None and rest and number not in found:
            found[number] = rest
        elif len(malformed) < _MOST_NOTED:
            malformed.append(repr(line[:_EXCERPT])[1:])
    return list(found), list(found.values()), malformed


def _sizes(body: bytes, numbers: list[int]) -> list[int | None]:
    """The octets of each of the numbers."""
    by_number: dict[int, int] = {}
    if _PLAIN_SIZES.fullmatch(body):
        words = body.split()
        listed, octets = list(map(int, words[0::2])), list(map(int, words[1::2]))
        if listed == numbers:
            return list(octets)
        by_number = dict(zip(listed, octets, strict=True))
    else:
        for number, rest, _line in _lines(body):
            if number is not None and (size := _SIZE.match(rest)):
                by_number[number] = int(size[1])
    return list(map(by_number.get, numbers))


def _lines(body: bytes) -> Iterator[tuple[int | None, bytes, bytes]]:
    """Each line as its number, what follows it, and itself; None when it does not begin with a message-number."""
    for line in body.replace(b"\r\n", b"\n").split(b"\n"):
        words = line.strip(b" \t\r")
        if not words:
            continue
        found = _NUMBER.match(words)
        if found and 0 < int(found[1]) <= _LARGEST_NUMBER:
            yield int(found[1]), words[found.end() :], line
        else:
            yield None, b"", line


def _are_sound(numbers: list[int]) -> bool:
    count = len(numbers)
    if numbers == list(range(1, count + 1)):  # the usual listing
        return True
    return min(numbers) > 0 and max(numbers) <= _LARGEST_NUMBER and len(set(numbers)) == count


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit()
