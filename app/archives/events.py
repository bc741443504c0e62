"""PURE  What a file of mail is made of, as its readers tell it: pieces of messages, and where one begins and ends."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class Mark(Enum):
    """Around the pieces of a message. ``BROKEN``: the message that was begun is not whole, and not to be used.

    ``FOLDER``: an entry that nobody misses.
    """

    BEGIN = "begin"
    END = "end"
    BROKEN = "broken"
    FOLDER = "folder"


@dataclass(frozen=True, slots=True)
class Passed:
    """An entry of an archive that is no message, or is none that can be read."""

    why: str


Event = bytes | Mark | Passed


class ArchiveRefused(Exception):
    """The file is not what it is said to be, or more than is taken; the text says why. What came before it counts."""


class ArchiveReader(Protocol):
    """Takes a file as it comes."""

    def feed(self, block: bytes) -> Iterator[Event]:
        """What this block tells. Raises ArchiveRefused."""
        ...

    def close(self) -> Iterator[Event]:
        """The file has ended. Raises ArchiveRefused when it has ended too soon."""
        ...
