"""PURE  Compares a long listing with its ledger page by page; what is simply known or new needs no object of its own.

The ledger may have millions of lines and is read in pages. Of a line whose message is simply there, nothing is kept but
that it was seen. All others go to ``diff``, which decides. Beside the listing this takes 10 to 20 octets for each
of its messages, 250 for each that is new, and 450 for each that is doubtful or of a ledger line that is not listed.
"""

from array import array
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from app.ledger.diff import Diff, Settled, diff, is_simply_known
from app.ledger.lines import Candidate, Known, ledger_key
from app.pop3 import Line, Lines, Sliced

_SLICE_LINES = 512  # in a millisecond: the first slice is done in the event loop
_FRESH, _KNOWN, _DOUBTFUL = range(3)


class Sorting:
    """First ``indexing``, then ``compare`` with each page of the ledger, then ``made``."""

    def __init__(
        self,
        lines: Lines,
        *,
        now: datetime,
        compares_all: bool = False,
        earlier: Mapping[bytes, int] = {},  # nobody writes into it
        unproven: Collection[bytes] = (),
    ) -> None:
        self._compares_all = compares_all
        self._unproven = unproven
        self._earlier = earlier
        self._lines = lines
        self._now = now
        self._is = bytearray(len(lines))
        size = 1 << max(4, (2 * len(lines)).bit_length())
        self._mask = size - 1
        self._table = array("I", bytes(4 * size))  # places from 1, by the hash of their ids; 0: none
        self._absent: list[Known] = []

    def indexing(self) -> Sliced[None]:
        """Make ids findable; those that several lines show are doubtful."""
        for place in range(len(self._lines)):
            key = ledger_key(self._lines.unique_id(place))
            slot, first = self._slot(key)
            if first is None:
                self._table[slot] = place + 1
                if key in self._unproven:
                    self._is[place] = _DOUBTFUL
            else:
                self._is[first] = self._is[place] = _DOUBTFUL
            if not (place + 1) % _SLICE_LINES:
                yield

    def compare(self, page: Sequence[Known]) -> Sliced[None]:
        """Look for each line of a part of the ledger."""
        for count, entry in enumerate(page, 1):
            _slot, place = self._slot(entry.unique_id)
            if place is None:
                self._absent.append(entry)
            elif self._is[place] == _FRESH and self._is_simply_known(entry, place):
                self._is[place] = _KNOWN
            else:
                self._is[place] = _DOUBTFUL
            if not count % _SLICE_LINES:
                yield

    @property
    def unsettled(self) -> int:
        """How many listed messages are not simply known so far: no line was found for them, or they are doubtful."""
        return len(self._is) - self._is.count(_KNOWN)

    @property
    def absent(self) -> int:
        """How many lines of the ledger were not listed so far."""
        return len(self._absent)

    def doubtful(self) -> Sliced[list[bytes]]:
        """The ledger keys of whose lines ``made`` needs all that the ledger has."""
        keys: dict[bytes, None] = {}
        if len(self._lines) > _SLICE_LINES:
            yield  # to find their places takes its time, too
        for count, place in enumerate(self._places(_DOUBTFUL), 1):
            keys[ledger_key(self._lines.unique_id(place))] = None
            if not count % _SLICE_LINES:
                yield
        return list(keys)

    def made(self, own: Sequence[Known]) -> Sliced[Diff]:
        """The diff. ``own``: all ledger lines of the ids that are doubtful."""
        fresh: list[Candidate] = []
        places: list[int] = []
        if len(self._lines) > _SLICE_LINES:
            yield
        for count, place in enumerate(self._places(_FRESH), 1):
            line = self._lines[place]
            key = ledger_key(line.unique_id)
            fresh.append(Candidate(line.number, key, 1 + self._earlier.get(key, 0), line.octets))
            places.append(place)
            if not count % _SLICE_LINES:
                yield
        rest: list[Line] = []
        doubtful: dict[int, int] = {}
        for count, place in enumerate(self._places(_DOUBTFUL), 1):
            line = self._lines[place]
            rest.append(line)
            doubtful[line.number] = place
            if not count % _SLICE_LINES:
                yield
        if len(rest) + len(self._absent) + len(own) > _SLICE_LINES:
            yield  # what follows goes on in a thread
        settled = Settled(known=self._is.count(_KNOWN), fresh=tuple(fresh))
        made = diff(
            rest,
            [*self._absent, *own],
            now=self._now,
            compares_all=self._compares_all,
            earlier=self._earlier,
            settled=settled,
            unproven=self._unproven,
        )
        if len(made.fresh) == len(fresh):
            return made
        places += [doubtful[candidate.number] for candidate in made.fresh[len(fresh) :]]
        in_order = sorted(zip(places, made.fresh, strict=True), key=lambda pair: pair[0])
        return replace(made, fresh=tuple(candidate for _, candidate in in_order))

    def _is_simply_known(self, entry: Known, place: int) -> bool:
        return not self._compares_all and is_simply_known(entry, self._lines.octets(place), self._now)

    def _places(self, kind: int) -> "array[int]":
        found, at = array("I"), self._is.find(kind)
        while at >= 0:
            found.append(at)
            at = self._is.find(kind, at + 1)
        return found

    def _slot(self, key: bytes) -> tuple[int, int | None]:
        """Where a key stands in the table or would stand, and the first line that shows it."""
        slot = hash(key) & self._mask
        while (place := self._table[slot]) and ledger_key(self._lines.unique_id(place - 1)) != key:
            slot = (slot + 1) & self._mask
        return slot, place - 1 if place else None
