"""More is due than may run at once: places that become free are taken, without waiting for the next tick."""

import asyncio
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from sqlmodel import Session, SQLModel

from app.database import Database, StorageFailed
from app.runs import claims
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server
from tests.service import running, settings_for


@pytest.mark.parametrize("few", ["sync_concurrency", "syncs_per_host"])
async def test_what_had_no_room_follows_at_once_when_all_have_ended(
    few: str, database: Database, database_url: str, tmp_path: Path
) -> None:
    drop = FakeMaildrop()
    drop.deliver(b"Subject: hello\r\n\r\nx\r\n", "a")
    settings = settings_for(tmp_path / "data", database_url=database_url, tick_seconds=60.0, **{few: 1})
    tables = SQLModel.metadata.tables

    def let_all_be_due(db: Session) -> None:
        db.execute(update(tables["mailboxes"]).values(next_sync_at=datetime(2026, 1, 1, tzinfo=UTC)))

    def ended(db: Session) -> int:
        syncs = tables["syncs"]
        return int(db.execute(select(func.count()).where(syncs.c.status == "succeeded")).scalar_one())

    async with FakePop3Server(drop) as server:
        async with running(settings) as service:
            for number in range(5):
                await service.register(drop, server, name=f"box {number}")
        await database.write(let_all_be_due)
        before = await database.read(ended)
        async with running(settings), asyncio.timeout(120):
            while await database.read(ended) < before + 5:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("fails", [False, True], ids=["finds nothing", "fails"])
async def test_who_asks_while_a_worker_looks_for_work_and_sees_none_is_not_forgotten(
    *, fails: bool, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop = FakeMaildrop()
    drop.deliver(b"Subject: hello\r\n\r\nx\r\n", "a")
    settings = settings_for(tmp_path / "data", database_url=database_url, tick_seconds=60.0)
    tables = SQLModel.metadata.tables
    looking, has_asked = threading.Event(), threading.Event()

    has_work = claims.has_work

    def looks_slowly(db: Session, *, now: datetime) -> bool:
        ended = select(tables["syncs"].c.id).where(tables["syncs"].c.status == "succeeded")
        if has_work(db, now=now) or not db.execute(ended).first():
            return True
        looking.set()
        has_asked.wait(60)
        if fails:
            raise StorageFailed
        return False

    async with FakePop3Server(drop) as server, running(settings) as service:
        first, second = [await service.register(drop, server, name=name) for name in ("first", "second")]
        monkeypatch.setattr(claims, "has_work", looks_slowly)
        await service.http.post(f"/mailboxes/{first}/sync")
        while not looking.is_set():
            await asyncio.sleep(0.001)
        asked = (await service.http.post(f"/mailboxes/{second}/sync")).json()
        has_asked.set()
        assert (await service.ended(asked["id"], within=60))["status"] == "succeeded"
