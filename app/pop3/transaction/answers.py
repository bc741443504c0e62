"""What comes for a message that was asked for, and whether it is the answer to its own command."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import BinaryIO, Final

from app.pop3.errors import is_meant_for_all, is_meant_for_all_by_code, response_code
from app.pop3.transaction.sizes import Size, size_of
from app.pop3.wire.dialogue import Dialogue
from app.pop3.wire.protocol import Status

_END_MARK: Final = 3
_DIGITS: Final = re.compile(r"\d+")
_MOST_READ: Final = 64  # refusals of a session, each of other words
_LONGEST: Final = 1000  # characters of one that are remembered
_MOST_SHOWN: Final = 256  # refusals of a session: to judge whether one may be shown takes half a millisecond
_UNJUDGED: Final = "(withheld: too many different refusals in one session)"


@dataclass(frozen=True, slots=True)
class Refusal:
    """-ERR to one message: that message's failure only, unless the words are meant for all (``is_for_all``)."""

    text: str
    response_code: str | None
    is_for_all: bool = False


class Ending(Enum):
    """What came behind a body."""

    ANSWERED = auto()  # the status of the next answer
    AS_FILE = (
        auto()
    )  # the same, and a second of silence before and after: the body ended in a way of the server's own
    NONSENSE = auto()  # no status: where it ended is not known
    LOST = auto()  # nothing: the connection ended, or went silent


@dataclass(slots=True)
class Retrieved:
    """The answer for one message: a body, a refusal, or word that it is over the limit.

    ``body``: bytes, or for a large one an open temporary file at its beginning, which whoever got it closes.
    ``has_inner_end``: it holds what may be the end of a file and a status line, and was asked for alone. ``octets``:
    how many came; ``is_cut``: the body holds the first of them only.
    """

    number: int
    body: bytes | BinaryIO | None = None
    refused: Refusal | None = None
    too_large: bool = False
    octets: int = 0
    ending: Ending = Ending.ANSWERED
    has_inner_end: bool = False
    is_cut: bool = False

    @property
    def held(self) -> int:
        """Octets in memory or on disk."""
        return len(self.body) if isinstance(self.body, bytes) else self.octets

    def close(self) -> None:
        """Remove the temporary file, if there is one."""
        if self.body is not None and not isinstance(self.body, bytes):
            self.body.close()


@dataclass(frozen=True, slots=True)
class Asked:
    """A command for one message. ``octets`` that are expected; ``listed``: what LIST said of the whole message."""

    number: int
    line: bytes
    octets: int
    listed: int | None = None


def refusal(dialogue: Dialogue, status: Status) -> Refusal:
    """What a status of -ERR says of one message."""
    text = status.text  # judged before it may be withheld
    shown = _shown(text, dialogue)
    return Refusal(shown, response_code(text), _is_meant_for_all(text, dialogue.refusals_read))


def _shown(text: str, dialogue: Dialogue) -> str:
    """The words as they may be shown. All messages may be refused, and pipelined so: each text is judged once, and of
    very many different ones the first."""
    shown = dialogue.refusals_shown
    if text not in shown:
        if len(shown) >= _MOST_SHOWN:
            return _UNJUDGED
        shown[text] = dialogue.shown(text)
    return shown[text]


def _is_meant_for_all(text: str, read: dict[str, bool]) -> bool:
    """``read``: what was found of earlier refusals of the session, but for their numbers.

    To read one takes milliseconds. Servers have few sentences; where each message is refused by another one, those
    speak of the messages, and of further ones only the codes are read.
    """
    sentence = _DIGITS.sub("0", text[:_LONGEST])
    if sentence not in read:
        if len(read) >= _MOST_READ:
            return is_meant_for_all_by_code(text)
        read[sentence] = is_meant_for_all(text)
    return read[sentence]


class Place(Enum):
    """What an answer's size says of the command that it belongs to."""

    OWN = auto()  # its own
    ANOTHER = auto()  # an earlier one
    CUT = auto()  # it is shorter than LIST said, whichever way a server counts
    OPEN = auto()


def place_of(reply: Retrieved, listed: Mapping[int, int | None], waiting: Iterable[Retrieved]) -> Place:
    """Of a whole message. ``listed``: what LIST said, by message-number. ``waiting``: answers that came before."""
    said, others = listed[reply.number], {listed[one.number] for one in waiting}
    if said is None or reply.body is None:
        return Place.OPEN
    if reply.octets == said and not others:
        return Place.OWN  # the usual case, without a look at the body
    if not isinstance(reply.body, bytes):  # in a file, and not measured
        if reply.octets == said:
            return Place.OPEN if said in others else Place.OWN
        return Place.CUT if reply.octets < said else Place.OPEN
    size = size_of(reply.body)
    if said in _counts(size):
        return Place.OPEN if said in others else Place.OWN
    if any(size.is_exactly(other) for other in others):
        return Place.ANOTHER
    # Some count the dots that they stuff, some the end mark. What a sender hides behind a forged one is longer.
    dots = _stuffed(reply.body, size)
    is_counted = said - size.octets in {_END_MARK, dots, dots + _END_MARK}
    return Place.CUT if size.octets < said and not is_counted else Place.OPEN


def _counts(size: Size) -> set[int]:
    """What a server may say of all that came. Not with CRLF for the bare LF among CRLF: who writes them into a letter
    chooses how many octets they hide."""
    return {size.octets, size.lf} if size.lf < size.octets else {size.octets, size.crlf}


def _stuffed(body: bytes, size: Size) -> int:
    """Lines that begin with a dot. One behind a bare LF is none, where others end with CRLF."""
    return body.count(b"\r\n.") + body.startswith(b".") if size.lf < size.octets else size.dots


def place_of_head(reply: Retrieved) -> Place:
    """Of a header block, which an empty line ends."""
    if reply.is_cut:
        return Place.CUT
    if not isinstance(reply.body, bytes) or reply.body.endswith((b"\n\r\n", b"\n\n")):
        return Place.OPEN
    return Place.OPEN if reply.body in {b"\r\n", b"\n"} else Place.CUT
