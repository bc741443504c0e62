"""What a maildrop shows, and what of it is to be retrieved: list, view, match, triage. Writes nothing."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import timedelta
from functools import partial

from app import pop3
from app.ledger import listing_digest, listing_view
from app.ledger import repository as ledger
from app.ledger.comparison import compared
from app.ledger.identity import Circumstances, numbers_shown
from app.ledger.lines import Candidate, Known, is_made_up, ledger_key
from app.ledger.listing_digest import Change, ListingDigest
from app.ledger.listing_view import ListingView
from app.ledger.matching import Matcher
from app.ledger.numbering import Numbering, numbering
from app.maildrops.errors import SyncErrorCode, SyncFailed
from app.sync.blame import blaming
from app.sync.context import Surveyed, SyncContext
from app.sync.listed.headers import judge_by
from app.sync.listed.listing import Listed, UidlFailed, list_maildrop
from app.sync.listed.numbers import Shift, is_any_unknown, is_comparable, seen_under, shift
from app.sync.listed.triage import Triaged, triage
from app.sync.retrieved import copies

_SEVERAL = 5
# Before a first listing is believed whose length differs each time.
_TRIED, _TRIED_FOR = 3, timedelta(hours=1)
_LAST = 3  # known messages of which the last one that can be compared is
_SAMPLE = 3  # messages from either end
_TURN_SECONDS = 60  # by which the turn moves on of those that stand between


async def list_messages(sync: SyncContext, *, ids_are_numbers: bool) -> Listed:
    """The listing. Raises SyncFailed and the client's errors."""
    findings, mailbox = sync.findings, sync.mailbox
    try:
        listed = await list_maildrop(
            sync.session,
            mailbox,
            most_entries=sync.most_entries,
            now=sync.tools.clock(),
            took=sync.share.took,
            ids_are_numbers=ids_are_numbers,
            of_unread=sync.of_unread,
        )
    except UidlFailed as error:
        findings.columns |= error.facts
        raise
    if listed.has_ids and mailbox.uidl_failures:
        findings.columns |= {"uidl_failures": 0, "uidl_failed_at": None}
    return listed


async def view_listing(sync: SyncContext, listed: Listed, last_digest: ListingDigest | None) -> ListingView:
    """Compare the listing with the last one, and read no more of the ledger than their difference needs."""
    raw, mailbox, slices = listed.raw, sync.mailbox, sync.tools.slices
    made = await slices.do(numbering(raw)) if listed.has_ids else None
    change = Change.OTHER
    if not mailbox.compares_all:
        change = await slices.do(listing_digest.comparing(raw, last_digest))
    known_until = last_digest.entries if last_digest is not None and change is not Change.OTHER else None
    if unproven := await _unproven(sync, listed, known_until):
        return await _view_all(sync, raw, last_digest, made=made, unproven=unproven)
    if last_digest is not None and change is not Change.OTHER:
        seen = await _shift(sync, made, last_digest.entries, is_far=False) if made else Shift.NONE
        if seen is not Shift.NONE:
            return await _view_all(sync, raw, last_digest, made=made, seen=seen)
        if change is Change.NONE and not sync.beginning.due:
            return listing_view.part(
                (), (), listed=last_digest.entries, malformed=(), now=sync.tools.clock(), is_as_before=True
            )
        if (view := await _view_growth(sync, raw, last_digest)) is not None:
            return view
    return await _view_all(sync, raw, last_digest, made=made)


async def _unproven(sync: SyncContext, listed: Listed, known_until: int | None) -> frozenset[bytes]:
    """Ids made of headers that other messages may have, where one of these may stand among those that were known.

    ``known_until``: behind this number none was.
    """
    known = {n: one for n, one in listed.unstamped.items() if known_until is None or n <= known_until}
    is_any = known and await is_any_unknown(sync.session, partial(_read_part, sync), known)
    return frozenset(listed.unstamped.values() if is_any else ())


async def match(sync: SyncContext, view: ListingView) -> Matcher:
    """Index the ledger lines that candidates may belong to. Lines of earlier versions get names from stored copies."""
    diff, absent = view.diff, view.diff.gone + view.diff.away
    named = partial(copies.named, sync.tools.database, slices=sync.tools.slices)
    is_nameless = partial(_is_any_made_up, diff.fresh)
    if absent and (diff.is_wholesale or await sync.tools.slices.call(is_nameless, rows=len(diff.fresh))):
        absent = await named(absent)
    circumstances = Circumstances(
        shared=diff.shared,
        ids_changed=sync.mailbox.ids_changed or diff.is_wholesale or view.has_shifted,
        most_returned=diff.most_returned,
        is_wholesale=diff.is_wholesale,
        is_in_doubt=view.is_in_doubt,
        compares_all=view.compares_all,
        unproven=view.unproven,
    )
    own = await named(diff.own)
    made = partial(Matcher, own=own, absent=absent, circumstances=circumstances)
    return await sync.tools.slices.call(made, rows=len(diff.own) + len(absent))


