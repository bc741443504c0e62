"""A sync and a ledger entry as they are answered; and a sync's report as it is kept."""

from datetime import datetime

from pydantic import BaseModel, Field

from app.ledger.models import EntryState, Sync, SyncStatus, Trigger, UniqueIdEntry
from app.mail.mime import parse
from app.maildrops.errors import SyncErrorCode
from app.web.ids import encode_id, unique_id_text
from app.web.times import UtcTime


class Report(BaseModel):
    """What a sync found and did.

    ``listed = known + new``, and ``new = filtered + retrieved + failed + to_retrieve``.
    """

    listed: int = Field(0, description="Messages that the server showed.")
    known: int = Field(0, description="Of these, those that the ledger has settled.")
    new: int = Field(0, description="Of these, those that it has not.")
    filtered: int = Field(0, description="New, and not wanted by the criteria.")
    retrieved: int = Field(0, description="New, and stored.")
    failed: int = Field(0, description="New, and refused by the server or too large; they wait.")
    missing: int = Field(0, description="Known, and not shown any more.")
    deleted: int = Field(0, description="Deleted on the server, because the mailbox asks for it.")
    octets: int = Field(0, description="Octets retrieved and stored.")
    to_retrieve: int = Field(0, description="New, and still to do.")
    phases: dict[str, int] = Field(default_factory=dict, description="Milliseconds spent in each phase.")


class SyncErrorAnswer(BaseModel):
    """Why a sync failed."""

    code: SyncErrorCode
    detail: str
    server_reply: str | None = Field(
        description="The server's own words; withheld where they repeat part of a secret."
    )
    retry_at: UtcTime | None = Field(description="When it is tried again without being asked.")


class SyncAnswer(BaseModel):
    """One run of list, diff, retrieve, store."""

    id: str = Field(examples=["syn_12"])
    mailbox_id: str = Field(examples=["mbx_7"])
    trigger: Trigger
    status: SyncStatus
    queued_at: UtcTime
    started_at: UtcTime | None
    finished_at: UtcTime | None
    report: Report
    error: SyncErrorAnswer | None


class UniqueIdAnswer(BaseModel):
    """One line of the ledger."""

    id: str = Field(examples=["uid_5"])
    unique_id: str = Field(examples=["00000001514d5a2b"], description=r"Octets outside ASCII as `\xNN`.")
    occurrence: int
    generation: int = Field(
        description="Of which maildrop: it grows when another account stands behind the mailbox. Earlier ones are to "
        "be read only."
    )
    state: EntryState
    octets: int | None = Field(description="As LIST said.")
    first_seen_at: UtcTime
    last_seen_at: UtcTime | None
    missing_since: UtcTime | None
    message_id: str | None = Field(examples=["msg_34"], description="The stored message, while it is there.")
    attempts: int
    next_attempt_at: UtcTime | None
    reason: str | None = Field(description="Why it is in this state, where that needs saying.")
    headers: dict[str, list[str]] | None = Field(
        description="Of a message that is too large to be retrieved."
    )


def answer(row: Sync) -> SyncAnswer:
    """Shape a sync for the API."""
    assert row.id is not None
    return SyncAnswer(
        id=encode_id("syn", row.id),
        mailbox_id=encode_id("mbx", row.mailbox_id),
        trigger=Trigger(row.trigger),
        status=SyncStatus(row.status),
        queued_at=row.queued_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        report=row.report,
        error=row.error,
    )


def entry_answer(row: UniqueIdEntry, *, listed_at: datetime | None, has_message: bool) -> UniqueIdAnswer:
    """Shape a ledger entry. While it is not missing, it was last seen when the mailbox was last listed."""
    assert row.id is not None
    kept_apart = {"id", "unique_id", "mailbox_id", "message_seq", "last_seen_at", "is_wanted", "head"}
    digests = {"headers_sha256", "content_sha256", "names_sha256", "head_octets"}
    fields = row.model_dump(exclude=kept_apart | digests | {"deletes", "delete_after"})
    kept = row.message_seq is not None and has_message
    return UniqueIdAnswer(
        **fields,
        headers=parse(row.head).headers if row.head and row.state == EntryState.TOO_LARGE else None,
        id=encode_id("uid", row.id),
        unique_id=unique_id_text(row.unique_id),
        last_seen_at=row.last_seen_at if row.missing_since else (listed_at or row.first_seen_at),
        message_id=encode_id("msg", row.message_seq) if kept and row.message_seq else None,
    )
