"""PURE  Refusals of messages that are meant for all: three alike in a row, and it is of no use to go on."""

import re
from collections.abc import Iterator

from app.ledger.lines import Candidate
from app.pop3 import Retrieved, ServerTemporary

Answer = tuple[Candidate, Retrieved]
"""A message that was asked for, and what came."""


class RefusedAll(ServerTemporary):
    """The server refuses whatever is asked for. No message is to blame."""


class AlikeRefusals:
    """Holds refusals back that speak of the server, until another answer shows that they were meant for one message.

    ``most``: so many alike in a row end the session; None: none do.
    """

    def __init__(self, *, most: int | None) -> None:
        self._most = most
        self._held: list[Answer] = []

    def handed_on(self, candidate: Candidate, reply: Retrieved) -> Iterator[Answer]:
        """The answers that are known to be about their messages, in order. Raises RefusedAll."""
        if self._most is None or reply.refused is None or not reply.refused.is_for_all:
            yield from self.rest()
            yield candidate, reply
            return
        words = reply.refused.text
        if self._held and _words_of(self._held[-1]) != _shape_of(words):
            yield from self.rest()
        self._held.append((candidate, reply))
        if len(self._held) >= self._most:
            raise RefusedAll(f"The server refuses whatever is asked for: {words}"[:600], words[:500])

    def rest(self) -> Iterator[Answer]:
        """What is held back, handed on: nothing like it follows."""
        held, self._held = self._held, []
        yield from held


def _words_of(answer: Answer) -> str:
    _candidate, reply = answer
    return _shape_of(reply.refused.text) if reply.refused else ""


def _shape_of(words: str) -> str:
    """The words without those that have a digit: times, message-numbers, marks for the server's log."""
    return re.sub(r"\S*\d\S*", "#", words.casefold())
