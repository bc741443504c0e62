"""PURE  What is new: the listing compared with the ledger, in one pass."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from app.ledger.identity import is_known_by_size
from app.ledger.lines import Candidate, Known, Listed, ledger_key
from app.ledger.models import EntryId


@dataclass(frozen=True, slots=True)
class Diff:
    """The first sorting of a listing. ``listed == known + len(fresh) + len(due) + len(suspects)``.

    ``suspects`` show a unique-id that the ledger knows and may yet be other messages: it was missing, its size
    changed, it stands for several, or all are to be compared. ``own`` are the ledger lines of their ids. ``gone``:
    lines that were there last time and are not listed now; ``away``: those that were missing already and still are.
    ``most_gone``: several were known, and most of what was there is gone. ``is_wholesale``: nothing or little of what
    was there is left, what we deleted aside, and unknown ids appeared, which may be the same messages under new names.
    ``most_returned``: most of what is listed was away, and several of it.
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
    most_returned: bool
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


def diff(
    listing: Sequence[Listed],
    ledger: Iterable[Known],
    *,
    now: datetime,
    compares_all: bool = False,
    earlier: Mapping[bytes, int] = {},  # nobody writes into it
    settled: Settled | None = None,
    unproven: Collection[bytes] = (),
) -> Diff:
    """Compare a listing with the ledger, in one pass over each.

    ``compares_all``: an id and a size are not enough now to know a message. ``earlier``: the last occurrence that an id
    had in earlier maildrops of the mailbox. ``settled``: of the same listing, and left out. ``unproven``: ids that may
    stand for other messages.
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
        elif steady is None or compares_all or key in unproven or not is_known_by_size(steady, listed.octets):
            suspects.append(candidate)
        else:
            seen.add(steady.entry_id)
    returned = sum(all(e.is_missing and not e.is_deleted for e in by_id[c.unique_id]) for c in suspects)
    suspected = {candidate.unique_id for candidate in suspects}
    everything = [entry for entries in by_id.values() for entry in entries]
    absent = [e for e in everything if e.entry_id not in seen and e.unique_id not in suspected]
    gone = tuple(entry for entry in absent if not entry.is_missing)
    total = len(listing) + settled.known + len(settled.fresh)
    most_gone, is_wholesale = _change(everything, absent, len(gone), settled, has_more=bool(fresh or due))
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
        most_gone=most_gone,
        is_wholesale=is_wholesale,
        most_returned=returned > 1 and 2 * returned >= total,
        shared=frozenset(key for key, count in copies.items() if count > 1),
    )


def _change(
    everything: Sequence[Known], absent: Sequence[Known], gone: int, settled: Settled, *, has_more: bool
) -> tuple[bool, bool]:
    """Whether most of what was there is gone, and whether what is new may be that under new names."""
    present = settled.known + sum(not entry.is_missing for entry in everything)
    kept = settled.known + sum(not entry.is_deleted for entry in everything)
    is_most = 2 * gone > present
    is_lost = any(not entry.is_deleted for entry in absent)
    return kept > 1 and is_most, has_more and is_lost and (is_most or not present)


def is_due(entry: Known, now: datetime) -> bool:
    """Whether a ledger line asks for its message: it failed and its time has come, or somebody wants it now."""
    return entry.next_attempt_at is not None and entry.next_attempt_at <= now


def is_simply_known(entry: Known, octets: int | None, now: datetime) -> bool:
    """Whether a message that is listed once under an id with this one line needs no second look."""
    return not entry.is_missing and not is_due(entry, now) and is_known_by_size(entry, octets)


def _steady(entries: Sequence[Known]) -> Known | None:
    """The line of an id under which one message was there last time, whatever others it had before."""
    present = [entry for entry in entries if not entry.is_missing]
    return present[0] if len(present) == 1 else None
