"""Deleting on the server, when a mailbox asks for it: only what is stored here, and was read back.

DELE marks, and only QUIT makes it real (RFC 1939 §5, §6). A session that is lost before or at QUIT has deleted
nothing: the messages are listed again, and are marked again.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Any

import structlog

from app import pop3
from app.database import Database
from app.mail.fingerprint import fingerprint, headers_digest
from app.mailboxes.models import MailboxId
from app.messages import intake
from app.pop3 import Sliced
from app.slices import Slices
from app.sync import repository
from app.sync.plan import Deletable, Listed, ledger_key

MOST_PER_SESSION = 500
_SLICE_LINES = 2048
MOST_OCTETS_PER_SESSION = 256 * 1024 * 1024  # read back at some 300 MB/s

_log = structlog.get_logger()


def seen_before(retention: dict[str, Any], now: datetime) -> datetime | None:
    """PURE  Messages first seen up to this moment may be deleted on the server; None: none may."""
    if retention["mode"] == "delete_after_retrieve":
        return now
    if retention["mode"] == "delete_after_days":
        return now - timedelta(days=retention["days"])
    return None


def numbers_of(lines: Sequence[Listed]) -> Sliced[dict[bytes, int]]:
    """PURE  The message-number of each ledger key that this listing shows exactly once: others are not touched."""
    numbers: dict[bytes, int] = {}
    shared: set[bytes] = set()
    for place, line in enumerate(lines, 1):
        key = ledger_key(line.unique_id)
        if numbers.setdefault(key, line.number) != line.number:
            shared.add(key)
        if not place % _SLICE_LINES:
            yield
    for key in shared:
        del numbers[key]
    return numbers


async def due(
    database: Database,
    mailbox_id: MailboxId,
    retention: dict[str, Any],
    raw: pop3.RawListing,
    *,
    now: datetime,
    most_entries: int,
    slices: Slices,
) -> dict[int, Deletable]:
    """What of this listing may be deleted, by message-number. Each stored content was read back whole.

    Bounded by count and by octets, for the server waits meanwhile, and a minute of silence may end the session.
    """
    before = seen_before(retention, now)
    found: dict[int, Deletable] = {}
    numbers: dict[bytes, int] | None = None
    last, octets = None, 0
    while before is not None:
        question = partial(
            repository.deletable,
            mailbox_id=mailbox_id,
            seen_before=before,
            after=last,
            limit=MOST_PER_SESSION,
        )
        page = await database.read(question)
        if page and numbers is None:
            listing = await slices.do(pop3.parsing(raw, most_entries=most_entries))
            numbers = await slices.do(numbers_of(listing.entries))
        for line in page:
            if numbers is None or line.unique_id not in numbers:
                continue
            octets += line.octets
            if len(found) == MOST_PER_SESSION or (found and octets > MOST_OCTETS_PER_SESSION):
                return found
            if await database.read(partial(intake.is_intact, sha256=line.raw_sha256)):
                found[numbers[line.unique_id]] = line
            else:
                _log.error("stored_content_damaged", sha256=line.raw_sha256.hex())
        if len(page) < MOST_PER_SESSION:
            break
        last = page[-1]
    return found


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
