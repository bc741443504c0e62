"""Random changes of account and host, with syncs, cuts and deaths between them: nothing is missed, nothing comes twice.

Each account counts its ids from 1, and all letters are of one size.
"""

import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from sqlmodel import Session

from app.ledger.repository import adopt_maildrop, begin_maildrop, is_known, judge_again
from app.mailboxes import repository as mailboxes
from app.mailboxes.maildrop_moves import LedgerOfMailbox, settle_maildrop
from app.mailboxes.schemas import MaildropMove
from app.runs.repository import compare_anew
from tests.simulator.bench import Bench
from tests.simulator.maildrop import Mail, letter

LEDGER = LedgerOfMailbox(is_known, begin_maildrop, adopt_maildrop, compare_anew, judge_again)
ACCOUNTS = "ABC"
GAMES = int(os.environ.get("SIMULATOR_EXAMPLES", "60")) // 10


class Accounts:
    """Three maildrops, of which one stands behind the mailbox. ``expected``: what was listed by a whole sync."""

    def __init__(self, bench: Bench, chance: random.Random) -> None:
        self.bench, self.chance = bench, chance
        self.current = "A"
        self.expected: set[str] = set()
        self._mails: dict[str, list[Mail]] = {name: [] for name in ACCOUNTS}
        self._count = Counter[str]()
        self._serial = 0
        self._prefix = chance.choice([b"", b"id-"])

    def moves(self) -> list[Callable[[], Awaitable[None]]]:
        """What may happen next; mail and syncs more often than the rest."""
        happens = [self.mail_arrives, self.sync] * 2
        return [
            *happens,
            self.change_username,
            self.change_host,
            self.remove,
            self.replace,
            self.cut,
            self.die,
        ]

    async def mail_arrives(self) -> None:
        name = self.chance.choice([self.current, *ACCOUNTS])
        self._count[name] += 1
        self._of(name).append(Mail(b"%b%d" % (self._prefix, self._count[name]), self._letter(name)))

    async def sync(self) -> None:
        shown = {mail.subject for mail in self.bench.maildrop.mails}
        if (await self.bench.try_sync())[0] == "succeeded":
            self.expected |= shown
        self.bench.now += timedelta(hours=self.chance.choice([0, 1, 30]))

    async def change_username(self) -> None:
        await self.go_to(self.chance.choice([name for name in ACCOUNTS if name != self.current]))

    async def go_to(self, name: str) -> None:
        if name == self.current:
            return  # that is no change
        self._mails[self.current] = self.bench.maildrop.mails
        await self._patch(MaildropMove.OTHER, name)
        self.current, self.bench.maildrop.mails = name, self._mails[name]

    async def change_host(self) -> None:
        """Where some ids stand for other messages."""
        await self._patch(MaildropMove.SAME, self.current)
        self._replace_some(self.current)

    async def replace(self) -> None:
        """In an account that nobody looks into, under the same ids."""
        self._replace_some(self.chance.choice([name for name in ACCOUNTS if name != self.current]))

    async def remove(self) -> None:
        if mails := self.bench.maildrop.mails:
            mails.remove(self.chance.choice(mails))

    async def cut(self) -> None:
        self.bench.maildrop.whims.cut_after_replies = self.chance.randint(0, 6)
        await self.bench.try_sync()
        self.bench.maildrop.whims.cut_after_replies = None

    async def die(self) -> None:
        await self.bench.die_in_sync(self.chance.randint(0, 4))

    def _of(self, name: str) -> list[Mail]:
        return self.bench.maildrop.mails if name == self.current else self._mails[name]

    def _replace_some(self, name: str) -> None:
        for mail in self._of(name):
            if self.chance.random() < 0.4:
                mail.content = self._letter(name)

    def _letter(self, name: str) -> bytes:
        self._serial += 1
        return letter(f"{name} {self._serial:04d}")

    async def _patch(self, move: MaildropMove, name: str) -> None:
        left, back = (("h", 1, one) for one in (self.current, name))

        def change(db: Session) -> None:
            row = mailboxes.get(db, self.bench.mailbox_id)
            assert row is not None
            settle_maildrop(db, row, move, ledger=LEDGER, left=left, back=back, now=self.bench.now)
            compare_anew(db, self.bench.mailbox_id)

        await self.bench.database.write(change)


@pytest.mark.parametrize("seed", range(GAMES))
async def test_accounts_and_hosts_that_change_lose_and_repeat_nothing(bench: Bench, seed: int) -> None:
    chance = random.Random(seed)
    bench.maildrop.whims.has_top = chance.random() < 0.7
    is_deleting = chance.random() < 0.4
    if is_deleting:
        await bench.change(server_retention={"mode": "delete_after_retrieve"})
    accounts = Accounts(bench, chance)
    for _ in range(40):
        await chance.choice(accounts.moves())()
        assert set(Counter(await bench.subjects()).values()) <= {1}
    for name in ACCOUNTS:
        await accounts.go_to(name)
        for _ in range(4):
            bench.now += timedelta(days=2)
            await accounts.sync()
    feed = Counter(await bench.subjects())
    assert set(feed.values()) <= {1}
    assert accounts.expected <= set(feed)
    deleted = {mail.subject for mail in bench.maildrop.deleted}
    assert deleted <= set(feed)
    assert is_deleting or not deleted
