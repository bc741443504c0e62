"""A mailbox, its simulated maildrop and the syncs between them, with what they cost."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Engine, event, update
from sqlmodel import Session, col, select

from app import pop3
from app.access.reach import ALL_MAILBOXES
from app.database import Database
from app.jobs.wakeups import Wakeups
from app.ledger import repository as ledger
from app.ledger.lines import MaildropId
from app.ledger.models import UniqueIdEntry
from app.mailboxes import repository as mailboxes
from app.mailboxes.maildrop_moves import begin_generation
from app.mailboxes.models import Mailbox, MailboxId
from app.messages.models import Message
from app.reading.threads import FairThreads
from app.runs import claims as claiming
from app.runs import repository as syncs
from app.runs.models import Sync, SyncStatus, Trigger
from app.sync.context import SyncTools
from app.sync.retrieved.batches import MemoryBudget
from app.sync.service import sync_mailbox
from tests import schemas
from tests.simulator.maildrop import Mail, SimulatedMaildrop

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)

Result = TypeVar("Result")


class Killed(BaseException):
    """The process died here."""


class MortalDatabase(Database):
    """A database whose process dies at a commit: nothing of the unit of work stays.

    ``meanwhile``: what another process writes before the last commit of the one that dies.
    """

    dies_in: int | None = None
    meanwhile: Callable[[Session], None] | None = None

    async def write(
        self, change: Callable[[Session], Result], *, durable: bool = True, is_long: bool = False
    ) -> Result:
        if self.dies_in is not None:
            self.dies_in -= 1
            if self.dies_in < 0:
                self.dies_in = None
                raise Killed
            if self.dies_in == 0 and self.meanwhile is not None:
                await super().write(self.meanwhile)
        return await super().write(change, durable=durable, is_long=is_long)


class Bench:
    """A mailbox whose ledger knows ``count`` ids, and what a sync of it costs."""

    def __init__(self, url: str, count: int) -> None:
        schemas.make_embedded(url)
        self._open(url, count)

    @classmethod
    def of(cls, url: str) -> "Bench":
        """The first mailbox of a database, and an empty maildrop."""
        made = cls.__new__(cls)
        made._open(url, 0)
        made.mailbox_id = MailboxId(1)
        return made

    def _open(self, url: str, count: int) -> None:
        self.database = MortalDatabase(url)
        self.maildrop = SimulatedMaildrop([Mail(b"id-%06d" % n, b"") for n in range(count)])
        self.now = NOW
        self.statements: list[str] = []
        for engine in engines(self.database):
            event.listen(engine, "before_cursor_execute", self._note)
        self.tools = SyncTools(
            database=self.database,
            maildrop=self.maildrop,  # type: ignore[arg-type]  # the part that a sync uses
            threads=FairThreads(1, name="prepare"),
            wakeups=Wakeups(),
            clock=lambda: self.now,
            monotonic=lambda: 0.0,
            chance=lambda: 0.5,
            lease_seconds=60,
            limits=pop3.Limits(),
            batch_messages=500,
            batch_octets=1 << 22,
            memory=MemoryBudget(1 << 20),
        )

    def _note(self, _connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        self.statements.append(statement)

    async def prepare(self, *, is_synced: bool = True) -> None:
        """Make the mailbox; its ledger knows what is in the maildrop."""
        row = Mailbox(
            name="m", host="h", port=110, security="none", username="u", created_at=NOW,
            server_retention={"mode": "keep"},
        )  # fmt: skip
        self.mailbox_id: MailboxId = await self.database.write(lambda db: mailboxes.add(db, row))
        ids = [mail.unique_id for mail in self.maildrop.mails]
        await self.database.write(
            lambda db: ledger.import_baseline(db, MaildropId(self.mailbox_id, 1), ids, reason="test", now=NOW)
        )
        if is_synced:
            await self.sync()

    async def sync(self) -> dict[str, Any]:
        """Run one sync; its report. ``ledger_statements`` holds those that touched the ledger."""
        status, row = await self._run()
        assert status is SyncStatus.SUCCEEDED, row.error
        return row.report

    async def _run(self) -> tuple[SyncStatus, Sync]:
        def change(db: Session) -> Sequence[syncs.Claim]:
            claiming.request(db, self.mailbox_id, Trigger.MANUAL, now=self.now)
            lease = self.now + timedelta(minutes=1)
            return claiming.claim(db, worker="w", limit=1, now=self.now, lease_expires_at=lease)

        (claim,) = await self.database.write(change)
        self.statements.clear()
        status = await sync_mailbox(claim, tools=self.tools)
        self.ledger_statements = [text for text in self.statements if "unique_ids" in text]
        self.all_statements = len(self.statements)
        row = await self.database.read(lambda db: syncs.get(db, claim.sync_id, reach=ALL_MAILBOXES))
        assert row is not None
        return status, row

    async def try_sync(self) -> tuple[str, str | None]:
        """Run one sync; its status and the code of its error."""
        status, row = await self._run()
        return status.value, row.error["code"] if row.error else None

    async def die_in_sync(self, commits: int, *, meanwhile: Callable[[Session], None] | None = None) -> None:
        """The process dies during a sync, after some commits; its lease runs out."""
        self.database.dies_in = commits + 1  # that of the claim
        self.database.meanwhile = meanwhile
        with suppress(Killed):
            await self._run()
        self.database.dies_in = self.database.meanwhile = None
        self.now += timedelta(minutes=2)

    def write_at_once(self, rows: int) -> None:
        """So many ledger lines at once are read or written, as if they were thousands."""
        self.tools = replace(self.tools, rows_per_change=rows, rows_per_read=rows)

    async def forget_listing_digest(self) -> None:
        """As after a sync that broke off."""
        await self.database.write(lambda db: ledger.forget_listing_digest(db, self.mailbox_id))

    async def change(self, **columns: Any) -> None:
        """Write columns of the mailbox."""
        await self.database.write(lambda db: mailboxes.change(db, self.mailbox_id, **columns))

    async def begin_maildrop(self) -> None:
        """Another account stands behind the mailbox now."""

        def change(db: Session) -> None:
            row = mailboxes.get(db, self.mailbox_id)
            assert row is not None
            ledger.begin_maildrop(db, self.mailbox_id, self.now)
            syncs.compare_anew(db, self.mailbox_id)
            begin_generation(row, now=self.now)

        await self.database.write(change)

    async def compare_all(self) -> None:
        """The maildrop was moved to another host."""

        def change(db: Session) -> None:
            syncs.compare_anew(db, self.mailbox_id)
            mailboxes.change(db, self.mailbox_id, compares_all=True)

        await self.database.write(change)

    async def forget_names(self) -> None:
        """As lines of an earlier version are."""
        values = {"names_sha256": None, "head_octets": None}
        await self.database.write(lambda db: db.execute(update(UniqueIdEntry).values(values)) and None)

    async def subjects(self) -> list[str]:
        """The feed."""
        return await self.database.read(
            lambda db: list(db.exec(select(Message.subject).order_by(col(Message.seq))).all())
        )

    async def lines(self) -> list[UniqueIdEntry]:
        """The ledger."""
        return await self.database.read(
            lambda db: list(db.exec(select(UniqueIdEntry).order_by(col(UniqueIdEntry.id))).all())
        )

    async def warnings(self) -> list[str]:
        """What the mailbox says of its server."""
        row = await self.database.read(lambda db: mailboxes.get(db, self.mailbox_id))
        assert row is not None
        return list((row.server or {}).get("warnings", []))

    async def mailbox(self) -> Mailbox:
        """As it is now, to be read only."""
        row = await self.database.read(lambda db: mailboxes.snapshot(db, self.mailbox_id))
        assert row is not None
        return row

    async def status(self) -> str:
        """Of the mailbox."""
        return (await self.mailbox()).status

    async def counts(self) -> dict[str, int]:
        """How many lines the ledger has, and how many of them are missing."""
        lines = await self.lines()
        return {
            "unique_ids": len(lines),
            "missing": sum(line.missing_since is not None for line in lines),
        }

    def close(self) -> None:
        """End all of it."""
        self.tools.threads.close()
        self.database.close()


def engines(database: Database) -> tuple[Engine, ...]:
    """All that statements may go to."""
    return database._read_engine, database._search_engine, *database._write_engines.values()
