"""PURE  The part of a listing that a sync has to look at, and what it shows at first sight."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.ledger.diff import Diff, diff
from app.ledger.lines import Known, ledger_key
from app.ledger.listing_digest import ListingDigest
from app.ledger.numbering import Numbering
from app.pop3 import Line, Listing, Sliced

_SLICE_LINES = 2048


@dataclass(frozen=True, slots=True)
class ListingView:
    """The part of a listing that matters, sorted. ``listed`` and ``known`` count the whole of it.

    ``may_miss``: the server showed all it has, so that what is not listed is missing. ``is_whole``: every line was
    looked at, beside the whole ledger. ``is_confirmed`` is what to remember of an empty listing. ``is_as_before``: the
    listing is the last one again. ``numbering``: how all unique-ids follow from the message-numbers, which they may be;
    ``has_shifted``: the last one that was known shows another message. ``compares_all``: no id was enough.
    ``unproven``: ids made of headers that several messages may have, where one of these is not known.
    ``excess``: how many messages STAT counts more than it lists, where all lines could be read. As many as the last
    time, they are none: the listing is not short.
    """

    listed: int
    diff: Diff
    may_miss: bool
    is_whole: bool = True
    malformed: tuple[str, ...] = ()
    is_short: bool = False
    is_confirmed: bool = True
    numbering: Numbering | None = None
    has_shifted: bool = False
    compares_all: bool = False
    is_as_before: bool = False
    unproven: frozenset[bytes] = frozenset()
    excess: int = 0

    @property
    def is_in_doubt(self) -> bool:
        """Whether the unique-ids may be message-numbers."""
        return self.numbering is not None

    @property
    def known(self) -> int:
        """How many of the listed messages are settled at first sight."""
        return self.listed - len(self.diff.fresh) - len(self.diff.due) - len(self.diff.suspects)


def whole(
    listing: Listing,
    made: Diff,
    *,
    last_digest: ListingDigest | None,
    compares_all: bool = False,
    last_excess: int | None = None,
) -> ListingView:
    """Look at every line. A listing that is suddenly empty is believed when it is empty again, and one that shows less
    than STAT counts when it lacks as many again."""
    excess = 0 if listing.malformed else max(listing.stat.count - len(listing.entries), 0)
    is_short = listing.is_short and not (excess and excess == last_excess)
    is_suddenly_empty = (
        not listing.entries and bool(made.gone) and not (last_digest is not None and last_digest.entries == 0)
    )
    return ListingView(
        listed=len(listing.entries),
        diff=made,
        may_miss=not is_short and not is_suddenly_empty,
        malformed=listing.malformed,
        is_short=is_short,
        is_confirmed=not is_suddenly_empty,
        compares_all=compares_all,
        excess=excess,
    )


def part(
    lines: Sequence[Line],
    ledger: Sequence[Known],
    *,
    listed: int,
    malformed: tuple[str, ...],
    now: datetime,
    earlier: Mapping[bytes, int] = {},  # nobody writes into it
    is_as_before: bool = False,
) -> ListingView:
    """Look at some lines, those that grew or that are due; all others are as they were last time."""
    return ListingView(
        listed=listed,
        diff=diff(lines, ledger, now=now, earlier=earlier),
        may_miss=False,
        is_whole=False,
        malformed=malformed,
        is_as_before=is_as_before,
    )


def only(lines: Sequence[Line], ids: frozenset[bytes]) -> Sliced[list[Line]]:
    """The lines that show one of these ledger keys."""
    found: list[Line] = []
    for place, line in enumerate(lines, 1):
        if ledger_key(line.unique_id) in ids:
            found.append(line)
        if not place % _SLICE_LINES:
            yield
    return found
