"""zip, with zip64 where numbers need it (PKWARE's APPNOTE.TXT 6.3): written as it goes, read from its own table.

Written, each entry is deflated and has its sizes behind it; the table at the end waits in a file, so that a million
entries take no memory. Read, the table is walked entry by entry, and neither held nor believed: what an entry unpacks
to is counted as it comes. Names say which entries are mail (``.eml``), and nothing else: no file ever gets one.
"""

import struct
import zlib
from collections.abc import Iterator
from datetime import datetime
from typing import IO, Final

from app.archives.events import ArchiveRefused, Event, Mark, Passed

_LOCAL: Final = struct.Struct("<IHHHHHIIIHH")
_CENTRAL: Final = struct.Struct("<IHHHHHHIIIHHHHHII")
_DESCRIPTOR: Final = struct.Struct("<IIII")
_DESCRIPTOR_64: Final = struct.Struct("<IIQQ")
_END: Final = struct.Struct("<IHHHHIIH")
_END_64: Final = struct.Struct("<IQHHIIQQQQ")
_LOCATOR_64: Final = struct.Struct("<IIQI")
_LOCAL_SIGN, _CENTRAL_SIGN, _DESCRIPTOR_SIGN = 0x04034B50, 0x02014B50, 0x08074B50
_END_SIGN, _END_64_SIGN, _LOCATOR_64_SIGN = 0x06054B50, 0x06064B50, 0x07064B50
_STORED, _DEFLATED = 0, 8
_SIZES_BEHIND, _ENCRYPTED, _UTF_8 = 0x0008, 0x2041, 0x0800  # general purpose flags
_MOST_32, _MOST_16 = 0xFFFFFFFF, 0xFFFF
_LARGE: Final = (
    0xE0000000  # octets from which an entry's sizes are written in 64 bits: deflating may add some
)
_READ_AT_ONCE: Final = 256 * 1024
_MOST_COMMENT: Final = _MOST_16 + _END.size
_LEVEL: Final = 1


class ZipWriter:
    """Writes entries one after the other. ``table``: a file where the table waits; ``most_16``: entries from which they
    are counted in 64 bits.
    """

    def __init__(self, table: IO[bytes], *, most_16: int = _MOST_16) -> None:
        self._most_16 = most_16
        self._table = table
        self._at = 0
        self._entries = 0
        self._entry: _Writing | None = None

    def begin(self, name: str, *, when: datetime, octets: int) -> bytes:
        """The beginning of an entry of so many octets. Names are ASCII."""
        assert self._entry is None
        self._entry = _Writing(name.encode("ascii"), when, self._at, is_large=octets >= _LARGE)
        return self._counted(self._entry.local())

    def feed(self, block: bytes) -> bytes:
        """The block, packed."""
        assert self._entry is not None
        return self._counted(self._entry.packed(block))

    def end(self) -> bytes:
        """The end of the entry."""
        assert self._entry is not None
        entry, self._entry = self._entry, None
        rest = self._counted(entry.rest())
        self._table.write(entry.central())
        self._entries += 1
        return rest

    def close(self) -> Iterator[bytes]:
        """The table and the end of the file."""
        begin, octets = self._at, self._table.tell()
        self._table.seek(0)
        while block := self._table.read(_READ_AT_ONCE):
            yield self._counted(block)
        if self._entries >= self._most_16 or begin >= _MOST_32 or octets >= _MOST_32:
            at = self._at
            counts = (self._entries, self._entries, octets, begin)
            yield _END_64.pack(_END_64_SIGN, _END_64.size - 12, 45, 45, 0, 0, *counts)
            yield _LOCATOR_64.pack(_LOCATOR_64_SIGN, 0, at, 1)
        entries = self._entries if self._entries < self._most_16 else _MOST_16
        yield _END.pack(_END_SIGN, 0, 0, entries, entries, min(octets, _MOST_32), min(begin, _MOST_32), 0)

    def _counted(self, written: bytes) -> bytes:
        self._at += len(written)
        return written


