"""What a maildrop shows, and what of it is to be retrieved: list, view, match, triage. Writes nothing."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from app import pop3
from app.database import Database
from app.ledger import listing_digest, listing_view
from app.ledger import repository as ledger
from app.ledger.comparison import compared
from app.ledger.diff import Candidate, Known, MaildropId, is_made_up, ledger_key
from app.ledger.identity import numbers_shown
from app.ledger.listing_digest import Change, ListingDigest
from app.ledger.listing_view import ListingView
from app.ledger.matching import Matcher
from app.ledger.repository import Beginning
from app.mailboxes.models import InitialSync, Mailbox, MailboxId
from app.maildrops.errors import SyncErrorCode, SyncFailed
from app.reading.slices import Slices
from app.reading.threads import FairThreads
from app.sync import copies
from app.sync.listing import Listed, UidlFailed, list_maildrop, with_every_id
from app.sync.numbers import have_shifted
from app.sync.triage import Triaged, judge_by, triage

_SEVERAL = 5
_LAST = 3  # known messages of which the last one that can be compared is
_TURN_SECONDS = 60  # by which the turn moves on of those that stand between

Survey = tuple[Listed, ListingView, Matcher, Triaged]


class Surveyor:
    """Surveys the maildrop of one session.

    ``blaming``: around asking for candidates, of which one may end the session. ``facts``: receives the columns of the
    mailbox that are found out, also where the survey fails.
    """

    def __init__(
        self,
        session: pop3.Pop3Session,
        beginning: Beginning,
        *,
        database: Database,
        threads: FairThreads,
        slices: Slices,
        limits: pop3.Limits,
        most_entries: int,
        took: pop3.Took,
        holds_beside: Callable[[int], Awaitable[None]],
        clock: Callable[[], datetime],
        phase: Callable[[str], AbstractContextManager[None]],
        blaming: Callable[[Sequence[Candidate]], AbstractAsyncContextManager[None]],
        facts: dict[str, Any],
        rows_per_read: int,
    ) -> None:
        mailbox = beginning.mailbox
        assert mailbox.id is not None
        self._session = session
        self._mailbox = mailbox
        self._maildrop = MaildropId(MailboxId(mailbox.id), mailbox.generation)
        self._due = beginning.due
        self._last_digest = beginning.last_digest
        self._database = database
        self._threads = threads
        self._slices = slices
        self._limits = limits
        self._most_entries = most_entries
        self._took = took
        self._holds_beside = holds_beside
        self._clock = clock
        self._phase = phase
        self._blaming = blaming
        self._facts = facts
        self._rows_per_read = rows_per_read

    async def survey(self) -> Survey:
        """List the maildrop and sort what it shows. Raises SyncFailed and the client's errors."""
        ids_are_numbers = self._mailbox.ids_are_numbers
        while True:
            with self._phase("list"):
                listed = await self._list(ids_are_numbers=ids_are_numbers)
            with self._phase("diff"):
                view = await self._view(listed)
                matcher = await self._matcher(view)
                triaged = await self._triage(view, matcher, total=listed.raw.stat.octets)
            shown_numbers = partial(numbers_shown, view.diff.own, triaged.shown)
            if not (view.is_in_doubt and await self._slices.call(shown_numbers, rows=len(triaged.heads))):
                break
            # Now it is sure: what was known by a number says nothing, and the headers are the ids.
            self._facts["ids_are_numbers"] = ids_are_numbers = True
            self._last_digest = None
        lost = await self._slices.call(partial(_without_their_ids, triaged), rows=len(triaged.recognised))
        if listed.has_ids and 2 * lost > view.listed:
            raise SyncFailed(
                SyncErrorCode.SERVER_TEMPORARY, f"UIDL gives no unique-ids for {lost} messages that had some."
            )
        return listed, view, matcher, triaged

    async def _list(self, *, ids_are_numbers: bool) -> Listed:
        try:
            listed = await list_maildrop(
                self._session,
                self._mailbox,
                most_entries=self._most_entries,
                now=self._clock(),
                took=self._took,
                ids_are_numbers=ids_are_numbers,
            )
        except UidlFailed as error:
            self._facts |= error.facts
            raise
        if listed.has_ids and self._mailbox.uidl_failures:
            self._facts |= {"uidl_failures": 0, "uidl_failed_at": None}
        return listed

    async def _view(self, listed: Listed) -> ListingView:
        """Read as little of the ledger as the listing's difference from the last one asks for."""
        raw, last_digest = listed.raw, self._last_digest
        is_in_doubt = listed.has_ids and listing_digest.may_be_numbers(raw)
        change = Change.OTHER
        if not self._mailbox.compares_all:
            change = await self._slices.do(listing_digest.comparing(raw, last_digest))
        if last_digest is not None and change is not Change.OTHER:
            if is_in_doubt and await self._has_shifted(last_digest.entries, is_far=False):
                return await self._view_all(raw, is_in_doubt=True, has_shifted=True)
            if change is Change.NONE and not self._due:
                return listing_view.part(
                    (), (), listed=last_digest.entries, malformed=(), now=self._clock(), is_as_before=True
                )
            if (view := await self._view_growth(raw, last_digest)) is not None:
                return view
        return await self._view_all(raw, is_in_doubt=is_in_doubt, has_shifted=False)

    async def _view_growth(self, raw: pop3.RawListing, last_digest: ListingDigest) -> ListingView | None:
        """Only what grew, and what is to be tried again; None: all has to be looked at."""
        part = listing_digest.grown_part(raw, last_digest)
        grown = await self._parsed(part)
        ids = frozenset(ledger_key(line.unique_id) for line in grown.entries)
        due = frozenset(line.unique_id for line in self._due) - ids
        known = await self._read_part(ids | due)
        shown_before = any(line.unique_id in ids and not line.is_missing for line in known)
        listed = last_digest.entries + len(grown.entries)
        # After an empty listing several messages may be those of before, under new ids.
        came_back = not last_digest.entries and len(grown.entries) >= _SEVERAL
        is_nameless = pop3.lacks_ids(part, grown) or any(is_made_up(one) for one in due)
        if shown_before or came_back or is_nameless or listed < raw.stat.count:
            return None
        lines = list(grown.entries)
        if due:
            lines = await self._slices.do(listing_view.only((await self._parsed(raw)).entries, ids | due))
        earlier = await self._earlier(ids)
        return listing_view.part(
            lines, known, listed=listed, malformed=grown.malformed, now=self._clock(), earlier=earlier
        )

    async def _view_all(self, raw: pop3.RawListing, *, is_in_doubt: bool, has_shifted: bool) -> ListingView:
        listing = await with_every_id(
            self._session, raw, most_entries=self._most_entries, slices=self._slices
        )
        if is_in_doubt and not has_shifted:
            has_shifted = await self._has_shifted(len(listing.entries), is_far=True)
        earlier: dict[bytes, int] = {}
        if self._maildrop.generation > 1:
            earlier = await self._earlier({ledger_key(line.unique_id) for line in listing.entries})
        compares_all = self._mailbox.compares_all or has_shifted
        made = await compared(
            listing,
            self._maildrop,
            read=self._database.read,
            slices=self._slices,
            now=self._clock(),
            compares_all=compares_all,
            earlier=earlier,
            rows_per_read=self._rows_per_read,
            took=self._holds_beside,
        )
        view = listing_view.whole(listing, made, last_digest=self._last_digest, compares_all=compares_all)
        is_wholesale = view.diff.is_wholesale or (self._mailbox.ids_are_changing and bool(view.diff.fresh))
        diff = replace(view.diff, is_wholesale=is_wholesale)
        return replace(view, is_in_doubt=is_in_doubt, has_shifted=has_shifted, diff=diff)

    async def _parsed(self, raw: pop3.RawListing) -> pop3.Listing:
        return await self._slices.do(pop3.parsing(raw, most_entries=self._most_entries))

    async def _has_shifted(self, entries: int, *, is_far: bool) -> bool:
        """Whether known messages stand no longer under their numbers. ``is_far``: much may have come behind them."""
        return await have_shifted(
            self._session,
            self._read_part,
            entries=entries,
            per_read=self._rows_per_read if is_far else _LAST,
            is_far=is_far,
            turn=int(self._clock().timestamp()) // _TURN_SECONDS if self._mailbox.ids_changed else None,
        )

    async def _read_part(self, ids: Collection[bytes]) -> list[Known]:
        return await self._database.read(partial(ledger.read_part, maildrop=self._maildrop, ids=ids))

    async def _earlier(self, ids: Collection[bytes]) -> dict[bytes, int]:
        return await self._database.read(
            partial(ledger.earlier_occurrences, maildrop=self._maildrop, ids=ids)
        )

    async def _matcher(self, view: ListingView) -> Matcher:
        """Knows the lines that candidates may be, also who the messages of old lines are."""
        diff, absent = view.diff, view.diff.gone + view.diff.away
        if diff.is_wholesale or any(is_made_up(candidate.unique_id) for candidate in diff.fresh):
            absent = await copies.named(self._database, absent)
        made = partial(
            Matcher,
            own=await copies.named(self._database, diff.own),
            absent=absent,
            ids_changed=self._mailbox.ids_changed or diff.is_wholesale or view.has_shifted,
            shared=diff.shared,
            is_wholesale=diff.is_wholesale,
            is_in_doubt=view.is_in_doubt,
            compares_all=view.compares_all,
        )
        return await self._slices.call(made, rows=len(diff.own) + len(absent))

    async def _triage(self, view: ListingView, matcher: Matcher, *, total: int) -> Triaged:
        mailbox = self._mailbox
        is_baseline = takes_baseline(mailbox)
        if is_baseline and view.excess and mailbox.stat_excess != view.excess:
            self._facts["stat_excess"] = view.excess
            raise SyncFailed(SyncErrorCode.SERVER_TEMPORARY, "The first listing is shorter than STAT said.")
        undecided = () if view.diff.is_wholesale else (*view.diff.fresh, *view.diff.due)
        async with self._blaming(undecided):
            return await triage(
                self._session,
                view,
                matcher,
                most_octets=self._limits.message_octets,
                total=total,
                is_baseline=is_baseline,
                judge=judge_by(mailbox.criteria),
                threads=self._threads,
                slices=self._slices,
                owner=(self._maildrop.mailbox_id,),
                now=self._clock(),
            )


def _without_their_ids(triaged: Triaged) -> int:
    """How many known messages have no unique-id any more."""
    return sum(
        is_made_up(candidate.unique_id) and not is_made_up(same.line.unique_id)
        for candidate, same in triaged.recognised
    )


def takes_baseline(mailbox: Mailbox) -> bool:
    """Whether the next listing shows what is known from the start, and never retrieved."""
    return mailbox.listed_at is None and mailbox.initial_sync == InitialSync.FROM_NOW
