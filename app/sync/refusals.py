"""PURE  Refusals of messages that are meant for all: three alike in a row, and it is of no use to go on."""

from collections.abc import Iterator

from app.pop3 import Retrieved, ServerTemporary, is_meant_for_all


class RefusedAll(ServerTemporary):
    """The server refuses whatever is asked for. No message is to blame."""


class AlikeRefusals:
    """Holds refusals back that speak of the server, until another answer shows that they were meant for one message.

    ``most``: so many alike in a row end the session; None: none do.
    """

    def __init__(self, *, most: int | None) -> None:
        self._most = most
        self._held: list[Retrieved] = []

    def handed_on(self, reply: Retrieved) -> Iterator[Retrieved]:
        """The answers that are known to be about their messages, in order. Raises RefusedAll."""
        words = reply.refused.text if reply.refused else None
        if self._most is None or words is None or not is_meant_for_all(words):
            yield from self.rest()
            yield reply
            return
        if self._held and self._words_of(self._held[-1]) != _shape_of(words):
            yield from self.rest()
        self._held.append(reply)
        if len(self._held) >= self._most:
            raise RefusedAll(f"The server refuses whatever is asked for: {words}"[:600], words[:500])

    def rest(self) -> Iterator[Retrieved]:
        """What is held back, handed on: nothing like it follows."""
        held, self._held = self._held, []
        yield from held

    @staticmethod
    def _words_of(reply: Retrieved) -> str:
        return _shape_of(reply.refused.text) if reply.refused else ""


def _shape_of(words: str) -> str:
    """The words without numbers: of times, and of the message."""
    return "".join("#" if character.isdigit() else character for character in words.casefold()).replace(
        "##", "#"
    )
