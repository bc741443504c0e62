"""What is known of a listing is recorded before anything is retrieved: recognised, baseline, filtered, missing.

It is written in parts that each fit one short transaction. The process may die between two of them. So each is right
by itself: a message that was recognised under a new unique-id and its old line go together, and what is written is
found again by the next sync, which writes the rest.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from app.ledger import repository as ledger
from app.ledger.entries import Row, RowMaker
from app.ledger.listing_view import ListingView
from app.ledger.models import EntryId, EntryState, Leased
from app.mailboxes import repository as mailboxes
from app.mailboxes.answers import ServerFacts
from app.runs.schemas import Report
from app.sync.context import Surveyed, SyncContext
from app.sync.listed.server_facts import columns_shown
from app.sync.listed.triage import Triaged
from app.sync.retrieved.batch import renamed_away

_AT_ONCE = ("ids_changed", "ids_are_changing", "ids_are_numbers", "compares_all")  # of what was found out
_FEW_ROWS = 100  # that are written in some milliseconds


@dataclass(frozen=True, slots=True)
class RecordingPart:
    """Ledger lines to write, each made when it is written, and lines whose messages are missing."""

    rows: Sequence[Callable[[], Row]]
    missing: Sequence[EntryId]
    is_first: bool
    is_last: bool


async def record(sync: SyncContext, surveyed: Surveyed, server: ServerFacts) -> None:
    """Commit what is known. A listing that brings no news is recorded with the completion."""
    view, triaged, findings, tools = surveyed.view, surveyed.triaged, sync.findings, sync.tools
    now = tools.clock()
    rows = len(view.diff.gone) + len(view.diff.own) + len(triaged.recognised)
    missing, gone, counts = await tools.slices.call(
        partial(_sorted_out, surveyed, waiting=sync.mailbox.waiting), rows=rows
    )
    findings.has_moved = view.diff.most_gone and not view.known
    findings.report = findings.report.model_copy(update=counts)
    if findings.before is not None:
        findings.report = _going_on(findings.before, findings.report)
    columns = findings.columns | columns_shown(sync.mailbox, view, server, now)
    has_rows = bool(triaged.recognised or triaged.baseline or triaged.filtered)
    if has_rows or missing:
        await sync.session.confirm()  # else what follows says whether the listing was one
    elif not triaged.to_retrieve:
        findings.columns = columns
        return
    for part in in_parts(triaged, gone, RowMaker(sync.maildrop, now), most=tools.rows_per_change):
        write = partial(_write, sync=sync, part=part, columns=columns, surveyed=surveyed, now=now)
        # What is flushed at the end flushes all before it.
        is_durable = part.is_last and has_rows
        is_long = len(part.rows) + len(part.missing) > _FEW_ROWS
        await sync.lease.write(write, report=findings.report, durable=is_durable, is_long=is_long)
    findings.columns = {}
    tools.wakeups.syncs_changed.fire(sync.lease.claim.sync_id)


def _sorted_out(surveyed: Surveyed, *, waiting: int) -> tuple[int, list[EntryId], dict[str, int]]:
    """How many messages are missing, the lines of those that are to be noted as such, and the counts of the report.

    ``waiting``: how many waited for a next attempt before.
    """
    view, triaged, found = surveyed.view, surveyed.triaged, surveyed.matcher.found
    lines = view.diff.gone if view.may_miss else ()
    gone = [line.entry_id for line in lines if line.entry_id not in found]
    renamed = renamed_away(triaged.recognised)  # missing under their own unique-ids
    missing = len(gone) + len(renamed)
    noted = [one for one in gone if one not in triaged.awaited] + _waiting_in_vain(surveyed)
    return missing, noted, _counts(surveyed, missing=missing, waiting=waiting)


def _waiting_in_vain(surveyed: Surveyed) -> list[EntryId]:
    """Lines that wait for messages of their id, all of which proved to be those of other lines."""
    triaged = surveyed.triaged
    recognised = {candidate.unique_id for candidate, _ in triaged.recognised}
    recognised -= {candidate.unique_id for candidate in (*triaged.to_retrieve, *triaged.postponed)}
    return [
        line.entry_id
        for line in surveyed.view.diff.own
        if line.state is EntryState.FAILED
        and not line.is_missing
        and line.entry_id not in surveyed.matcher.found
        and line.unique_id in recognised
    ]


def _counts(surveyed: Surveyed, *, missing: int, waiting: int) -> dict[str, int]:
    """The counts of the report. ``waiting``: how many messages waited for a next attempt before."""
    view, triaged = surveyed.view, surveyed.triaged
    known = view.known + len(triaged.recognised) + len(triaged.baseline) + len(triaged.postponed)
    return {
        "listed": view.listed,
        "known": known,
        "new": view.listed - known,
        "missing": missing,
        "filtered": len(triaged.filtered),
        "failed": len(triaged.too_large),
        "waiting": _still_waiting(view, waiting),
        "to_retrieve": len(triaged.to_retrieve),
    }


def _going_on(before: Report, report: Report) -> Report:
    """The report of a sync whose second session has listed: what the first one did was new to the sync as well."""
    failed = max(before.failed - 1, report.failed)  # that within which the session died is tried again
    new = report.new + before.filtered + before.retrieved + failed - report.failed
    listed = max(report.listed, new)
    return report.model_copy(
        update={
            "listed": listed,
            "new": new,
            "known": listed - new,
            "missing": before.missing + report.missing,
            "filtered": before.filtered + report.filtered,
            "failed": failed,
        }
    )


def _still_waiting(view: ListingView, waiting: int) -> int:
    """Of the messages that waited for a next attempt, how many are listed and not tried now."""
    lost = [line for line in view.diff.gone if line.state is EntryState.FAILED and line.next_attempt_at]
    return max(0, waiting - len(lost) - len(view.diff.due))


def _write(
    db: Leased,
    *,
    sync: SyncContext,
    part: RecordingPart,
    surveyed: Surveyed,
    columns: Mapping[str, Any],
    now: datetime,
) -> None:
    """Write one part.

    The first forgets the listing digest and says that ids change, as the next sync may have to do the rest. The last
    says that the mailbox was listed: until then all that it shows is its baseline, if it has one.
    """
    mailbox_id = sync.maildrop.mailbox_id
    if part.is_first:
        ledger.forget_listing_digest(db, mailbox_id)
        at_once = {name: columns[name] for name in _AT_ONCE if name in columns}
        if at_once and not part.is_last:
            mailboxes.change(db, mailbox_id, **at_once)
    ledger.mark_missing(db, part.missing, now=now, last_seen_at=sync.mailbox.listed_at)
    ledger.write_entries(db, [row() for row in part.rows])
    if surveyed.triaged.filtered:
        sync.judge_again_if_criteria_changed(db)
    if part.is_last:
        mailboxes.change(db, mailbox_id, **columns)


def in_parts(
    triaged: Triaged, gone: Sequence[EntryId], make: RowMaker, *, most: int
) -> Iterator[RecordingPart]:
    """All that is to be written, about ``most`` rows in each part; an empty part when it is nothing."""
    rows: list[Callable[[], Row]] = []
    missing: list[EntryId] = []
    is_first = True
    for more_rows, more_missing in _changes(triaged, gone, make):
        if max(len(rows), len(missing)) >= most:
            yield RecordingPart(rows, missing, is_first, is_last=False)
            rows, missing, is_first = [], [], False
        rows += more_rows
        missing += more_missing
    yield RecordingPart(rows, missing, is_first, is_last=True)


_Change = tuple[Iterable[Callable[[], Row]], Iterable[EntryId]]


def _changes(triaged: Triaged, gone: Sequence[EntryId], make: RowMaker) -> Iterator[_Change]:
    for candidate, same in triaged.recognised:
        yield (partial(make.same, candidate, same),), renamed_away([(candidate, same)])
    for one, marks in triaged.baseline:
        yield (partial(make.baseline, one, marks),), ()
    for candidate, head in triaged.filtered:
        yield (partial(make.filtered, candidate, head.unwanted, head.marks),), ()
    for entry_id in gone:
        yield (), (entry_id,)
