"""Many lines of the ledger that are written at once, on SQLite and PostgreSQL alike."""

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.database import Database
from app.ledger import repository as ledger
from app.ledger.models import EntryState, Leased
from app.mailboxes.models import MailboxId
from tests.contract.test_repositories import NOW, entry, make_mailbox

_MAY_BE: dict[str, list[Any]] = {
    "state": list(EntryState), "octets": [None, 0, 70_000, 5_000_000_000], "message_seq": [None, 3, 2**40],
    "attempts": [0, 3], "next_attempt_at": [None, NOW, NOW + timedelta(hours=1)], "is_wanted": [True, False],
    "reason": [None, "späť \\ \" {,}", ""], "headers_sha256": [None, b"\x00" * 32, b"\xff" * 32],
    "content_sha256": [None, b"\\\x00\""], "head": [None, b"", b"Subject: \xe4\r\n"], "is_whole": [None, True, False],
    "doubt": [None, "short"], "doubtful_sha256": [None, b"d"], "names_sha256": [None, b"n"],
    "head_octets": [None, 120], "body_sha256": [None, b"b"], "occurrence": [1, 2],
}  # fmt: skip


def some(mailbox_id: MailboxId, chance: random.Random, *, many: int, varying: int) -> list[dict[str, Any]]:
    """Lines of which so many columns are anything, and the others the same for all."""
    columns = chance.sample(list(_MAY_BE), varying)
    same = {name: chance.choice(values) for name, values in _MAY_BE.items()}
    return [
        entry(mailbox_id, b"id \x00 %d" % number, **same)
        | {name: chance.choice(_MAY_BE[name]) for name in columns}
        for number in range(many)
    ]


async def written(database: Database, mailbox_id: MailboxId) -> list[tuple[Any, ...]]:
    columns = [column for name, column in ledger.LEDGER.c.items() if name not in {"id", "mailbox_id"}]
    asked = select(*columns).where(ledger.LEDGER.c.mailbox_id == mailbox_id)
    rows = await database.read(lambda db: db.execute(asked.order_by("unique_id", "occurrence")).all())
    return [tuple(row) for row in rows]


async def write(database: Database, rows: Sequence[dict[str, Any]]) -> None:
    await database.write(lambda db: ledger.write_entries(Leased(db), rows))


@pytest.mark.parametrize("varying", [0, 1, 4, len(_MAY_BE)])
async def test_lines_written_at_once_are_what_they_are_written_one_by_one(
    database: Database, varying: int
) -> None:
    chance = random.Random(varying)
    one, other = await make_mailbox(database), await make_mailbox(database)
    for _ in range(3):  # the second time and the third most are there
        rows = some(one, chance, many=40, varying=varying)
        await write(database, rows)
        for row in rows:
            await write(database, [row | {"mailbox_id": other}])
        assert await written(database, one) == await written(database, other)


async def test_of_a_line_that_is_among_many_twice_the_last_state_counts(database: Database) -> None:
    mailbox_id = await make_mailbox(database)
    rows = [entry(mailbox_id, b"%d" % number) for number in range(20)]
    await write(database, [*rows, entry(mailbox_id, b"7", octets=77)])
    lines = await written(database, mailbox_id)
    assert len(lines) == 20
    assert sum(77 in line for line in lines) == 1
