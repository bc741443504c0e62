"""Waking those who wait (long polls, event streams) when something was committed in this process.

A hint, never the truth: whoever wakes looks into the database, and looks again after a second even when
nobody woke it, because the commit may have happened in another process.
"""

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

LOOK_AGAIN_SECONDS = 1.0


class Wakeup:
    """Something that many wait for, and that is new again after each time it fires.

    ``about``: what it is about (a sync's id, say). Who waits for one thing is not woken by another: two hundred that
    wait for a sync each would else look two hundred times at every change.
    """

    def __init__(self) -> None:
        self._events: WeakValueDictionary[Hashable, asyncio.Event] = WeakValueDictionary()

    def fire(self, about: Hashable = None) -> None:
        """Wake all who wait for this now. To be called in the event loop's thread."""
        event = self._events.pop(about, None)
        if event is not None:
            event.set()

    def ticket(self, about: Hashable = None) -> asyncio.Event:
        """Take this before looking: a firing between the look and the wait is then not missed."""
        event = self._events.get(about)
        if event is None:
            event = self._events[about] = asyncio.Event()
        return event

    @staticmethod
    async def wait(ticket: asyncio.Event, *, at_most: float) -> None:
        """Wait until the ticket's event fires, or a second, or ``at_most`` seconds, whichever is first."""
        try:
            async with asyncio.timeout(min(at_most, LOOK_AGAIN_SECONDS)):
                await ticket.wait()
        except TimeoutError:
            pass


@dataclass(frozen=True)
class Wakeups:
    """All of one process. Those of messages are about a mailbox's id, and about None: any; those of syncs about a
    sync's id."""

    messages_stored: Wakeup = field(default_factory=Wakeup)
    syncs_changed: Wakeup = field(default_factory=Wakeup)
    syncs_ended: Wakeup = field(default_factory=Wakeup)

    def stored(self, mailbox_id: int) -> None:
        """Wake those who wait for a mailbox's messages, and those who wait for anybody's."""
        self.messages_stored.fire(mailbox_id)
        self.messages_stored.fire()

    def sync_ended(self, sync_id: int) -> None:
        """Wake those who wait for the end of a sync, and those who follow it."""
        self.syncs_ended.fire(sync_id)
        self.syncs_changed.fire(sync_id)
