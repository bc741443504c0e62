"""PURE  Which syncs get the slots of a worker, and which give one up: slow servers can never hold all of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.mailboxes.models import Pace
from app.maildrops.errors import NO_ANSWER, SyncErrorCode
from app.pop3 import Progress
from app.runs.admission.long_work import Work
from app.runs.admission.server_limits import ServerLimits

SLOW_OCTETS = 10 * 1024
_QUICK_SECONDS = 10.0
_QUICK_OCTETS_PER_SECOND = 100 * 1024
_KEPT_PART = 4  # one of so many slots is kept for the quick ones and the new ones


@dataclass(frozen=True)
class Capacity:
    """So many slots, and who has them now. A quarter is kept for mailboxes that were quick last time; half of these
    the new ones may have too. So whoever registers a thousand mailboxes of servers that hang holds up no known one.
    """

    most: int
    running: Mapping[Pace, int] = field(default_factory=dict)

    def left(self, pace: Pace) -> int:
        """How many more of this pace may run."""
        kept = self.most // _KEPT_PART
        slow, new = self.running.get(Pace.SLOW, 0), self.running.get(Pace.NEW, 0)
        left = self.most - sum(self.running.values())
        if pace is not Pace.QUICK:
            left = min(left, self.most - kept // 2 - slow - new)
        if pace is Pace.SLOW:
            left = min(left, self.most - kept - slow)
        return max(0, left)

    def with_more(self, pace: Pace, count: int) -> "Capacity":
        """The same slots, when so many more of this pace run."""
        return Capacity(self.most, Counter(self.running) + Counter({pace: count}))


@dataclass(eq=False)
class WorkerSlot:
    """A slot that a sync has: with which server, how it moves there, and what it costs."""

    server: str
    pace: Pace
    limits: ServerLimits
    progress: Progress = field(default_factory=Progress)
    work: Work = field(default_factory=Work)
    is_private: bool | None = None
    turned_away: list[str] = field(default_factory=list)
    _address: str | None = None
    _octets: int = 0
    _waited: float = 0.0

    def enter(self, address: str, port: int) -> bool:
        """Whether there is room for one more session with this address; then it has the room."""
        self.leave()
        self.is_private, key = self.limits.address_key(address, port)
        if not self.limits.enter(key):
            self.turned_away.append(key)
            return False
        self._address = key
        return True

    def leave(self) -> None:
        """Make room for another one at the address."""
        if self._address is not None:
            self.limits.leave(self._address)
            self._address = None

    def ended(self, code: SyncErrorCode | None, *, was_called_back: bool) -> Pace:
        """The sync is over: what the limits learn from it, and the mailbox's pace from now on."""
        has_answered = code not in NO_ANSWER and not was_called_back
        self.limits.ended(self.server, self._address, has_answered=has_answered)
        if not has_answered:
            return Pace.SLOW
        if not self.progress.octets:
            return self.pace  # it was not asked
        allowed = _QUICK_SECONDS + self.progress.octets / _QUICK_OCTETS_PER_SECOND
        return Pace.QUICK if self.progress.waited <= allowed else Pace.SLOW

    def is_slow(self, now: float, *, seconds: float) -> bool:
        """Whether fewer than 10 KiB came in the last ``seconds`` in which we waited for the server."""
        waited = self.progress.waited_until(now)
        if self.progress.octets - self._octets >= SLOW_OCTETS:
            self._octets, self._waited = self.progress.octets, waited
        return waited - self._waited >= seconds


@dataclass(frozen=True)
class Queue:
    """What waits: how many of each pace, and at which of the servers that were asked about, with how many there run."""

    paces: Mapping[Pace, int]
    servers: Mapping[str, int]


def to_call_back(slow: Sequence[WorkerSlot], queue: Queue, capacity: Capacity) -> list[WorkerSlot]:
    """Which slow sessions end, so that others get their slots; those that have waited the longest first.

    As many as wait for any slot, and one for each server whose whole share is taken. While nobody waits, a slow line
    is let be.
    """
    wanted = sum(count for pace, count in queue.paces.items() if not capacity.left(pace))
    servers = {
        server
        for server, running in queue.servers.items()
        if slow and running >= slow[0].limits.share(server)
    }
    called: list[WorkerSlot] = []
    for slot in sorted(slow, key=lambda slot: -slot.progress.waited):
        if slot.server in servers:
            servers.discard(slot.server)
        elif wanted > 0:
            wanted -= 1
        else:
            continue
        called.append(slot)
    return called
