"""Units of work: ``Database.write`` is the only place that commits.

The driver is synchronous and runs in threads of our own: a unit of work is one function that takes the
session, and costs one hop to a thread however many statements it makes (``docs/decisions/0004``). On SQLite
there is one writer thread, so that writers queue in order instead of meeting in SQLITE_BUSY; on PostgreSQL
there are several, some of them for long changes.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

from sqlalchemy import Engine, text
from sqlalchemy.exc import DatabaseError, OperationalError, SQLAlchemyError
from sqlmodel import Session

from app.database.batching import LATER, BatchingExecutor, ExecutorClosed
from app.database.companions import companion
from app.database.engines import NAME, driver_url, open_engine
from app.database.session import UnitSession
from app.telemetry import Traces

Result = TypeVar("Result")
_Question = Callable[[Session], Any]

_READER_THREADS = 4
_SEARCHER_THREADS = 2
_POSTGRESQL_WRITERS = 8
_OF_LONG_WRITES = 3  # of these
_TOGETHER_SECONDS = 0.02  # who asks little does not wait for all who ask much
_ATTEMPTS = 3
_ATTEMPTS_AFTER_DEADLOCKS = 10  # each one lets somebody else commit
# PostgreSQL's own idle_in_transaction_session_timeout does not see those who idle behind many rows: the driver ends
# these with a Flush, which stops that clock.
_END_FROZEN = text("""
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND application_name = :name
        AND state <> 'idle' AND wait_event = 'ClientRead'
        AND state_change < clock_timestamp() - make_interval(secs => :seconds)
