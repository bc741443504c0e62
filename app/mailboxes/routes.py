"""Mailboxes over HTTP."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, TypeVar

import structlog
from fastapi import Body, Depends, Header, Path, Query, Request, Response
from pydantic import StringConstraints
from sqlmodel import Session

from app.access.reach import Reach
from app.access.routes import By, Within, requires
from app.access.service import Caller, Scope
from app.database import Database
from app.errors import AppError, invalid_request
from app.idempotency.replays import MAKES_ONCE
from app.mailboxes import finding, replacing, repository, service
from app.mailboxes.answers import MailboxAnswer, MailboxStats, answer
from app.mailboxes.credentials.destination import Destination
from app.mailboxes.credentials.secrets import Vault
from app.mailboxes.examples import MAILBOXES
from app.mailboxes.finding import HealthAt, MailboxOrder, WantedMailboxes
from app.mailboxes.health import Health, HealthState, Thresholds, judge
from app.mailboxes.keeping.local_rule import LocalRule
from app.mailboxes.maildrop_moves import LedgerOfMailbox
from app.mailboxes.models import Mailbox, MailboxId, MailboxStatus
from app.mailboxes.naming import ExternalId
from app.mailboxes.registering import register
from app.mailboxes.replacing import MailboxReplacement
from app.mailboxes.schemas import MailboxChange, NewMailbox, etag
from app.settings import IpNetwork
from app.web.errors.problems import answered, documented
from app.web.features import served
from app.web.ids import decode_id, encode_id
from app.web.pages import ELSEWHERE, CursorScope, Page, Paged, located
from app.web.requests.conditions import refuse_unless_matching
from app.web.routing import Router
from app.web.text import Label

_log = structlog.get_logger()

_TEST_FAILED = (
    "auth_failed: With `test`: a step failed, and nothing was stored; `code` is one of a sync's error codes."
)
_CODES = "mailbox_exists|external_id_exists|without_secrets"
_CAUSES = (
    "Another mailbox has the same host, port and username, or the same `external_id` (`mailbox_id`, `Location`); or "
    "the service runs without its secret key, and can store no credentials"
)
_CONFLICTS = f"{_CODES}: {_CAUSES}."
_CONFLICTS_OF_CHANGE = (
    f"{_CODES}|conflict: {_CAUSES}; or, with `test`, somebody else changed the login meanwhile."
)
_OTHER_LOGIN = "Somebody else changed the login while this was tried. Nothing was stored: send it again."

StatsOf = Callable[[Session, Sequence[MailboxId]], dict[MailboxId, MailboxStats]]


def mailbox_id_of(text: str) -> MailboxId:
    """The mailbox that an id in a path names, or 404."""
    return MailboxId(decode_id("mbx", text))


@dataclass(frozen=True, kw_only=True)
class MailboxRoutes:
    """What the routes of the mailboxes work with. ``stats_of`` tells what later features know of them.

    ``kept``: for how long contents are kept here, where a mailbox says nothing about it.
    ``ledger`` is told what changes mean to it, ``end_syncs`` of a mailbox that is removed.
    """

    database: Database
    vault: Vault
    allowed: Sequence[IpNetwork]
    ports: Collection[int]
    stats_of: StatsOf
    ledger: LedgerOfMailbox
    end_syncs: Callable[[Session, MailboxId], None]
    passes_test: Callable[[MailboxId, MailboxChange, Caller], Awaitable[None]]
    work_is_due: Callable[[], None]
    removal_is_due: Callable[[], None]
    expiry_is_due: Callable[[], None]
    kept: LocalRule | None
    clock: Callable[[], datetime]
    thresholds: Thresholds

    def health_of(self, row: Mailbox) -> Health:
        """How a mailbox fares now."""
        return judge(row, self.thresholds, now=self.clock())

    def change(self, db: Session, mailbox_id: MailboxId, wanted: MailboxChange, *, reach: Reach) -> Mailbox:
        """Change what is named of a mailbox. Raises AppError."""
        row = service.change(
            db,
            mailbox_id,
            wanted,
            reach=reach,
            vault=self.vault,
            ledger=self.ledger,
            allowed=self.allowed,
            now=self.clock(),
            kept=self.kept,
        )
        if wanted.model_fields_set & {"port", "security"}:
            service.refuse_other_port(row, self.ports)
        return row

    def were_changed(self, fields: AbstractSet[str]) -> None:
        """Such changes were committed: contents may be due to go."""
        if fields & {"local_retention", "server_retention"}:
            self.expiry_is_due()


Value = TypeVar("Value", bound=str)
Text = Annotated[str, StringConstraints(min_length=1, max_length=253)]
IfMatch = Annotated[
    str | None, Header(description="`ETag`s: nothing is changed where none is the mailbox's.")
]
Injected = Annotated[MailboxRoutes, Depends(served(MailboxRoutes))]


def _wanted(
    external_id: Annotated[
        list[ExternalId] | None, Query(description="The caller's own id is this one.")
    ] = None,
    label: Annotated[list[Label] | None, Query(description="It has this label.")] = None,
    status: Annotated[list[MailboxStatus] | None, Query(description="Its status is this one.")] = None,
    health: Annotated[list[HealthState] | None, Query(description="It fares so.")] = None,
    host: Annotated[
        list[Text] | None, Query(description="Its server is this host, in letters of any case.")
    ] = None,
    q: Annotated[
        Text | None,
        Query(description="Its name, username or host holds this text (ASCII letters in any case)."),
    ] = None,
) -> WantedMailboxes:
    return WantedMailboxes(
        external_ids=_values(external_id),
        labels=_values(label),
        statuses=_values(status),
        health=_values(health),
        hosts=finding.canonical_hosts(host or ()),
        q=q or "",
    )


def _values(given: Iterable[Value] | None) -> tuple[Value, ...]:
    """In one order, so that the same filters have the same cursors."""
    return tuple(sorted(set(given or ())))


Filters = Annotated[WantedMailboxes, Depends(_wanted)]

router = Router(tags=["Mailboxes"])


_Login = tuple[Destination, datetime | None]


def _login(row: Mailbox) -> _Login:
    """What a test tries of a row: where it logs in, and since when with these credentials."""
    return service.destination_of(row, port=row.port), row.login_changed_at


_Shaped = tuple[MailboxAnswer, str]  # and its ETag


def _shaped(feature: MailboxRoutes, db: Session, mailbox_id: MailboxId, reach: Reach) -> _Shaped:
    row = service.existing(db, mailbox_id, reach=reach)
    facts = feature.stats_of(db, [mailbox_id]).get(mailbox_id, MailboxStats())
    return _with_tag(feature, row, facts)


def _with_tag(feature: MailboxRoutes, row: Mailbox, facts: MailboxStats) -> _Shaped:
    shaped = answer(row, facts, feature.health_of(row))
    return shaped, etag(shaped, login_changed_at=row.login_changed_at)


@router.post(
    "/mailboxes",
    status_code=201,
    dependencies=[requires(Scope.MAILBOXES), MAKES_ONCE],
    responses=documented(409, s409=_CONFLICTS)
    | answered(201, "The mailbox as it is stored.", "Location", "ETag"),
    summary="Register a mailbox",
)
async def create_mailbox(
    feature: Injected,
    request: Request,
    body: Annotated[NewMailbox, Body(openapi_examples=MAILBOXES)],
    response: Response,
    by: By,
) -> MailboxAnswer:
    """Stores the settings without trying them, which `POST /mailboxes/test` does.

    With an interval its first poll is due at once.
    """
    service.refuse_literal(body.host, feature.allowed)
    service.refuse_token_url(body.oauth2, feature.allowed, feature.ports)

    def change(db: Session) -> _Shaped:
        row = register(
            db,
            body,
            reach=by.reach,
            vault=feature.vault,
            allowed=feature.allowed,
            now=feature.clock(),
            kept=feature.kept,
        )
        service.refuse_other_port(row, feature.ports)
        return _with_tag(feature, row, MailboxStats())

    made, response.headers["ETag"] = await feature.database.write(change)
    if made.next_sync_at:
        feature.work_is_due()
    _log.info("mailbox_registered", mailbox=made.id, **by.trail)
    response.headers["Location"] = located(request, f"/mailboxes/{made.id}")
    return made


@router.get(
    "/mailboxes",
    dependencies=[requires(Scope.READ)],
    responses=documented(400, 410, s410=ELSEWHERE) | answered(200, "A page of the mailboxes.", "Link"),
    summary="List the mailboxes",
)
async def list_mailboxes(
    feature: Injected,
    paging: Paged,
    wanted: Filters,
    reach: Within,
    order: Annotated[MailboxOrder, Query(description="By when they were registered.")] = MailboxOrder.OLDEST,
) -> Page[MailboxAnswer]:
    """Oldest first. Several values of one filter mean one of them, several filters all of them."""
    named_order = "" if order is MailboxOrder.OLDEST else order.value
    scope = CursorScope.of("mailboxes", order=named_order, filters=asdict(wanted))
    place = paging.place(scope)
    health = HealthAt(feature.thresholds, feature.clock())

    def question(db: Session) -> Page[MailboxAnswer]:
        rows = finding.page(db, wanted, health, reach=reach, behind=place, order=order, limit=paging.rows)
        facts = feature.stats_of(db, [MailboxId(row.id or 0) for row in rows])

        def shape(row: Mailbox) -> MailboxAnswer:
            known = facts.get(MailboxId(row.id or 0), MailboxStats())
            return answer(row, known, judge(row, feature.thresholds, now=health.now))

        return paging.page(rows, scope, place=lambda row: row.id, shape=shape)

    read = feature.database.search if wanted.is_search else feature.database.read
    return paging.linked(await read(question))


@router.get(
    "/mailboxes/{mailbox_id}",
    dependencies=[requires(Scope.READ)],
    responses=documented(404) | answered(200, "The mailbox.", "ETag"),
    summary="Read a mailbox",
)
async def get_mailbox(feature: Injected, mailbox_id: str, response: Response, reach: Within) -> MailboxAnswer:
    """With its ledger in numbers, its last sync, and what is known of its server.

    The `ETag` changes with what a PATCH may change: send it as `If-Match` to change only what you have seen.
    """
    number = mailbox_id_of(mailbox_id)
    found, response.headers["ETag"] = await feature.database.read(
        lambda db: _shaped(feature, db, number, reach)
    )
    return found


@router.patch(
    "/mailboxes/{mailbox_id}",
    dependencies=[requires(Scope.MAILBOXES)],
    responses=documented(404, 409, 412, 424, s409=_CONFLICTS_OF_CHANGE, s424=_TEST_FAILED)
    | answered(200, "The mailbox as it is now.", "ETag"),
    summary="Change a mailbox",
)
async def update_mailbox(
    feature: Injected,
    mailbox_id: str,
    body: MailboxChange,
    response: Response,
    by: By,
    test: Annotated[
        bool, Query(description="Try it first, as `/mailboxes/{id}/test` does; store only what passes.")
    ] = False,
    if_match: IfMatch = None,
) -> MailboxAnswer:
    """What is named is changed, and nothing else. A mailbox as it was read may be sent back whole.

    With `test` nothing is stored either where somebody else changes the login while it is tried: 409 `conflict`.
    """
    number = mailbox_id_of(mailbox_id)
    tried: _Login | None = None
    if "host" in body.model_fields_set:
        service.refuse_literal(body.host, feature.allowed)
    service.refuse_token_url(body.oauth2, feature.allowed, feature.ports)

    def seen(db: Session, *, to_change: bool = False) -> _Login:
        row = service.existing(db, number, reach=by.reach, to_change=to_change)
        if if_match is not None:
            refuse_unless_matching(if_match, _shaped(feature, db, number, by.reach)[1])
        return _login(row)

    def change(db: Session) -> _Shaped:
        if seen(db, to_change=True) != tried and tried is not None:
            raise AppError(409, "conflict", _OTHER_LOGIN)
        feature.change(db, number, body, reach=by.reach)
        db.flush()
        return _shaped(feature, db, number, by.reach)

    if test:
        tried = await feature.database.read(seen)
        await feature.passes_test(number, body, by)
    changed, response.headers["ETag"] = await feature.database.write(change)
    _log.info("mailbox_changed", mailbox=changed.id, fields=sorted(body.model_fields_set), **by.trail)
    if changed.next_sync_at:
        feature.work_is_due()
    feature.were_changed(body.model_fields_set)
    return changed


@router.put(
    "/mailboxes/by-external-id/{external_id}",
    dependencies=[requires(Scope.MAILBOXES)],
    responses=documented(409, 412, s409=_CONFLICTS)
    | answered(200, "The mailbox as it is now.", "ETag")
    | {
        201: {"model": MailboxAnswer}
        | answered(201, "There was none; the mailbox as it is stored.", "Location", "ETag")[201]
    },
    summary="Register a mailbox, or replace it, by the caller's own id",
)
async def put_mailbox(
    feature: Injected,
    request: Request,
    external_id: Annotated[ExternalId, Path(description="The caller's own id of the mailbox.")],
    body: Annotated[MailboxReplacement, Body(openapi_examples=MAILBOXES)],
    response: Response,
    by: By,
    if_match: IfMatch = None,
) -> MailboxAnswer:
    """What is not named gets its default; but credentials and `paused` stay as they are. The same, sent again, changes
    nothing: it may be sent as often as one likes. `initial_sync` counts when the mailbox is made.
    """
    service.refuse_literal(body.host, feature.allowed)
    service.refuse_token_url(body.oauth2, feature.allowed, feature.ports)

    def change(db: Session) -> tuple[_Shaped, frozenset[str] | None]:
        existing = replacing.find(db, external_id, reach=by.reach)
        if existing is None:
            replacing.refuse_absent(if_match)
        elif if_match is not None:
            refuse_unless_matching(if_match, _shaped(feature, db, existing, by.reach)[1])
        done = replacing.put(
            db,
            external_id,
            body,
            existing=existing,
            reach=by.reach,
            vault=feature.vault,
            ledger=feature.ledger,
            allowed=feature.allowed,
            now=feature.clock(),
            kept=feature.kept,
        )
        if done.changed is None or done.changed & {"port", "security"}:
            service.refuse_other_port(done.row, feature.ports)
        db.flush()
        return _shaped(feature, db, MailboxId(done.row.id or 0), by.reach), done.changed

    (mailbox, response.headers["ETag"]), changed = await feature.database.write(change)
    if changed is None:
        response.status_code = 201
        response.headers["Location"] = located(request, f"/mailboxes/{mailbox.id}")
        _log.info("mailbox_registered", mailbox=mailbox.id, **by.trail)
    else:
        _log.info("mailbox_changed", mailbox=mailbox.id, fields=sorted(changed), **by.trail)
        feature.were_changed(changed)
    if mailbox.next_sync_at:
        feature.work_is_due()
    return mailbox


@router.delete(
    "/mailboxes/{mailbox_id}",
    status_code=204,
    dependencies=[requires(Scope.MAILBOXES)],
    responses=documented(404, 412) | answered(204, "It is removed."),
    summary="Remove a mailbox with its messages",
)
async def delete_mailbox(
    feature: Injected,
    mailbox_id: str,
    by: By,
    confirm: Annotated[
        str | None, Query(description="The mailbox's name or id: a sign that this one is meant.")
    ] = None,
    if_match: IfMatch = None,
) -> None:
    """It is gone at once, and may be registered again; what was stored of it is removed in the background."""
    number = mailbox_id_of(mailbox_id)

    def change(db: Session) -> None:
        row = service.existing(db, number, reach=by.reach, to_change=True)
        if confirm not in {row.name, encode_id("mbx", number)}:
            raise invalid_request("/query/confirm", "must be the mailbox's name or its id")
        if if_match is not None:
            refuse_unless_matching(if_match, _shaped(feature, db, number, by.reach)[1])
        feature.end_syncs(db, number)
        repository.remove(db, row, now=feature.clock())

    await feature.database.write(change)
    feature.removal_is_due()
    _log.info("mailbox_removed", mailbox=mailbox_id, **by.trail)
