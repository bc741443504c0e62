"""Trying a mailbox's settings, step by step, for a person who wants to know what is wrong. Nothing is stored."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from app import pop3
from app.access.reach import Reach
from app.access.service import Caller
from app.database import Database
from app.errors import AppError, invalid_request
from app.mailboxes.credentials.secrets import Binding, Credentials, CredentialsUnreadable, Vault
from app.mailboxes.fields import Name
from app.mailboxes.models import Mailbox, MailboxId
from app.mailboxes.schemas import MailboxChange, NewMailbox, credentials_of
from app.mailboxes.service import columns_to_change, destination_of, existing, refuse_new_destination
from app.maildrops.causes.diagnosis import diagnose, warnings_of
from app.maildrops.causes.steps import Diagnosis, FailedStep, Step, steps_of
from app.maildrops.errors import UNREADABLE, SyncErrorCode, SyncFailed
from app.maildrops.login import Login, as_sync_failed, by_password, by_token, limits_of, name_of
from app.maildrops.oauth2 import AccessTokens, refresh
from app.maildrops.second_look import plain_words, speaks_tls
from app.network.addresses import AddressRefused, refuse_port, resolve
from app.network.lookups import HostUnknown, Lookups
from app.settings import IpNetwork
from app.web.faults import faults_of
from app.web.ids import decode_id, encode_id
from app.web.requests.places import Places

# A person waits for the answer: less patience than a sync has, unless the settings have still less.
_LONGEST_REPLY = 30.0  # seconds
_LONGEST_SESSION = 120.0
_MOST_OF_ONE, _MOST_AT_ONCE = 10, 100  # tests under way, by one key and by all
_EXPIRES_SOON = timedelta(days=14)


# All of a row that a mailbox is registered with, but what is done with its mail: nothing of that is tried.
_OF_ROW = (NewMailbox.model_fields.keys() & Mailbox.model_fields.keys()) - {
    "criteria",
    "server_retention",
    "local_retention",
    "quota",
}
_SECRETS = frozenset(("password", "oauth2"))


class MailboxToCheck(NewMailbox):
    """A mailbox as for registering it; nothing of it is stored."""

    name: Name = Field("a mailbox to try", description="Not used.")
    mailbox_id: str | None = Field(
        None,
        examples=["mbx_7"],
        description="Without `password` and `oauth2`: log in with what is stored for this mailbox: where its "
        "row leads, or better protected. Elsewhere a password is not sent unless it is in the body.",
    )


class StepReport(BaseModel):
    """One step, and what was found."""

    step: Step = Field(description="What was tried.")
    ok: bool = Field(examples=[True], description="It worked.")
    detail: str = Field(
        examples=["TLSv1.3, certificate by Example CA, valid until 2027-01-31"], description="What was found."
    )
    took_ms: int = Field(examples=[12], description="Milliseconds that it took.")
    warnings: list[str] = Field(examples=[[]], description="What works, and is worth knowing.")
    code: SyncErrorCode | None = Field(
        None, examples=[None], description="Where it failed: the code a sync would fail with."
    )
    cause: str | None = Field(None, examples=[None], description="Where it failed: the likely cause.")
    remedy: str | None = Field(None, examples=[None], description="Where it failed: what to do.")


def _step(step: str, detail: str, took_ms: int, **facts: object) -> dict[str, object]:
    return {"step": step, "ok": True, "detail": detail, "took_ms": took_ms, "warnings": []} | facts


_STEPS = [
    _step("dns", "192.0.2.25", 3),
    _step("tcp", "192.0.2.25 port 995", 21),
    _step("tls", "TLSv1.3, certificate by Example CA, valid until 2027-01-31", 44),
    _step("greeting", "+OK Dovecot ready.", 19),
    _step("capa", "USER, UIDL, TOP, PIPELINING", 18),
    _step(
        "auth",
        "The server refused the login: [AUTH] Authentication failed.",
        2031,
        ok=False,
        code="auth_failed",
        cause="User name or password is wrong.",
        remedy="Check both where a person logs in.",
    ),
]


class ConnectionReport(BaseModel):
    """The steps that were made, in their order; the last one is the one that failed, if any did."""

    ok: bool = Field(examples=[False], description="All steps worked.")
    steps: list[StepReport] = Field(
        examples=[_STEPS], description="Each step, in the order in which they were made."
    )


@dataclass(frozen=True, kw_only=True)
class ConnectionCheck:
    """Tries settings: resolves, connects, logs in, counts, and says QUIT.

    ``places``: for what somebody asks to be tried by itself; those of a batch are counted there.
    """

    database: Database
    vault: Vault
    tokens: AccessTokens
    allowed: Sequence[IpNetwork]
    ports: Collection[int]
    lookups: Lookups
    limits: pop3.Limits
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    places: Places = field(
        default_factory=lambda: Places(_MOST_OF_ONE, _MOST_AT_ONCE, "Too many mailboxes are being tried.")
    )

    async def stored(
        self, mailbox_id: MailboxId, change: MailboxChange | None, *, reach: Reach
    ) -> MailboxToCheck:
        """What is to be tried of a stored mailbox with these changes. Raises AppError."""
        row = await self.database.read(partial(existing, mailbox_id=mailbox_id, reach=reach))
        fields = {name: getattr(row, name) for name in _OF_ROW}
        if change is not None:
            fields |= {
                name: value for name, value in columns_to_change(row, change).items() if name in _OF_ROW
            }
            fields |= {name: getattr(change, name) for name in _SECRETS & change.model_fields_set}
        try:
            return MailboxToCheck(**fields, mailbox_id=encode_id("mbx", mailbox_id))
        except ValidationError as error:
            faults = faults_of(error.errors())
            raise AppError(422, "invalid_request", "The request is not valid.", faults) from error

    async def passes(self, mailbox_id: MailboxId, change: MailboxChange, by: Caller) -> None:
        """Raises AppError where a step fails, with the code that a sync would have."""
        with self.places.taken(by.key):
            wanted = await self.stored(mailbox_id, change, reach=by.reach)
            _refuse_failed(await self.run(wanted, reach=by.reach))

    async def passes_new(self, wanted: NewMailbox, mailbox_id: MailboxId | None, reach: Reach) -> None:
        """The same for a mailbox that is to be registered, or to replace this one: with its credentials, where none
        are sent.
        """
        names = MailboxToCheck.model_fields.keys() & type(wanted).model_fields.keys()
        fields = {name: getattr(wanted, name) for name in names}
        there = None if mailbox_id is None else encode_id("mbx", mailbox_id)
        _refuse_failed(
            await self.run(MailboxToCheck.model_construct(**fields, mailbox_id=there), reach=reach)
        )

    async def run(self, wanted: MailboxToCheck, *, reach: Reach) -> ConnectionReport:
        """Every step until one fails. Raises AppError when ``mailbox_id`` names no mailbox."""
        login, secrets = await self._login(wanted, reach)
        redaction = pop3.Redaction(*secrets)
        security = pop3.Security(wanted.security)
        endpoint = pop3.Endpoint(name_of(wanted.host), (), wanted.effective_port, security)
        log = _Log(
            security,
            wanted.poll_interval_seconds,
            shown=redaction.shown,
            clock=self.clock,
            monotonic=self.monotonic,
        )
        try:
            refuse_port(wanted.host, wanted.effective_port, self.ports)
            addresses = await resolve(wanted.host.rstrip("."), allowed=self.allowed, lookups=self.lookups)
            endpoint = replace(endpoint, addresses=addresses)
            log.passed(", ".join(endpoint.addresses))
            await self._connect_and_look(endpoint, wanted, login, secrets, log)
        except (AddressRefused, HostUnknown, SyncFailed, pop3.Pop3Error) as error:
            log.failed(error, diagnose(error, await self._circumstances(error, endpoint, wanted, log)))
        return ConnectionReport(ok=all(step.ok for step in log.steps), steps=log.steps)

    async def _connect_and_look(
        self,
        endpoint: pop3.Endpoint,
        wanted: MailboxToCheck,
        login: Login | SyncFailed,
        secrets: Sequence[str],
        log: "_Log",
    ) -> None:
        session = await self._connected(endpoint, wanted, secrets, log.reached)
        async with AsyncExitStack() as closing:
            await closing.enter_async_context(session)
            if isinstance(login, SyncFailed):
                raise login
            try:
                await login(session)
            except pop3.WayRefused as refusal:  # the server ended the session with it; as a sync does
                again = by_password(wanted, secrets[0], [refusal.way])
                session = await self._connected(endpoint, wanted, secrets, pop3.unwatched)
                await closing.enter_async_context(session)
                session.authorization.refused_ways = (refusal.way,)
                await again(session)
            log.passed(
                f"logged in as {wanted.username}",
                [*_ways_refused(session), *log.new_warnings(session.capabilities)],
            )
            stat = await session.stat()
            log.passed(f"messages: {stat.count}, octets: {stat.octets}")
            log.passed(*await self._unique_ids(session))

    async def _connected(
        self,
        endpoint: pop3.Endpoint,
        wanted: MailboxToCheck,
        secrets: Sequence[str],
        reached: pop3.Reached,
    ) -> pop3.Pop3Session:
        return await pop3.connect(
            endpoint,
            limits=limits_of(wanted, self.limits).within(reply=_LONGEST_REPLY, session=_LONGEST_SESSION),
            tls=pop3.client_tls_context(wanted.ca_certificates, is_legacy=wanted.allow_legacy_tls),
            allow_cleartext_password=wanted.allow_cleartext_password,
            reached=reached,
            secrets=secrets,
        )

    async def _unique_ids(self, session: pop3.Pop3Session) -> tuple[str, list[str]]:
        """How many there are, and what is odd about them."""
        try:
            raw = await session.listing()
        except pop3.UidlUnavailable as error:
            warning = "Messages will be told apart by their headers, which are read at every sync."
            return error.detail, [warning]
        return await asyncio.to_thread(_ids_of, raw, self.limits)

    async def _login(self, wanted: MailboxToCheck, reach: Reach) -> tuple[Login | SyncFailed, Sequence[str]]:
        """How to log in, and the secrets of it; when it cannot be, how that step fails. Tokens are always fresh: they
        are tried too.
        """
        try:
            mailbox_id: MailboxId | None = None
            credentials = credentials_of(wanted)
            if credentials is None:
                mailbox_id, credentials = await self._stored(wanted, reach)
            if isinstance(credentials, str):
                return by_password(wanted, credentials), [credentials]
            if mailbox_id is None:
                grant = await refresh(
                    credentials, allowed=self.allowed, ports=self.ports, lookups=self.lookups
                )
            else:
                grant = await self.tokens.fresh(mailbox_id, credentials)
            return by_token(wanted, grant), grant.secrets
        except SyncFailed as error:
            return error, ()

    async def _stored(self, wanted: MailboxToCheck, reach: Reach) -> tuple[MailboxId, Credentials]:
        if wanted.mailbox_id is None:
            raise SyncFailed(SyncErrorCode.AUTH_FAILED, "No password was given.")
        try:
            mailbox_id = MailboxId(decode_id("mbx", wanted.mailbox_id))
            row = await self.database.read(partial(existing, mailbox_id=mailbox_id, reach=reach))
        except AppError as error:
            raise invalid_request("/mailbox_id", error.detail) from error
        if row.credentials is None:
            raise SyncFailed(SyncErrorCode.AUTH_FAILED, "The mailbox has no password.")
        refuse_new_destination(
            row.credentials,
            destination_of(row, port=row.port),
            destination_of(wanted, port=wanted.effective_port),
        )
        try:
            return mailbox_id, self.vault.open(row.credentials, Binding.of(row))
        except CredentialsUnreadable as error:
            raise SyncFailed(SyncErrorCode.CREDENTIALS_UNREADABLE, UNREADABLE) from error

    async def _circumstances(
        self, error: Exception, endpoint: pop3.Endpoint, wanted: MailboxToCheck, log: "_Log"
    ) -> FailedStep:
        """What is known; and where TLS and clear text may have been mixed up, a second look at the port."""
        known = FailedStep(
            step=log.step,
            host=endpoint.host,
            port=endpoint.port,
            security=endpoint.security,
            username=wanted.username,
            offers_stls=log.capabilities.stls,
        )
        is_certificate = isinstance(error, pop3.TlsFailed) and error.verify_code is not None
        if endpoint.security is pop3.Security.TLS:
            if known.step is Step.TLS and not is_certificate:
                return replace(known, plain_words=await plain_words(endpoint, limits=self.limits))
        elif known.step is Step.GREETING:
            tls = pop3.client_tls_context(wanted.ca_certificates, is_legacy=wanted.allow_legacy_tls)
            return replace(known, speaks_tls=await speaks_tls(endpoint, limits=self.limits, tls=tls))
        return known


def _refuse_failed(report: ConnectionReport) -> None:
    if not report.ok:
        failed = report.steps[-1]
        told = " ".join(filter(None, (failed.detail, failed.cause, failed.remedy, "Nothing was stored.")))
        raise AppError(424, failed.code or SyncErrorCode.CONNECT_FAILED, f"{failed.step}: {told}")


def _ids_of(raw: pop3.RawListing, limits: pop3.Limits) -> tuple[str, list[str]]:
    listing = pop3.parse_listing(raw, most_entries=limits.listing_entries)
    ids = {line.unique_id for line in listing.entries}
    warnings = []
    if listing.is_short:
        warnings.append("The listing shows fewer messages than STAT said, or has lines that cannot be read.")
    if len(ids) < len(listing.entries):
        warnings.append("Some messages share a unique-id; they will be told apart by their content.")
    return f"unique-ids: {len(listing.entries)}", warnings


def _ways_refused(session: pop3.Pop3Session) -> list[str]:
    ways = ", ".join(session.refused_ways)
    return [f"The login by {ways} is announced, and was refused: another one works."] if ways else []


class _Log:
    """The steps made so far; the next one is under way."""

    def __init__(
        self,
        security: pop3.Security,
        poll_interval_seconds: int | None,
        *,
        shown: Callable[[str], str],
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self.steps: list[StepReport] = []
        self.capabilities = pop3.Capabilities()
        self._order = steps_of(security)
        self._poll_interval_seconds = poll_interval_seconds
        self._warned: set[str] = set()
        self._shown = shown
        self._clock = clock
        self._monotonic = monotonic
        self._since = monotonic()

    @property
    def step(self) -> Step:
        """The one that is under way."""
        return self._order[len(self.steps)]

    def passed(self, detail: str, warnings: Sequence[str] = ()) -> None:
        """The step under way is made."""
        self._add(ok=True, detail=detail, warnings=list(warnings))

    def failed(self, error: Exception, diagnosis: Diagnosis) -> None:
        """The step under way failed, and is the last."""
        self._add(
            ok=False, detail=str(getattr(error, "detail", error)), warnings=[], code=_code_of(error),
            cause=diagnosis.cause, remedy=diagnosis.remedy,
        )  # fmt: skip

    def reached(self, milestone: pop3.Milestone) -> None:
        """``connect`` came so far."""
        match milestone:
            case pop3.Connected():
                del self.steps[self._order.index(Step.TCP) :]  # another address is tried
                self.passed(f"connected to {milestone.address} port {milestone.port}")
            case pop3.Protected():
                self._protected(milestone)
            case pop3.Greeted():
                self.passed(milestone.text or "+OK, and no words")
            case pop3.Announced(capabilities):
                self.capabilities = capabilities
                names = ", ".join(sorted(capabilities.names))
                self.passed(names or "The server announces nothing.", self.new_warnings(capabilities))

    def new_warnings(self, capabilities: pop3.Capabilities) -> list[str]:
        """Those that no step has given yet: capabilities may differ once we are logged in."""
        found = warnings_of(capabilities, poll_interval_seconds=self._poll_interval_seconds)
        new = [warning for warning in found if warning not in self._warned]
        self._warned.update(new)
        return new

    def _protected(self, tls: pop3.Protected) -> None:
        ends, warnings = tls.expires_at, []
        if ends is not None and ends - self._clock() < _EXPIRES_SOON:
            warnings.append(f"The certificate expires soon, on {ends.date()}.")
        until = f", valid until {ends.date()}" if ends else ""
        self.passed(f"{tls.version}, certificate by {self._shown(tls.issuer)}{until}", warnings)

    def _add(self, **fields: Any) -> None:
        now = self._monotonic()
        took = round((now - self._since) * 1000)
        self._since = now
        self.steps.append(StepReport(step=self.step, took_ms=took, **fields))


def _code_of(error: Exception) -> SyncErrorCode:
    match error:
        case pop3.Pop3Error():
            return as_sync_failed(error).code
        case SyncFailed():
            return error.code
        case AddressRefused():
            return SyncErrorCode.ADDRESS_REFUSED
    return SyncErrorCode.CONNECT_FAILED