async def triage_candidates(
    sync: SyncContext, listed: Listed, view: ListingView, matcher: Matcher
) -> Triaged:
    """Put each candidate in its place. Raises SyncFailed and the client's errors."""
    mailbox, tools = sync.mailbox, sync.tools
    is_baseline = sync.takes_baseline
    if is_baseline and not _may_begin_with(sync, max(listed.raw.stat.count - view.listed, 0)):
        raise SyncFailed(SyncErrorCode.SERVER_TEMPORARY, "The first listing is shorter than STAT said.")
    undecided = () if view.diff.is_wholesale else (*view.diff.fresh, *view.diff.due)
    async with blaming(sync, undecided):
        return await triage(
            sync.session,
            view,
            matcher,
            most_octets=tools.limits.message_octets,
            total=listed.raw.stat.octets,
            is_baseline=is_baseline,
            judge=judge_by(mailbox.criteria),
            threads=tools.threads,
            slices=tools.slices,
            owner=(sync.maildrop.mailbox_id,),
            content_under=copies.Contents(tools.database).under,
            now=tools.clock(),
            listed_at=mailbox.listed_at,
        )


async def shows_numbers(sync: SyncContext, surveyed: Surveyed) -> bool:
    """Whether it is sure now that unique-ids which equal the message-numbers are nothing else."""
    made, triaged = surveyed.view.numbering, surveyed.triaged
    if made is None:
        return False
    shown = partial(numbers_shown, surveyed.view.diff.own, triaged.shown, made)
    return await sync.tools.slices.call(shown, rows=len(triaged.heads))


async def refuse_lost_ids(sync: SyncContext, surveyed: Surveyed) -> None:
    """Raise SyncFailed where UIDL gives no ids for most of the messages, which had some."""
    triaged = surveyed.triaged
    lost = await sync.tools.slices.call(partial(_without_their_ids, triaged), rows=len(triaged.recognised))
    if surveyed.listed.has_ids and 2 * lost > surveyed.view.listed:
        raise SyncFailed(
            SyncErrorCode.SERVER_TEMPORARY, f"UIDL gives no unique-ids for {lost} messages that had some."
        )


def _may_begin_with(sync: SyncContext, lacking: int) -> bool:
    """Whether a listing that lacks so many messages is all that can be had of what is there already: where it lacks as
    many as the last one, or others have lacked some for long enough."""
    mailbox, now = sync.mailbox, sync.tools.clock()
    since, before = mailbox.failing_since or now, mailbox.stat_excess
    if lacking and lacking != before:
        sync.findings.columns["stat_excess"] = lacking
    is_for_long = before is not None and mailbox.failures >= _TRIED and now - since >= _TRIED_FOR
    return not lacking or lacking == before or is_for_long


async def _view_growth(
    sync: SyncContext, raw: pop3.RawListing, last_digest: ListingDigest
) -> ListingView | None:
    """View only what grew and what is tried again. None: the whole listing has to be viewed."""
    part = listing_digest.grown_part(raw, last_digest)
    grown = await _parsed(sync, part)
    ids = frozenset(ledger_key(line.unique_id) for line in grown.entries)
    due = frozenset(line.unique_id for line in sync.beginning.due) - ids
    known = await _read_part(sync, ids | due)
    shown_before = any(line.unique_id in ids and not line.is_missing for line in known)
    listed = last_digest.entries + len(grown.entries)
    # After an empty listing several messages may be those of before, under new ids.
    came_back = not last_digest.entries and len(grown.entries) >= _SEVERAL
    # Lines that LIST does not have are of messages that stood behind the last id, and had none.
    is_other = any(line.octets is None for line in grown.entries)
    is_nameless = is_other or pop3.lacks_ids(part, grown) or any(is_made_up(one) for one in due)
    is_short = listed + (sync.mailbox.stat_excess or 0) < raw.stat.count
    waiting = {line.entry_id for line in sync.beginning.due}
    is_beside_another = any(
        line.unique_id in due and not line.is_missing and line.entry_id not in waiting for line in known
    )
    if shown_before or came_back or is_nameless or is_short or is_beside_another:
        return None
    lines = list(grown.entries)
    if due:
        everything = await _parsed(sync, raw)
        lines = await sync.tools.slices.do(listing_view.only(everything.entries, ids | due))
    return listing_view.part(
        lines,
        known,
        listed=listed,
        malformed=grown.malformed,
        now=sync.tools.clock(),
        earlier=await _earlier(sync, ids),
    )


