"""What features know of background work: a ``Job``, and that ``Wakeups.jobs`` asks for it by its name.

The truth is in rows of the application's own. A job says what they hold for it, and does one thing of it. So a job that
is run twice, forgotten or never heard of costs time and nothing else.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Job:
    """Work that is found in rows.

    name: stable across releases.
    keys: what is to be done now, by the rows, at most some hundred things; a cheap read. Each is run once at a time.
    run: does what there is to be done for one key, in short transactions, and ends when nothing is left. It may be
        cancelled at any await, and it may run twice at the same time: when a worker that was thought dead comes back.
    every_seconds: how often ``keys`` is asked, besides at start and whenever somebody fires ``Wakeups.jobs``. After
        that it is asked until none of them is queued or runs: what came too late for a run gets one of its own.
    at_once: how many run at the same time, of all workers together.
    """

    name: str
    keys: Callable[[], Awaitable[Sequence[str]]]
    run: Callable[[str], Awaitable[None]]
    every_seconds: float
    at_once: int = 1


class JobEngine(Protocol):
    """Runs jobs in this process, together with other processes on the same database."""

    def start(self) -> None:
        """Begin, in the event loop that runs now."""

    async def stop(self) -> None:
        """Cancel what runs here; another worker, or the next start, takes it up."""
