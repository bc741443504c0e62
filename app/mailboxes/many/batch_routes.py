"""Many mailboxes at once over HTTP: register, change, remove."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import structlog
from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict, Field, SkipValidation
from sqlmodel import Session

from app.access.reach import Reach
from app.access.routes import By, requires
from app.access.service import Caller, Scope
from app.database import Database
from app.errors import AppError, InputFault, invalid_request
from app.idempotency.replays import MAKES_ONCE
from app.mailboxes import finding, repository, service
from app.mailboxes.examples import MAILBOXES
from app.mailboxes.finding import HealthAt, WantedMailboxes
from app.mailboxes.many.batch import Batch, Done, to_each
from app.mailboxes.models import Mailbox, MailboxId
from app.mailboxes.naming import Labels
from app.mailboxes.registering import Registry
from app.mailboxes.replacing import MailboxReplacement
from app.mailboxes.routes import MailboxRoutes, mailbox_id_of
from app.mailboxes.schemas import MailboxChange
from app.web.errors.problems import Fault, answered, documented
from app.web.features import served
from app.web.ids import encode_id
from app.web.routing import Router
from app.web.sent import Sent
from app.web.text import Label

_log = structlog.get_logger()

MOST_ITEMS = 1_000
_MOST_AT_ONCE = 10_000
_MOST_TOLD = 100


class NewMailboxes(Sent):
    """Mailboxes to register, or to replace where one with the `external_id` is there."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"items": [MAILBOXES["tls"]["value"] | {"external_id": "customer-17.inbox"}]}]
        },
    )

    items: list[SkipValidation[MailboxReplacement]] = Field(
        min_length=1,
        max_length=MOST_ITEMS,
        description="Each as for `PUT /mailboxes/by-external-id/{external_id}`; without `external_id` it is "
        "registered. Each is judged by itself.",
    )


class ItemError(BaseModel):
    """Why an item was not done."""

    code: str = Field(examples=["mailbox_exists"], description="Stable; what a program decides by.")
    detail: str = Field(examples=["mbx_7 has the same host, port and username."], description="For people.")
    mailbox_id: str | None = Field(None, description="The mailbox that is in the way; null: none is.")
    errors: list[Fault] | None = Field(
        None, description="For bad input: each fault, and where it is in the item."
    )


class ItemResult(BaseModel):
    """What became of an item."""

    index: int = Field(examples=[0], description="Which item, from 0.")
    status: int = Field(
        examples=[201], description="As if it had been sent by itself: 201 made, 200 replaced, 4xx."
    )
    mailbox_id: str | None = Field(examples=["mbx_7"], description="The mailbox; null: none was made.")
    external_id: str | None = Field(examples=["customer-17.inbox"], description="As it was sent.")
    error: ItemError | None = Field(examples=[None], description="Why it was not done; null: it was.")


class BatchAnswer(BaseModel):
    """What became of each item."""

    dry_run: bool = Field(description="Nothing was stored.")
    created: int = Field(examples=[1], description="How many were registered, or would be.")
    replaced: int = Field(examples=[0], description="How many were replaced, or would be.")
    failed: int = Field(examples=[0], description="How many were not.")
    results: list[ItemResult] = Field(description="One for each item, in their order.")


