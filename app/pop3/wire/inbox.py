"""PURE  Octets that came and were not used yet, in one buffer that the connection writes into."""

from typing import Final

_LEAST_CAPACITY: Final = 64 * 1024


class Inbox:
    """``data[start:end]`` is what came and was not used yet. Who uses octets moves ``start``.

    The connection asks for ``room``, writes there, and says with ``grew`` how much it was: what the kernel hands
    over is copied once, when a whole reply is taken out.
    """

    __slots__ = ("data", "end", "start")

    def __init__(self) -> None:
        self.data = bytearray()
        self.start = 0
        self.end = 0

    @property
    def held(self) -> int:
        """How many octets wait to be used."""
        return self.end - self.start

    def room(self, least: int) -> memoryview:
        """Free space behind what is held, for ``least`` octets or more. To be let go before anything else is done."""
        if self.start == self.end:
            self.start = self.end = 0
        if len(self.data) - self.end < least:
            self._make_room(least)
        return memoryview(self.data)[self.end :]

    def grew(self, octets: int) -> None:
        """So many octets were written into the room."""
        self.end += octets

    def append(self, octets: bytes) -> None:
        """Take octets that came as such."""
        with self.room(len(octets)) as room:
            room[: len(octets)] = octets
        self.grew(len(octets))

    def taken(self, start: int, stop: int) -> bytes:
        """A copy of what stands there."""
        with memoryview(self.data) as view:  # slicing the bytearray itself would copy twice
            return bytes(view[start:stop])

    def _make_room(self, least: int) -> None:
        held = self.held
        if held <= self.start:  # else moving would cost more than it frees
            self.data[:held] = self.data[self.start : self.end]
            self.start, self.end = 0, held
        missing = self.end + least - len(self.data)
        if missing > 0:
            self.data.extend(bytes(max(missing, len(self.data), _LEAST_CAPACITY)))
