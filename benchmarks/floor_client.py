"""The floor as a client: floor.c, compiled when it is first needed, or floor.py where that is not possible."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from benchmarks.clients import Account, Cost, Opened, accounts_file
from benchmarks.processes import run_to_end

FLOOR = "floor"
_HERE = Path(__file__).parent
_SOURCE = _HERE / "floor.c"
_SESSIONS_AT_ONCE = 64
_PYTHON = [sys.executable, str(_HERE / "floor.py")]


class Floor:
    """Bare sockets that throw everything away. What is compiled goes into `directory`."""

    name = FLOOR

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def missing(self) -> str | None:
        return None

    def version(self) -> str:
        plain = "C" if self._plain else "Python"
        over_tls = "C with OpenSSL" if self._over_tls else "Python"
        return (
            f"floor: bare sockets, pipelined, nothing kept, {_SESSIONS_AT_ONCE} sessions at once at most; "
            f"in clear text in {plain}, over TLS in {over_tls}"
        )

    @contextmanager
    def opened(self, accounts: Sequence[Account], place: Path) -> Iterator[Opened]:
        first = accounts[0]
        program = self._over_tls if first.ca_file else self._plain
        yield _FloorClient(
            program=[str(program)] if program else _PYTHON,
            account=first,
            at_once=min(len(accounts), _SESSIONS_AT_ONCE),
            accounts=accounts_file(accounts, place),
            log=place / "log",
        )

    @cached_property
    def _plain(self) -> Path | None:
        return self._compiled("floor")

    @cached_property
    def _over_tls(self) -> Path | None:
        return self._compiled("floor-tls", "-DWITH_TLS", libraries=("-lssl", "-lcrypto"))

    def _compiled(self, name: str, *options: str, libraries: Sequence[str] = ()) -> Path | None:
        """The program; None where there is no compiler, or a library's headers are missing."""
        program = self._directory / name
        compiler = shutil.which("cc")
        if compiler is None:
            return None
        command = [compiler, "-O2", *options, "-o", str(program), str(_SOURCE), *libraries, "-lpthread"]
        return program if subprocess.run(command, capture_output=True, check=False).returncode == 0 else None


@dataclass
class _FloorClient:
    """Its seconds are those on the sockets: a program's start is no part of the floor.

    It tells new from old by message-number alone, so among several maildrops nothing may arrive between two syncs.
    """

    program: Sequence[str]
    account: Account
    at_once: int
    accounts: Path
    log: Path
    messages: int = 0

    def sync(self) -> Cost:
        account = self.account
        arguments = [account.host, str(account.port), str(self.messages + 1), str(self.at_once)]
        ca_file = [str(account.ca_file)] if account.ca_file else []
        cost = run_to_end([*self.program, *arguments, str(self.accounts), *ca_file], log=self.log)
        said = json.loads(self.log.read_text())
        self.messages += said["messages"]
        return replace(cost, seconds=said["seconds"])

    def kept(self) -> int:
        return self.messages
