"""A real Cyrus whose password check is down: it says [AUTH] to every password."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.servers.cyrus import Cyrus
from tests.service import Client, running, settings_for


@pytest.fixture(scope="module")
def cyrus() -> Iterator[Cyrus]:
    with Cyrus.start() as cyrus:
        yield cyrus


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Client]:
    async with running(settings_for(tmp_path)) as service:
        yield service


class Reader:
    username = "reader"
    password = "pass word"


async def refused(service: Client, mailbox_id: str) -> tuple[str, str, timedelta]:
    """A sync's error: its code, the words of Cyrus, and how long the next login waits. The mailbox stays active."""
    error = (await service.sync(mailbox_id))["error"]
    assert (await service.http.get(f"/mailboxes/{mailbox_id}")).json()["status"] == "active"
    wait = datetime.fromisoformat(error["retry_at"]) - datetime.now(UTC)
    return error["code"], error["server_reply"], wait


async def test_a_mailbox_that_worked_before_tries_again_after_a_day(
    service: Client, cyrus: Cyrus, tmp_path: Path
) -> None:
    mailbox_id = await service.register(Reader(), cyrus)
    with closing(sqlite3.connect(tmp_path / "maildelta.sqlite", timeout=30)) as file, file:
        file.execute("UPDATE mailboxes SET login_succeeded_at = '2026-01-01 00:00:00'")
    code, words, wait = await refused(service, mailbox_id)
    assert (code, words) == ("auth_failed", "[AUTH] Invalid login")
    assert timedelta(hours=23) < wait


async def test_where_the_words_tell_that_the_check_failed_the_password_is_not_blamed(
    service: Client, cyrus: Cyrus
) -> None:
    mailbox_id = await service.register(Reader(), cyrus, mechanism="PLAIN")
    _code, words, wait = await refused(service, mailbox_id)
    assert words == "[AUTH] authenticating: generic failure"
    assert timedelta(minutes=14) < wait < timedelta(minutes=20)
