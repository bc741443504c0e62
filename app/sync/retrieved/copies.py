"""What stored copies tell about ledger lines: their fingerprint, where a line has none, what is behind the headers, and
what the content is below other headers.

A bounded number is read at a time, as a mail server may be waiting.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from sqlmodel import Session

from app.database import Database
from app.ledger.lines import Known
from app.ledger.matching import Matcher
from app.ledger.models import EntryId
from app.mail.fingerprint import is_same_letter
from app.messages import intake
from app.messages.models import MessageSeq
from app.reading.shares import Owner
from app.reading.slices import Slices
from app.reading.threads import FairThreads
from app.sync.retrieved.batches import Outcome

MOST_READ = 2_000  # stored copies that one sync reads to learn who old lines' messages are
MOST_OCTETS = 256 * 1024 * 1024  # read back at some 300 MB/s
_AT_ONCE = 50


async def named(
    database: Database, lines: Sequence[Known], *, slices: Slices, most: int = MOST_READ
) -> tuple[Known, ...]:
    """The lines; the first ``most`` nameless ones with the fingerprint of their stored copies."""
    asked = await slices.call(partial(_nameless, lines, most), rows=len(lines))
    if not asked:
        return tuple(lines)
    told: dict[EntryId, Known] = {}
    for start in range(0, len(asked), _AT_ONCE):
        told |= await database.read(partial(_named, lines=asked[start : start + _AT_ONCE]))
    return await slices.call(lambda: tuple(told.get(line.entry_id, line) for line in lines), rows=len(lines))


def _nameless(lines: Sequence[Known], most: int) -> list[Known]:
    return list(islice((line for line in lines if line.is_nameless), most))


class Bodies:
    """Compares what is behind the headers of retrieved messages with stored copies, each read once in a sync; and the
    header fields, where the matcher says so."""

    def __init__(self, database: Database, threads: FairThreads, owner: Owner) -> None:
        self._database = database
        self._threads = threads
        self._owner = owner
        self._stored: dict[EntryId, _Stored] = {}

    async def same(self, outcomes: Iterable[Outcome], matcher: Matcher) -> dict[int, frozenset[EntryId]]:
        """By message-number: the lines that Message-ID, Date and From propose, and whose octets are the same."""
        found: dict[int, frozenset[EntryId]] = {}
        for outcome in outcomes:
            prepared = outcome.prepared
            lines = matcher.proposed(outcome.candidate, prepared.fingerprint) if prepared else []
            if prepared and (lines := [one for one in lines if one.content != prepared.fingerprint.content]):
                body = await self._threads.call(self._owner, partial(intake.body_digest, prepared.packed))
                stored, head = await self._stored_of(lines), prepared.packed.head
                found[outcome.candidate.number] = frozenset(
                    line.entry_id
                    for line in lines
                    if stored[line.entry_id].body == body
                    and (
                        not matcher.is_by_fields(outcome.candidate, line)
                        or is_same_letter(stored[line.entry_id].head, head)
                    )
                )
        return found

    async def _stored_of(self, lines: Collection[Known]) -> "dict[EntryId, _Stored]":
        new = [line for line in lines if line.entry_id not in self._stored]
        if new:
            self._stored |= await self._database.read(partial(_stored, lines=new))
        return self._stored


@dataclass(frozen=True, slots=True)
class _Stored:
    """What is kept of a stored copy. ``body``: the digest of what is behind the headers; ``head``: none, where there is
    no copy any more."""

    body: bytes | None = None
    head: bytes = b""


class Contents:
    """The content digests that stored copies have below header blocks that were written anew since.

    So a line tells what its message is on the server by now, and it is known there under another id too. ``MOST_READ``
    copies at most, and ``MOST_OCTETS``.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reads, self._octets = MOST_READ, MOST_OCTETS

    async def under(self, line: Known, head: bytes) -> bytes | None:
        """The digest; no octets where there is no copy any more; None: so many were read that it has to wait."""
        if line.message_seq is None:
            return b""
        if self._reads <= 0 or self._octets <= 0:
            return None
        self._reads -= 1
        self._octets -= line.octets or 0
        question = partial(intake.content_under, seq=MessageSeq(line.message_seq), head=head)
        return await self._database.read(question) or b""


def _named(db: Session, lines: Sequence[Known]) -> dict[EntryId, Known]:
    told: dict[EntryId, Known] = {}
    for line in lines:
        copy = _copy(db, line)
        names, octets = (copy.head.names, copy.head.head_octets) if copy else (None, None)
        told[line.entry_id] = replace(line, names=names, head_octets=octets or 0)  # 0: nothing tells any more
    return told


def _stored(db: Session, lines: Sequence[Known]) -> dict[EntryId, _Stored]:
    copies = {line.entry_id: _copy(db, line) if line.body is None else None for line in lines}
    return {
        line.entry_id: _Stored(copy.body, copy.block)
        if (copy := copies[line.entry_id])
        else _Stored(line.body)
        for line in lines
    }


def _copy(db: Session, line: Known) -> intake.Copy | None:
    return intake.copy_of(db, MessageSeq(line.message_seq)) if line.message_seq is not None else None