""")


@dataclass(frozen=True, slots=True)
class Batchable:
    """A unit of work that many ask for: those with the same ``func`` that wait together are done by one call of it.

    ``func(db, abouts)`` gives a result for each, in order. If it raises, each is done by a call of its own.
    """

    func: Callable[[Session, Sequence[Any]], Sequence[Any]]
    about: Any

    def __call__(self, db: Session) -> Any:
        return self.func(db, [self.about])[0]


class StorageFailed(Exception):
    """The database could not do its work: full, unreachable, broken. The unit of work left no trace."""


class Database:
    """Runs units of work in threads, each in one transaction, which it may share with others that waited too.

    A unit of work may be run again (a deadlock on PostgreSQL, a failure of one that shared its transaction), so it
    must have no effect but on ``db``.

    Deadlocks are to be expected where units share a transaction, though each takes its locks in the same order: the
    second one asks for its first lock while the last lock of the first one, mostly the feed, is held. PostgreSQL ends
    the transaction that has waited longest, which may be that of a unit by itself, several times in a row.
    """

    def __init__(self, url: str, *, traces: Traces | None = None, is_pooled: bool = False) -> None:
        """``is_pooled``: a pooler stands between that gives a connection for one transaction (PgBouncer)."""
        self.url = driver_url(url)
        self._traces = traces or Traces()
        self._system = self.url.get_backend_name()
        self.is_sqlite = self._system == "sqlite"
        writers = 1 if self.is_sqlite else _POSTGRESQL_WRITERS
        self._read_engine = open_engine(
            self.url, read_only=True, threads=_READER_THREADS, is_pooled=is_pooled
        )
        writer = open_engine(self.url, read_only=False, threads=writers, is_pooled=is_pooled)
        self._write_engines = {
            durable: writer.execution_options(durable=durable) for durable in (True, False)
        }
        self._search_engine = open_engine(
            self.url, read_only=True, threads=_SEARCHER_THREADS, is_pooled=is_pooled
        )
        self._reads = BatchingExecutor(
            partial(self._read_batch, self._read_engine), threads=_READER_THREADS, name="db-read"
        )
        self._searches = BatchingExecutor(
            partial(self._read_batch, self._search_engine), threads=_SEARCHER_THREADS, name="db-search"
        )
        # A short change would else wait in one queue with long ones, until another thread comes to help.
        of_long = 0 if self.is_sqlite else _OF_LONG_WRITES
        self._writes = BatchingExecutor(self._write_batch, threads=writers - of_long, name="db-write")
        self._long_writes = self._writes
        if of_long:
            self._long_writes = BatchingExecutor(
                partial(_each_alone, self._write_alone), threads=of_long, name="db-long"
            )
        self._long_turns = asyncio.Semaphore(max(1, of_long))

    async def read(self, question: Callable[[Session], Result]) -> Result:
        """Answer a question in a transaction that sees one state of the database and changes nothing."""
        answer: Result = await self._done("read", question, self._reads.do)
        return answer

    async def search(self, question: Callable[[Session], Result]) -> Result:
        """The same for what looks at many rows: in threads of its own, so that no short question waits behind it."""
        answer: Result = await self._done("read", question, self._searches.do)
        return answer

    async def write(
        self, change: Callable[[Session], Result], *, durable: bool = True, is_long: bool = False
    ) -> Result:
        """Make a change in one transaction and commit it; an exception leaves everything as it was.

        ``durable=False`` spares the flush to disk: for what can be found out again after a power failure
        (the progress of a sync), never for mail or the ledger. A kill of the process loses neither.
        Changes that wait for one another are committed together. ``is_long``: it has hundreds of rows; such changes
        have threads of their own; on SQLite they take turns, so that a short one never waits for more than the one at
        work and one more. A companion of the context goes along (``companions``). Raises StorageFailed.
        """

        async def do(unit: _Question) -> Any:
            if not is_long:
                return await self._writes.do(_Change(unit, durable))
            async with self._long_turns:
                return await self._long_writes.do(_Change(unit, durable, is_long=True))

        going = companion.get()
        both = going.beside(change) if going is not None and not isinstance(change, Batchable) else None
        if going is None or both is None:
            result: Result = await self._done("write", change, do)
            return result
        is_done = False
        try:
            result = await self._done("write", both, do)
            is_done = True
        finally:
            going.ended(is_done=is_done)
        return result

    async def _done(
        self, operation: str, work: Callable[[Session], Any], do: Callable[[Any], Awaitable[Any]]
    ) -> Any:
        try:
            if self._traces.is_on:
                return await self._traces.unit_of_work(operation, work, do, system=self._system)
            return await do(work)
        except ExecutorClosed as error:
            raise StorageFailed("The database is closed.") from error

    async def end_frozen(self, *, idle_seconds: float) -> int:
        """End transactions, of any process, in which PostgreSQL has heard nothing for so long; how many there were.

        A process that is frozen or cut off must not keep its locks: one is on the feed, and everybody needs it.
        None on SQLite, where nobody can take a lock from another process. Raises StorageFailed.
        """
        if self.is_sqlite:
            return 0
        named = {"name": NAME, "seconds": idle_seconds}
        return len(await self.read(lambda db: db.execute(_END_FROZEN, named).all()))

    def close(self) -> None:
        """Wait a moment for the units of work under way and close all connections. One that has not ended by then is
        as after a kill: whether it was committed shows when the database answers again."""
        for executor in {self._writes, self._long_writes, self._reads, self._searches}:
            executor.close()
        self._write_engines[True].dispose()  # they share one pool
        self._read_engine.dispose()
        self._search_engine.dispose()

    def _read_batch(self, engine: Engine, questions: Sequence[_Question]) -> Sequence[Any]:
        """The answers, from one state. Where one cannot be had, each is asked for in a transaction of its own."""
        if len(questions) > 1:
            with contextlib.suppress(Exception):
                return self._read_together(engine, questions)
        return _each_alone(lambda question: self._read_together(engine, [question]), questions)

    def _read_together(self, engine: Engine, questions: Sequence[_Question]) -> Sequence[Any]:
        attempts = 0
        while True:
            attempts += 1
            try:
                with UnitSession(engine) as db:
                    answers = _run_units(db, questions, within=_TOGETHER_SECONDS)
                    db.commit()  # nothing; but after a rollback psycopg forgets which statements it has prepared
                    return answers
            except SQLAlchemyError as error:
                if not _is_lost(error) or attempts == _ATTEMPTS:
                    raise _storage_failed(error) from error

    def _write_batch(self, changes: "Sequence[_Change]") -> Sequence[Any]:
        """Made in one transaction. When one fails nothing is done yet, and each gets a transaction of its own."""
        if later := _taking_turns(changes):
            return _later_among(changes, later, self._write_batch)
        if len(changes) > 1:
            try:
                return self._commit_together(changes)
            except _CommitFailed as failed:
                raise _storage_failed(failed.error) from failed.error
            except Exception:  # noqa: S110  whose it is shows when each is alone
                pass
        return _each_alone(self._write_alone, changes)

    def _write_alone(self, change: "_Change") -> Sequence[Any]:
        attempts = 0
        while True:
            attempts += 1
            try:
                return self._commit_together([change])
            except _CommitFailed as failed:
                error, may_be_done = failed.error, True
            except SQLAlchemyError as failed:
                error, may_be_done = failed, False
            if attempts >= _attempts_that_may_help(error, may_be_done=may_be_done):
                raise _storage_failed(error) from error

    def _commit_together(self, changes: "Sequence[_Change]") -> Sequence[Any]:
        durable = any(change.durable for change in changes)
        with UnitSession(self._write_engines[durable]) as db:
            results = _run_units(db, [change.make for change in changes])
            executor = self._long_writes if changes[0].is_long else self._writes
            # The flush to the disk takes longer than all statements.
            with contextlib.nullcontext() if self.is_sqlite or not durable else executor.away():
                try:
                    db.commit()
                except SQLAlchemyError as error:
                    raise _CommitFailed(error) from error
            return results


@dataclass(slots=True)
class _Change:
    """``had_to_wait``: it is long, and short ones were made before it."""

    make: _Question
    durable: bool
    is_long: bool = False
    had_to_wait: bool = False


@dataclass
class _CommitFailed(Exception):
    """Whether it was done is open, if the connection was lost."""

    error: SQLAlchemyError


def _taking_turns(changes: "Sequence[_Change]") -> list[bool]:
    """Which of these are made later: long ones the first time, and then short ones, so that none waits for both."""
    if len({change.is_long for change in changes}) < 2:
        return []
    are_long_due = any(change.had_to_wait for change in changes)
    for change in changes:
        change.had_to_wait = change.is_long and not are_long_due
    return [change.is_long is not are_long_due for change in changes]


def _later_among(
    works: Sequence[Any], later: Sequence[bool], run: Callable[[Sequence[Any]], Sequence[Any]]
) -> list[Any]:
    """The outcomes of those that are run now; LATER for the others."""
    now = iter(run([work for work, is_later in zip(works, later, strict=True) if not is_later]))
    return [LATER if is_later else next(now) for is_later in later]


def _run_units(db: UnitSession, units: Sequence[_Question], *, within: float = math.inf) -> list[Any]:
    """The result of each unit; LATER for those that were not begun ``within`` so many seconds.

    Batchable units with the same function are run by one call of it. After each call the session is flushed and
    emptied: the next unit in the transaction must not see its objects.
    """
    alike: dict[Any, list[int]] = {}
    for number, unit in enumerate(units):
        alike.setdefault(unit.func if isinstance(unit, Batchable) else number, []).append(number)
    results: dict[int, Any] = {}
    until = time.monotonic() + within
    for func, numbers in alike.items():
        if results and time.monotonic() >= until:
            break
        if isinstance(func, int):
            results[func] = units[func](db)
        else:
            abouts = [cast("Batchable", units[number]).about for number in numbers]
            results |= zip(numbers, func(db, abouts), strict=True)
        db.empty()
    return [results.get(number, LATER) for number in range(len(units))]


def _each_alone(run: Callable[[Any], Sequence[Any]], works: Sequence[Any]) -> list[Any]:
    """The outcome of each; LATER where those before took long (nobody answers), so that all threads share the rest."""
    until = time.monotonic() + _TOGETHER_SECONDS
    outcomes: list[Any] = []
    for work in works:
        if outcomes and time.monotonic() >= until:
            return outcomes + [LATER] * (len(works) - len(outcomes))
        try:
            outcomes.append(run(work)[0])
        except BaseException as error:
            outcomes.append(error)
    return outcomes


def _attempts_that_may_help(error: SQLAlchemyError, *, may_be_done: bool) -> int:
    """How often a unit of work that fails so is tried, the first time included: 1, if it would only fail again.

    Deadlocks, serialisation failures and a connection that a restarted server dropped; nothing else. A connection that
    is lost while COMMIT is under way leaves open whether it was done: nothing is done twice. A foreign key that a
    neighbour removed in the meantime (the content of a last message) is looked up anew.
    """
    code = getattr(getattr(error, "orig", None), "sqlstate", None)
    if code in {"40001", "40P01"}:
        return _ATTEMPTS_AFTER_DEADLOCKS
    return _ATTEMPTS if code == "23503" or (_is_lost(error) and not may_be_done) else 1


def _is_lost(error: SQLAlchemyError) -> bool:
    """Whether the connection is."""
    return bool(getattr(error, "connection_invalidated", False))


def _storage_failed(error: SQLAlchemyError) -> Exception:
    """Operational trouble becomes StorageFailed; a mistake of ours (a broken rule) stays what it is."""
    orig = getattr(error, "orig", None)
    code = getattr(orig, "sqlstate", None) or ""
    if (
        isinstance(error, OperationalError)
        or type(error) is DatabaseError  # SQLite: the file is not a database, or is damaged
        or code.startswith(
            ("08", "25", "53", "57", "58")
        )  # connection, read-only, resources, operator, system
    ):
        return StorageFailed(str(orig or error).splitlines()[0])
    return error
