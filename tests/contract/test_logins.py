"""Refused logins over weeks: what becomes of the mailboxes of a server, with a clock of its own."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from app import pop3
from app.database import Database
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import Mailbox, MailboxId, MailboxStatus
from app.maildrops import learnt
from app.maildrops.errors import SyncErrorCode, SyncFailed
from app.maildrops.login import as_sync_failed
from app.runs import claims, completion
from app.runs.completion import Completion
from app.runs.models import SyncStatus
from app.runs.repository import Claim
from app.runs.schemas import Report
from tests.contract.test_repositories import NOW, ask, make_mailbox, take

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
Says = Callable[[MailboxId, datetime], str | None]
"""What a server says to a mailbox at a moment: the words of its refusal, None where it accepts the login."""


class Weeks:
    """Polls the mailboxes as they are due, whatever the real clock says; each login is counted."""

    def __init__(self, database: Database, says: Says) -> None:
        self.database = database
        self.says = says
        self.now = NOW
        self.logins: Counter[MailboxId] = Counter()
        self.refused: dict[MailboxId, list[datetime]] = {}
        self.accepted: dict[MailboxId, datetime] = {}
        self._random = random.Random(4711)

    async def until(self, moment: datetime, *, step: timedelta = timedelta(minutes=5)) -> None:
        """Let time pass."""
        while self.now < moment:
            self.now += step
            await self.database.write(partial(claims.request_due, now=self.now, limit=1_000))
            claimed = await take(self.database, now=self.now)
            if claimed:
                rows = await self.rows()
                words = [self._word(claim, rows[claim.mailbox_id]) for claim in claimed]
                await self.database.write(partial(completion.write, completions=words))

    @property
    def count_refused(self) -> int:
        """How many logins were refused, of all."""
        return sum(len(times) for times in self.refused.values())

    async def rows(self) -> dict[MailboxId, Mailbox]:
        """The mailboxes as they stand."""
        ids = [MailboxId(number) for number in range(1, 101)]
        return await self.database.read(lambda db: mailboxes.snapshots(db, ids))

    def _word(self, claim: Claim, mailbox: Mailbox) -> Completion:
        words, failure = self.says(claim.mailbox_id, self.now), None
        self.logins[claim.mailbox_id] += 1
        if words is not None:
            self.refused.setdefault(claim.mailbox_id, []).append(self.now)
            failure = as_sync_failed(pop3.login_error(words))
        known = learnt.Learnt(server := learnt.server_of(mailbox), f"{server}/{claim.mailbox_id}", {})
        if failure is None:
            known.logged_in(self.now)
            self.accepted.setdefault(claim.mailbox_id, self.now)
        return _word(claim, failure, self.now, chance=self._random.random(), changes=known.changes)


def _word(
    claim: Claim, failure: SyncFailed | None, now: datetime, *, chance: float = 0.5, changes: Any = None
) -> Completion:
    return Completion(
        claim=claim, status=SyncStatus.FAILED if failure else SyncStatus.SUCCEEDED, failure=failure, report=Report(),
        facts={}, started=now, ended=now, login_delay=0, logged_in_at=None if failure else now, has_moved=False,
        learnt=changes or {}, chance=chance, settle=None, transcript=None,
    )  # fmt: skip


async def registered(database: Database, count: int, **fields: Any) -> None:
    """Mailboxes of one server, whose first polls are spread over an hour."""
    for number in range(count):
        first = NOW + HOUR * number / count
        await make_mailbox(database, next_sync_at=first, poll_interval_seconds=6 * 3600, **fields)


WORDS = ("[AUTH] Invalid login", "authentication failed", "nope", "Unable to open mailbox", "wrong password")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_server_that_refuses_for_a_day_costs_few_logins_and_stops_nobody(database: Database) -> None:
    """A week of 100 mailboxes, a fifth of which hears each of these words. Within the day each is refused at most four
    times (15 min, 1 h, 6 h, a day apart), or once where the words are [AUTH]."""
    begins, ends = NOW + 2 * DAY, NOW + 3 * DAY
    weeks = Weeks(database, lambda number, now: WORDS[number % len(WORDS)] if begins <= now < ends else None)
    await registered(database, 100)
    await weeks.until(NOW + 7 * DAY, step=HOUR / 2)
    rows = await weeks.rows()
    assert {row.status for row in rows.values()} == {MailboxStatus.ACTIVE.value}
    assert {row.refusals for row in rows.values()} == {0}
    assert len(weeks.refused) == 100
    for number, times in weeks.refused.items():
        assert len(times) <= (1 if WORDS[number % len(WORDS)].startswith("[AUTH]") else 4)
        waits = [later - earlier for earlier, later in pairwise(times)]
        assert all(wait >= least for wait, least in zip(waits, (HOUR / 4, HOUR, 6 * HOUR, DAY), strict=False))
    assert weeks.count_refused <= 20 * 1 + 80 * 4
    # Polled every six hours again, and no later than a day after the trouble.
    assert min(weeks.logins.values()) >= 22


async def test_one_success_lets_the_others_of_the_server_follow(database: Database) -> None:
    """All are refused for four hours, and wait for six from the third time on, each as long as chance says."""
    weeks = Weeks(database, lambda _, now: "Unable to open mailbox" if now < NOW + 4 * HOUR else None)
    worked = {"login_succeeded_at": NOW - DAY, "poll_interval_seconds": 900}
    for number in range(10):
        await make_mailbox(database, next_sync_at=NOW + HOUR * number / 20, **worked)
    await make_mailbox(database, host="other.example.org", next_sync_at=NOW + 2 * HOUR, **worked)
    await weeks.until(NOW + 11 * HOUR)
    moments = {number: weeks.accepted[number] for number in weeks.refused}
    other = moments.pop(MailboxId(11))
    assert max(moments.values()) <= min(moments.values()) + timedelta(minutes=10)
    assert other > min(moments.values()) + timedelta(minutes=10)  # another server's waits for its own time


async def test_a_password_that_was_changed_stops_its_own_mailbox_only(database: Database) -> None:
    changed = MailboxId(3)
    weeks = Weeks(database, lambda number, _: "authentication failed" if number == changed else None)
    await registered(database, 3, login_succeeded_at=NOW)
    await weeks.until(NOW + 4 * DAY, step=HOUR)
    rows = await weeks.rows()
    assert len(weeks.refused[changed]) == 5
    assert {number: row.status for number, row in rows.items()} == {
        1: "active",
        2: "active",
        3: "auth_failed",
    }


async def test_a_refusal_of_the_login_before_the_change_says_nothing_of_the_new_one(
    database: Database,
) -> None:
    mailbox_id = await make_mailbox(database, poll_interval_seconds=300)
    await ask(database, mailbox_id)
    (claim,) = await take(database)
    await database.write(
        lambda db: mailboxes.change(db, mailbox_id, login_changed_at=NOW + timedelta(seconds=1))
    )
    failure = as_sync_failed(pop3.login_error("wrong password"))
    await database.write(partial(completion.write, completions=[_word(claim, failure, NOW)]))
    row = (await database.read(lambda db: mailboxes.snapshots(db, [mailbox_id])))[mailbox_id]
    assert (row.status, row.refusals, row.refused_until) == ("active", 0, None)
    assert row.next_sync_at == NOW


async def test_at_start_what_an_earlier_version_stopped_gets_one_more_try_if_it_ever_worked(
    database: Database,
) -> None:
    stopped = {"status": "auth_failed", "status_detail": "The server refused the login: repair"}
    worked = await make_mailbox(database, login_succeeded_at=NOW, poll_interval_seconds=300, **stopped)
    await make_mailbox(database, poll_interval_seconds=300, **stopped)
    await make_mailbox(database, login_succeeded_at=NOW, refused_at=NOW, poll_interval_seconds=300, **stopped)
    assert await database.write(partial(mailboxes.try_refused_again, now=NOW)) == 1
    await database.write(partial(claims.request_due, now=NOW, limit=10))
    assert [claim.mailbox_id for claim in await take(database)] == [worked]


async def test_three_sessions_go_on_with_what_one_left_that_was_cut_and_then_the_interval(
    database: Database,
) -> None:
    mailbox_id = await make_mailbox(database, poll_interval_seconds=3600)
    cut = SyncFailed(SyncErrorCode.CONNECT_FAILED, "the server closed the connection")
    planned = []
    for _ in range(5):
        await ask(database, mailbox_id)
        (claim,) = await take(database)
        ended = replace(_word(claim, cut, NOW), status=SyncStatus.PARTIAL, logged_in_at=NOW)
        await database.write(partial(completion.write, completions=[ended]))
        row = (await database.read(lambda db: mailboxes.snapshots(db, [mailbox_id])))[mailbox_id]
        assert (row.failures, row.status) == (0, "active")
        assert row.next_sync_at is not None
        planned.append((row.next_sync_at - NOW).total_seconds())
    assert planned == [30, 30, 30, 3600, 30]
