"""A whole listing compared with the whole ledger: pages from the database, sorted off the event loop."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from app import pop3
from app.ledger import repository as ledger
from app.ledger.diff import Diff
from app.ledger.lines import Known, MaildropId
from app.ledger.models import EntryId
from app.ledger.sorting import Sorting
from app.reading.slices import Slices

# As many entries of a listing take the memory of a message that is not simply known, of a line that is not listed.
UNSETTLED, ABSENT = 4, 4


async def nobody_counts(_entries: int) -> None:
    """Whatever is held is held."""


async def compared(
    listing: pop3.Listing,
    maildrop: MaildropId,
    *,
    read: Callable[[Any], Awaitable[list[Known]]],
    slices: Slices,
    now: datetime,
    compares_all: bool = False,
    earlier: Mapping[bytes, int] = {},  # nobody writes into it
    unproven: Collection[bytes] = (),
    rows_per_read: int = ledger.ROWS_PER_READ,
    took: Callable[[int], Awaitable[None]] = nobody_counts,
) -> Diff:
    """What the listing shows beside the ledger. ``read`` asks the database.

    ``took`` is told what is held beside the listing, as so many further entries of one, and may have the rest wait.
    """
    sorting = Sorting(listing.entries, now=now, compares_all=compares_all, earlier=earlier, unproven=unproven)
    await slices.do(sorting.indexing())
    after: EntryId | None = None
    while True:
        page = await read(partial(ledger.ledger_page, maildrop=maildrop, after=after, limit=rows_per_read))
        await slices.do(sorting.compare(page))
        await took(ABSENT * sorting.absent)
        if len(page) < rows_per_read:
            break
        after = page[-1].entry_id
    await took(UNSETTLED * sorting.unsettled + ABSENT * sorting.absent)
    keys, own = await slices.do(sorting.doubtful()), list[Known]()
    for start in range(0, len(keys), rows_per_read):
        some = keys[start : start + rows_per_read]
        own += await read(partial(ledger.read_part, maildrop=maildrop, ids=some))
    await took(UNSETTLED * sorting.unsettled + ABSENT * (sorting.absent + len(own)))
    own.sort(key=lambda line: line.entry_id)  # as a whole ledger comes
    return await slices.do(sorting.made(own))
