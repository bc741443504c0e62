"""Waking those who wait (long polls, event streams) when something was committed in this process.

A hint, never the truth: whoever wakes looks into the database, and looks again after a second even when
nobody woke it, because the commit may have happened in another process.
"""

import asyncio

LOOK_AGAIN_SECONDS = 1.0


class Wakeup:
    """One event that many wait for, and that is new again after each time it fires."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def fire(self) -> None:
        """Wake all who wait now. To be called in the event loop's thread."""
        self._event.set()
        self._event = asyncio.Event()

    def ticket(self) -> asyncio.Event:
        """Take this before looking: a firing between the look and the wait is then not missed."""
        return self._event

    @staticmethod
    async def wait(ticket: asyncio.Event, *, at_most: float) -> None:
        """Wait until the ticket's event fires, or a second, or ``at_most`` seconds, whichever is first."""
        try:
            async with asyncio.timeout(min(at_most, LOOK_AGAIN_SECONDS)):
                await ticket.wait()
        except TimeoutError:
            pass
