"""Waking whoever waits (long polls, event streams, workers) when something was committed.

A hint, never the truth: whoever wakes reads the database, and reads it again after ``LOOK_AGAIN_SECONDS`` even when
nobody woke it. Other processes are reached by the bell (``bell``), where there is one.
"""

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

LOOK_AGAIN_SECONDS = 5.0

Ring = Callable[[str, Hashable], None]


def _nobody(_name: str, _about: Hashable) -> None:
    pass


class Wakeup:
    """Something that many wait for, and that is new again after each time it fires.

    ``about``: what it is about (a sync's id, say). Who waits for one thing is not woken by another: two hundred that
    wait for a sync each would else look two hundred times at every change. ``name`` is what other processes call it.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.ring: Ring = _nobody
        self._events: WeakValueDictionary[Hashable, asyncio.Event] = WeakValueDictionary()
        self._subscribers: list[Callable[[Hashable], None]] = []

    def fire(self, about: Hashable = None) -> None:
        """Wake all who wait for this now, in every process. To be called in the event loop's thread."""
        self.fire_here(about)
        self.ring(self.name, about)

    def fire_here(self, about: Hashable = None) -> None:
        """Wake all who wait for this in this process."""
        event = self._events.pop(about, None)
        if event is not None:
            event.set()
        for call in self._subscribers:
            call(about)

    def fire_all_here(self) -> None:
        """Wake all in this process, whatever they wait for; subscribers get None."""
        for event in [event for event in map(self._events.pop, list(self._events)) if event is not None]:
            event.set()
        for call in self._subscribers:
            call(None)

    def subscribe(self, call: Callable[[Hashable], None]) -> None:
        """Have ``call`` called each time it fires, from now on, with what it is about."""
        self._subscribers.append(call)

    def ticket(self, about: Hashable = None) -> asyncio.Event:
        """Take this before looking: a firing between the look and the wait is then not missed."""
        event = self._events.get(about)
        if event is None:
            event = self._events[about] = asyncio.Event()
        return event

    @staticmethod
    async def wait(ticket: asyncio.Event, *, at_most: float = LOOK_AGAIN_SECONDS) -> None:
        """Wait until the ticket's event fires, for LOOK_AGAIN_SECONDS or ``at_most`` seconds, whichever is first."""
        try:
            async with asyncio.timeout(min(at_most, LOOK_AGAIN_SECONDS)):
                await ticket.wait()
        except TimeoutError:
            pass


@dataclass(frozen=True)
class Wakeups:
    """All of one process. ``messages_stored`` is about a mailbox's id, and about None: any; ``syncs_changed`` and
    ``syncs_ended`` are about a sync's id; ``work``: a sync was asked for, or is to be cancelled; ``jobs`` is about a
    job's name (``jobs.port``).
    """

    messages_stored: Wakeup = field(default_factory=lambda: Wakeup("messages_stored"))
    syncs_changed: Wakeup = field(default_factory=lambda: Wakeup("syncs_changed"))
    syncs_ended: Wakeup = field(default_factory=lambda: Wakeup("syncs_ended"))
    work: Wakeup = field(default_factory=lambda: Wakeup("work"))
    jobs: Wakeup = field(default_factory=lambda: Wakeup("jobs"))

    def stored(self, mailbox_id: int) -> None:
        """Wake those who wait for a mailbox's messages, and those who wait for anybody's."""
        self.messages_stored.fire(mailbox_id)
        self.messages_stored.fire()

    def sync_ended(self, sync_id: int) -> None:
        """Wake those who wait for the end of a sync, and those who follow it."""
        self.syncs_ended.fire(sync_id)
        self.syncs_changed.fire(sync_id)

    def connect(self, ring: Ring) -> None:
        """From now on whatever fires is rung for other processes, too."""
        for wakeup in self._all:
            wakeup.ring = ring

    def heard(self, name: str, about: Hashable) -> None:
        """Another process rang. A name that this version does not know is of another one."""
        for wakeup in self._all:
            if wakeup.name == name:
                wakeup.fire_here(about)

    def heard_anything(self) -> None:
        """Others may have rung, and it is not known what."""
        for wakeup in self._all:
            wakeup.fire_all_here()

    @property
    def _all(self) -> tuple[Wakeup, ...]:
        return (self.messages_stored, self.syncs_changed, self.syncs_ended, self.work, self.jobs)