class _Writing:
    """An entry that is being written."""

    def __init__(self, name: bytes, when: datetime, at: int, *, is_large: bool) -> None:
        self._name, self._at, self._is_large = name, at, is_large
        year = min(max(when.year, 1980), 2107)
        self._date = (year - 1980) << 9 | when.month << 5 | when.day
        self._time = when.hour << 11 | when.minute << 5 | when.second // 2
        self._deflater = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._crc = self._octets = self._packed = 0

    def local(self) -> bytes:
        extra = struct.pack("<HHQQ", 1, 16, 0, 0) if self._is_large else b""
        size = _MOST_32 if self._is_large else 0
        head = _LOCAL.pack(
            _LOCAL_SIGN, 45 if self._is_large else 20, _SIZES_BEHIND, _DEFLATED, self._time, self._date, 0, size, size,
            len(self._name), len(extra),
        )  # fmt: skip
        return head + self._name + extra

    def packed(self, block: bytes) -> bytes:
        self._crc = zlib.crc32(block, self._crc)
        self._octets += len(block)
        packed = self._deflater.compress(block)
        self._packed += len(packed)
        return packed

    def rest(self) -> bytes:
        rest = self._deflater.flush()
        self._packed += len(rest)
        form = _DESCRIPTOR_64 if self._is_large else _DESCRIPTOR
        return rest + form.pack(_DESCRIPTOR_SIGN, self._crc, self._packed, self._octets)

    def central(self) -> bytes:
        facts = (self._octets, self._packed, self._at)
        beyond = [fact for fact in facts if fact >= _MOST_32]
        extra = struct.pack(f"<HH{len(beyond)}Q", 1, 8 * len(beyond), *beyond) if beyond else b""
        octets, packed, at = (min(fact, _MOST_32) for fact in facts)
        version = 45 if beyond or self._is_large else 20
        head = _CENTRAL.pack(
            _CENTRAL_SIGN, 3 << 8 | version, version, _SIZES_BEHIND, _DEFLATED, self._time, self._date, self._crc,
            packed, octets, len(self._name), len(extra), 0, 0, 0, 0o100600 << 16, at,
        )  # fmt: skip
        return head + self._name + extra


def read_zip(file: IO[bytes], *, most_entries: int) -> Iterator[Event]:
    """The messages of a file that is here whole: its entries ``*.eml``. Raises ArchiveRefused.

    To be read in a thread. An entry whose octets are not those that the table says is broken, and the next one is read.
    """
    octets = file.seek(0, 2)
    entries, at, end = _table_of(file, octets)
    taken = 0
    if entries > most_entries:
        raise ArchiveRefused(f"the zip has {entries} entries, and {most_entries} are taken at once")
    for _ in range(entries):
        head = _at(file, at, _CENTRAL.size)
        if len(head) < _CENTRAL.size or at + _CENTRAL.size > end:
            raise ArchiveRefused("the zip's table ends too soon")
        sign, _, _, flags, method, _, _, crc, packed, size, names, extras, comments, _, _, _, offset = (
            _CENTRAL.unpack(head)
        )
        if sign != _CENTRAL_SIGN:
            raise ArchiveRefused("the zip's table is damaged")
        name, extra = file.read(names), file.read(extras)
        at += _CENTRAL.size + names + extras + comments
        size, packed, offset = _in_64(extra, size, packed, offset)
        if not name.lower().endswith(b".eml"):
            yield Mark.FOLDER if name.endswith(b"/") else Passed("its name does not end in .eml")
        elif _is_beside_a_file(name):
            yield Passed("it is what macOS keeps beside a file")
        elif flags & _ENCRYPTED or method not in {_STORED, _DEFLATED}:
            yield Passed("it is encrypted, or packed otherwise than stored or deflated")
        elif offset + _LOCAL.size + packed > octets:
            yield Passed("it is not where the table says")
        else:
            taken += packed
            if taken > octets:  # else a small file unpacks to as much as it likes
                raise ArchiveRefused("the zip's entries lie upon each other")
            yield from _entry(file, offset, packed, size, crc, is_deflated=method == _DEFLATED)


