"""PURE  What is new: the listing compared with the ledger, in one pass."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, auto
from hashlib import sha256
from typing import Protocol

from app.ledger.models import EntryId, EntryState
from app.mailboxes.models import MailboxId
from app.messages.wholeness import ASKED_FIRST, Before, Doubt

# Longer unique-ids (RFC 1939 allows 70 octets, servers send more) are kept as their start and their digest:
# a database index has a limit, and the comparison stays exact.
_LONGEST_KEY = 512

# Ids of ours for messages to which the server gives none. No server can give one that begins with a blank (UIDL's
# lines are stripped); those without the blank are of whole maildrops without UIDL.
_MADE_UP = (b" headers-", b" content-", b"headers-", b"content-")


@dataclass(frozen=True, slots=True)
class MaildropId:
    """Which maildrop of a mailbox: another account behind it is another generation."""

    mailbox_id: MailboxId
    generation: int


class Listed(Protocol):
    """One line of a listing: UIDL joined with LIST."""

    @property
    def number(self) -> int: ...
    @property
    def unique_id(self) -> bytes: ...
    @property
    def octets(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Known:
    """One line of the ledger, as far as the diff needs it."""

    entry_id: EntryId
    unique_id: bytes
    occurrence: int
    state: EntryState
    octets: int | None = None
    is_missing: bool = False
    attempts: int = 0
    next_attempt_at: datetime | None = None
    is_wanted: bool = False
    headers: bytes | None = None
    content: bytes | None = None
    message_seq: int | None = None
    is_whole: bool | None = None
    doubt: str | None = None
    doubtful: bytes | None = None
    names: bytes | None = None
    head_octets: int | None = None
    deletes: int = 0

    @property
    def is_nameless(self) -> bool:
        """A version wrote it that did not note who its message is; the stored copy tells."""
        return self.head_octets is None and self.content is not None and self.message_seq is not None

    @property
    def is_deleted(self) -> bool:
        """It is gone because we deleted it."""
        return self.is_missing and self.deletes > 0


@dataclass(frozen=True, slots=True)
class Deletable:
    """A ledger line whose message is stored and was there at the last listing.

    ``must_agree``: the copy is shorter than a server said that overstates most of its sizes. It goes if the message
    comes out the same a day later. ``body``: the digest of what is behind the headers of the stored copy, once that was
    read back.
    """

    line: Known
    first_seen_at: datetime
    raw_sha256: bytes
    octets: int
    must_agree: bool = False
    body: bytes = b""


class Turn(Enum):
    """When a message is asked for. Alone is what may taint what stands beside it, or was tainted."""

    FIRST = auto()  # and alone: nothing behind its end mark confirmed it
    WITH_OTHERS = auto()
    LAST = auto()  # and alone: a session ended within it, or it was cut short


@dataclass(frozen=True, slots=True)
class Candidate:
    """A listed message that is not simply known.

    ``entry``: the ledger line that waits for it (failed or filtered before, and due again). ``occurrence``: the
    one it will have if it proves to be a message of its own.
    """

    number: int
    unique_id: bytes
    occurrence: int
    octets: int | None
    entry: Known | None = None

    @property
    def attempts(self) -> int:
        """How often it was tried before."""
        return self.entry.attempts if self.entry else 0

    @property
    def before(self) -> Before:
        """What came of it the last time, when that was in doubt."""
        return Before(self.entry.doubt, self.entry.attempts, self.entry.doubtful) if self.entry else Before()

    @property
    def turn(self) -> Turn:
        """When it is asked for."""
        doubt = self.before.doubt
        if doubt in ASKED_FIRST:
            return Turn.FIRST
        return Turn.LAST if doubt in {Doubt.ENDED, Doubt.SHORT} else Turn.WITH_OTHERS

    @property
    def is_forced(self) -> bool:
        """Somebody asked for this very message: no limit and no criteria stand against it."""
        return self.entry is not None and self.entry.is_wanted


@dataclass(frozen=True, slots=True)
class Diff:
    """The first sorting of a listing. ``listed == known + len(fresh) + len(due) + len(suspects)``.

    ``suspects`` show a unique-id that the ledger knows and may yet be other messages: it was missing, its size
    changed, it stands for several, or all are to be compared. ``own`` are the ledger lines of their ids. ``gone``:
    lines that were there last time and are not listed now; ``away``: those that were missing already and still are.
    ``most_gone``: several were known, and most of what was there is gone. ``is_wholesale``: nothing or little of what
    was there is left, what we deleted aside, and unknown ids appeared, which may be the same messages under new names.
    ``shared``: ids that several messages show at once.
    """

    listed: int
    known: int
    seen: frozenset[EntryId]
    fresh: tuple[Candidate, ...]
    due: tuple[Candidate, ...]
    suspects: tuple[Candidate, ...]
    own: tuple[Known, ...]
    gone: tuple[Known, ...]
    away: tuple[Known, ...]
    most_gone: bool
    is_wholesale: bool
    shared: frozenset[bytes]

    @property
    def present(self) -> tuple[Known, ...]:
        """Ledger lines that were there last time and are not simply there now."""
        return self.gone + tuple(line for line in self.own if not line.is_missing)


@dataclass(frozen=True, slots=True)
class Settled:
    """What ``sorting`` left out of a comparison: how many messages are simply known, and those that are simply new."""

    known: int = 0
    fresh: tuple[Candidate, ...] = ()


def ledger_key(unique_id: bytes) -> bytes:
    """The unique-id as the ledger keeps it: itself, or for a very long one its start and its sha256."""
    if len(unique_id) <= _LONGEST_KEY:
        return unique_id
    return unique_id[: _LONGEST_KEY - 32] + sha256(unique_id).digest()


def is_made_up(unique_id: bytes) -> bool:
    """Whether an id is one of ours, because the server gave none."""
    return unique_id.startswith(_MADE_UP)


def diff(
    listing: Sequence[Listed],
    ledger: Iterable[Known],
    *,
    now: datetime,
    compares_all: bool = False,
    earlier: Mapping[bytes, int] = {},  # nobody writes into it
    settled: Settled | None = None,
) -> Diff:
    """Compare a listing with the ledger, in one pass over each.

    ``compares_all``: an id and a size are not enough now to know a message. ``earlier``: the last occurrence that an id
    had in earlier maildrops of the mailbox. ``settled``: of the same listing, and left out.
    """
    settled = settled or Settled()
    by_id: defaultdict[bytes, list[Known]] = defaultdict(list)
    for line in ledger:
        by_id[line.unique_id].append(line)
    keys = [ledger_key(listed.unique_id) for listed in listing]
    copies = Counter(keys)
    last = {key: max(entry.occurrence for entry in entries) for key, entries in by_id.items()}
    numbers: Counter[bytes] = Counter()
    seen: set[EntryId] = set()
    fresh: list[Candidate] = list(settled.fresh)
    due: list[Candidate] = []
    suspects: list[Candidate] = []
    for key, listed in zip(keys, listing, strict=True):
        entries = by_id.get(key)
        numbers[key] += 1
        before = max(last.get(key, 0), earlier.get(key, 0))
        candidate = Candidate(listed.number, key, numbers[key] + before, listed.octets)
        if not entries:
            fresh.append(candidate)
            continue
        steady = _steady(entries) if copies[key] == 1 else None
        if steady is not None and is_due(steady, now):
            seen.add(steady.entry_id)
            due.append(replace(candidate, occurrence=steady.occurrence, entry=steady))
        elif steady is None or compares_all or _has_another_size(steady, listed.octets):
            suspects.append(candidate)
        else:
            seen.add(steady.entry_id)
    suspected = {candidate.unique_id for candidate in suspects}
    everything = [entry for entries in by_id.values() for entry in entries]
    absent = [e for e in everything if e.entry_id not in seen and e.unique_id not in suspected]
    gone = tuple(entry for entry in absent if not entry.is_missing)
    present = settled.known + sum(not entry.is_missing for entry in everything)
    lost = [entry for entry in absent if not entry.is_deleted]
    kept = settled.known + sum(not entry.is_deleted for entry in everything)
    total = len(listing) + settled.known + len(settled.fresh)
    return Diff(
        listed=total,
        known=total - len(fresh) - len(due) - len(suspects),
        seen=frozenset(seen),
        fresh=tuple(fresh),
        due=tuple(due),
        suspects=tuple(suspects),
        own=tuple(entry for unique_id in suspected for entry in by_id[unique_id]),
        gone=gone,
        away=tuple(entry for entry in absent if entry.is_missing),
        most_gone=kept > 1 and 2 * len(gone) > present,
        is_wholesale=bool((fresh or due) and lost) and (2 * len(gone) > present or not present),
        shared=frozenset(key for key, count in copies.items() if count > 1),
    )


def is_due(entry: Known, now: datetime) -> bool:
    """Whether a ledger line asks for its message: it failed and its time has come, or somebody wants it now."""
    return entry.next_attempt_at is not None and entry.next_attempt_at <= now


def is_simply_known(entry: Known, octets: int | None, now: datetime) -> bool:
    """Whether a message that is listed once under an id with this one line needs no second look."""
    return not (entry.is_missing or is_due(entry, now) or _has_another_size(entry, octets))


def _steady(entries: Sequence[Known]) -> Known | None:
    """The line of an id under which one message was there last time, whatever others it had before."""
    present = [entry for entry in entries if not entry.is_missing]
    return present[0] if len(present) == 1 else None


def _has_another_size(entry: Known, octets: int | None) -> bool:
    """Then the unique-id may have been given to another message."""
    return entry.octets is not None and octets is not None and entry.octets != octets
