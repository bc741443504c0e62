"""A private PostgreSQL cluster on a free port of loopback, with databases made in milliseconds."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Self

import psycopg
from psycopg import sql

from tests.servers.ports import LOOPBACK, free_port
from tests.servers.processes import (
    Account,
    ServerFailed,
    ServerMissing,
    end_process,
    private_directory,
    remove_directory,
    start_process,
    unprivileged_account,
    wait_until_ready,
)

_USER = "maildelta"
_PROGRAMS = ("initdb", "postgres")


class Postgres:
    """A running cluster. Made by `Postgres.start`; ended at the end of its block."""

    host = LOOPBACK

    def __init__(self, directory: Path, *, fsync: bool, max_connections: int) -> None:
        self._directory = directory
        self._programs = _installed()
        self._account = unprivileged_account("postgres", "nobody")
        self._fsync = fsync
        self._max_connections = max_connections
        self._serials = count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @classmethod
    @contextmanager
    def start(cls, *, fsync: bool = False, max_connections: int = 200) -> Iterator[Self]:
        """Runs a new, empty cluster for the block. `fsync` is for benchmarks: tests do not survive power cuts.

        Raises ServerMissing, ServerFailed.
        """
        directory = private_directory("md-postgres-")
        try:
            postgres = cls(directory, fsync=fsync, max_connections=max_connections)
            postgres._initialise()
            postgres._run_on_free_port()
            try:
                yield postgres
            finally:
                postgres.stop()
        finally:
            remove_directory(directory)

    @property
    def pid(self) -> int | None:
        """The process id of the server, which is also the id of its process group; None when stopped."""
        return self._process.pid if self._process else None

    def url(self, database: str) -> str:
        """`postgresql://user@127.0.0.1:port/database`; no password is asked for."""
        return f"postgresql://{_USER}@{self.host}:{self.port}/{database}"

    def create_database(self, *, template: str | None = None) -> str:
        """The URL of a new database: empty, or a copy of the database at the URL `template` (none may be using it)."""
        name = f"test_{next(self._serials)}"
        source = template.rsplit("/", 1)[1] if template else "template0"
        self._execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(source))
        )
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Removes a database at once; connections to it are cut."""
        name = url.rsplit("/", 1)[1]
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def restart(self, *, crash: bool = False) -> None:
        """Ends it and starts it on the same port with the same data. `crash`: without a checkpoint, so it recovers."""
        self.stop(crash=crash)
        self._run()

    def stop(self, *, crash: bool = False) -> None:
        """Ends it and cuts all connections; its port is closed then. Nothing when it is stopped already."""
        if self._process:
            # SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one; SIGTERM would wait for clients.
            end_process(self._process, first=signal.SIGQUIT if crash else signal.SIGINT)
            self._process = None

    def run(self) -> None:
        """Starts it again after `stop`."""
        if not self._process:
            self._run()

    @property
    def log(self) -> Path:
        """What the server wrote since it was started."""
        return self._directory / "postgres.log"

    @property
    def _data(self) -> Path:
        return self._directory / "data"

    def _initialise(self) -> None:
        for owned in (self._directory, self._data):
            owned.mkdir(exist_ok=True)
            owned.chmod(0o700)
            _give_to(self._account, owned)
        output = self._directory / "initdb.log"
        options = ["--auth=trust", f"--username={_USER}", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        initdb = start_process(
            [str(self._programs / "initdb"), "-D", str(self._data), *options],
            output=output,
            account=self._account,
        )
        if initdb.wait(timeout=60):
            raise ServerFailed(
                f"initdb ended with code {initdb.returncode}\n{output.read_text(errors='replace')}"
            )

    def _run_on_free_port(self) -> None:
        for attempt in (1, 2, 3):
            try:
                self._run()
                return
            except ServerFailed as failure:
                # Another program took the port between our look and PostgreSQL's bind.
                if attempt == 3 or "Address already in use" not in str(failure):
                    raise
                self.port = free_port()

    def _run(self) -> None:
        settings = {
            "listen_addresses": self.host,
            "port": self.port,
            "unix_socket_directories": self._directory,
            "max_connections": self._max_connections,
            "fsync": "on" if self._fsync else "off",
            "full_page_writes": "on" if self._fsync else "off",
            "lc_messages": "C",
        }
        command = [str(self._programs / "postgres"), "-D", str(self._data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        log = self.log
        log.unlink(missing_ok=True)
        self._process = start_process(command, output=log, account=self._account)
        try:
            wait_until_ready(self._process, self._answers, name="PostgreSQL", logs=[log])
        except ServerFailed:
            self.stop()
            raise

    def _answers(self) -> bool:
        try:
            self._execute(sql.SQL("SELECT 1"))
        except psycopg.OperationalError:
            return False
        return True

    def _execute(self, statement: sql.SQL | sql.Composed) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=5) as connection:
            connection.execute(statement)


def _give_to(account: Account, path: Path) -> None:
    if not account.is_ours:
        shutil.chown(path, account.uid, account.gid)


@lru_cache(maxsize=1)
def _installed() -> Path:
    """The directory of the newest server's programs: Debian keeps one for each version, outside the PATH."""
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda path: int(path.parent.name) if path.parent.name.isdigit() else 0,
        reverse=True,
    )
    # A program in the PATH may be a link or a wrapper beside nothing else: what counts is where it leads.
    found = shutil.which("initdb")
    candidates = [*debian, *([Path(found).resolve().parent] if found else [])]
    for directory in candidates:
        if all((directory / program).exists() for program in _PROGRAMS):
            return directory
    raise ServerMissing(
        "PostgreSQL is not installed: `make test` installs it, or install postgresql yourself"
    )
