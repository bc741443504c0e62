"""One login at one server is one mailbox, unless it is said that two are wanted."""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlmodel import Session

from app.access.reach import ALL_MAILBOXES
from app.database import Database
from app.errors import AppError
from app.mailboxes.credentials.destination import Destination
from app.mailboxes.credentials.secrets import Vault
from app.mailboxes.duplicates import is_same_login
from app.mailboxes.maildrop_moves import LedgerOfMailbox
from app.mailboxes.models import MailboxId
from app.mailboxes.registering import register
from app.mailboxes.schemas import MailboxChange, NewMailbox
from app.mailboxes.service import change
from tests.acceptance.test_api import MAILBOX, assert_problem
from tests.service import running, settings_for

NOW = datetime(2026, 11, 30, tzinfo=UTC)
ONCE = {name: value for name, value in MAILBOX.items() if name != "allow_duplicate"}
AGAIN = {"allow_duplicate": True}
NO_LEDGER = LedgerOfMailbox(
    is_known=lambda *_: False,
    begin_maildrop=lambda *_: 0,
    adopt_maildrop=lambda *_: 0,
    compare_anew=lambda *_: None,
    judge_again=lambda *_: None,
)


@pytest.mark.parametrize("by_change", [False, True])
async def test_of_two_who_want_one_maildrop_at_once_one_wins(
    database: Database, database_url: str, *, by_change: bool
) -> None:
    other = Database(database_url)  # as another process has it
    vault = Vault(["a secret key"])
    is_stored = asyncio.Event()
    loop = asyncio.get_running_loop()
    same = {"host": "POP.example.org.", "username": ONCE["username"]}
    elsewhere = NewMailbox.model_validate(ONCE | {"username": "other"})
    moved = await database.write(
        lambda db: register(db, elsewhere, reach=ALL_MAILBOXES, vault=vault, now=NOW).id
    )

    def first(db: Session) -> None:
        register(db, NewMailbox.model_validate(ONCE), reach=ALL_MAILBOXES, vault=vault, now=NOW)
        loop.call_soon_threadsafe(is_stored.set)
        time.sleep(0.2)  # the other one has begun, and nothing is committed yet

    def second(db: Session) -> None:
        if by_change:
            wanted = MailboxChange.model_validate(same | {"password": "x"})
            change(
                db, MailboxId(moved or 0), wanted, reach=ALL_MAILBOXES, vault=vault, ledger=NO_LEDGER, now=NOW
            )
        else:
            register(db, NewMailbox.model_validate(ONCE | same), reach=ALL_MAILBOXES, vault=vault, now=NOW)

    try:
        one = asyncio.create_task(database.write(first))
        await is_stored.wait()
        outcomes = await asyncio.gather(one, other.write(second), return_exceptions=True)
    finally:
        other.close()
    assert outcomes[0] is None
    assert isinstance(outcomes[1], AppError)
    assert (outcomes[1].status, outcomes[1].code) == (409, "mailbox_exists")


@pytest.mark.parametrize(
    ("host", "other"),
    [
        ("93.184.216.34", "0x5d.184.55330"),
        ("93.184.216.34", "1572395042"),
        ("93.184.216.34.", "[::ffff:5db8:d822]"),
        ("2606:2800:220:1::1", "[2606:2800:0220:1:0:0:0.0.0.1]"),
        ("93.184.216.34", "93\u3002184\uff0e216.34\uff61"),
        ("pop.example.org", "POP\u3002example\uff0eorg\u3002"),
        ("xn--exmple-cua.org", "EXA\u0308MPLE\uff61org\uff0e"),
    ],
)
def test_an_address_is_the_same_however_it_is_written(host: str, other: str) -> None:
    one, two, third = (
        Destination(host=each, port=995, security="tls", username="u")
        for each in (host, other, "93.184.216.35")
    )
    assert is_same_login(one, two)
    assert not is_same_login(third, two)


async def test_the_same_login_is_told_where_it_is_registered(database_url: str, tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "data", database_url=database_url)
    async with running(settings) as service:
        make = service.http.post
        first = (await make("/mailboxes", json=ONCE)).json()["id"]
        for same in ({}, {"host": "POP.Example.ORG."}, {"name": "other", "password": "x"},
                     {"security": "starttls", "port": 995}):  # fmt: skip
            refused = await make("/v1/mailboxes", json=ONCE | same)
            assert assert_problem(refused, 409, "mailbox_exists")["mailbox_id"] == first
            assert refused.headers["location"] == f"/v1/mailboxes/{first}"
        others = [
            (await make("/mailboxes", json=ONCE | change)).json()["id"]
            for change in ({"host": "pop.example.net"}, {"port": 1995}, {"username": "Invoices@example.org"}, AGAIN)
        ]  # fmt: skip
        assert len({first, *others}) == 5
        *_, twin = others
        assert "allow_duplicate" not in (await service.http.get(f"/mailboxes/{twin}")).json()

        elsewhere = f"/mailboxes/{others[0]}"
        move = {"host": "pop.example.org.", "password": "x", "maildrop": "same"}
        refused = await service.http.patch(f"/v1{elsewhere}", json=move)
        assert assert_problem(refused, 409, "mailbox_exists")["mailbox_id"] == first
        assert refused.headers["location"] == f"/v1/mailboxes/{first}"
        assert (await service.http.get(elsewhere)).json()["host"] == "pop.example.net"
        assert (await service.http.patch(elsewhere, json=move | AGAIN)).status_code == 200

        # Those that are there twice stay, and are changed as others are.
        for mailbox in (first, twin):
            read = (await service.http.get(f"/mailboxes/{mailbox}")).json()
            for change in (read | {"name": "new"}, {"host": "POP.example.org"}, {"paused": True}):
                changed = await service.http.patch(f"/mailboxes/{mailbox}", json=change)
                assert changed.status_code == 200, changed.text

        for mailbox in (first, twin, others[0]):
            assert_problem(await make("/mailboxes", json=ONCE), 409, "mailbox_exists")
            await service.http.delete(f"/mailboxes/{mailbox}", params={"confirm": mailbox})
        assert (await make("/mailboxes", json=ONCE)).status_code == 201