class ManyChange(MailboxChange):
    """A change of many mailboxes: as of one, but of no login and no names that are one's alone."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"poll_interval_seconds": 600}]})

    add_labels: Labels = Field(default_factory=list, description="Each has these besides those that it has.")
    remove_labels: Labels = Field(default_factory=list, description="None has these any longer.")


class NotDone(BaseModel):
    """A mailbox that was left as it was."""

    mailbox_id: str = Field(examples=["mbx_7"], description="Which one.")
    error: ItemError = Field(description="Why.")


class ManyAnswer(BaseModel):
    """What became of many mailboxes."""

    dry_run: bool = Field(description="Nothing was done.")
    matched: int = Field(examples=[12], description="How many fit: what `confirm` has to be.")
    done: int = Field(examples=[12], description="How many were changed or removed; with `dry_run` 0.")
    failed: int = Field(examples=[0], description="How many were left as they were.")
    failures: list[NotDone] = Field(examples=[[]], description="The first hundred of these.")


@dataclass(frozen=True, kw_only=True)
class BatchRoutes:
    """What the routes of many mailboxes work with, beside what those of one do."""

    database: Database
    batch: Batch
    mailboxes: MailboxRoutes


Injected = Annotated[BatchRoutes, Depends(served(BatchRoutes))]
DryRun = Annotated[bool, Query(description="true: judge all, and do nothing.")]
Confirm = Annotated[
    int | None,
    Query(
        ge=0, description="How many there are, as `matched` of the dry run says: a sign that these are meant."
    ),
]

router = Router(tags=["Mailboxes"])


@router.post(
    "/mailboxes/batch",
    dependencies=[requires(Scope.MAILBOXES), MAKES_ONCE],
    responses=documented() | answered(200, "What became of each item."),
    summary="Register or replace up to 1,000 mailboxes",
)
async def batch_mailboxes(
    feature: Injected,
    body: NewMailboxes,
    by: By,
    dry_run: DryRun = False,
    test: Annotated[
        bool,
        Query(
            description="true: try each first; store only what passes. What takes over two minutes is not. A key may "
            "have two such batches under way."
        ),
    ] = False,
) -> BatchAnswer:
    """Each item has its own result, and is done or not by itself. Sent again after a break, with `external_id` in each,
    it does the rest: what is there is replaced, and unchanged items change nothing.
    """
    serves = feature.mailboxes
    registry = Registry(
        reach=by.reach,
        vault=serves.vault,
        now=serves.clock(),
        allowed=serves.allowed,
        ports=serves.ports,
        kept=serves.kept,
    )
    results = await feature.batch.register(body.items, registry, asked_by=by.key, dry_run=dry_run, test=test)
    if not dry_run:
        serves.work_is_due()
    created = sum(result.status == 201 for result in results)
    replaced = sum(result.status == 200 for result in results)
    if not dry_run:
        _log.info("mailboxes_registered", created=created, replaced=replaced, **by.trail)
    return BatchAnswer(
        dry_run=dry_run,
        created=created,
        replaced=replaced,
        failed=len(results) - created - replaced,
        results=[_result(index, result) for index, result in enumerate(results)],
    )


def _which(
    mailbox_id: Annotated[
        list[str] | None, Query(max_length=MOST_ITEMS, description="This mailbox; with several, these.")
    ] = None,
    label: Annotated[
        list[Label] | None, Query(description="Those with this label; with several, with any of them.")
    ] = None,
) -> "Which":
    if not mailbox_id and not label:
        raise invalid_request("/query", "say which ones: mailbox_id, label, or both")
    try:
        ids = tuple(sorted({mailbox_id_of(each) for each in mailbox_id or ()}))
    except AppError as error:
        raise invalid_request("/query/mailbox_id", error.detail) from error
    return Which(ids, tuple(sorted(set(label or ()))))


@dataclass(frozen=True, slots=True)
class Which:
    """Which mailboxes are meant: of these ids, and with one of these labels; empty means any."""

    mailbox_ids: tuple[MailboxId, ...]
    labels: tuple[str, ...]

    def find(self, db: Session, reach: Reach, health: HealthAt) -> Sequence[MailboxId]:
        """Those in reach. Raises AppError for an id that is none of a mailbox in reach, and for too many."""
        if unknown := repository.unknown(db, self.mailbox_ids, reach=reach):
            raise invalid_request("/query/mailbox_id", f"there is no mailbox {encode_id('mbx', unknown[0])}")
        wanted = WantedMailboxes(mailbox_ids=self.mailbox_ids, labels=self.labels)
        found = finding.ids(db, wanted, health, reach=reach, limit=_MOST_AT_ONCE + 1)
        if len(found) > _MOST_AT_ONCE:
            raise invalid_request("/query", f"more than {_MOST_AT_ONCE} mailboxes fit; say it more narrowly")
        return found


Chosen = Annotated[Which, Depends(_which)]


@router.patch(
    "/mailboxes",
    dependencies=[requires(Scope.MAILBOXES)],
    responses=documented() | answered(200, "What became of them."),
    summary="Change many mailboxes",
)
async def update_mailboxes(
    feature: Injected,
    which: Chosen,
    body: ManyChange,
    by: By,
    dry_run: DryRun = False,
    confirm: Confirm = None,
) -> ManyAnswer:
    """What is named is changed in each, and nothing else. Ask with `dry_run=true` first: it judges each, and says how
    many there are. A change that one cannot have leaves that one as it was, and the others get it.
    """
    serves = feature.mailboxes
    _refuse_what_is_ones_own(body)
    if "host" in body.model_fields_set:
        service.refuse_literal(body.host, serves.allowed)

    def change(db: Session, mailbox_id: MailboxId) -> None:
        wanted = _of_one(body, service.existing(db, mailbox_id, reach=by.reach, to_change=True))
        serves.change(db, mailbox_id, wanted, reach=by.reach)

    answer = await _to_all(feature, which, by, change, dry_run=dry_run, confirm=confirm)
    if not dry_run:
        fields = sorted(body.model_fields_set)
        _log.info("mailboxes_changed", count=answer.done, failed=answer.failed, fields=fields, **by.trail)
        serves.work_is_due()
        serves.were_changed(body.model_fields_set)
    return answer


@router.delete(
    "/mailboxes",
    dependencies=[requires(Scope.MAILBOXES)],
    responses=documented() | answered(200, "What became of them."),
    summary="Remove many mailboxes with their messages",
)
async def delete_mailboxes(
    feature: Injected, which: Chosen, by: By, dry_run: DryRun = False, confirm: Confirm = None
) -> ManyAnswer:
    """They are gone at once; what was stored of them is removed in the background. Ask with `dry_run=true` first: it
    says how many there are.
    """
    serves = feature.mailboxes

    def change(db: Session, mailbox_id: MailboxId) -> None:
        row = service.existing(db, mailbox_id, reach=by.reach, to_change=True)
        serves.end_syncs(db, mailbox_id)
        repository.remove(db, row, now=serves.clock())

    answer = await _to_all(feature, which, by, change, dry_run=dry_run, confirm=confirm)
    if not dry_run:
        serves.removal_is_due()
        _log.info("mailboxes_removed", count=answer.done, **by.trail)
    return answer


async def _to_all(
    feature: BatchRoutes,
    which: Which,
    by: Caller,
    change: Callable[[Session, MailboxId], None],
    *,
    dry_run: bool,
    confirm: int | None,
) -> ManyAnswer:
    health = HealthAt(feature.mailboxes.thresholds, feature.mailboxes.clock())
    found = await feature.database.search(partial(which.find, reach=by.reach, health=health))
    if not dry_run and confirm != len(found):
        raise invalid_request(
            "/query/confirm", f"must be how many there are, which is {len(found)}; see dry_run"
        )
    results = await to_each(feature.database, found, change, dry_run=dry_run)
    failed = [each for each in results if each.error is not None]
    return ManyAnswer(
        dry_run=dry_run,
        matched=len(found),
        done=0 if dry_run else len(results) - len(failed),
        failed=len(failed),
        failures=[
            NotDone(mailbox_id=encode_id("mbx", each.mailbox_id), error=_error(each.error))
            for each in failed[:_MOST_TOLD]
            if each.mailbox_id is not None and each.error is not None
        ],
    )


def _of_one(body: ManyChange, row: Mailbox) -> MailboxChange:
    """What is to be changed in this one."""
    values = {name: getattr(body, name) for name in body.model_fields_set & MailboxChange.model_fields.keys()}
    if body.add_labels or body.remove_labels:
        values["labels"] = sorted({*row.labels, *body.add_labels}.difference(body.remove_labels))
    return MailboxChange.model_construct(_fields_set=set(values), **values)


def _refuse_what_is_ones_own(body: ManyChange) -> None:
    # One password for many would go to each of their servers, whoever has them.
    own = body.model_fields_set & {
        "id",
        "status",
        "created_at",
        "external_id",
        "username",
        "password",
        "oauth2",
    }
    faults = [InputFault(f"/{name}", "is one mailbox's own") for name in sorted(own)]
    if "labels" in body.model_fields_set and (body.add_labels or body.remove_labels):
        faults.append(InputFault("/labels", "either labels, or add_labels and remove_labels"))
    if faults:
        raise AppError(422, "invalid_request", "The request is not valid.", tuple(faults))


def _result(index: int, done: Done) -> ItemResult:
    return ItemResult(
        index=index,
        status=done.status,
        mailbox_id=None if done.mailbox_id is None else encode_id("mbx", done.mailbox_id),
        external_id=done.external_id,
        error=None if done.error is None else _error(done.error),
    )


def _error(error: AppError) -> ItemError:
    faults: list[Any] = [Fault(pointer=each.pointer, detail=each.detail) for each in error.faults]
    return ItemError(
        code=error.code,
        detail=error.detail,
        mailbox_id=error.members.get("mailbox_id"),
        errors=faults or None,
    )
