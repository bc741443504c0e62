"""An mbox that tests fill and empty behind the mail server's back, as a delivery agent does."""

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import BinaryIO

from tests.servers.processes import Account

_FROM_LINE = re.compile(rb"^From (\S+@delivery\.test) [^\n]*\n", re.MULTILINE)
_TO_ESCAPE = re.compile(rb"^From ", re.MULTILINE)


class Mbox:
    """One user's mbox. A message's name stands in its From line, which servers leave as it is."""

    _serials = count(1)

    def __init__(self, path: Path, *, owner: Account) -> None:
        """Makes the file, empty, owned by `owner`."""
        self.path = path
        path.touch(mode=0o600)
        os.chown(path, owner.uid, owner.gid)

    def deliver(self, raw: bytes) -> str:
        """Appends a message: lines end with LF, a `From ` at the start of one is quoted. Returns its name."""
        return self.deliver_many([raw])[0]

    def deliver_many(self, messages: Iterable[bytes]) -> list[str]:
        """Delivers all in one go. Returns their names."""
        new = [(f"m{next(self._serials)}@delivery.test", raw) for raw in messages]
        with self._locked() as file:
            file.seek(0, os.SEEK_END)
            file.write(b"".join(_entry(name, _stored(raw)) for name, raw in new))
        return [name for name, _raw in new]

    def remove(self, *names: str) -> None:
        """Takes messages away behind the server's back. Raises KeyError for a name that is not there."""
        with self._locked() as file:
            kept = _messages(file.read())
            for name in names:
                del kept[name]
            file.seek(0)
            file.truncate()
            file.write(b"".join(_entry(name, content) for name, content in kept.items()))

    def messages(self) -> dict[str, bytes]:
        """Name to the octets in the file, in its order, without the empty line that ends each."""
        return _messages(self.path.read_bytes())

    def __len__(self) -> int:
        return len(self.messages())

    @contextlib.contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        """The file, under both locks that servers know: a file beside it, and the kernel's."""
        beside = self.path.with_name(f"{self.path.name}.lock")
        deadline = time.monotonic() + 10
        while True:
            try:
                os.close(os.open(beside, os.O_CREAT | os.O_EXCL))
                break
            except FileExistsError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        try:
            with self.path.open("rb+") as file:
                fcntl.lockf(file, fcntl.LOCK_EX)
                yield file
            # popa3d waits until the last change is a second old, or it could not see the next one.
            past = time.time() - 5
            os.utime(self.path, (past, past))
        finally:
            beside.unlink()


def _messages(content: bytes) -> dict[str, bytes]:
    parts = _FROM_LINE.split(content)[1:]
    return {
        name.decode(): octets.removesuffix(b"\n")
        for name, octets in zip(parts[::2], parts[1::2], strict=True)
    }


def _stored(raw: bytes) -> bytes:
    lines = _TO_ESCAPE.sub(b">From ", raw.replace(b"\r\n", b"\n"))
    return lines if lines.endswith(b"\n") else lines + b"\n"


def _entry(name: str, content: bytes) -> bytes:
    return f"From {name} Mon Jan  5 08:00:00 2026\n".encode() + content + b"\n"
