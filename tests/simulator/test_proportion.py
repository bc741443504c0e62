"""Work in proportion to change, counted at 100,000 unique-ids: statements, ledger lines read, octets asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event

from app.ledger.lines import Known
from app.ledger.repository import ROWS_PER_READ
from app.mailboxes import repository as mailboxes
from tests.simulator.bench import NOW, Bench, engines
from tests.simulator.maildrop import Mail


@pytest.fixture(params=[100, 100_000])
async def bench(request: pytest.FixtureRequest, database_url: str) -> Any:
    made = Bench(database_url, request.param)
    await made.prepare()
    yield made
    made.close()


@contextmanager
def counting_known_lines() -> Iterator[list[int]]:
    """How many ledger lines are made into objects."""
    made = [0]
    original = Known.__init__

    def counted(self: Known, *values: Any, **named: Any) -> None:
        made[0] += 1
        original(self, *values, **named)

    Known.__init__ = counted  # type: ignore[method-assign]  # counted for this test
    try:
        yield made
    finally:
        Known.__init__ = original  # type: ignore[method-assign]  # put back


async def test_an_unchanged_listing_reads_no_line_of_the_ledger(bench: Bench) -> None:
    with counting_known_lines() as lines:
        report = await bench.sync()
    count = len(bench.maildrop.mails)
    assert (report["listed"], report["known"], report["new"]) == (count, count, 0)
    assert lines[0] == 0
    assert len(bench.ledger_statements) == 1, "only: is any line due to be tried again?"
    assert "next_attempt_at <=" in bench.ledger_statements[0]
    assert (bench.maildrop.tops, bench.maildrop.retrievals) == (0, 0)
    assert bench.all_statements <= 12


async def test_a_grown_listing_costs_what_grew(bench: Bench) -> None:
    for n in range(3):
        bench.maildrop.mails.append(Mail(b"new-%d" % n, b"Subject: %d\r\n\r\nx\r\n" % n))
    with counting_known_lines() as lines:
        report = await bench.sync()
    assert (report["listed"], report["new"]) == (len(bench.maildrop.mails), 3)
    assert lines[0] == 0
    assert len(bench.ledger_statements) <= 5, (
        "due? known by id? missing, of this content? the lines written; is anything imported?"
    )
    assert (bench.maildrop.tops, bench.maildrop.retrievals) == (0, 3)
    assert bench.all_statements <= 35


async def test_any_other_listing_reads_each_line_of_the_ledger_once_in_pages(bench: Bench) -> None:
    bench.maildrop.mails.pop(0)
    known = len(bench.maildrop.mails) + 1
    with counting_known_lines() as lines:
        report = await bench.sync()
    assert (report["known"], report["missing"]) == (known - 1, 1)
    assert lines[0] == known
    questions = [text for text in bench.ledger_statements if text.startswith("SELECT")]
    pages = known // ROWS_PER_READ + 1
    assert len(questions) == 1 + pages, "is any line due? and the ledger"
    assert bench.maildrop.tops == 0


@pytest.mark.parametrize(("count", "is_followed"), [(199, False), (200, True)])
async def test_a_sync_that_may_have_seen_only_a_window_is_followed_by_another(
    database_url: str, count: int, is_followed: bool
) -> None:
    bench = Bench(database_url, 0)
    await bench.prepare()
    bench.maildrop.mails = [Mail(b"w-%d" % n, b"Subject: %d\r\n\r\nx\r\n" % n) for n in range(count)]
    await bench.sync()
    row = await bench.database.read(lambda db: mailboxes.get(db, bench.mailbox_id))
    assert row is not None
    assert (row.next_sync_at == NOW) is is_followed
    await bench.sync()
    row = await bench.database.read(lambda db: mailboxes.get(db, bench.mailbox_id))
    assert row is not None
    assert row.next_sync_at is None
    bench.close()


async def test_a_poll_makes_no_statement_anew(database_url: str) -> None:
    """To make one and the key that it is cached by takes longer than to execute it."""
    bench, executed = Bench(database_url, 10), list[Any]()
    bench.tools = replace(bench.tools, chance=lambda: 0.0)  # old polls are forgotten, too
    await bench.prepare()
    for engine in engines(bench.database):
        event.listen(engine, "before_execute", lambda _connection, statement, *_: executed.append(statement))
    await bench.sync()
    once = {id(statement) for statement in executed}
    first, count = list(executed), len(executed)  # kept, lest another one is made in the place of one of them
    await bench.sync()
    assert count > 10
    assert {id(statement) for statement in executed[len(first) :]} <= once
    bench.close()
