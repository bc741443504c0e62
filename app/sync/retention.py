"""Deleting on the server, when a mailbox asks for it: only what is stored here, and was read back.

DELE marks, and only QUIT makes it real (RFC 1939 §5, §6). A session that is lost before or at QUIT has deleted
nothing: the messages are listed again, and are marked again.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Any

from app import pop3
from app.database import Database
from app.mailboxes.models import MailboxId
from app.messages import intake
from app.messages.fingerprint import fingerprint, headers_digest
from app.sync import repository
from app.sync.plan import Deletable, Listed, ledger_key

MOST_PER_SESSION = 500


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
) -> dict[int, Deletable]:
    """What of this listing may be deleted, by message-number. Each stored content was read back whole."""
    before = seen_before(retention, now)
    if before is None:
        return {}
    question = partial(
        repository.deletable, mailbox_id=mailbox_id, seen_before=before, limit=MOST_PER_SESSION
    )
    found = await database.read(question)
    if not found:
        return {}
    lines = pop3.parse_listing(raw, most_entries=most_entries).entries
    numbers = numbers_of(lines, [line.unique_id for line in found])
    return {
        numbers[line.unique_id]: line
        for line in found
        if line.unique_id in numbers
        and await database.read(partial(intake.is_intact, sha256=line.raw_sha256))
    }


async def confirmed(session: pop3.Pop3Session, due: dict[int, Deletable]) -> list[int]:
    """The numbers behind which the server holds just what is stored.

    An id may have been given to another message of the same size since: that one must not go unread.
    """
    good: list[int] = []
    async for reply in session.top([number for number, line in due.items() if line.headers], lines=0):
        if isinstance(reply.body, bytes) and headers_digest(reply.body) == due[reply.number].headers:
            good.append(reply.number)
        reply.close()
    unnamed = [(number, 0) for number, line in due.items() if not line.headers]
    async for reply in session.retrieve(unnamed):
        body = reply.body
        if (
            isinstance(body, bytes)
            and fingerprint(body, sha256(body).digest()).content == due[reply.number].content
        ):
            good.append(reply.number)
        reply.close()
    return sorted(good)
