"""A sync's failure is told as the connection check tells it, by how far the session came."""

from dataclasses import dataclass

import pytest

from app import pop3
from app.maildrops.causes.diagnosis import explained
from app.maildrops.causes.steps import Stage, Step
from app.maildrops.errors import SyncErrorCode, SyncFailed
from app.network.lookups import HostUnknown


@dataclass(frozen=True)
class Box:
    host: str = "pop.example.org"
    port: int = 995
    security: str = "tls"
    username: str = "ada"


class Special(SyncFailed):
    """One with facts of its own."""

    def __init__(self, facts: str) -> None:
        super().__init__(SyncErrorCode.AUTH_FAILED, "x")
        self.facts = facts


def test_the_stage_follows_the_milestones() -> None:
    stage = Stage()
    for milestone, security, step in (
        (pop3.Connected("192.0.2.1", 995), pop3.Security.TLS, Step.TLS),
        (pop3.Connected("192.0.2.1", 110), pop3.Security.STARTTLS, Step.GREETING),
        (pop3.Greeted("hello"), pop3.Security.NONE, Step.CAPA),
        (pop3.Announced(pop3.Capabilities()), pop3.Security.STARTTLS, Step.TLS),
        (pop3.Announced(pop3.Capabilities()), pop3.Security.NONE, Step.AUTH),
    ):
        stage.reached(milestone, security)
        assert stage.step is step


def test_what_failed_is_told_where_it_failed_and_is_what_it_was() -> None:
    failure = Special("kept")
    told = explained(failure, failure, Stage(Step.AUTH), Box())
    assert told is failure
    assert "credentials" in (failure.cause or "")
    unknown = SyncFailed(SyncErrorCode.CONNECT_FAILED, "x")
    unknown.__cause__ = HostUnknown("pop.example.org", "no such name")
    assert "no address" in (explained(unknown, unknown, Stage(Step.DNS), Box()).cause or "")


@pytest.mark.parametrize("code", [SyncErrorCode.NEEDS_REVIEW, SyncErrorCode.STORAGE_FAILED])
def test_what_is_not_about_the_connection_is_left_to_its_code(code: SyncErrorCode) -> None:
    error = pop3.SpoolFailed("x") if code is SyncErrorCode.STORAGE_FAILED else None
    failure = SyncFailed(code, "x")
    assert explained(failure, error or failure, Stage(Step.STAT), Box()).cause is None
