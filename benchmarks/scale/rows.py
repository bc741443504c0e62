"""Does what the service asks of its database cost the same at ten million messages as at ten thousand?"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import median
from textwrap import dedent

from sqlalchemy import Engine, text
from sqlmodel import Session

from app.database import driver_url, open_engine
from benchmarks.machine import machine_facts
from benchmarks.scale.generated import Amount, generate
from benchmarks.scale.idle import Say
from benchmarks.scale.page import bullets, milliseconds, octets, table
from benchmarks.scale.plans import Heard, Plan, effort, plans
from benchmarks.scale.questions import Question, questions
from tests.servers.postgres import Postgres
from tests.servers.processes import private_directory, remove_directory


@dataclass(frozen=True)
class Sizes:
    """Messages in the small and in the large database; mailboxes in both; times asked."""

    few: int = 10_000
    many: int = 10_000_000
    mailboxes: int = 100_000
    rounds: int = 60


SMALL = Sizes(many=200_000, mailboxes=20_000, rounds=20)


@dataclass(frozen=True)
class Answered:
    """One question at one size: the median of its seconds, what the database did (`effort`), and the plans."""

    seconds: float
    effort: int
    plans: Sequence[Plan]


@dataclass(frozen=True)
class Measured:
    """One database at one size."""

    octets: int
    seconds_to_make: float
    answers: Mapping[str, Answered]


DATABASES = ("SQLite", "PostgreSQL")
_NOTABLE = 2.0  # times as long: more than caches explain


def measured(name: str, sizes: Sizes, say: Say) -> tuple[str, str]:
    """The part of the page for one of `DATABASES`, and that of the page of query plans. Raises ServerMissing."""
    found = []
    with _place(name) as (directory, new_database):
        for messages in (sizes.few, sizes.many):
            amount = Amount(messages, sizes.mailboxes)
            with new_database() as url:
                found.append(_measured(url, amount, sizes.rounds, say))
        facts = machine_facts(directory)
    few, many = found
    return _page(name, sizes, facts, few, many), _page_of_plans(name, sizes, many)


@contextmanager
def _place(name: str) -> Iterator[tuple[Path, Callable[[], AbstractContextManager[str]]]]:
    """A directory, and how to have the URL of an empty database that is gone after its block."""
    directory = private_directory("md-rows-")
    try:
        if name == "SQLite":
            yield directory, lambda: _sqlite(directory)
        else:
            with Postgres.start() as postgres:
                yield directory, lambda: _postgresql(postgres)
    finally:
        remove_directory(directory)


@contextmanager
def _sqlite(directory: Path) -> Iterator[str]:
    yield f"sqlite:///{directory}/rows.sqlite"
    for file in directory.glob("rows.sqlite*"):
        file.unlink()


@contextmanager
def _postgresql(postgres: Postgres) -> Iterator[str]:
    url = postgres.create_database()
    yield url
    postgres.drop_database(url)


def _measured(url: str, amount: Amount, rounds: int, say: Say) -> Measured:
    now = datetime.now(UTC)
    say(f"making {amount.messages:,} messages")
    began = time.perf_counter()
    generate(url, amount, now=now, say=say)
    took = time.perf_counter() - began
    engine = open_engine(driver_url(url), read_only=False, threads=1)
    answers = {}
    for question in questions(amount, now=now, random=Random(7)):
        answers[question.name] = _answered(engine, question, rounds)
        say(f"{question.name}: {milliseconds(answers[question.name].seconds)} ms")
    size = _octets(engine)
    engine.dispose()
    return Measured(size, took, answers)


def _answered(engine: Engine, question: Question, rounds: int) -> Answered:
    heard, seconds = Heard(engine), list[float]()
    with Session(engine, expire_on_commit=False) as db:
        prepared = question.prepare(db)
        _seconds(db, question, prepared)  # what is read for the first time is in memory then
        with heard.listening():
            _seconds(db, question, prepared)
        found = plans(db.connection(), heard.sent)
        with effort(db.connection()) as counted:
            _seconds(db, question, prepared)
        seconds += [_seconds(db, question, prepared) for _ in range(rounds)]
        db.rollback()
    return Answered(median(seconds), counted[0], found)


def _seconds(db: Session, question: Question, prepared: object) -> float:
    """Of one answer, the commit not included: it is taken back, so that the next one finds the same."""
    with db.begin_nested() as savepoint:
        began = time.perf_counter()
        question.ask(db, prepared)
        db.flush()
        took = time.perf_counter() - began
        savepoint.rollback()
    db.expunge_all()
    return took


def _octets(engine: Engine) -> int:
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            pages: int = connection.execute(text("PRAGMA page_count")).scalar_one()
            each: int = connection.execute(text("PRAGMA page_size")).scalar_one()
            return pages * each
        size: int = connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
        return size


def _page(name: str, sizes: Sizes, facts: Sequence[str], few: Measured, many: Measured) -> str:
    rows, larger, longer = [], [], []
    for question in _all(sizes):
        small, large = few.answers[question.name], many.answers[question.name]
        rows.append([f"`{question.name}`", question.what, milliseconds(small.seconds), milliseconds(large.seconds),
                     f"{large.seconds / small.seconds:.1f}", f"{small.effort:,}", f"{large.effort:,}",
                     f"{large.effort / max(small.effort, 1):.1f}"])  # fmt: skip
        larger += [f"`{question.name}`"] * (large.effort > _NOTABLE * max(small.effort, 1))
        longer += [f"`{question.name}`"] * (large.seconds > _NOTABLE * small.seconds)
    unit = "steps" if name == "SQLite" else "pages"
    verdict = (
        f"More than twice as many {unit}: {', '.join(larger) or 'none'}. "
        f"More than twice as long: {', '.join(longer) or 'none'}."
    )
    columns = ["question", "here", f"ms at {sizes.few:,}", f"at {sizes.many:,}", "times",
               f"{unit} at {sizes.few:,}", f"at {sizes.many:,}", "times"]  # fmt: skip
    notes = dedent(f"""\
        - {sizes.mailboxes:,} mailboxes in both; as many ledger lines as messages, a tenth as many ended syncs; 1,000
          messages in each mailbox that has any. {octets(few.octets)} and {octets(many.octets)}, made in
          {few.seconds_to_make:.0f} and {many.seconds_to_make:.0f} s by the database itself.
        - Medians of {sizes.rounds}, each with other cursors and mailboxes, of the service's own function without the
          commit: each is taken back. Steps are instructions of SQLite's machine, pages those of tables and indices that
          PostgreSQL looked at, in memory or not, of one answer: what it does, whatever else the machine does.
        - The rows of a mailbox lie among those of others: where ten mailboxes share all pages a page has several rows
          of one, where ten thousand do it has one. So pages grow up to one for each row that is read, and no further.
        - The statements and their plans: `docs/query-plans.md`.
    """)
    return "\n\n".join(
        [f"## The same questions at {sizes.few:,} and {sizes.many:,} messages on {name}", bullets(facts),
         table(columns, rows, words=2), verdict, notes]
    )  # fmt: skip


def _page_of_plans(name: str, sizes: Sizes, many: Measured) -> str:
    parts = [f"## {name}, {sizes.many:,} messages"]
    for question in _all(sizes):
        lines = [f"`{question.name}`: {question.what}", ""]
        for plan in many.answers[question.name].plans:
            steps = "; ".join(f"**{step}**" if step in plan.doubts else step for step in plan.steps)
            lines += [f"- `{plan.statement}`", f"  - {steps or 'no table is read'}"]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _all(sizes: Sizes) -> Sequence[Question]:
    amount = Amount(sizes.few, sizes.mailboxes)
    return questions(amount, now=datetime.now(UTC), random=Random(0))
