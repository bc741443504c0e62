"""What every client that is measured can do: say what it is, and sync maildrops again and again."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Account:
    """Where a maildrop is, and how to log in. With a `ca_file` over implicit TLS, else in clear text."""

    host: str
    port: int
    username: str
    password: str
    ca_file: Path | None = None


@dataclass(frozen=True)
class Cost:
    """What one sync took: seconds by the clock, seconds of processor, octets of memory.

    `peak_octets` is the largest resident size of a process; for the service, which runs anyway, what the
    sync added to its idle size. None when the system does not tell.
    """

    seconds: float
    cpu_seconds: float
    peak_octets: int | None


def one_after_the_other(costs: Sequence[Cost]) -> Cost:
    """What all of them took together; the memory is that of the largest."""
    peaks = [cost.peak_octets for cost in costs if cost.peak_octets is not None]
    return Cost(
        sum(cost.seconds for cost in costs),
        sum(cost.cpu_seconds for cost in costs),
        max(peaks, default=None),
    )


class ClientFailed(Exception):
    """A client did not do its work. The text says what it printed last."""


class Client(Protocol):
    """A program that retrieves mail."""

    @property
    def name(self) -> str:
        """As it stands in the tables, and after `--only`."""

    def missing(self) -> str | None:
        """What is not installed, in one line; None when it can run."""

    def version(self) -> str:
        """Name and version, for the list of what was measured."""

    def opened(self, accounts: Sequence[Account], place: Path) -> AbstractContextManager["Opened"]:
        """The client ready to sync these maildrops (all of one server), its state in the empty `place`.

        It knows nothing of them yet.
        """


class Opened(Protocol):
    """A client with its state. Each `sync` builds on the one before."""

    def sync(self) -> Cost:
        """Retrieves what is new in every maildrop. Raises ClientFailed."""

    def kept(self) -> int:
        """How many messages it has by now, by its own account of them; each counted as often as it came."""


def accounts_file(accounts: Sequence[Account], place: Path) -> Path:
    """A file with a line `username password` for each, for our eyes only."""
    lines = [f"{account.username} {account.password}\n" for account in accounts]
    return private_file(place / "accounts", "".join(lines))


def private_file(path: Path, text: str) -> Path:
    """The path of a new file that nobody else may read."""
    path.touch(mode=0o600)
    path.write_text(text)
    return path
