"""API keys over HTTP."""

from datetime import timedelta
from typing import Annotated, Any

import structlog
from fastapi import Depends, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from sqlmodel import Session

from app.access import keys, repository
from app.access.grants import canonical
from app.access.models import ApiKey
from app.access.routes import Access, By, requires
from app.access.service import Scope
from app.errors import AppError, invalid_request, not_found
from app.idempotency.replays import MakesOnce
from app.web.errors.problems import answered, documented
from app.web.features import served
from app.web.ids import decode_id, encode_id
from app.web.pages import ELSEWHERE, CursorScope, Page, Paged
from app.web.requests.changes import refuse_other_facts, without
from app.web.routing import Router
from app.web.sent import Sent
from app.web.text import Label, Line
from app.web.times import UtcTime

_log = structlog.get_logger()

_LIST = CursorScope("api-keys")
_LONGEST_OVERLAP = 7 * 86400  # seconds
_MOST_MAILBOXES = 1_000
_MOST_NETWORKS = 100
_FACTS = frozenset(("id", "created_at"))

Name = Annotated[
    Line,
    Field(
        min_length=1, max_length=200, examples=["invoice import"], description="What it is for, for people."
    ),
]
Scopes = Annotated[
    list[Scope],
    Field(
        min_length=1,
        max_length=len(Scope),
        examples=[["read"]],
        description="What it may do. `sync` (ask for syncs), `write` (delete and reread messages) and `mailboxes` "
        "(register, change, try and remove them) include `read`; `admin` includes all, and keys and audit.",
    ),
]
MailboxIds = Annotated[
    list[Annotated[str, Field(max_length=40)]],
    Field(
        min_length=1,
        max_length=_MOST_MAILBOXES,
        examples=[["mbx_7"]],
        description="It reaches these mailboxes. null, and `labels` too: it reaches all. Not with `admin`.",
    ),
]
Labels = Annotated[
    list[Label],
    Field(
        min_length=1,
        max_length=20,
        examples=[["acme"]],
        description="It reaches mailboxes with one of these labels, those that get it later too. A mailbox that it "
        "registers gets them: those of them that the request names, else all.",
    ),
]


def _networks(given: list[str]) -> list[str]:
    try:
        return canonical(given)
    except ValueError as error:
        raise ValueError(f"must be addresses or networks such as 192.0.2.0/24: {error}") from error


Networks = Annotated[
    list[Annotated[str, Field(max_length=60)]],
    Field(
        min_length=1,
        max_length=_MOST_NETWORKS,
        examples=[["192.0.2.0/24", "2001:db8::/32"]],
        description="CIDRs. From elsewhere it is 403 `address_not_allowed`; behind proxies the address is the one that "
        "`MAILDELTA_TRUSTED_PROXIES` report. null: from anywhere.",
    ),
    AfterValidator(_networks),
]


class NewApiKey(Sent):
    """What to make."""

    name: Name
    scopes: Scopes
    mailbox_ids: MailboxIds | None = None
    labels: Labels | None = None
    expires_at: UtcTime | None = Field(
        None,
        examples=["2027-01-31T00:00:00Z"],
        description="From then on it is 401 `key_expired`; null: never.",
    )
    allowed_networks: Networks | None = None


def _unset() -> Any:
    return None


