"""From every schema that there has been to the newest one, with rows in all tables."""

import asyncio
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest

from app.database.schema import _LOCK, revisions, upgrade
from tests.rows import ROWS, everything, fill, tables_of
from tests.servers.postgres import Postgres
from tests.service import running, settings_for

ALL = revisions()


@pytest.mark.parametrize("revision", ALL)
async def test_every_row_is_there_after_the_upgrade_and_the_service_answers_from_them(
    empty_url: str, tmp_path: Path, revision: str
) -> None:
    upgrade(empty_url, revision)
    fill(empty_url)
    old = tables_of(empty_url)
    before = everything(empty_url, old)
    assert min(len(rows) for name, rows in before.items() if name != "feed") == ROWS
    settings = settings_for(tmp_path / "data", database_url=empty_url, role="api", without_secrets=True)
    async with running(settings) as service:  # which does the upgrade
        assert everything(empty_url, old) == before
        for path, count in {
            "/mailboxes": ROWS, "/messages": ROWS, "/api-keys": ROWS, "/mailboxes/mbx_1/messages": 1,
            "/mailboxes/mbx_1/unique-ids": 1, "/mailboxes/mbx_1/syncs": 1,
        }.items():  # fmt: skip
            answer = await service.http.get(path)
            assert (path, answer.status_code) == (path, 200), answer.text
            assert len(answer.json()["items"]) == count, path
        made = await service.http.post("/api-keys", json={"name": "new", "scopes": ["read"]})
        assert made.json()["id"] == f"key_{ROWS + 1}"


@pytest.mark.parametrize(("earlier", "later"), list(pairwise(ALL)))
def test_what_runs_on_a_schema_goes_on_writing_under_the_next_one(
    empty_url: str, earlier: str, later: str
) -> None:
    """A worker of the old version knows the old columns only: new ones take rows that do not name them."""
    upgrade(empty_url, earlier)
    old = tables_of(empty_url)
    upgrade(empty_url, later)
    fill(empty_url, old)
    assert min(len(rows) for name, rows in everything(empty_url, old).items() if name != "feed") == ROWS


async def test_who_starts_while_another_migrates_waits_for_it_whatever_time_outs_are_set(
    postgres_url: str,
) -> None:
    impatient = postgres_url + "?options=-c%20statement_timeout=100ms%20-c%20lock_timeout=100ms"
    with psycopg.connect(postgres_url) as other, psycopg.connect(postgres_url, autocommit=True) as db:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        upgrading = asyncio.create_task(asyncio.to_thread(upgrade, impatient))
        long = "SELECT FROM pg_locks WHERE NOT granted AND waitstart < clock_timestamp() - interval '0.3 s'"
        while not upgrading.done() and not db.execute(long).fetchall():
            await asyncio.sleep(0.02)
        other.rollback()
        await upgrading
        assert db.execute("SELECT version_num FROM alembic_version").fetchall() == [(ALL[-1],)]


def test_who_may_make_no_schema_is_content_with_one_that_was_made_for_him(postgres_server: Postgres) -> None:
    url = postgres_server.create_database()
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("CREATE ROLE guest LOGIN")
        db.execute("GRANT ALL ON SCHEMA public TO guest")
        db.execute("CREATE SCHEMA maildelta_background AUTHORIZATION guest")
        try:
            upgrade(url.replace("//maildelta@", "//guest@"))
            assert db.execute("SELECT to_regclass('maildelta_background.pgqueuer')").fetchone() != (None,)
        finally:
            db.execute("DROP OWNED BY guest")
            db.execute("DROP ROLE guest")
    postgres_server.drop_database(url)
