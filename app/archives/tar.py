"""PURE  tar: ustar, with pax records where a number needs them (POSIX.1-2001), written and read as it comes.

Read are regular files, also where GNU's tar wrote the header. Names say which files are mail, as in a Maildir, and
nothing else: no file is ever made under one of them. Links, devices and archives within it are passed over.
"""

import re
import tarfile
from collections.abc import Iterator
from typing import Final

from app.archives.events import ArchiveRefused, Event, Mark, Passed

_BLOCK: Final = 512
_MOST_RECORDS: Final = 64 * 1024  # octets of extended headers: ours have none, and names are not that long
_PAX_RECORD: Final = re.compile(rb"([0-9]{1,9}) ([^=\n]+)=")  # a key is as long as it likes
_REGULAR: Final = frozenset((b"0"[0], 0, b"7"[0]))  # 0: of tars before POSIX; 7: "contiguous"
_WITHOUT_CONTENT: Final = frozenset(b"123456")  # whatever their size says: links, devices, folders, pipes
_LONG_NAME, _LONG_LINK, _PAX, _PAX_OF_ALL = b"L"[0], b"K"[0], b"x"[0], b"g"[0]
# No message's name begins with a dot (maildir(5)); macOS writes "._x" beside each file x.
_OF_MAILDIR: Final = re.compile(r"(?:^|/)(?:cur|new)/[^./][^/]*$")

END: Final = bytes(2 * _BLOCK)


def header(name: str, octets: int, *, mtime: int, is_folder: bool = False) -> bytes:
    """The header of an entry."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime = octets, mtime
    info.mode, info.type = (0o700, tarfile.DIRTYPE) if is_folder else (0o600, tarfile.REGTYPE)
    return info.tobuf(tarfile.PAX_FORMAT)


def padding(octets: int) -> bytes:
    """What fills the last block of an entry."""
    return bytes(-octets % _BLOCK)


class TarReader:
    """Reads the messages of a Maildir: the files in ``cur`` and ``new``."""

    def __init__(self) -> None:
        self._rest = b""
        self._left = 0  # octets of the entry that are still to come
        self._padding = 0
        self._is_mail = False
        self._records: bytearray | None = None  # the content of an extended header that is coming
        self._kind = 0
        self._name: bytes | None = None  # by an extended header, of the next entry
        self._octets: int | None = None
        self._zeros = 0
        self._has_begun = False

    def feed(self, block: bytes) -> Iterator[Event]:
        """Raises ArchiveRefused for what is no tar."""
        data, at = self._rest + block, 0
        while at < len(data) and self._zeros < 2:
            if self._left:
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                yield from self._content(piece)
            elif self._padding:
                passed = min(self._padding, len(data) - at)
                at, self._padding = at + passed, self._padding - passed
            elif len(data) - at < _BLOCK:
                break
            else:
                yield from self._header(data[at : at + _BLOCK])
                at += _BLOCK
        self._rest = b"" if self._zeros == 2 else data[at:]

    def close(self) -> Iterator[Event]:
        """Raises ArchiveRefused where an entry was cut off. Blocks of zeros at the end may be missing."""
        if self._left or self._rest or not self._has_begun:
            if self._is_mail:
                yield Mark.BROKEN
            raise ArchiveRefused("the tar ends within an entry")

    def _content(self, piece: bytes) -> Iterator[Event]:
        if self._records is not None:
            self._records += piece
            if not self._left:
                self._extend(bytes(self._records))
        elif self._is_mail:
            yield piece
            if not self._left:
                yield Mark.END

    def _header(self, block: bytes) -> Iterator[Event]:
        if not block.strip(b"\0"):
            self._zeros, self._has_begun = self._zeros + 1, True
            return
        self._zeros, self._has_begun = 0, True
        if not _is_header(block):
            raise ArchiveRefused("the file is no tar, or is damaged: a header's sum is wrong")
        octets = _number(block[124:136]) if self._octets is None else self._octets
        self._kind, self._records = block[156], None
        if self._kind in {_LONG_NAME, _LONG_LINK, _PAX, _PAX_OF_ALL}:
            octets = _number(block[124:136])
            if octets > _MOST_RECORDS:
                raise ArchiveRefused("the tar has an extended header that is too long")
            self._left, self._padding, self._records, self._is_mail = (
                octets,
                -octets % _BLOCK,
                bytearray(),
                False,
            )
            return
        name, self._name, self._octets = self._name or _name(block), None, None
        self._left, self._padding = octets, -octets % _BLOCK
        self._is_mail = self._kind in _REGULAR and bool(_OF_MAILDIR.search(name.decode("utf-8", "replace")))
        if self._is_mail:
            yield Mark.BEGIN
            if not octets:
                yield Mark.END
        elif self._kind in _REGULAR:
            yield Passed("it stands in neither cur nor new, or its name begins with a dot")
        else:
            if self._kind in _WITHOUT_CONTENT:
                self._left = self._padding = 0
            if self._kind != tarfile.DIRTYPE[0]:
                yield Passed("it is no file")

    def _extend(self, records: bytes) -> None:
        if self._kind == _LONG_NAME:
            self._name = records.rstrip(b"\0")
        elif self._kind == _PAX:
            at = 0
            while found := _PAX_RECORD.match(records, at):
                end = at + int(found[1])
                value = records[found.end() : end - 1]
                if end <= found.end() or end > len(records):
                    raise ArchiveRefused("the tar has an extended header that is none")
                if found[2] == b"path":  # an empty value: the header's own counts (POSIX.1-2001, pax)
                    self._name = value or None
                elif found[2] == b"size":
                    self._octets = _decimal(value) if value else None
                at = end
            if records[at:].strip(b"\0"):
                raise ArchiveRefused("the tar has an extended header that is none")


def _is_header(block: bytes) -> bool:
    told = _octal(block[148:156])
    return told is not None and told == sum(block[:148]) + sum(block[156:]) + 8 * 0x20


def _name(block: bytes) -> bytes:
    name = block[:100].partition(b"\0")[0]
    prefix = block[345:500].partition(b"\0")[0] if block[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _number(field: bytes) -> int:
    if field[0] & 0x80:  # base 256, as GNU writes what octal digits have no room for
        number = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        if number < 1 << 63:
            return number
    elif (told := _octal(field)) is not None:
        return told
    raise ArchiveRefused("the tar has a header without a size")


def _octal(field: bytes) -> int | None:
    digits = field.strip(b" \0")
    if not re.fullmatch(rb"[0-7]*", digits):
        return None
    return int(digits or b"0", 8)


def _decimal(value: bytes) -> int:
    if not re.fullmatch(rb"[0-9]{1,18}", value):
        raise ArchiveRefused("the tar has an entry of no size")
    return int(value)
