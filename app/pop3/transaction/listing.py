"""PURE  UIDL and LIST answers -> a listing, read in slices of some thousand lines: whoever reads a long one lets others
to the interpreter between."""

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Generator, Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import islice
from operator import lt
from typing import Final, TypeVar

from app.pop3.errors import LimitExceeded, ProtocolError
from app.pop3.lines import SLICE_LINES, Body, Columns, Line, Lines, Listing, RawListing, Stat

Result = TypeVar("Result")
Sliced = Generator[None, None, Result]
"""Work that gives way after each slice; it returns its result."""

_LARGEST_NUMBER: Final = 2**31 - 1
_LONGEST_ID: Final = 4096  # octets; RFC 1939 §7 allows 70
_EXCERPT: Final = 80
_MOST_NOTED: Final = 100
_SLICE_OCTETS: Final = 64 * 1024

# Two words on every line and nothing else: then the words can be taken all at once. RFC 1939 has no other lines.
_PLAIN_UIDL = re.compile(rb"(?:[0-9]{1,10}[ \t]+\S{1,%d}[ \t]*\r?\n)*+" % _LONGEST_ID)
_PLAIN_SIZES = re.compile(rb"(?:[0-9]{1,10}[ \t]+[0-9]{1,18}[ \t]*\r?\n)*+")
_NUMBER = re.compile(rb"([0-9]{1,10})(?:[ \t]+|$)")
_SIZE = re.compile(rb"([0-9]{1,18})(?:[ \t]|$)")


def lacks_ids(raw: RawListing, listing: Listing) -> bool:
    """Whether LIST shows messages for which UIDL gives no id, or a blank one.

    Not where lines of UIDL cannot be read: they may be those.
    """
    return not listing.malformed and raw.sizes.count(b"\n") > len(listing.entries)


def without_ids(raw: RawListing, listing: Listing) -> dict[int, int | None]:
    """Those messages, by number, with their octets."""
    named = {line.number for line in listing.entries}
    return {number: octets for number, octets in sizes_by_number(raw.sizes).items() if number not in named}


def with_ids(listing: Listing, lines: Sequence[Line]) -> Listing:
    """The listing with further lines, all by their numbers."""
    return Listing(
        listing.stat,
        Lines.of(sorted([*listing.entries, *lines], key=lambda line: line.number)),
        listing.malformed,
    )


def parse_stat(text: str) -> Stat:
    """Read what stood behind +OK. Raises ProtocolError when there is no count."""
    words = text.split()
    if not words or not _is_number(words[0]) or len(words[0]) > 10:
        raise ProtocolError("STAT was answered without a count.", text)
    # The octets are a hint that nobody needs: negative ones and ones of many digits have been seen.
    has_octets = len(words) > 1 and _is_number(words[1]) and len(words[1]) < 19
    return Stat(int(words[0]), int(words[1]) if has_octets else 0)


def sizes_by_number(body: Body) -> dict[int, int | None]:
    """LIST's answer by itself: each message-number with its octets; None where it says nothing usable of them."""
    sizes: dict[int, int | None] = {}
    for number, rest, _line in _lines(body):
        if number is not None and number not in sizes:
            size = _SIZE.match(rest)
            sizes[number] = int(size[1]) if size else None
    return sizes


def parse_listing(raw: RawListing, *, most_entries: int = 2_000_000) -> Listing:
    """``parsing`` at one go: for a short listing."""
    return in_one_go(parsing(raw, most_entries=most_entries))


def in_one_go(work: Sliced[Result]) -> Result:
    """Do sliced work without giving way."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: Result = end.value
            return result


def parsing(
    raw: RawListing, *, most_entries: int = 2_000_000, slice_octets: int = _SLICE_OCTETS
) -> Sliced[Listing]:
    """Join UIDL with LIST by number. A line that cannot be read spoils that line only.

    Tolerated: runs of spaces and tabs, trailing blanks, ids of any octets and length, gaps, any order, ids that
    come twice, numbers from 0. A number that comes twice counts once. Of an id of more than 4 KiB its start and its
    digest are kept. Raises LimitExceeded.
    """
    columns, malformed = yield from _unique_ids(line_slices(raw.uidl, slice_octets), most_entries)
    yield from _join_sizes(columns, line_slices(raw.sizes, slice_octets), most_entries)
    return Listing(raw.stat, Lines(columns), tuple(malformed))


def _unique_ids(parts: Iterable[bytes], most: int) -> Sliced[tuple[Columns, list[str]]]:
    """Numbers and unique-ids, and excerpts of what could not be read."""
    columns, malformed, lines = Columns(), _Excerpts(), 0
    seen: set[int] | None = None  # only where numbers do not grow
    for octets in parts:
        lines = _counted(octets, lines, most)
        numbers, ids = _plain(octets) or _line_by_line(octets, malformed)
        if seen is None and not _is_growing(columns.numbers, numbers):
            seen = yield from _set_of(columns.numbers)
        if seen is not None:
            numbers, ids = _each_once(numbers, ids, seen, malformed)
        columns.append(numbers, ids)
        yield
    return columns, malformed.texts


def _join_sizes(columns: Columns, parts: Iterable[bytes], most: int) -> Sliced[None]:
    """Fill in the octets of each number."""
    listed, octets, lines = array("i"), array("q"), 0
    for part in parts:
        lines = _counted(part, lines, most)
        numbers, sizes = _plain_sizes(part) or _sizes_line_by_line(part)
        listed.extend(numbers)
        octets.extend(sizes)
        yield
    if listed == columns.numbers:  # the usual listing
        columns.octets = octets
        return
    yield
    is_growing = yield from _grows(listed)
    by_number: dict[int, int] = {}
    for start in range(0, 0 if is_growing else len(listed), SLICE_LINES):
        some = slice(start, start + SLICE_LINES)
        by_number.update(zip(listed[some], octets[some], strict=True))
        yield
    for start in range(0, len(columns.numbers), SLICE_LINES):
        wanted = columns.numbers[start : start + SLICE_LINES]
        if is_growing:
            some = slice(bisect_left(listed, min(wanted)), bisect_right(listed, max(wanted)))
            by_number = dict(zip(listed[some], octets[some], strict=True))
        columns.octets.extend(by_number.get(number, -1) for number in wanted)
        yield


def line_slices(body: Body, octets: int = _SLICE_OCTETS) -> Iterator[bytes]:
    """The body in parts that end with a line."""
    start = 0
    with memoryview(body) as view:
        while start < len(body):
            stop = start + octets
            line_end = body.rfind(b"\n", start, stop) if stop < len(body) else len(body) - 1
            if line_end < 0:
                line_end = body.find(b"\n", stop)
            stop = line_end + 1 or len(body)
            yield bytes(view[start:stop])
            start = stop


def _counted(octets: bytes, lines: int, most: int) -> int:
    lines += octets.count(b"\n")
    if lines > most:
        raise LimitExceeded(f"The listing has more than {most} entries.")
    return lines


class _Excerpts:
    """Lines that could not be read, the first hundred of them, cut."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def add(self, line: bytes) -> None:
        if len(self.texts) < _MOST_NOTED:
            self.texts.append(repr(line[:_EXCERPT])[1:])


