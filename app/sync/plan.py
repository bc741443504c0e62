"""PURE  What is new: the listing compared with the ledger, in one pass."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Protocol

from app.sync.models import EntryId, EntryState

# Longer unique-ids (RFC 1939 allows 70 octets, servers send more) are kept as their start and their digest:
# a database index has a limit, and the comparison stays exact.
_LONGEST_KEY = 512


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
    is_missing: bool
    attempts: int
    next_attempt_at: datetime | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A listed message that is to be retrieved: new, or failed before and due again."""

    number: int
    unique_id: bytes
    occurrence: int
    octets: int | None
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """What a sync does. ``listed == known + len(to_retrieve) + len(too_large)``."""

    listed: int
    known: int
    baseline: tuple[Candidate, ...]
    to_retrieve: tuple[Candidate, ...]
    too_large: tuple[Candidate, ...]
    now_missing: tuple[EntryId, ...]
    returned: tuple[EntryId, ...]

    @property
    def new(self) -> int:
        """How many are not settled yet."""
        return len(self.to_retrieve) + len(self.too_large)


def ledger_key(unique_id: bytes) -> bytes:
    """The unique-id as the ledger keeps it: itself, or for a very long one its start and its sha256."""
    if len(unique_id) <= _LONGEST_KEY:
        return unique_id
    return unique_id[: _LONGEST_KEY - 32] + sha256(unique_id).digest()


def diff(
    listing: Sequence[Listed],
    ledger: Iterable[Known],
    *,
    now: datetime,
    most_octets: int,
    is_baseline: bool,
    may_miss: bool,
) -> SyncPlan:
    """Compare a listing with the ledger.

    The k-th message of a listing that shows one unique-id is its k-th occurrence. With ``is_baseline`` what is
    unknown becomes known without being retrieved (``initial_sync: from_now``). ``may_miss`` is false when the
    listing cannot be trusted to be whole (shorter than STAT said, suddenly empty): then nothing is missing.
    """
    by_key = {(known.unique_id, known.occurrence): known for known in ledger}
    seen: set[EntryId] = set()
    counts: Counter[bytes] = Counter()
    fresh: list[Candidate] = []
    known_count = 0
    for line in listing:
        unique_id = ledger_key(line.unique_id)
        counts[unique_id] += 1
        known = by_key.get((unique_id, counts[unique_id]))
        if known is not None:
            seen.add(known.entry_id)
        if known is not None and not _is_due(known, now):
            known_count += 1
            continue
        attempts = known.attempts if known else 0
        fresh.append(Candidate(line.number, unique_id, counts[unique_id], line.octets, attempts))
    baseline = tuple(fresh) if is_baseline else ()
    wanted = () if is_baseline else tuple(fresh)
    present = by_key.values()
    return SyncPlan(
        listed=len(listing),
        known=known_count + len(baseline),
        baseline=baseline,
        to_retrieve=tuple(line for line in wanted if (line.octets or 0) <= most_octets),
        too_large=tuple(line for line in wanted if (line.octets or 0) > most_octets),
        now_missing=tuple(
            k.entry_id for k in present if may_miss and not k.is_missing and k.entry_id not in seen
        ),
        returned=tuple(k.entry_id for k in present if k.is_missing and k.entry_id in seen),
    )


def _is_due(known: Known, now: datetime) -> bool:
    """Whether an entry that failed before is to be tried again; every other state is settled."""
    if known.state is not EntryState.FAILED:
        return False
    return known.next_attempt_at is None or known.next_attempt_at <= now
