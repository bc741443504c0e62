"""A maildir that tests fill and empty behind the mail server's back, as a delivery agent does."""

import os
import re
import shutil
import time
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from tests.servers.processes import Account

_BARE_LF = re.compile(rb"(?<!\r)\n")


def as_served(raw: bytes) -> bytes:
    """What a byte-exact POP3 client must have after dot-unstuffing, when the file in the maildir holds `raw`.

    Dovecot (2.3, 2.4) ends every line with CRLF whatever the file has, and adds a CRLF when the last line has none, or
    when there is no line (LIST does not count that CRLF). All else comes as it is: NUL and 8-bit octets, a bare
    CR, dots, lines of any length, header fields that other servers hide (`Status`, `X-UID`).
    Raises ValueError for a message that begins with a dot: Dovecot does not stuff a dot that is the very first
    octet (RFC 1939 §3 asks for it), so what is served is ambiguous and, for a first line `.`, ends the reply early.
    """
    if raw.startswith(b"."):
        raise ValueError(
            "Dovecot serves a message that begins with a dot wrongly: no client can have it right"
        )
    served = _BARE_LF.sub(b"\r\n", raw)
    return served if served.endswith(b"\r\n") else served + b"\r\n"


class Maildir:
    """One user's maildir. Names are a message's file name without the flags that the server appends."""

    _serials = count(1)

    def __init__(self, path: Path, *, owner: Account) -> None:
        """Makes the directories when they are not there, owned by `owner` (who we must be, unless we are root)."""
        self.path = path
        self._owner = owner
        for directory in (path, path / "cur", path / "new", path / "tmp"):
            if not directory.exists():
                directory.mkdir(mode=0o700, parents=True)
                self._give_away(directory)

    def deliver(self, raw: bytes, *, name: str | None = None) -> str:
        """Puts the octets, as given, into `new/`, complete from the first moment. Returns the message's name.

        Dovecot numbers messages that it finds together by the order of their names: ours grow.
        """
        name = name or self._next_name(raw)
        draft = self.path / "tmp" / name
        draft.write_bytes(raw)
        self._give_away(draft)
        draft.rename(self.path / "new" / name)
        return name

    def deliver_many(self, messages: Iterable[bytes]) -> list[str]:
        """Delivers each in turn. Returns their names."""
        return [self.deliver(raw) for raw in messages]

    def remove(self, *names: str) -> None:
        """Takes messages away behind the server's back. Raises KeyError for a name that is not there."""
        files = self._files()
        for name in names:
            files[name].unlink()

    def messages(self) -> dict[str, bytes]:
        """Name to the octets in the file, in the order of the names."""
        files = self._files()
        return {name: files[name].read_bytes() for name in sorted(files)}

    def __len__(self) -> int:
        return len(self._files())

    def clear(self) -> None:
        """Takes everything away, Dovecot's indexes too: the maildrop's UIDVALIDITY and unique-ids change."""
        for entry in self.path.iterdir():
            if entry.name in {"cur", "new", "tmp"}:
                for message in entry.iterdir():
                    message.unlink()
            elif entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def _files(self) -> dict[str, Path]:
        return {
            entry.name.split(":", 1)[0]: Path(entry.path)
            for folder in ("new", "cur")
            for entry in os.scandir(self.path / folder)
        }

    def _next_name(self, raw: bytes) -> str:
        # S and W are the sizes on disk and on the wire, as Dovecot's own delivery writes them:
        # without W, the first LIST reads every message.
        wire = len(raw) + raw.count(b"\n") - raw.count(b"\r\n")
        return f"{int(time.time())}.M{next(self._serials):09d}P{os.getpid()}.test,S={len(raw)},W={wire}"

    def _give_away(self, path: Path) -> None:
        if not self._owner.is_ours:
            os.chown(path, self._owner.uid, self._owner.gid)
