"""PURE  Fair sharing: whose work comes next, by what the work of each owner has cost so far."""

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

Work = TypeVar("Work")
Owner = tuple[object, ...]
"""For whom work is done, from the outside in: (reader, mailbox). Readers share first, then the mailboxes of each."""


class _Account:
    """What one owner has under way, what it has cost so far, and where those that come anew among its own begin."""

    __slots__ = ("level", "spent", "under_way", "waiting")

    def __init__(self, spent: float) -> None:
        self.spent = spent
        self.level = 0.0
        self.under_way = 0
        self.waiting = 0


class Shares(Generic[Work]):
    """What waits, by owner. Next comes who has the least under way, and of these who has cost the least.

    Who comes anew begins where the one stands that was served last (start-time fair queueing): being away saves
    nothing up, and having been served for long is not held against those who stayed.
    """

    def __init__(self) -> None:
        self._waiting: dict[Owner, deque[Work]] = {}
        self._accounts: dict[Owner, _Account] = {(): _Account(0.0)}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def waiting(self, owner: Owner) -> int:
        """How much of an owner's work waits."""
        return len(self._waiting.get(owner, ()))

    def add(self, owner: Owner, work: Work, *, first: bool = False) -> None:
        """Let work wait behind the owner's other work; before it, with ``first``: it was begun already."""
        queue = self._waiting.setdefault(owner, deque())
        if first:
            queue.appendleft(work)
        else:
            queue.append(work)
        for account in self._opened(owner):
            account.waiting += 1

    def take(self) -> tuple[Owner, Work] | None:
        """Whose turn it is, and the first of what he has waiting. To be followed by ``done``."""
        if not self._waiting:
            return None
        owner = min(self._waiting, key=self._standing)
        work = self._waiting[owner].popleft()
        if not self._waiting[owner]:
            del self._waiting[owner]
        for place, account in zip(_places(owner), self._opened(owner), strict=True):
            account.waiting -= 1
            account.under_way += 1
            around = self._accounts[place[:-1]]
            around.level = max(around.level, account.spent)
        return owner, work

    def done(self, owner: Owner, *, cost: float) -> None:
        """What was taken is done, or put back by ``add`` before this; it has cost so much."""
        for account in self._opened(owner):
            account.under_way -= 1
            account.spent += cost
        self._forget(owner)

    def remove(self, owner: Owner, work: Work) -> bool:
        """Whether it waited; it does not any more."""
        queue = self._waiting.get(owner)
        if queue is None or work not in queue:
            return False
        queue.remove(work)
        if not queue:
            del self._waiting[owner]
        for account in self._opened(owner):
            account.waiting -= 1
        self._forget(owner)
        return True

    def _standing(self, owner: Owner) -> list[tuple[int, float]]:
        return [(account.under_way, account.spent) for account in self._opened(owner)]

    def _opened(self, owner: Owner) -> Iterator[_Account]:
        for place in _places(owner):
            if place not in self._accounts:
                self._accounts[place] = _Account(self._accounts[place[:-1]].level)
            yield self._accounts[place]

    def _forget(self, owner: Owner) -> None:
        """Nothing is kept of who has neither work waiting nor under way."""
        for place in reversed(list(_places(owner))):
            account = self._accounts[place]
            if not account.waiting and not account.under_way:
                del self._accounts[place]


def _places(owner: Owner) -> Iterator[Owner]:
    for length in range(1, len(owner) + 1):
        yield owner[:length]
