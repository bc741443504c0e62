"""Blocks of large messages are stored ahead of them, each in a transaction of its own, with other writers in between.

Until its message is stored nobody sees such a content. One whose message is not stored after all is removed again;
where the process dies before, or has lost the sync, ``forgetting`` does it.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import IO

from app.database import StorageFailed
from app.ledger.models import Leased
from app.messages import intake, repository
from app.messages.intake import Prepared
from app.messages.letters.contents import Packed, Packer
from app.runs.errors import LeaseLost
from app.sync.context import SyncContext


@asynccontextmanager
async def stored_ahead(sync: SyncContext, messages: Iterable[Prepared]) -> AsyncIterator[None]:
    """The blocks of the large ones of these are there, for the block that stores the messages."""
    large = [message.packed for message in messages if message.packed.rest is not None]
    try:
        for packed in large:
            if packed.rest is not None:
                await _store(sync, packed, packed.rest)
        yield
    except BaseException:
        if large:
            remove = partial(repository.remove_unused, digests=[packed.sha256 for packed in large])
            with suppress(LeaseLost, StorageFailed):  # then later
                await sync.lease.write(remove, report=sync.findings.report, durable=False)
        raise


async def _store(sync: SyncContext, packed: Packed, body: IO[bytes]) -> None:
    """Store what is not there, for others may have the same letter. Raises SyncFailed where there is no room."""
    tools, packer, owner = sync.tools, Packer(), (sync.maildrop.mailbox_id,)
    there = await sync.lease.read(partial(repository.further_blocks, sha256=packed.sha256))
    for number in range(1, packed.blocks):
        if number not in there:
            data = await tools.threads.call(owner, partial(packer.further, body, number))
            change = partial(_change, sync=sync, packed=packed, number=number, data=data)
            await sync.lease.write(change, report=sync.findings.report, durable=False, is_long=True)


def _change(db: Leased, *, sync: SyncContext, packed: Packed, number: int, data: bytes) -> None:
    sync.refuse_without_room(db)
    intake.store_block(db, packed, number, data)
