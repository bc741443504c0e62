"""Deleting on the server, when a mailbox asks for it: only what is stored here, and was read back.

DELE marks, and only QUIT makes it real (RFC 1939 §5, §6). A session that is lost before or at QUIT has deleted
nothing: the messages are listed again, and are marked again.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlmodel import Session

from app import pop3
from app.database import Database
from app.mailboxes.models import MailboxId
from app.messages import intake
from app.sync import repository
from app.sync.plan import Listed, ledger_key

MOST_PER_SESSION = 500


@dataclass(frozen=True, slots=True)
class Deletable:
    """A ledger line whose message is stored and was there at the last listing."""

    unique_id: bytes
    raw_sha256: bytes


def seen_before(retention: dict[str, Any], now: datetime) -> datetime | None:
    """PURE  Messages first seen up to this moment may be deleted on the server; None: none may."""
    if retention["mode"] == "delete_after_retrieve":
        return now
    if retention["mode"] == "delete_after_days":
        return now - timedelta(days=retention["days"])
    return None


def numbers_of(lines: Sequence[Listed], ids: Sequence[bytes]) -> dict[bytes, int]:
    """PURE  The message-number of each id that this listing shows exactly once: others are not touched."""
    wanted = set(ids)
    copies = Counter(ledger_key(line.unique_id) for line in lines)
    keyed = ((ledger_key(line.unique_id), line.number) for line in lines)
    return {key: number for key, number in keyed if key in wanted and copies[key] == 1}


async def due(
    database: Database,
    mailbox_id: MailboxId,
    retention: dict[str, Any],
    raw: pop3.RawListing,
    *,
    now: datetime,
    most_entries: int,
) -> dict[bytes, int]:
    """What of this listing is to be deleted: unique-id -> message-number. Each content was read back whole."""
    before = seen_before(retention, now)
    if before is None:
        return {}
    question = partial(
        repository.deletable, mailbox_id=mailbox_id, seen_before=before, limit=MOST_PER_SESSION
    )
    found: list[Deletable] = [Deletable(*row) for row in await database.read(question)]
    if not found:
        return {}
    numbers = numbers_of(
        pop3.parse_listing(raw, most_entries=most_entries).entries, [line.unique_id for line in found]
    )

    def intact(db: Session, line: Deletable) -> bool:
        return intake.is_intact(db, line.raw_sha256)

    return {
        line.unique_id: numbers[line.unique_id]
        for line in found
        if line.unique_id in numbers and await database.read(partial(intact, line=line))
    }
