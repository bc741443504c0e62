"""What is written beside a change, in its transaction, though whoever makes the change knows nothing of it.

A companion is set for a context (``companion``), that of a request. The first change that is committed there takes it
along; it is written once.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

Unit = Callable[[Session], Any]


class Companion:
    """Takes part in one change. ``write``: what it does in the transaction, with the result of the change; whether it
    goes along with the next one too.
    """

    def __init__(self, write: Callable[[Session, Any], bool]) -> None:
        self._write = write
        self._is_free = self._goes_on = True
        self._is_open = True
        self.is_written = False

    def look(self, db: Session) -> None:
        """What is to be seen before the change, in its transaction."""

    def close(self) -> None:
        """From now on it goes along with nothing: its context may live on in tasks that were begun there."""
        self._is_free = self._is_open = False

    def beside(self, change: Unit) -> Unit | None:
        """The change with the companion; None: it goes with another, or has gone."""
        if not self._is_free:
            return None
        self._is_free = False
        return _Both(change, self)

    def go_along(self, db: Session, change: Unit) -> Any:
        """Make the change, and write what goes along with it."""
        self.look(db)
        result = change(db)
        self._goes_on = self._write(db, result)
        return result

    def ended(self, *, is_done: bool) -> None:
        """The change is committed, or left no trace: then it may go with the next one."""
        self.is_written = self.is_written or is_done
        self._is_free = self._is_open and (self._goes_on or not is_done)


@dataclass(frozen=True, slots=True)
class _Both:
    """A change with its companion; ``func``: the change, by which spans are named."""

    func: Unit
    companion: Companion

    def __call__(self, db: Session) -> Any:
        return self.companion.go_along(db, self.func)


companion: ContextVar[Companion | None] = ContextVar("companion", default=None)


@contextmanager
def alone() -> Iterator[None]:
    """For a change that belongs to nobody's request, though it is made in the context of one."""
    token = companion.set(None)
    try:
        yield
    finally:
        companion.reset(token)
