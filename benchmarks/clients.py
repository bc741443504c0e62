"""What every client that is measured can do: say what it is, and sync one maildrop again and again."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Account:
    """Where a maildrop is, and how to log in. In clear text: what is measured here is not TLS."""

    host: str
    port: int
    username: str
    password: str


@dataclass(frozen=True)
class Cost:
    """What one sync took: seconds by the clock, seconds of processor, octets of memory.

    `peak_octets` is the largest resident size of a process; for the service, which runs anyway, what the
    sync added to its idle size. None when the system does not tell.
    """

    seconds: float
    cpu_seconds: float
    peak_octets: int | None


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

    def opened(self, account: Account, place: Path) -> AbstractContextManager["Opened"]:
        """The client ready to sync this maildrop, knowing nothing of it yet, its state in the empty `place`."""


class Opened(Protocol):
    """A client with its state. Each `sync` builds on the one before."""

    def sync(self) -> Cost:
        """Retrieves what is new. Raises ClientFailed."""

    def kept(self) -> int:
        """How many messages it has by now, by its own account of them; each counted as often as it came."""