class ApiKeyChange(Sent):
    """What to change; what is not named stays.

    A key as it was read may be sent back whole: what cannot be changed is ignored, but ``id`` and ``created_at``, which
    must be as they are.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "invoice import, new host"}]})

    id: str = Field(default_factory=_unset, description="Must be the key's.")
    created_at: UtcTime = Field(default_factory=_unset, description="Must be as it is.")
    name: Name = Field(default_factory=_unset)
    scopes: Scopes = Field(default_factory=_unset)
    mailbox_ids: MailboxIds | None = None
    labels: Labels | None = None
    expires_at: UtcTime | None = Field(
        None,
        examples=["2027-01-31T00:00:00Z"],
        description="From then on it is 401 `key_expired`; null: never.",
    )
    allowed_networks: Networks | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_what_is_to_be_read_only(cls, sent: Any) -> Any:
        return without(sent, ApiKeyAnswer.model_fields.keys() - cls.model_fields.keys())


class ApiKeyAnswer(BaseModel):
    """A key, without the key."""

    id: str = Field(examples=["key_1"], description="The id of the key, not the key.")
    name: str = Field(examples=["invoice import"], description="What it is for, for people.")
    prefix: str = Field(examples=["md_Yk2p8vQx1"], description="How the key starts: to tell keys apart.")
    scopes: list[Scope] = Field(examples=[["read"]], description="What it may do.")
    mailbox_ids: list[str] | None = Field(
        examples=[None], description="The mailboxes that it reaches; null, and `labels` too: all."
    )
    labels: list[str] | None = Field(
        examples=[["acme"]], description="It reaches mailboxes with one of these labels."
    )
    expires_at: UtcTime | None = Field(examples=[None], description="Until when it is valid; null: for ever.")
    allowed_networks: list[str] | None = Field(
        examples=[None], description="From where it may be used; null: from anywhere."
    )
    created_at: UtcTime = Field(description="When it was made.")
    created_by: str | None = Field(
        examples=["first-key"],
        description="The key that made it; `first-key` is that of the settings. null: the command line.",
    )
    last_used_at: UtcTime | None = Field(description="When it was used last, within about a minute.")
    old_secret_until: UtcTime | None = Field(
        examples=[None],
        description="Until when a secret works that it had before it was rotated; null: none does.",
    )


class ApiKeyMade(ApiKeyAnswer):
    """A new key: the only answer that shows it."""

    key: str | None = Field(
        examples=["md_…"],
        description="Shown once; keep it where secrets are kept. null: it was shown, to the first request with this "
        "`Idempotency-Key`.",
    )


class WhoAmI(BaseModel):
    """The key that asks, and what it may."""

    id: str | None = Field(
        examples=["key_1"], description="The key's id; null: the first key, of the settings."
    )
    name: str = Field(examples=["invoice import"], description="What it is for.")
    scopes: list[Scope] = Field(examples=[["read"]], description="All that it may do, what is included too.")
    reaches_all: bool = Field(examples=[True], description="It reaches all mailboxes.")
    mailbox_ids: list[str] | None = Field(
        examples=[["mbx_7"]],
        description="The mailboxes that it is bound to; null, and `labels` too: it is not.",
    )
    labels: list[str] | None = Field(examples=[["acme"]], description="The labels that it is bound to.")
    expires_at: UtcTime | None = Field(examples=[None], description="Until when it is valid; null: for ever.")
    allowed_networks: list[str] | None = Field(examples=[None], description="From where it may be used.")
    address: str = Field(examples=["192.0.2.7"], description="From where this request came.")


Injected = Annotated[Access, Depends(served(Access))]

router = Router(tags=["API keys"])

_FOR_ADMINS = requires(Scope.ADMIN)


@router.post(
    "/api-keys",
    status_code=201,
    dependencies=[_FOR_ADMINS, Depends(MakesOnce("key"))],
    responses=documented() | answered(201, "The key, shown this once."),
    summary="Make an API key",
)
async def create_api_key(feature: Injected, body: NewApiKey, by: By) -> ApiKeyMade:
    """Makes a key that can do what its scopes say, with the mailboxes that it reaches. Store it where secrets are kept:
    only its digest stays here.

    A key that expires, or is bound to networks, makes none that lives longer or may be used from elsewhere.
    """
    facts = _columns(body)

    def make(db: Session) -> tuple[ApiKey, str]:
        return keys.make_key(db, **facts, now=feature.clock(), maker=by.maker)

    row, key = await feature.database.write(make)
    _log.info("api_key_made", api_key=encode_id("key", row.id or 0), scopes=keys.scopes_of(row), **by.trail)
    return ApiKeyMade(**_shape(row).model_dump(), key=key)


@router.get(
    "/api-keys",
    dependencies=[_FOR_ADMINS],
    responses=documented(400, 410, s410=ELSEWHERE)
    | answered(200, "A page of the keys, without the keys themselves.", "Link"),
    summary="List the API keys",
)
async def list_api_keys(feature: Injected, paging: Paged) -> Page[ApiKeyAnswer]:
    """Oldest first. The first key, which the settings give, is not among them."""
    place = paging.place(_LIST) or 0

    def question(db: Session) -> Page[ApiKeyAnswer]:
        rows = repository.page(db, after=place, limit=paging.rows)
        old = repository.old_secrets(db, [row.id or 0 for row in rows], now=feature.clock())
        return paging.page(rows, _LIST, place=lambda row: row.id, shape=lambda row: _shape(row, old))

    return paging.linked(await feature.database.read(question))


@router.get(
    "/api-keys/{key_id}",
    dependencies=[_FOR_ADMINS],
    responses=documented(404) | answered(200, "The key, without the key itself."),
    summary="Read an API key",
)
async def get_api_key(feature: Injected, key_id: str) -> ApiKeyAnswer:
    """With the mailboxes that it reaches, and when it was used last."""
    number = decode_id("key", key_id)

    def question(db: Session) -> ApiKeyAnswer:
        row = repository.get(db, number)
        if row is None:
            raise not_found("API key")
        return _shape(row, repository.old_secrets(db, [number], now=feature.clock()))

    return await feature.database.read(question)


@router.patch(
    "/api-keys/{key_id}",
    dependencies=[_FOR_ADMINS],
    responses=documented(404) | answered(200, "The key as it is now."),
    summary="Change an API key",
)
async def update_api_key(feature: Injected, key_id: str, body: ApiKeyChange, by: By) -> ApiKeyAnswer:
    """What is named is changed, and holds for all requests that begin from then on; those that wait see it within six
    seconds.
    """
    number = decode_id("key", key_id)
    columns = _columns(body)

    def change(db: Session) -> ApiKeyAnswer:
        now = feature.clock()
        row = keys.change_key(db, number, columns, now=now, maker=by.maker)
        refuse_other_facts(body, {"id": encode_id("key", number), "created_at": row.created_at})
        return _shape(row, repository.old_secrets(db, [number], now=now))

    changed = await feature.database.write(change)
    _log.info("api_key_changed", api_key=key_id, fields=sorted(columns), **by.trail)
    return changed


@router.post(
    "/api-keys/{key_id}/rotate",
    dependencies=[_FOR_ADMINS, Depends(MakesOnce("key"))],
    responses=documented(404) | answered(200, "The key with its new secret, shown this once."),
    summary="Give an API key a new secret",
)
async def rotate_api_key(
    feature: Injected,
    key_id: str,
    by: By,
    overlap_seconds: Annotated[
        int,
        Query(
            ge=0,
            le=_LONGEST_OVERLAP,
            description="For how long the secret that it has works on, so that nobody is shut out meanwhile. 0: it is "
            "refused at once, and so are those before it.",
        ),
    ] = 0,
) -> ApiKeyMade:
    """Id, scopes and reach stay, and so does what is counted by the key."""
    number = decode_id("key", key_id)

    def rotate(db: Session) -> tuple[ApiKeyAnswer, str]:
        now, overlap = feature.clock(), timedelta(seconds=overlap_seconds)
        row, key = keys.rotate_key(db, number, overlap=overlap, now=now, maker=by.maker)
        return _shape(row, repository.old_secrets(db, [number], now=now)), key

    shape, key = await feature.database.write(rotate)
    _log.info("api_key_rotated", api_key=key_id, overlap_seconds=overlap_seconds, **by.trail)
    return ApiKeyMade(**shape.model_dump(), key=key)


@router.delete(
    "/api-keys/{key_id}",
    status_code=204,
    dependencies=[_FOR_ADMINS],
    responses=documented(404) | answered(204, "It is revoked."),
    summary="Revoke an API key",
)
async def revoke_api_key(feature: Injected, key_id: str, by: By) -> None:
    """Requests by it are refused from now on; those that wait end within six seconds."""
    number = decode_id("key", key_id)
    await feature.database.write(lambda db: keys.revoke_key(db, number, maker=by.maker))
    _log.info("api_key_revoked", api_key=key_id, **by.trail)


@router.get(
    "/whoami",
    dependencies=[requires(Scope.READ)],
    responses=documented() | answered(200, "The key that asks."),
    summary="Read what this key may do",
)
async def read_whoami(by: By) -> WhoAmI:
    """The scopes of the key, what it reaches, until when and from where."""
    reach = by.reach
    return WhoAmI(
        id=None if by.key_id is None else by.key,
        name=by.name,
        scopes=sorted(by.scopes, key=list(Scope).index),
        reaches_all=reach.is_all,
        mailbox_ids=[encode_id("mbx", each) for each in reach.mailbox_ids] or None,
        labels=list(reach.labels) or None,
        expires_at=by.terms.expires_at,
        allowed_networks=None if by.terms.networks is None else list(by.terms.networks),
        address=by.client,
    )


def _columns(body: NewApiKey | ApiKeyChange) -> dict[str, Any]:
    """What is named, as it is stored."""
    columns: dict[str, Any] = {name: getattr(body, name) for name in body.model_fields_set - _FACTS}
    if columns.get("mailbox_ids") is not None:
        columns["mailbox_ids"] = sorted({_mailbox(each) for each in columns["mailbox_ids"]})
    if isinstance(body, ApiKeyChange) and "scopes" in columns:
        columns["scopes"] = [scope.value for scope in body.scopes]
    return columns


def _mailbox(text: str) -> int:
    try:
        return decode_id("mbx", text)
    except AppError as error:
        raise invalid_request("/mailbox_ids", f"'{text}' is no id of a mailbox") from error


def _shape(row: ApiKey, old_secrets: dict[int, Any] | None = None) -> ApiKeyAnswer:
    assert row.id is not None
    ids = row.mailbox_ids
    return ApiKeyAnswer(
        id=encode_id("key", row.id),
        name=row.name,
        prefix=row.prefix,
        scopes=keys.scopes_of(row),
        mailbox_ids=None if ids is None else [encode_id("mbx", each) for each in ids],
        labels=row.labels,
        expires_at=row.expires_at,
        allowed_networks=row.allowed_networks,
        created_at=row.created_at,
        created_by=row.created_by,
        last_used_at=row.last_used_at,
        old_secret_until=(old_secrets or {}).get(row.id),
    )
