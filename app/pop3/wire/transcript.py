"""PURE  A bounded record of what was sent and received, fit to be shown: no mail and no secret in it."""

import re
from collections import deque
from collections.abc import Sequence
from typing import Final

from app.pop3.wire.milestones import Connected, Milestone, Protected
from app.pop3.wire.protocol import Data, Event, Status, text_of
from app.pop3.wire.redaction import WITHHELD, Redaction

MOST_OCTETS: Final = 64 * 1024
_HIDDEN: Final = "***"
_LONGEST_LINE: Final = 500  # characters
_LONGEST_KEPT: Final = 2 * _LONGEST_LINE  # what is cut inside a line may be cut inside a secret
_OURS: Final = re.compile(
    r"\* (?:\d+ (?:octets|lines) |connected to |protected by ).*|\* |S: \+OK ?|S: -ERR ?|S: |C: \S+ ?",
    re.DOTALL,
)
_LINES_SHOWN: Final = {"CAPA": 60, "UIDL": 3, "LIST": 3}  # of a body; of all others none
_NAKED: Final = frozenset(  # these commands have no secret behind them, at any rate not by themselves
    ("CAPA", "STLS", "USER", "STAT", "UIDL", "LIST", "TOP", "RETR", "DELE", "RSET", "NOOP", "QUIT", "UTF8")
)
_NAMED: Final = frozenset(("AUTH", "APOP"))  # the first word tells mechanism or name; what follows is secret


class Transcript:
    """What happened on a connection, line by line: the beginning and the end, with the middle left out when it is
    long.

    ``C:`` the client, ``S:`` the server, ``*`` neither. Of the arguments of commands only those are kept that
    cannot be secret; a line that is no command of POP3 (an answer within AUTH) is hidden whole. Of bodies only
    their octets are counted, but for a few lines of listings. Words that repeat a secret are withheld when the text
    is asked for: by then all secrets are known.
    """

    def __init__(self, *, most_octets: int = MOST_OCTETS) -> None:
        self._most_octets = most_octets
        self._lines = _HeadAndTail(most_octets)
        self._redactions: list[Redaction] = []
        self._unanswered: deque[str] = deque()
        self._answered = ""
        self._body_octets = 0
        self._body_lines: list[bytes] = []

    def judge_by(self, redaction: Redaction) -> None:
        """What repeats one of its secrets is not shown, what is recorded already included."""
        self._redactions.append(redaction)

    def note(self, text: str) -> None:
        """Something that was not on the wire: how it ended, say."""
        self._add("* ", text)

    def reached(self, milestone: Milestone) -> None:
        """How far ``connect`` came, as far as that is not on the wire."""
        if isinstance(milestone, Connected):
            self.note(f"connected to {milestone.address} port {milestone.port}")
        elif isinstance(milestone, Protected):
            self.note(f"protected by {milestone.version}")

    def sent(self, octets: bytes) -> None:
        """Command lines that went out."""
        for line in octets.decode("utf-8", "replace").split("\r\n"):
            if line:
                verb, _, arguments = line.partition(" ")
                self._add("C: ", _command(verb.upper(), arguments))
                if verb.upper() in _NAKED | _NAMED | {"PASS"}:
                    self._unanswered.append(verb.upper())

    def answered(self) -> None:
        """An answer to a challenge went out: it is secret, whatever it looks like."""
        self._add("C: ", _HIDDEN)

    def received(self, event: Event) -> None:
        """A status line, or a part of a body."""
        if isinstance(event, Status):
            self._answered = self._unanswered.popleft() if self._unanswered else ""
            self._add("S: ", f"{'+OK' if event.ok else '-ERR'} {event.text}".rstrip())
        elif isinstance(event, Data):
            self._body(event)
        else:
            self._add("S: ", f"+ {_HIDDEN}")  # a challenge within AUTH

    def received_amiss(self, text: str) -> None:
        """A line that was not what was due."""
        self._add("S: ", text)

    def text(self) -> str:
        """The whole record, with a line end behind each line. It may take some hundred milliseconds."""
        lines = self._lines.lines()
        judged = {line: self._judged(line)[:_LONGEST_LINE] for line in set(lines)}
        told = [line for line in lines if line.startswith("S: ") and not judged[line].endswith(WITHHELD)]
        words = [line[_ours(line) :] for line in told]
        if any(redaction.is_cut_up_in(words) for redaction in self._redactions):
            judged |= {line: line[: _ours(line)] + WITHHELD for line in told}
        shown = _HeadAndTail(self._most_octets, [judged[line] for line in lines])
        return "".join(f"{line}\n" for line in shown.lines())

    def _judged(self, line: str) -> str:
        """What is ours is shown: prefix, the status, and the command's word."""
        ours = _ours(line)
        for redaction in self._redactions:
            if redaction.shown(line[ours:]) == WITHHELD:
                return line[:ours] + WITHHELD
        return line

    def _body(self, data: Data) -> None:
        if not self._body_octets:
            # What is cut inside a line may be cut inside a secret: only whole lines are looked at.
            wanted = _LINES_SHOWN.get(self._answered, 0)
            self._body_lines = data.octets.split(b"\n", wanted)[:-1]
        self._body_octets += len(data.octets)
        if not data.is_last:
            return
        shown = sum(len(line) + 1 for line in self._body_lines)
        for line in self._body_lines:
            self._add("S: ", text_of(line))
        rest = self._body_octets - shown
        if rest or not self._body_lines:
            self._add("* ", f"{rest} octets of the answer to {self._answered} are not shown")
        self._body_octets, self._body_lines = 0, []

    def _add(self, prefix: str, text: str) -> None:
        self._lines.add(prefix + _printable(text[:_LONGEST_KEPT]))


