"""Commands that go out together, and what kind of answer each gets."""

from dataclasses import dataclass

from app.pop3.errors import command_error
from app.pop3.wire.dialogue import Dialogue
from app.pop3.wire.protocol import Expect, Status, command


@dataclass(frozen=True, slots=True)
class Commands:
    """Lines to send at once, and the answers to expect."""

    octets: bytes
    expected: tuple[Expect, ...]

    def __add__(self, other: "Commands") -> "Commands":
        return Commands(self.octets + other.octets, self.expected + other.expected)

    def send(self, dialogue: Dialogue) -> None:
        """Send all of them."""
        dialogue.send(self.octets, *self.expected)


CAPA = Commands(command("CAPA"), (Expect.MULTILINE,))
UTF8 = Commands(command("UTF8"), (Expect.STATUS,))
STAT = Commands(command("STAT"), (Expect.STATUS,))
LISTING = STAT + Commands(command("UIDL") + command("LIST"), (Expect.MULTILINE, Expect.MULTILINE))


async def ask(dialogue: Dialogue, word: str, *, within: float | None = None) -> Status:
    """Send a command of one word, and read its status."""
    await dialogue.begin()
    dialogue.send(command(word), Expect.STATUS)
    return await dialogue.status(within=within)


def require(dialogue: Dialogue, word: str, status: Status) -> None:
    """Raise what -ERR to a command means."""
    if not status.ok:
        raise command_error(word, status.text, shown=dialogue.shown(status.text))
