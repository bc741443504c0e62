"""PURE  The likely cause of a failure, by the step that failed, and what is worth a warning."""

from collections.abc import Callable, Mapping
from typing import Protocol

from app import pop3
from app.maildrops.causes import connecting, logging_in
from app.maildrops.causes.steps import IN_USE, USUAL_PORTS, Diagnosis, FailedStep, Stage, Step
from app.maildrops.errors import SyncErrorCode, SyncFailed


def diagnose(error: Exception, at: FailedStep) -> Diagnosis:
    """Why a step failed: first what only this step can meet, then what every step can."""
    by_step = _BY_STEP.get(at.step)
    return (by_step and by_step(error, at)) or _anywhere(error, at)


class Login(Protocol):
    """Where a mailbox logs in, and as whom: its row."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def security(self) -> str: ...
    @property
    def username(self) -> str: ...


def explained(failure: SyncFailed, error: Exception, stage: Stage, login: Login) -> SyncFailed:
    """A sync's failure by this error, with cause and remedy where the connection check would tell them."""
    if isinstance(error, SyncFailed):
        if stage.step not in {Step.DNS, Step.AUTH}:
            return failure  # it is about what was found there
        error = (
            error.__cause__ if stage.step is Step.DNS and isinstance(error.__cause__, Exception) else error
        )
    elif failure.code is SyncErrorCode.STORAGE_FAILED:
        return failure
    at = FailedStep(
        step=stage.step,
        host=login.host,
        port=login.port,
        security=pop3.Security(login.security),
        username=login.username,
        offers_stls=stage.offers_stls,
        plain_words=stage.plain_words,
        speaks_tls=stage.speaks_tls,
    )
    told = diagnose(error, at)
    failure.cause, failure.remedy = told.cause, told.remedy
    return failure


def warnings_of(capabilities: pop3.Capabilities, *, poll_interval_seconds: int | None) -> list[str]:
    """What works and is worth knowing beforehand."""
    warnings = []
    if not capabilities.pipelining:
        warnings.append("The server does not announce PIPELINING: each command costs a round trip.")
    if not capabilities.top:
        warnings.append(
            "The server does not announce TOP: criteria may have to retrieve a message to judge it."
        )
    if capabilities.expire == 0:
        warnings.append(
            "The server announces EXPIRE 0: it may delete what was retrieved. With server_retention 'keep' sessions "
            "end without QUIT, so that it does not."
        )
    delay = capabilities.login_delay
    if delay and poll_interval_seconds is not None and poll_interval_seconds < delay:
        warnings.append(
            f"The server announces LOGIN-DELAY {delay}: poll_interval_seconds {poll_interval_seconds} is too short, "
            f"take {delay} or more."
        )
    elif delay:
        warnings.append(f"The server announces LOGIN-DELAY {delay}: so many seconds lie between two logins.")
    return warnings


def _anywhere(error: Exception, at: FailedStep) -> Diagnosis:
    match error:
        case pop3.LoginDelay():
            wait = f"{error.retry_after:g} s" if error.retry_after else "some minutes"
            return Diagnosis(
                "The last login was too short a time ago for this server; a test is a login too.",
                f"Wait {wait} and try again, and make poll_interval_seconds longer than that.",
            )
        case pop3.MaildropInUse():
            return IN_USE
        case pop3.Timeout():
            return Diagnosis(
                "The server did not answer in time: it is overloaded, or something between cuts the connection.",
                "Try again later. If it is always so, raise MAILDELTA_REPLY_TIMEOUT_SECONDS.",
            )
        case pop3.ConnectionLost():
            return Diagnosis("The server ended the connection.", "Try again later.")
        case pop3.LimitExceeded():
            return Diagnosis(
                "The server sends more than this service takes.",
                "For a very long listing raise MAILDELTA_MAX_LISTING_ENTRIES.",
            )
        case pop3.ServerPermanent():
            return Diagnosis(
                "The server says that it will not do this, and that trying again is of no use.",
                "Its words are in detail; ask the provider.",
            )
        case pop3.ProtocolError():
            return Diagnosis(
                "What the server answers is not POP3.", f"Check port and security ({USUAL_PORTS})."
            )
    return Diagnosis(
        "The server cannot do it now.", "Its words are in detail. Try again later, or ask the provider."
    )


_BY_STEP: Mapping[Step, Callable[[Exception, FailedStep], Diagnosis | None]] = {
    Step.DNS: connecting.dns,
    Step.TCP: connecting.tcp,
    Step.TLS: connecting.tls,
    Step.GREETING: connecting.greeting,
    Step.AUTH: logging_in.auth,
}