def _ours(line: str) -> int:
    """How many of its characters no server has said."""
    found = _OURS.match(line)
    assert found is not None
    return found.end()


def _command(verb: str, arguments: str) -> str:
    if verb in _NAKED:
        return f"{verb} {arguments}".rstrip()
    if verb in _NAMED:
        name, blank, _ = arguments.partition(" ")
        return f"{verb} {name} {_HIDDEN}" if blank else f"{verb} {name}".rstrip()
    return f"PASS {_HIDDEN}" if verb == "PASS" else _HIDDEN


def _printable(text: str) -> str:
    """One line without control characters: it is read on terminals."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


class _HeadAndTail:
    """Lines of at most so many octets altogether; what does not fit goes from the middle."""

    def __init__(self, most_octets: int, lines: Sequence[str] = ()) -> None:
        self._most_head = most_octets // 2
        self._most_tail = most_octets - self._most_head - len(_left_out(10**15, 10**15))
        self._head: list[str] = []
        self._tail: deque[str] = deque()
        self._head_octets = self._tail_octets = 0
        self._lines_out = self._octets_out = 0
        if sum(map(_octets, lines)) <= most_octets:
            self._head, lines = list(lines), ()
        for line in lines:
            self.add(line)

    def add(self, line: str) -> None:
        octets = _octets(line)
        if not self._tail and not self._lines_out and self._head_octets + octets <= self._most_head:
            self._head.append(line)
            self._head_octets += octets
            return
        self._tail.append(line)
        self._tail_octets += octets
        while self._tail_octets > self._most_tail:
            gone = _octets(self._tail.popleft())
            self._tail_octets -= gone
            self._lines_out += 1
            self._octets_out += gone

    def lines(self) -> list[str]:
        """All that is held, and a note where the middle was."""
        middle = [_left_out(self._lines_out, self._octets_out)] if self._lines_out else []
        return [*self._head, *middle, *self._tail]


def _left_out(lines: int, octets: int) -> str:
    return f"* {lines} lines ({octets} octets) are left out here"


def _octets(line: str) -> int:
    return len(line.encode()) + 1
