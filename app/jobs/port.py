"""What the application knows of background work: a ``Job``, and an engine that can be asked to run it.

The durable request for work is always a row of the application's own (a sync that is queued). A job carries
no payload: a run claims such rows in batches and works them off. Running a job once too often is therefore
harmless, and asking for it two hundred times at once costs a run or a few.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Protocol


class JobsError(Exception):
    """Base of what goes wrong around the job engine itself, never inside a job."""


class EngineCannotRun(JobsError):
    """This process cannot run the engine; the message says in one line why, and what helps."""


class UnknownJob(JobsError):
    """Somebody asked for a job that this process was not told of."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no job is named {name!r}")
        self.name = name


@dataclass(frozen=True, kw_only=True)
class Job:
    """Work that is found in the application's own rows.

    name: stable across releases, for another process may ask for it by this name.
    run: one pass: claims its rows itself (with a lease, for passes may overlap), ends when there are no more.
    every_seconds: look this often for work that nobody asked for (left behind, or due by the clock), besides
        once at start. None: at start only.
    has_work: a cheap read that says whether a pass would find something. Saves the engine's writes for passes
        that find nothing; without it every tick is a run.
    workers: who works on rows of this job now, by executor id. What the engine keeps of a run of somebody else is
        ended after a minute when he is not among them: a process that died and does not come back, or one of
        another version. None: nobody can tell, and it is kept until it is old.
    at_once: passes that may be under way at the same time in one process. More than one lets an ask be served
        while an earlier pass still works on something long.
    """

    name: str
    run: Callable[[], Awaitable[None]]
    every_seconds: float | None = None
    has_work: Callable[[], Awaitable[bool]] | None = None
    workers: Callable[[], Awaitable[Collection[str]]] | None = None
    at_once: int = 1


class JobEngine(Protocol):
    """Runs jobs in this process, or passes the asking on to the processes that do."""

    async def start(self) -> None:
        """Start in the event loop that runs now; jobs run in this same loop. Takes up what was left behind.

        Raises EngineCannotRun when this Python or another engine in the process stands against it.
        """

    async def stop(self, *, within_seconds: float) -> None:
        """Start no more runs, give those under way so many seconds, then cancel them."""

    def ask(self, name: str) -> None:
        """There is work for this job. Returns at once; to be called in the event loop's thread.

        Asks coalesce: while a run waits to start, another ask changes nothing; while as many runs as are
        allowed are under way, exactly one more follows (if ``has_work`` then says so). Ask after the row's
        commit: a run that begins later sees it. Raises UnknownJob.
        """
