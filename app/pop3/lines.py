"""PURE  A listing: STAT, UIDL and LIST of a maildrop.

An honest maildrop may hold millions of messages. So a listing is kept in columns: 20 octets an entry and its unique-id.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice, pairwise
from typing import Final, NamedTuple, overload

Body = bytes | bytearray

SLICE_LINES: Final = 4096


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


class Columns:
    """Numbers, unique-ids one behind the other and where each ends, and octets (-1: none that are usable)."""

    __slots__ = ("ends", "ids", "numbers", "octets")

    def __init__(self) -> None:
        self.numbers = array("i")
        self.ids = bytearray()
        self.ends = array("Q", [0])  # of the one before, that is where each begins, and the end of all
        self.octets = array("q")

    def append(self, numbers: Sequence[int], ids: Sequence[bytes]) -> None:
        self.numbers.extend(numbers)
        self.ids += b"".join(ids)
        self.ends.extend(islice(accumulate(map(len, ids), initial=self.ends[-1]), 1, None))


class Lines(Sequence[Line]):
    """The messages of a listing. A Line is made when it is looked at: to keep a million of them costs hundreds of
    megabytes, and the garbage collector more time than reading the listing does."""

    __slots__ = ("_columns", "_range")

    def __init__(self, columns: Columns | None = None, places: range | None = None) -> None:
        self._columns = columns or Columns()
        self._range = range(len(self._columns.numbers)) if places is None else places

    @classmethod
    def of(cls, lines: Sequence[Line]) -> "Lines":
        """Some lines, made one by one."""
        columns = Columns()
        columns.append([line.number for line in lines], [line.unique_id for line in lines])
        columns.octets.extend(-1 if line.octets is None else line.octets for line in lines)
        return cls(columns)

    def __len__(self) -> int:
        return len(self._range)

    @overload
    def __getitem__(self, index: int) -> Line: ...
    @overload
    def __getitem__(self, index: slice) -> "Lines": ...
    def __getitem__(self, index: int | slice) -> "Line | Lines":
        if isinstance(index, slice):
            return Lines(self._columns, self._range[index])
        return Line(self._columns.numbers[self._range[index]], self.unique_id(index), self.octets(index))

    def unique_id(self, index: int) -> bytes:
        """That of one line; cheaper than the line."""
        columns, place = self._columns, self._range[index]
        return bytes(columns.ids[columns.ends[place] : columns.ends[place + 1]])

    def octets(self, index: int) -> int | None:
        """Those of one line, as LIST said."""
        octets = self._columns.octets[self._range[index]]
        return None if octets < 0 else octets

    def __iter__(self) -> Iterator[Line]:
        columns, places = self._columns, self._range
        for start in range(0, len(places), SLICE_LINES):
            some = places[start : start + SLICE_LINES]
            if some.step != 1:
                yield from map(self.__getitem__, range(start, start + len(some)))
                continue
            ends = columns.ends[some.start : some.stop + 1]
            ids = bytes(columns.ids[ends[0] : ends[-1]])
            yield from map(
                Line,
                columns.numbers[some.start : some.stop],
                [ids[begin - ends[0] : end - ends[0]] for begin, end in pairwise(ends)],
                [None if size < 0 else size for size in columns.octets[some.start : some.stop]],
            )

    def __repr__(self) -> str:
        return f"<{len(self)} lines>"


@dataclass(frozen=True, slots=True)
class RawListing:
    """The answers as they came, dot-unstuffed: cheap to compare with those of last time."""

    stat: Stat
    uidl: Body
    sizes: Body


@dataclass(frozen=True, slots=True)
class Listing:
    """UIDL joined with LIST, in the server's order, each message-number once; without those whose id is blank.

    ``malformed``: excerpts of lines that could not be read, the first hundred of them.
    """

    stat: Stat
    entries: Lines
    malformed: tuple[str, ...]

    @property
    def is_short(self) -> bool:
        """Fewer messages are listed than STAT said, or not all could be read: nothing follows from an absence."""
        return len(self.entries) < self.stat.count or bool(self.malformed)
