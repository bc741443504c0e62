"""How each format writes a message, and what stands around all of them. A long table of a zip waits in a file."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any, Final, Protocol

from app.archives import mbox, tar
from app.archives.zipping import ZipWriter

MANIFEST: Final = "maildelta-export.json"


class ArchiveFormat(StrEnum):
    """How mail is put into one file."""

    MBOX = "mbox"
    ZIP = "zip"
    MAILDIR_TAR = "maildir-tar"


MEDIA_TYPES: Final = {
    ArchiveFormat.MBOX: "application/mbox",
    ArchiveFormat.ZIP: "application/zip",
    ArchiveFormat.MAILDIR_TAR: "application/x-tar",
}
_HELD_OF_A_TABLE: Final = 64 * 1024  # octets of a zip's table: of a thousand messages
SUFFIXES: Final = {ArchiveFormat.MBOX: "mbox", ArchiveFormat.ZIP: "zip", ArchiveFormat.MAILDIR_TAR: "tar"}


class Writer(Protocol):
    """Writes messages one after the other; each method gives what is to be sent. Raises OSError where a temporary file
    has no room.
    """

    def open(self) -> bytes: ...

    def begin(self, message_id: str, *, when: datetime, octets: int, is_ended: bool) -> bytes:
        """A message of so many octets begins. ``is_ended``: its last octet is a LF."""
        ...

    def feed(self, block: bytes) -> bytes: ...

    def end(self) -> bytes: ...

    def close(self, manifest: dict[str, Any], *, now: datetime) -> Iterator[bytes]: ...

    def let_go(self) -> None:
        """Let go of what is held, whether the file was finished or not."""


def writer_of(archive_format: ArchiveFormat, *, now: datetime, directory: Path) -> Writer:
    """The writer of a format. ``directory``: where temporary files are."""
    match archive_format:
        case ArchiveFormat.MBOX:
            return _Mbox()
        case ArchiveFormat.ZIP:
            return _Zip(directory)
        case ArchiveFormat.MAILDIR_TAR:
            return _Maildir(now)


class _Mbox:
    """It has no place for a manifest: the postmark of the last message says how far it came."""

    def __init__(self) -> None:
        self._quoter = mbox.Quoter()
        self._is_ended = True

    def open(self) -> bytes:
        return b""

    def begin(self, message_id: str, *, when: datetime, octets: int, is_ended: bool) -> bytes:
        self._quoter, self._is_ended = mbox.Quoter(), is_ended
        return mbox.postmark(message_id, when, is_ended=is_ended)

    def feed(self, block: bytes) -> bytes:
        return self._quoter.feed(block)

    def end(self) -> bytes:
        return self._quoter.close() + mbox.behind(is_ended=self._is_ended)

    def close(self, manifest: dict[str, Any], *, now: datetime) -> Iterator[bytes]:
        yield from ()

    def let_go(self) -> None:
        pass


class _Zip:
    def __init__(self, directory: Path) -> None:
        table = SpooledTemporaryFile(_HELD_OF_A_TABLE, dir=str(directory))  # noqa: SIM115  closed with the export
        self._table = table
        self._zip = ZipWriter(table)

    def open(self) -> bytes:
        return b""

    def begin(self, message_id: str, *, when: datetime, octets: int, is_ended: bool) -> bytes:
        return self._zip.begin(f"{message_id}.eml", when=when, octets=octets)

    def feed(self, block: bytes) -> bytes:
        return self._zip.feed(block)

    def end(self) -> bytes:
        return self._zip.end()

    def close(self, manifest: dict[str, Any], *, now: datetime) -> Iterator[bytes]:
        told = _written(manifest)
        yield self._zip.begin(MANIFEST, when=now, octets=len(told)) + self._zip.feed(told) + self._zip.end()
        yield from self._zip.close()

    def let_go(self) -> None:
        with suppress(OSError):  # what it had still to write has no room
            self._table.close()


class _Maildir:
    """Names are unique as a Maildir wants them: the moment, the id, and whose."""

    def __init__(self, now: datetime) -> None:
        self._now = int(now.timestamp())
        self._octets = 0

    def open(self) -> bytes:
        folders = ("Maildir/", "Maildir/cur/", "Maildir/new/", "Maildir/tmp/")
        return b"".join(tar.header(name, 0, mtime=self._now, is_folder=True) for name in folders)

    def begin(self, message_id: str, *, when: datetime, octets: int, is_ended: bool) -> bytes:
        moment, self._octets = int(when.timestamp()), octets
        return tar.header(f"Maildir/new/{moment}.{message_id}.maildelta", octets, mtime=moment)

    def feed(self, block: bytes) -> bytes:
        return block

    def end(self) -> bytes:
        return tar.padding(self._octets)

    def close(self, manifest: dict[str, Any], *, now: datetime) -> Iterator[bytes]:
        told = _written(manifest)
        yield tar.header(f"Maildir/{MANIFEST}", len(told), mtime=self._now) + told + tar.padding(len(told))
        yield tar.END

    def let_go(self) -> None:
        pass


def _written(manifest: dict[str, Any]) -> bytes:
    return json.dumps(manifest, indent=1).encode() + b"\n"
