"""POP3 servers that scripts/install-test-servers unpacked, each run in a root directory of its own.

Debian's packages of them exclude one another, and they know system users only. So each has a private copy of what
was unpacked, with its own /etc/passwd, and runs confined to it (chroot): the machine is not changed, and nobody on it
can log in by it. That takes root.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import ClassVar, Protocol, Self

from tests.servers.inetd import Inetd
from tests.servers.ports import LOOPBACK, greeting
from tests.servers.processes import (
    Account,
    ServerFailed,
    ServerMissing,
    private_directory,
    remove_directory,
    tail,
)

PASSWORD = "pass word"
# `openssl passwd -6 'pass word'`: Python has no crypt(3) any more.
PASSWORD_HASH = (
    "$6$maildelta$6PraI0mPjICyBx7qxujAhPysndV0ZYKWbiBxvdYuLx/s/GXV3Ra6kVdM16Aq3fhMCgOGZkjvpcMPGvrqaQgO11"
)
_CAP_SYS_CHROOT = 18
_PAM = "auth required pam_unix.so nodelay\naccount required pam_permit.so\nsession required pam_permit.so\n"


class Mail(Protocol):
    """What a server keeps for one user, behind the server's back: a maildir or an mbox."""

    def deliver(self, raw: bytes) -> str: ...
    def deliver_many(self, messages: Iterable[bytes]) -> list[str]: ...
    def remove(self, *names: str) -> None: ...
    def messages(self) -> dict[str, bytes]: ...
    def __len__(self) -> int: ...


class Listener(Protocol):
    """Listens from its making on, on a port of loopback, until it is stopped."""

    @property
    def port(self) -> int: ...
    def stop(self) -> None: ...


@dataclass(frozen=True)
class UnpackedMaildrop:
    """One user of an unpacked server."""

    username: str
    password: str
    mail: Mail


class Unpacked:
    """A running server. Made by `start` of a subclass, which says what is run; ended at the end of its block."""

    host = LOOPBACK
    name: ClassVar[str]
    """Of its directory among those that were unpacked."""
    command: ClassVar[Sequence[str]]
    """What runs for each connection: paths in the server's own root directory."""
    environment: ClassVar[Mapping[str, str]] = {}
    directories: ClassVar[Sequence[str]] = ()
    """What the server expects to be there, in its own root directory."""
    files: ClassVar[Mapping[str, str]] = {}
    """Its configuration: path in its own root directory to text."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "root"
        self.log_file = directory / "log"
        self._user_ids = count(20_001)
        self._furnish()
        self._listener = self.listens()
        self.port = self._listener.port

    @classmethod
    @contextmanager
    def start(cls) -> Iterator[Self]:
        """Runs the server for the block. Raises ServerMissing, ServerFailed."""
        unpacked = _unpacked(cls.name)
        directory = private_directory(f"md-{cls.name}-")
        try:
            shutil.copytree(unpacked, directory / "root", symlinks=True)
            server = cls(directory)
            try:
                with server.running():
                    if not greeting(server.port, timeout_seconds=10).startswith(b"+OK"):
                        raise ServerFailed(f"{cls.name} does not greet\n{tail([server.log_file])}")
                    yield server
            finally:
                server._listener.stop()
        finally:
            remove_directory(directory)

    def add_user(self, username: str) -> UnpackedMaildrop:
        """A new user with an empty maildrop and the one password of all."""
        user_id = next(self._user_ids)
        home = f"/home/{username}"
        with (self.root / "etc/passwd").open("a") as passwd:
            passwd.write(f"{username}:{PASSWORD_HASH}:{user_id}:{user_id}::{home}:/bin/false\n")
        owner = Account(username, user_id, user_id)
        (self.root / home[1:]).mkdir(parents=True)
        os.chown(self.root / home[1:], user_id, user_id)
        return UnpackedMaildrop(username, PASSWORD, self.mail_of(username, owner))

    def listens(self) -> Listener:
        """Who takes the connections: a process for each."""
        return Inetd(self.inside(*self.command), log=self.log_file, environment=self.environment)

    def mail_of(self, username: str, owner: Account) -> Mail:
        """Where the server looks for a user's mail."""
        raise NotImplementedError

    @contextmanager
    def running(self) -> Iterator[None]:
        """What must run beside it, for the block."""
        yield

    def inside(self, *command: str) -> list[str]:
        """A command that runs in the server's own root directory."""
        return ["/usr/sbin/chroot", str(self.root), *command]

    @property
    def log(self) -> str:
        """All that it has written so far."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def _furnish(self) -> None:
        for directory in ("dev", "etc/pam.d", "home", "tmp", *self.directories):
            (self.root / directory).mkdir(parents=True, exist_ok=True)
        for shared in ("tmp", "var/mail"):
            (self.root / shared).mkdir(parents=True, exist_ok=True)
            (self.root / shared).chmod(0o1777)
        # A file will do: a real device would not work where the temporary directory is mounted without devices.
        (self.root / "dev/null").touch()
        (self.root / "dev/null").chmod(0o666)
        files = {
            "etc/passwd": "root:x:0:0:root:/root:/bin/false\npopa3d:x:101:101::/var/lib/popa3d:/bin/false\n",
            "etc/group": "root:x:0:\nmail:x:8:\npopa3d:x:101:\n",
            "etc/pam.d/pop3": _PAM,
            "etc/pam.d/popa3d": _PAM,
            **self.files,
        }
        for path, text in files.items():
            (self.root / path).write_text(text)


def servers_directory() -> Path:
    """Where scripts/install-test-servers unpacks the servers; it computes the same path."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("MAILDELTA_POP3_SERVERS") or Path(cache) / "maildelta" / "pop3-servers")


def _unpacked(name: str) -> Path:
    directory = servers_directory() / name
    if not directory.exists():
        raise ServerMissing(f"{name} is not unpacked: `make test` as root does it")
    if not _may_chroot():
        raise ServerMissing(f"{name} runs in a root directory of its own (chroot), which takes root")
    return directory


def _may_chroot() -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_SYS_CHROOT & 1)
    return False
