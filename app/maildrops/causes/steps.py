"""PURE  The steps of a login, how far a session has come in them, and what is told of one that failed."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from app import pop3


class Step(StrEnum):
    """What is tried, in the contract's order."""

    DNS = "dns"
    TCP = "tcp"
    TLS = "tls"
    GREETING = "greeting"
    CAPA = "capa"
    AUTH = "auth"
    STAT = "stat"
    UIDL = "uidl"


@dataclass(frozen=True, kw_only=True)
class FailedStep:
    """The step that failed, and what was known then.

    ``plain_words``: what the port says first to one who comes without TLS; None when it was not asked, or silent.
    ``speaks_tls``: a second try with TLS from the start got an answer in TLS.
    """

    step: Step
    host: str
    port: int
    security: pop3.Security
    username: str
    offers_stls: bool = False
    plain_words: str | None = None
    speaks_tls: bool = False


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The likely cause, and what to do about it."""

    cause: str
    remedy: str


IN_USE = Diagnosis(
    "The maildrop is locked: another program, another device or a sync is logged in. The password is not the trouble.",
    "Try again in a minute. A connection that broke may hold the lock for some minutes.",
)
USUAL_PORTS = "995 with security 'tls', 110 with 'starttls' or 'none'"


def steps_of(security: pop3.Security) -> tuple[Step, ...]:
    """The steps in the order in which they happen: STLS comes behind CAPA, and clear text has no TLS."""
    steps = list(Step)
    steps.remove(Step.TLS)
    if security is not pop3.Security.NONE:
        before = Step.GREETING if security is pop3.Security.TLS else Step.AUTH
        steps.insert(steps.index(before), Step.TLS)
    return tuple(steps)


@dataclass(slots=True)
class Stage:
    """How far a session has come. What to log in with, a token too, is got before anybody is connected to.

    ``plain_words``, ``speaks_tls``: what a second look found, as in ``FailedStep``.
    """

    step: Step = Step.AUTH
    offers_stls: bool = False
    plain_words: str | None = None
    speaks_tls: bool = False

    def reached(self, milestone: pop3.Milestone, security: pop3.Security) -> None:
        """``connect`` came so far."""
        order = steps_of(security)
        self.step = order[order.index(_MADE[type(milestone)]) + 1]
        if isinstance(milestone, pop3.Announced):
            self.offers_stls = milestone.capabilities.stls


_MADE: Mapping[type[pop3.Milestone], Step] = {
    pop3.Connected: Step.TCP,
    pop3.Protected: Step.TLS,
    pop3.Greeted: Step.GREETING,
    pop3.Announced: Step.CAPA,
}