def _table_of(file: IO[bytes], octets: int) -> tuple[int, int, int]:
    """How many entries the table has, where it begins, and where it has ended."""
    begin = max(0, octets - _MOST_COMMENT)
    tail = _at(file, begin, _MOST_COMMENT)
    if (place := _place_of_end(tail)) < 0:
        raise ArchiveRefused("the file is no zip, or it was cut off: its table is not there")
    _, disk, of, _, entries, size, at, _ = _END.unpack_from(tail, place)
    locator = _at(file, begin + place - _LOCATOR_64.size, _LOCATOR_64.size) if begin + place >= 20 else b""
    if len(locator) == 20 and locator.startswith(_LOCATOR_64_SIGN.to_bytes(4, "little")):
        record = _at(file, min(_LOCATOR_64.unpack(locator)[2], octets), _END_64.size)
        if len(record) == _END_64.size and record.startswith(_END_64_SIGN.to_bytes(4, "little")):
            *_, entries, size, at = _END_64.unpack(record)
    if disk != 0 or of != 0 or at + size > octets or entries * _CENTRAL.size > size:
        raise ArchiveRefused("the zip's table is damaged, or of several files")
    return entries, at, at + size


def _is_beside_a_file(name: bytes) -> bool:
    """Whether it is an AppleDouble file (RFC 1740 §5): macOS puts ``__MACOSX/._x`` into its zips beside each ``x``."""
    folder, _, last = name.rpartition(b"/")
    return last.startswith(b"._") or b"__MACOSX" in folder.split(b"/")


def _place_of_end(tail: bytes) -> int:
    """Where the last record begins (§4.3.16); -1: nowhere. Its sign may be in its comment, which ends with the file.

    In a file that goes on behind its comment it is the last place with the sign.
    """
    sign = _END_SIGN.to_bytes(4, "little")
    last = place = tail.rfind(sign, 0, max(0, len(tail) - _END.size + 4))
    while place >= 0:
        if place + _END.size + _END.unpack_from(tail, place)[-1] == len(tail):
            return place
        place = tail.rfind(sign, 0, place)
    return last


def _in_64(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """The same numbers; those that had no room from the extra field (§4.5.3)."""
    at, wide = 0, b""
    while at + 4 <= len(extra):
        kind, octets = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            wide = extra[at + 4 : at + 4 + octets]
            break
        at += 4 + octets
    found = []
    for number in (size, packed, offset):
        is_there = number == _MOST_32 and len(wide) >= 8
        found.append(int.from_bytes(wide[:8], "little") if is_there else number)
        wide = wide[8:] if is_there else wide
    return found[0], found[1], found[2]


def _entry(
    file: IO[bytes], offset: int, packed: int, size: int, crc: int, *, is_deflated: bool
) -> Iterator[Event]:
    head = _at(file, offset, _LOCAL.size)
    if len(head) < _LOCAL.size or not head.startswith(_LOCAL_SIGN.to_bytes(4, "little")):
        yield Passed("it is not where the table says")
        return
    names, extras = _LOCAL.unpack(head)[-2:]
    yield Mark.BEGIN
    came = found = 0
    try:
        for piece in _unpacked(file, offset + _LOCAL.size + names + extras, packed, is_deflated=is_deflated):
            came, found = came + len(piece), zlib.crc32(piece, found)
            yield piece  # whoever takes it counts it
            if came > size:
                break  # a bomb, or damaged
    except zlib.error:
        came = -1
    yield Mark.END if (came, found) == (size, crc) else Mark.BROKEN


def _unpacked(file: IO[bytes], at: int, packed: int, *, is_deflated: bool) -> Iterator[bytes]:
    """In pieces of a bounded length. Whoever takes them may seek meanwhile."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS) if is_deflated else None
    while packed > 0 and (block := _at(file, at, min(packed, _READ_AT_ONCE))):
        at, packed = at + len(block), packed - len(block)
        if inflater is None:
            yield block
            continue
        while block and not inflater.eof:
            yield inflater.decompress(block, _READ_AT_ONCE)
            block = inflater.unconsumed_tail
    if inflater is not None:
        yield inflater.flush(_READ_AT_ONCE) if not inflater.eof else b""


def _at(file: IO[bytes], at: int, octets: int) -> bytes:
    file.seek(at)
    return file.read(octets)
