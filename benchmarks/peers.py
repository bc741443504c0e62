"""The clients beside Maildelta: each with its own state, each run as a whole process, start included."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.clients import Account, Client, Cost, Opened
from benchmarks.processes import run_to_end
from tests.servers.processes import unprivileged_account

_HERE = Path(__file__).parent


def peers_directory() -> Path:
    """Where scripts/install-bench-peers puts what comes from PyPI; it computes the same path."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("MAILDELTA_BENCH_PEERS") or Path(cache) / "maildelta" / "bench-peers")


def peers() -> list[Client]:
    """All of them, the floor last."""
    return [Mpop(), Fetchmail(), Getmail(), PoplibLoop(), Floor()]


class Mpop:
    """mpop to a maildir: pipelines, syncs each file to disk, parses nothing."""

    name = "mpop"

    def missing(self) -> str | None:
        return _missing_program("mpop")

    def version(self) -> str:
        return _first_line("mpop", "--version").replace("version ", "")

    @contextmanager
    def opened(self, account: Account, place: Path) -> Iterator[Opened]:
        maildir = _maildir(place / "maildir")
        rc = _private_file(
            place / "mpoprc",
            f"account default\nhost {account.host}\nport {account.port}\nuser {account.username}\n"
            f"password {account.password}\nauth user\ntls off\nkeep on\npipelining auto\n"
            f"delivery maildir {maildir}\nuidls_file {place / 'uidls'}\n",
        )
        yield _MaildirClient(["mpop", "--quiet", f"--file={rc}"], maildir, place / "log")


class Getmail:
    """getmail6 to a maildir."""

    name = "getmail6"
    _program = peers_directory() / "bin" / "getmail"

    def missing(self) -> str | None:
        return None if self._program.exists() else "getmail6 is not installed (scripts/install-bench-peers)"

    def version(self) -> str:
        return _first_line(str(self._program), "--version").replace("getmail ", "getmail6 ")

    @contextmanager
    def opened(self, account: Account, place: Path) -> Iterator[Opened]:
        maildir = _maildir(place / "maildir")
        rc = _private_file(
            place / "getmailrc",
            f"[retriever]\ntype = SimplePOP3Retriever\nserver = {account.host}\nport = {account.port}\n"
            f"username = {account.username}\npassword = {account.password}\n"
            f"[destination]\ntype = Maildir\npath = {maildir}/\nuser = {_given_to_a_user(maildir)}\n"
            "[options]\nread_all = false\ndelete = false\nverbose = 0\n",
        )
        command = [str(self._program), f"--getmaildir={place}", f"--rcfile={rc}"]
        yield _MaildirClient(command, maildir, place / "log")


class Fetchmail:
    """fetchmail, each message piped to `cat` that writes it into a maildir: the cheapest delivery that keeps it."""

    name = "fetchmail"

    def missing(self) -> str | None:
        return _missing_program("fetchmail")

    def version(self) -> str:
        words = _first_line("fetchmail", "--version").split()
        return f"fetchmail {words[words.index('release') + 1].split('+')[0]}"

    @contextmanager
    def opened(self, account: Account, place: Path) -> Iterator[Opened]:
        maildir = _maildir(place / "maildir")
        # `exec` spares a process per message. Process ids come again after some ten thousand, so a file may
        # replace an older one in a large maildrop; what was taken is therefore counted in fetchmail's own list.
        deliver = f"exec cat >{maildir}/new/$$"
        rc = _private_file(
            place / "fetchmailrc",
            f'poll {account.host} protocol POP3 service {account.port} uidl\n  user "{account.username}" '
            f'password "{account.password}" keep sslproto "" mda "{deliver}"\n',
        )
        command = ["fetchmail", "--silent", f"--fetchmailrc={rc}", f"--idfile={place / 'ids'}"]
        command += [f"--pidfile={place / 'pid'}", "--nosyslog"]
        yield _FetchmailClient(command, place)


class PoplibLoop:
    """Python's poplib in a loop, raw messages into SQLite, a commit for every 200."""

    name = "poplib"

    def missing(self) -> str | None:
        return None

    def version(self) -> str:
        return f"poplib of Python {sys.version.split()[0]}"

    @contextmanager
    def opened(self, account: Account, place: Path) -> Iterator[Opened]:
        database = place / "messages.sqlite"
        command = [sys.executable, str(_HERE / "poplib_loop.py"), *_as_arguments(account), str(database)]
        yield _SqliteClient(command, database, place / "log")


class Floor:
    """A bare socket that throws everything away."""

    name = "floor"

    def missing(self) -> str | None:
        return None

    def version(self) -> str:
        return "floor: a bare socket in Python, pipelined, nothing kept"

    @contextmanager
    def opened(self, account: Account, place: Path) -> Iterator[Opened]:
        yield _FloorClient(account, place / "log")


@dataclass
class _MaildirClient:
    command: list[str]
    maildir: Path
    log: Path

    def sync(self) -> Cost:
        return run_to_end(self.command, log=self.log)

    def kept(self) -> int:
        return sum(1 for folder in ("new", "cur") for _ in (self.maildir / folder).iterdir())


@dataclass
class _FetchmailClient:
    command: list[str]
    place: Path

    def sync(self) -> Cost:
        environment = os.environ | {"HOME": str(self.place), "FETCHMAILHOME": str(self.place), "LC_ALL": "C"}
        # 1: there was no new mail (fetchmail(1), EXIT CODES)
        return run_to_end(self.command, log=self.place / "log", environment=environment, ok=(0, 1))

    def kept(self) -> int:
        ids = self.place / "ids"
        return len(ids.read_text().splitlines()) if ids.exists() else 0


@dataclass
class _SqliteClient:
    command: list[str]
    database: Path
    log: Path

    def sync(self) -> Cost:
        return run_to_end(self.command, log=self.log)

    def kept(self) -> int:
        with closing(sqlite3.connect(self.database)) as db:
            count: int = db.execute("SELECT count(*) FROM messages").fetchone()[0]
        return count


@dataclass
class _FloorClient:
    account: Account
    log: Path
    messages: int = 0

    def sync(self) -> Cost:
        command = [
            sys.executable,
            str(_HERE / "floor.py"),
            *_as_arguments(self.account),
            str(self.messages + 1),
        ]
        cost = run_to_end(command, log=self.log)
        said = json.loads(self.log.read_text())
        self.messages += said["messages"]
        return replace(cost, seconds=said["seconds"])

    def kept(self) -> int:
        return self.messages


def _as_arguments(account: Account) -> list[str]:
    return [account.host, str(account.port), account.username, account.password]


def _maildir(path: Path) -> Path:
    for folder in ("cur", "new", "tmp"):
        (path / folder).mkdir(parents=True)
    return path


def _given_to_a_user(maildir: Path) -> str:
    """Who may deliver: ourselves, or, for getmail refuses to deliver as root, somebody to whom it then belongs."""
    account = unprivileged_account("nobody", "mail")
    if not account.is_ours:
        for path in (maildir, *maildir.iterdir()):
            os.chown(path, account.uid, account.gid)
    return account.name


def _private_file(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def _missing_program(name: str) -> str | None:
    return None if shutil.which(name) else f"{name} is not installed (scripts/install-bench-peers)"


def _first_line(*command: str) -> str:
    printed = subprocess.run(command, capture_output=True, text=True, check=False)
    return (printed.stdout or printed.stderr).strip().splitlines()[0]
