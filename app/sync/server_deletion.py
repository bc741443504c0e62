"""Deleting on the server, when a mailbox asks for it: only what is stored here, and was read back.

DELE marks, and only QUIT makes it real (RFC 1939 §5, §6). A session that is lost before or at QUIT has deleted
nothing: the messages are listed again, and are marked again.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from operator import itemgetter
from typing import Any

import structlog

from app import pop3
from app.database import Database
from app.ledger import deletions
from app.ledger import repository as ledger
from app.ledger.identity import Relation, is_alike, is_same_by_content, is_same_by_headers
from app.ledger.lines import Deletable, Known, Listed, is_tellable, ledger_key
from app.ledger.models import EntryId, Leased
from app.mail.fingerprint import Fingerprint, fingerprint, head_of, shown
from app.mailboxes.answers import ServerFacts
from app.mailboxes.models import MailboxId
from app.messages import intake
from app.messages.wholeness import Habit, is_short
from app.pop3 import Sliced
from app.reading.slices import Slices
from app.runs.admission.schedule import next_deletion
from app.sync.context import Surveyed, SyncContext
from app.sync.listed.server_facts import with_quit_lost

MOST_PER_SESSION = 500
AGREES_AFTER = timedelta(days=1)  # two retrievals so far apart are believed
_SLICE_LINES = 2048
_LONGEST_ID = 255
MOST_RETRIEVED_PER_SESSION = 50  # to compare what headers do not decide
MOST_OCTETS_PER_SESSION = 256 * 1024 * 1024  # read back at some 300 MB/s

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Deletions:
    """What became of messages that were due to be deleted.

    ``is_noted``: the ledger says that some may be gone, so that the last listing describes the next one no more.
    ``deleted``: message-numbers of those that are gone. ``is_quit_lost``: nobody knows which are. ``refused``: ledger
    lines of messages that the server keeps; ``others``: those under whose ids other messages stand.
    """

    is_noted: bool = False
    deleted: frozenset[int] = frozenset()
    is_quit_lost: bool = False
    refused: tuple[EntryId, ...] = ()
    others: tuple[EntryId, ...] = ()


async def delete_on_server(
    sync: SyncContext, surveyed: Surveyed, server: ServerFacts, habit: Habit
) -> Deletions:
    """Delete what the mailbox's retention asks for; it is gone only when QUIT was answered with +OK.

    ``habit``: how the server's sizes fit. Raises the client's errors, LeaseLost and StorageFailed.
    """
    session, retention, octets = sync.session, sync.mailbox.server_retention, dict[int, int | None]()
    if retention["mode"] != "keep":  # it may have been told to keep meanwhile
        retention = (await sync.lease.read(sync.mailbox_now)).server_retention
    if session.capabilities.expire == 0 and retention["mode"] == "keep":
        await session.abort()  # EXPIRE 0: QUIT may delete what was retrieved (RFC 2449 §6.7)
        return Deletions()

    async def entries() -> Sequence[pop3.Line]:
        lines = (await sync.with_every_id(surveyed.listed.raw)).entries
        octets.update((line.number, line.octets) for line in lines)
        return lines

    mailbox_id, now = sync.maildrop.mailbox_id, sync.tools.clock()
    asked = await due(
        sync.tools.database,
        mailbox_id,
        retention,
        entries=entries,
        now=now,
        slices=sync.tools.slices,
        habit=habit,
    )
    if (before := seen_before(retention, now)) is not None:
        question = partial(
            deletions.shared, mailbox_id=mailbox_id, seen_before=before, limit=MOST_PER_SESSION
        )
        if stay := await sync.lease.read(question):
            noted = partial(deletions.note, entries=stay, until=now, is_deleted=False)
            await sync.lease.write(noted, report=sync.findings.report)
    if asked.short:
        doubted = partial(deletions.note_short, entries=[line.entry_id for line in asked.short])
        await sync.lease.write(doubted, report=sync.findings.report)
    if not asked.found:
        return Deletions()
    with sync.phase("delete"):
        return await _delete(sync, asked, octets, server, has_ids=surveyed.listed.has_ids)


async def _delete(
    sync: SyncContext,
    asked: "Due",
    octets: Mapping[int, int | None],
    server: ServerFacts,
    *,
    has_ids: bool,
) -> Deletions:
    found, learnt = asked.found, sync.beginning.learnt
    try:
        checks = await checked(sync.session, found, octets=octets)
    except Undecided as error:  # else these would end each session before any message goes
        kept = [found[number].line.entry_id for number in error.numbers]
        later = partial(deletions.note, entries=kept, until=_later(sync), is_deleted=False)
        await sync.lease.write(later, report=sync.findings.report)
        raise error.cause from error
    last_id = None
    if checks.same and has_ids and learnt.tells_single_ids:
        last_id = _told_id(found[checks.same[-1]].line)
    if last_id is not None and not await _is_told(sync, checks.same[-1], last_id, asked.numbers):
        learnt.tells_no_single_ids()
        return Deletions()
    note = partial(_note, sync=sync, found=found, checked=checks)
    await sync.lease.write(note, report=sync.findings.report)
    refusals = await sync.session.delete(checks.same, last_id=last_id)
    try:
        await sync.session.quit()
    except (pop3.Timeout, pop3.ConnectionLost):
        sync.findings.columns["server"] = with_quit_lost(server, deleted=len(checks.same))
        return Deletions(is_noted=True, is_quit_lost=True)
    marked = list(zip(checks.same, refusals, strict=True))
    deleted = frozenset(number for number, refusal in marked if refusal is None)
    sync.findings.report.deleted = len(deleted)
    return Deletions(
        is_noted=True,
        deleted=deleted,
        refused=tuple(found[number].line.entry_id for number, refusal in marked if refusal is not None),
        others=tuple(found[number].line.entry_id for number in checks.others),
    )


def _told_id(line: Known) -> bytes | None:
    """The unique-id as UIDL of one message tells it; None where it cannot be compared."""
    is_plain = line.unique_id.isascii() and len(line.unique_id) <= _LONGEST_ID
    return line.unique_id if is_plain and is_tellable(line.unique_id) else None


async def _is_told(sync: SyncContext, number: int, last_id: bytes, numbers: Mapping[bytes, int]) -> bool:
    """Whether UIDL of the last message tells its unique-id, before anything is noted or marked. If not, it tells none
    of those that are listed, and nothing is deleted in this session.

    ``numbers``: of the ids that are listed. Raises Renumbered where one of these is told, of another message.
    """
    try:
        told = await sync.told_id(number, expected=last_id)
        if told == last_id:
            return True
        first_id, first = min(numbers.items(), key=itemgetter(1))
        if told is None or ledger_key(told) not in numbers:
            told = await sync.told_id(first, expected=first_id)
        if told is not None and ledger_key(told) in numbers:
            raise await sync.session.renumbered()
    except pop3.ArgumentIgnored:
        await sync.session.abort()
    return False


def _note(db: Leased, *, sync: SyncContext, found: dict[int, Deletable], checked: "Checked") -> None:
    """Before the first DELE: whatever happens now, the last listing describes the next one no more."""
    now = sync.tools.clock()
    ledger.forget_listing_digest(db, sync.maildrop.mailbox_id)
    for deletes in {found[number].line.deletes for number in checked.same}:
        ids = [found[n].line.entry_id for n in checked.same if found[n].line.deletes == deletes]
        deletions.note(db, ids, until=next_deletion(deletes + 1, now), is_deleted=True)
        ledger.mark_missing(db, ids, now=now, last_seen_at=now)  # what is listed all the same is compared
    unclear = [found[number].line.entry_id for number in checked.unclear]
    deletions.note(db, unclear, until=_later(sync), is_deleted=False)


def _later(sync: SyncContext) -> datetime:
    return next_deletion(2, sync.tools.clock())


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


@dataclass(frozen=True, slots=True)
class Due:
    """What may be deleted, by message-number.

    ``short``: ledger lines of copies that counted as whole before it was known how the server counts. ``numbers``: of
    all messages that are listed, by ledger key.
    """

    found: dict[int, Deletable]
    short: tuple[Known, ...]
    numbers: Mapping[bytes, int]


async def due(
    database: Database,
    mailbox_id: MailboxId,
    retention: dict[str, Any],
    *,
    entries: Callable[[], Awaitable[Sequence[Listed]]],
    now: datetime,
    slices: Slices,
    habit: Habit,
) -> Due:
    """What of the listing may be deleted. Each stored content was read back whole.

    ``habit``: how the server's sizes fit. Where it says more than it sends, most of the time, what is shorter goes a
    day later. Bounded by count and by octets, for the server waits meanwhile, and a minute of silence may end the
    session.
    """
    before = seen_before(retention, now)
    found: dict[int, Deletable] = {}
    short: list[Known] = []
    numbers: dict[bytes, int] | None = None
    last, octets = None, 0
    while before is not None:
        question = partial(
            deletions.deletable,
            mailbox_id=mailbox_id,
            seen_before=before,
            now=now,
            short_before=now - AGREES_AFTER if habit.overstates else None,
            after=last,
            limit=MOST_PER_SESSION,
        )
        page = await database.read(question)
        if page and numbers is None:
            numbers = await slices.do(numbers_of(await entries()))
        for one in page:
            if numbers is None or one.line.unique_id not in numbers:
                continue
            octets += one.octets
            if len(found) == MOST_PER_SESSION or (found and octets > MOST_OCTETS_PER_SESSION):
                return Due(found, tuple(short), numbers or {})
            copy = await database.read(partial(intake.read_back, sha256=one.raw_sha256))
            if copy and one.line.is_whole is not False and is_short(copy.size, one.line.octets, habit):
                short.append(one.line)
            elif copy:
                found[numbers[one.line.unique_id]] = replace(
                    one, line=_with_fingerprint(one.line, copy), body=copy.body
                )
            else:
                _log.error("stored_content_damaged", sha256=one.raw_sha256.hex())
        if len(page) < MOST_PER_SESSION:
            break
        last = page[-1]
    return Due(found, tuple(short), numbers or {})


@dataclass(frozen=True, slots=True)
class Checked:
    """What the server holds behind the numbers of what is due, by number.

    ``others``: another message than the stored one, which must not go unread. ``unclear``: the server does not show it.
    """

    same: list[int]
    others: list[int]
    unclear: list[int]


@dataclass
class Undecided(Exception):
    """The session ended, as ``cause`` says, while the octets of these messages were compared."""

    numbers: Sequence[int]
    cause: pop3.Pop3Error


async def checked(
    session: pop3.Pop3Session, due: dict[int, Deletable], *, octets: Mapping[int, int | None]
) -> Checked:
    """Compare what is due with what the server holds: by headers, and where these do not decide by octets.

    An id may have been given to another message of the same size since. A scanner or a mover may have written into the
    headers, and then it is the same one (``identity``). ``octets``: as LIST says now. Raises Undecided.
    """
    same: list[int] = []
    named = [number for number, one in due.items() if one.line.headers and not one.must_agree]
    undecided = [number for number in due if number not in named]
    told: dict[int, Fingerprint] = {}
    async for reply in session.top(named, lines=0):
        line = due[reply.number].line
        if isinstance(reply.body, bytes):
            told[reply.number] = shown(reply.body)
        reply.close()
        if reply.number in told and (
            told[reply.number].headers == line.headers
            or is_same_by_headers(Relation.STEADY, line, told[reply.number], octets.get(reply.number))
        ):
            same.append(reply.number)
        else:  # also where a server has no TOP
            undecided.append(reply.number)
    compared = undecided[:MOST_RETRIEVED_PER_SESSION]
    try:
        by_octets, others = await _compared(
            session, due, [(number, octets.get(number) or 0) for number in compared], told
        )
    except pop3.Pop3Error as error:
        raise Undecided(compared, error) from error
    same += by_octets
    return Checked(sorted(same), sorted(others), sorted(due.keys() - {*same, *others}))


async def _compared(
    session: pop3.Pop3Session,
    due: Mapping[int, Deletable],
    entries: Sequence[tuple[int, int]],
    told: Mapping[int, Fingerprint],
) -> tuple[list[int], Collection[int]]:
    """Those whose octets are the stored ones, and those that are others. ``told``: what TOP showed of them. Where RETR
    gives another message than TOP shows, nobody knows what DELE would delete."""
    same: list[int] = []
    others: dict[int, Fingerprint] = {}
    async for number, body in _retrieved(session, entries):
        marks, one = fingerprint(body, sha256(body).digest()), due[number]
        if number in told and not _is_one(told[number], marks):
            continue
        is_body_same = sha256(body[len(head_of(body)) :]).digest() == one.body
        if is_same_by_content(Relation.STEADY, one.line, marks, is_body_same=is_body_same, ids_changed=False):
            same.append(number)
        else:
            others[number] = marks
    # What looks like the stored one and differs each time tells of nothing: it is not deleted, and is no other message.
    alike = [
        (number, octets)
        for number, octets in entries
        if number in others and is_alike(due[number].line, others[number])
    ]
    async for number, body in _retrieved(session, alike):
        if fingerprint(body, sha256(body).digest()).content != others[number].content:
            del others[number]
    return same, others


def _is_one(told: Fingerprint, marks: Fingerprint) -> bool:
    is_named_alike = told.names is not None and told.names == marks.names
    return is_named_alike or (told.headers is not None and told.headers == marks.headers)


async def _retrieved(
    session: pop3.Pop3Session, entries: Sequence[tuple[int, int]]
) -> AsyncIterator[tuple[int, bytes]]:
    """Those that are not too long to be compared, each asked for alone, as one that is in doubt was. ``entries``: with
    LIST's octets, without which an end of the server's own is none."""
    async for reply in session.retrieve(entries, alone=True):
        if isinstance(reply.body, bytes):
            yield reply.number, reply.body
        reply.close()


def _with_fingerprint(line: Known, copy: intake.Copy) -> Known:
    """The line, with what the stored copy tells where a version wrote it that did not note it."""
    if not line.is_nameless:
        return line
    return replace(line, names=copy.head.names, head_octets=copy.head.head_octets)
