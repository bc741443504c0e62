"""A budget for what all syncs of a process hold of long listings.

Many maildrops can be long at once. Beyond the limit the sync that needed room first goes on, and the others wait where
they are, in the order in which they came; so all get on, whatever their servers said before of their lengths. Short
listings never wait.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

FREE_ENTRIES = 5_000
_OCTETS_PER_ENTRY = 128  # what is longer counts as several


class ListingBudget:
    """Entries of listings in memory, at most about so many beyond the free ones of each."""

    def __init__(self, most_entries: int) -> None:
        self._most = most_entries
        self._held: dict[ListingShare, int] = {}  # the first that needed room comes first
        self._left = asyncio.Event()

    @property
    def held(self) -> int:
        """How many entries are held now."""
        return sum(self._held.values())

    @contextmanager
    def share(self) -> "Iterator[ListingShare]":
        """One sync's part; it is given back at the end."""
        share = ListingShare(self)
        try:
            yield share
        finally:
            self.give_back(share, 0)

    async def take(self, share: "ListingShare", entries: int) -> None:
        """Let a part grow to so many entries, as soon as there is room or it is the eldest."""
        entries -= FREE_ENTRIES
        if entries <= self._held.get(share, 0):
            return
        self._held.setdefault(share, 0)
        while self.held - self._held.get(share, 0) + entries > self._most and share not in islice(
            self._held, 1
        ):
            left = self._left
            await left.wait()
        self._held[share] = entries

    def give_back(self, share: "ListingShare", entries: int) -> None:
        """A part has become smaller."""
        entries = max(0, entries - FREE_ENTRIES)
        if entries < self._held.get(share, 0) or (not entries and share in self._held):
            self._held[share] = entries
            if not entries:
                del self._held[share]
            self._left.set()
            self._left = asyncio.Event()


class ListingShare:
    """What one sync holds."""

    def __init__(self, budget: ListingBudget) -> None:
        self._budget = budget
        self._entries = self._octets = self._beside = 0

    async def took(self, entries: int, octets: int) -> None:
        """So much more has come; returns when there is room for it."""
        self._entries += entries
        self._octets += octets
        await self._budget.take(self, self._listed)

    async def holds_beside(self, entries: int) -> None:
        """Beside the listing so much is held as so many further entries take; returns when there is room for it."""
        self._beside = max(self._beside, entries)
        await self._budget.take(self, self._listed + self._beside)

    @property
    def _listed(self) -> int:
        return max(self._entries, self._octets // _OCTETS_PER_ENTRY)

    def keep(self, entries: int) -> None:
        """Only so many are needed from now on."""
        self._budget.give_back(self, entries)