def _plain(octets: bytes) -> tuple[list[int], list[bytes]] | None:
    if not _PLAIN_UIDL.fullmatch(octets):
        return None
    words = octets.split()
    numbers = list(map(int, words[0::2]))
    if not numbers or max(numbers) <= _LARGEST_NUMBER:
        return numbers, words[1::2]
    return None


def _line_by_line(octets: bytes, malformed: _Excerpts) -> tuple[list[int], list[bytes]]:
    numbers: list[int] = []
    ids: list[bytes] = []
    for number, rest, line in _lines(octets):
        if number is None:
            malformed.add(line)
        elif rest:  # else ``without_ids``
            numbers.append(number)
            ids.append(_bounded(rest))
    return numbers, ids


def _bounded(unique_id: bytes) -> bytes:
    """An id of at most 4 KiB; a longer one as its start and its digest, so that two are still told apart."""
    if len(unique_id) <= _LONGEST_ID:
        return unique_id
    return unique_id[: _LONGEST_ID - 32] + sha256(unique_id).digest()


def _plain_sizes(octets: bytes) -> tuple[list[int], list[int]] | None:
    if not _PLAIN_SIZES.fullmatch(octets):
        return None
    words = octets.split()
    numbers = list(map(int, words[0::2]))
    if numbers and max(numbers) > _LARGEST_NUMBER:
        return None
    return numbers, list(map(int, words[1::2]))


def _sizes_line_by_line(octets: bytes) -> tuple[list[int], list[int]]:
    numbers: list[int] = []
    sizes: list[int] = []
    for number, rest, _line in _lines(octets):
        if number is not None and (size := _SIZE.match(rest)):
            numbers.append(number)
            sizes.append(int(size[1]))
    return numbers, sizes


def _is_growing(before: Sequence[int], numbers: Sequence[int]) -> bool:
    """Whether each number is larger than the one before it, so that none comes twice."""
    if before and numbers and numbers[0] <= before[-1]:
        return False
    return all(map(lt, numbers, islice(numbers, 1, None)))


def _grows(numbers: "array[int]") -> Sliced[bool]:
    for start in range(0, len(numbers), SLICE_LINES):
        before = numbers[max(0, start - 1) : start]
        if not _is_growing(before, numbers[start : start + SLICE_LINES]):
            return False
        yield
    return True


def _set_of(numbers: "array[int]") -> Sliced[set[int]]:
    found: set[int] = set()
    for start in range(0, len(numbers), SLICE_LINES):
        found.update(numbers[start : start + SLICE_LINES])
        yield
    return found


def _each_once(
    numbers: Sequence[int], ids: Sequence[bytes], seen: set[int], malformed: _Excerpts
) -> tuple[list[int], list[bytes]]:
    """Those whose number comes for the first time."""
    new_numbers: list[int] = []
    new_ids: list[bytes] = []
    for number, unique_id in zip(numbers, ids, strict=True):
        if number in seen:
            malformed.add(b"%d %b" % (number, unique_id))
        else:
            seen.add(number)
            new_numbers.append(number)
            new_ids.append(unique_id)
    return new_numbers, new_ids


def _lines(body: Body) -> Iterator[tuple[int | None, bytes, bytes]]:
    """Each line as its number, what follows it, and itself; None when it does not begin with a message-number."""
    for line in bytes(body).replace(b"\r\n", b"\n").split(b"\n"):
        words = line.strip(b" \t\r")
        if not words:
            continue
        found = _NUMBER.match(words)
        if found and int(found[1]) <= _LARGEST_NUMBER:
            yield int(found[1]), words[found.end() :], line
        else:
            yield None, b"", line


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit()
