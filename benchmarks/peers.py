"""The clients beside Maildelta: each with its own state, each run as a whole process, start included."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clients import (
    Account,
    Client,
    Cost,
    Opened,
    accounts_file,
    one_after_the_other,
    private_file,
)
from benchmarks.processes import run_to_end
from tests.servers.processes import unprivileged_account

ONE_BY_ONE = "mpop 1 by 1"
_HERE = Path(__file__).parent


def peers_directory() -> Path:
    """Where scripts/install-bench-peers puts what comes from PyPI; it computes the same path."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("MAILDELTA_BENCH_PEERS") or Path(cache) / "maildelta" / "bench-peers")


def peers() -> list[Client]:
    """All of them."""
    return [Mpop(), MpopOneByOne(), Fetchmail(), Getmail(), PoplibLoop()]


class Mpop:
    """mpop to a maildir: pipelines, syncs each file to disk, parses nothing. All maildrops in one process (`-a`)."""

    name = "mpop"

    def missing(self) -> str | None:
        return _missing_program("mpop")

    def version(self) -> str:
        return _first_line("mpop", "--version").replace("version ", "")

    @contextmanager
    def opened(self, accounts: Sequence[Account], place: Path) -> Iterator[Opened]:
        maildir = _maildir(place / "maildir")
        rc = private_file(place / "mpoprc", "".join(_mpop_account(each, maildir, place) for each in accounts))
        yield _MaildirClient([["mpop", "--quiet", f"--file={rc}", "--all-accounts"]], maildir, place / "log")


class MpopOneByOne:
    """mpop as cron jobs run it: a process for each maildrop, one after the other."""

    name = ONE_BY_ONE

    def missing(self) -> str | None:
        return _missing_program("mpop")

    def version(self) -> str:
        return f"{self.name}: a process for each mailbox, one after the other"

    @contextmanager
    def opened(self, accounts: Sequence[Account], place: Path) -> Iterator[Opened]:
        maildir = _maildir(place / "maildir")
        commands = []
        for account in accounts:
            rc = private_file(place / f"rc-{account.username}", _mpop_account(account, maildir, place))
            commands.append(["mpop", "--quiet", f"--file={rc}", "--all-accounts"])
        yield _MaildirClient(commands, maildir, place / "log")


def _mpop_account(account: Account, maildir: Path, place: Path) -> str:
    tls = f"tls on\ntls_starttls off\ntls_trust_file {account.ca_file}\n" if account.ca_file else "tls off\n"
    return (
        f"account {account.username}\nhost {account.host}\nport {account.port}\nuser {account.username}\n"
        f"password {account.password}\nauth user\n{tls}keep on\npipelining auto\n"
        f"delivery maildir {maildir}\nuidls_file {place}/uidls-{account.username}\n"
    )


class Getmail:
    """getmail6 to a maildir."""

    name = "getmail6"
    _program = peers_directory() / "bin" / "getmail"

    def missing(self) -> str | None:
        return None if self._program.exists() else "getmail6 is not installed (scripts/install-bench-peers)"

    def version(self) -> str:
        return _first_line(str(self._program), "--version").replace("getmail ", "getmail6 ")

    @contextmanager
    def opened(self, accounts: Sequence[Account], place: Path) -> Iterator[Opened]:
        maildir = _maildir(place / "maildir")
        user = _given_to_a_user(maildir)
        command = [str(self._program), f"--getmaildir={place}"]
        for account in accounts:
            text = self._rc(account, maildir, user)
            command.append(f"--rcfile={private_file(place / f'rc-{account.username}', text)}")
        yield _MaildirClient([command], maildir, place / "log")

    def _rc(self, account: Account, maildir: Path, user: str) -> str:
        kind = (
            f"SimplePOP3SSLRetriever\nca_certs = {account.ca_file}"
            if account.ca_file
            else "SimplePOP3Retriever"
        )
        return (
            f"[retriever]\ntype = {kind}\nserver = {account.host}\nport = {account.port}\n"
            f"username = {account.username}\npassword = {account.password}\n"
            f"[destination]\ntype = Maildir\npath = {maildir}/\nuser = {user}\n"
            "[options]\nread_all = false\ndelete = false\nverbose = 0\n"
        )


class Fetchmail:
    """fetchmail, each message piped to `cat` that writes it into a maildir: the cheapest delivery that keeps it."""

    name = "fetchmail"

    def missing(self) -> str | None:
        return _missing_program("fetchmail")

    def version(self) -> str:
        words = _first_line("fetchmail", "--version").split()
        return f"fetchmail {words[words.index('release') + 1].split('+')[0]}"

    @contextmanager
    def opened(self, accounts: Sequence[Account], place: Path) -> Iterator[Opened]:
        maildir = _maildir(place / "maildir")
        # `exec` spares a process per message. Process ids come again after some ten thousand, so a file may
        # replace an older one in a large maildrop; what was taken is therefore counted in fetchmail's own list.
        deliver = f"exec cat >{maildir}/new/$$"
        rc = private_file(place / "fetchmailrc", self._rc(accounts, deliver))
        command = ["fetchmail", "--silent", f"--fetchmailrc={rc}", f"--idfile={place / 'ids'}"]
        command += [f"--pidfile={place / 'pid'}", "--nosyslog"]
        yield _FetchmailClient(command, place)

    def _rc(self, accounts: Sequence[Account], deliver: str) -> str:
        first = accounts[0]
        tls = f'ssl sslcertck sslcertfile "{first.ca_file}"' if first.ca_file else 'sslproto ""'
        users = "".join(
            f'  user "{account.username}" password "{account.password}" keep {tls} mda "{deliver}"\n'
            for account in accounts
        )
        host = "localhost" if first.ca_file else first.host  # the name that the test certificate has
        return f"poll {host} protocol POP3 service {first.port} uidl\n{users}"


class PoplibLoop:
    """Python's poplib in a loop, raw messages into SQLite, a commit for every 200."""

    name = "poplib"

    def missing(self) -> str | None:
        return None

    def version(self) -> str:
        return f"poplib of Python {sys.version.split()[0]}"

    @contextmanager
    def opened(self, accounts: Sequence[Account], place: Path) -> Iterator[Opened]:
        first, database = accounts[0], place / "messages.sqlite"
        command = [sys.executable, str(_HERE / "poplib_loop.py"), first.host, str(first.port)]
        command += [str(accounts_file(accounts, place)), str(database)]
        command += [str(first.ca_file)] if first.ca_file else []
        yield _SqliteClient(command, database, place / "log")


@dataclass
class _MaildirClient:
    commands: Sequence[Sequence[str]]
    maildir: Path
    log: Path

    def sync(self) -> Cost:
        return one_after_the_other([run_to_end(command, log=self.log) for command in self.commands])

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


def _missing_program(name: str) -> str | None:
    return None if shutil.which(name) else f"{name} is not installed (scripts/install-bench-peers)"


def _first_line(*command: str) -> str:
    printed = subprocess.run(command, capture_output=True, text=True, check=False)
    return (printed.stdout or printed.stderr).strip().splitlines()[0]