async def _view_all(
    sync: SyncContext,
    raw: pop3.RawListing,
    last_digest: ListingDigest | None,
    *,
    made: Numbering | None,
    seen: Shift = Shift.NONE,
    unproven: frozenset[bytes] = frozenset(),
) -> ListingView:
    """``made``: how all unique-ids follow from the message-numbers. ``unproven``: see ``Circumstances``."""
    mailbox, maildrop, tools = sync.mailbox, sync.maildrop, sync.tools
    listing = await sync.with_every_id(raw)
    if made is not None and seen is Shift.NONE:
        seen = await _shift(sync, made, len(listing.entries), is_far=True)
    earlier: dict[bytes, int] = {}
    if maildrop.generation > 1:  # else the ids of a long listing are not even gathered
        earlier = await _earlier(sync, {ledger_key(line.unique_id) for line in listing.entries})
    was_empty = last_digest is not None and not last_digest.is_confirmed
    if was_empty and await _is_another(sync, listing):
        sync.findings.columns["compares_all"] = True
    compares_all = mailbox.compares_all or seen is not Shift.NONE or "compares_all" in sync.findings.columns
    found = await compared(
        listing,
        maildrop,
        read=sync.lease.read_long,
        slices=tools.slices,
        now=tools.clock(),
        compares_all=compares_all,
        earlier=earlier,
        unproven=unproven,
        rows_per_read=tools.rows_per_read,
        took=sync.share.holds_beside,
    )
    view = listing_view.whole(
        listing,
        found,
        last_digest=last_digest,
        compares_all=compares_all,
        last_excess=None if pop3.lacks_ids(raw, listing) else mailbox.stat_excess,
    )
    if view.excess != (mailbox.stat_excess or 0) and not view.malformed:
        sync.findings.columns["stat_excess"] = view.excess or None
    is_going_on = mailbox.ids_are_changing and bool(view.diff.fresh or view.diff.due)
    is_wholesale = view.diff.is_wholesale or is_going_on
    diff = replace(view.diff, is_wholesale=is_wholesale)
    return replace(view, numbering=made, has_shifted=seen is Shift.SURE, unproven=unproven, diff=diff)


async def _parsed(sync: SyncContext, raw: pop3.RawListing) -> pop3.Listing:
    return await sync.tools.slices.do(pop3.parsing(raw, most_entries=sync.most_entries))


async def _shift(sync: SyncContext, made: Numbering, entries: int, *, is_far: bool) -> Shift:
    """Whether known messages stand no longer under their numbers. ``is_far``: much may have come behind them."""
    now = int(sync.tools.clock().timestamp())
    return await shift(
        sync.session,
        partial(_read_part, sync),
        made,
        entries=entries,
        per_read=sync.tools.rows_per_read if is_far else _LAST,
        is_far=is_far,
        turn=now // _TURN_SECONDS if sync.mailbox.ids_changed else None,
    )


async def _is_another(sync: SyncContext, listing: pop3.Listing) -> bool:
    """Whether ids stand for other messages, where the last listing was empty and nothing was marked missing.

    They may be counted from 1 again. All of them do then: a few tell.
    """
    entries = listing.entries
    some = [*entries[:_SAMPLE], *entries[-_SAMPLE:]]
    numbers = {ledger_key(line.unique_id): line.number for line in some}
    lines = await _read_part(sync, numbers.keys())
    known = {numbers[one.unique_id]: one for one in lines if not one.is_missing and is_comparable(one)}
    return await seen_under(sync.session, known, trusts_headers=True) is Shift.SURE


async def _read_part(sync: SyncContext, ids: Collection[bytes]) -> list[Known]:
    return await sync.tools.database.read(partial(ledger.read_part, maildrop=sync.maildrop, ids=ids))


async def _earlier(sync: SyncContext, ids: Collection[bytes]) -> dict[bytes, int]:
    if sync.maildrop.generation == 1:
        return {}
    question = partial(ledger.earlier_occurrences, maildrop=sync.maildrop, ids=ids)
    return await sync.tools.database.read(question)


def _is_any_made_up(candidates: Iterable[Candidate]) -> bool:
    return any(is_made_up(candidate.unique_id) for candidate in candidates)


def _without_their_ids(triaged: Triaged) -> int:
    """How many known messages have no unique-id any more."""
    return sum(
        is_made_up(candidate.unique_id) and not is_made_up(same.line.unique_id)
        for candidate, same in triaged.recognised
    )
