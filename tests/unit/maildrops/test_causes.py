"""Why a connection check failed: every kind of refusal and of error has a cause and a remedy of its own."""

from collections.abc import Iterator

import pytest

from app import pop3
from app.maildrops.causes.diagnosis import diagnose
from app.maildrops.causes.steps import Diagnosis, FailedStep, Step
from app.pop3.errors import login_error

_WRONG, _UNKNOWN = "User name or password is wrong", "refuses the login and does not tell why"

# What a refusal says, and part of the cause that is told: for the words alone, and behind [AUTH].
REFUSALS: dict[pop3.Verdict, tuple[str, str, str]] = {
    pop3.Verdict.CREDENTIALS: ("Benutzername oder Passwort falsch", _WRONG, _WRONG),
    pop3.Verdict.LOGIN: ("Login failed", _WRONG, _WRONG),
    pop3.Verdict.DOUBTFUL: ("Login failed, try again", "for now", "for now"),
    pop3.Verdict.ACCOUNT: ("POP access is disabled", "not open for this", "not open for this"),
    pop3.Verdict.LOCKED_ACCOUNT: ("Ihr Zugang ist gesperrt", "account is locked", "account is locked"),
    pop3.Verdict.POLICY: ("TLS required", "no login in this way", "no login in this way"),
    pop3.Verdict.SERVER: ("Unable to open mailbox", "cannot open the maildrop", "cannot open the maildrop"),
    pop3.Verdict.PASSING: ("temporarily unavailable", "cannot do it now", "for now"),
    pop3.Verdict.LOCK: ("maildrop already locked", "maildrop is locked", "maildrop is locked"),
    pop3.Verdict.DELAY: ("you log in too often", "too short a time ago", "for now"),
    pop3.Verdict.NOTHING: ("nope", _UNKNOWN, _WRONG),
}


def at(step: Step) -> FailedStep:
    return FailedStep(
        step=step, host="pop.example.org", port=995, security=pop3.Security.TLS, username="reader"
    )


def test_every_kind_of_refusal_has_its_row() -> None:
    assert set(REFUSALS) == set(pop3.Verdict)


@pytest.mark.parametrize("verdict", REFUSALS)
def test_a_refused_login_is_told_with_cause_and_remedy(verdict: pop3.Verdict) -> None:
    words, plain, behind_code = REFUSALS[verdict]
    for text, cause in ((words, plain), (f"[AUTH] {words}", behind_code)):
        error = login_error(text)
        assert error.verdict is verdict
        told = diagnose(error, at(Step.AUTH))
        assert cause in told.cause
        assert len(told.remedy) > 20


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("IN-USE", "maildrop is locked"),
        ("LOGIN-DELAY", "too short a time ago"),
        ("SYS/TEMP", "cannot do it now"),
        ("SYS/PERM", "trying again is of no use"),
    ],
)
def test_a_code_outweighs_words(code: str, cause: str) -> None:
    assert cause in diagnose(login_error(f"[{code}] nope"), at(Step.AUTH)).cause


def test_where_the_server_announces_that_it_tells_its_silence_is_not_the_password() -> None:
    told = diagnose(login_error("nope", has_auth_code=True), at(Step.AUTH))
    assert _UNKNOWN in told.cause


def kinds(kind: type[pop3.Pop3Error]) -> Iterator[type[pop3.Pop3Error]]:
    """The errors of the client, all of them."""
    for each in kind.__subclasses__():
        yield each
        yield from kinds(each)


@pytest.mark.parametrize("step", Step)
def test_every_error_at_every_step_has_a_cause_and_a_remedy(step: Step) -> None:
    for kind in kinds(pop3.Pop3Error):
        told = diagnose(kind("x"), at(step))
        assert isinstance(told, Diagnosis)
        assert told.cause
        assert told.remedy
