"""A whole listing compared with the whole ledger: pages from the database, sorted off the event loop."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from app import pop3
from app.ledger import repository as ledger
from app.ledger.diff import Diff, Known, MaildropId
from app.ledger.models import EntryId
from app.ledger.sorting import Sorting
from app.reading.slices import Slices


async def compared(
    listing: pop3.Listing,
    maildrop: MaildropId,
    *,
    read: Callable[[Any], Awaitable[list[Known]]],
    slices: Slices,
    now: datetime,
    compares_all: bool = False,
    earlier: Mapping[bytes, int] = {},  # nobody writes into it
    rows_per_read: int = ledger.ROWS_PER_CHANGE,
) -> Diff:
    """What the listing shows beside the ledger. ``read`` asks the database."""
    sorting = Sorting(listing.entries, now=now, compares_all=compares_all, earlier=earlier)
    await slices.do(sorting.indexing())
    after: EntryId | None = None
    while True:
        page = await read(partial(ledger.ledger_page, maildrop=maildrop, after=after, limit=rows_per_read))
        await slices.do(sorting.compare(page))
        if len(page) < rows_per_read:
            break
        after = page[-1].entry_id
    keys, own = sorting.doubtful(), list[Known]()
    for start in range(0, len(keys), rows_per_read):
        some = keys[start : start + rows_per_read]
        own += await read(partial(ledger.read_part, maildrop=maildrop, ids=some))
    own.sort(key=lambda line: line.entry_id)  # as a whole ledger comes
    return await slices.do(sorting.made(own))
