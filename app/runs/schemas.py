"""A sync as it is answered; and its report as it is kept."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import BaseModel, Field, computed_field

from app.maildrops.errors import SyncErrorCode
from app.runs.models import Sync, SyncStatus, Trigger
from app.web.ids import encode_id
from app.web.times import UtcTime

_PHASES = {"connect": 41, "login": 62, "list": 12, "diff": 3, "retrieve": 208}


class Report(BaseModel):
    """What a sync found and did.

    ``listed = known + new``, and ``new = filtered + retrieved + failed + to_retrieve``.
    """

    listed: int = Field(0, examples=[120], description="Messages that the server showed.")
    known: int = Field(0, examples=[118], description="Of these, those that the ledger has settled.")
    new: int = Field(0, examples=[2], description="Of these, those that it has not.")
    waiting: int = Field(
        0, description="Of the known ones, those that failed before and wait for a next attempt."
    )
    filtered: int = Field(0, description="New, and not wanted by the criteria.")
    retrieved: int = Field(0, examples=[2], description="New, and stored.")
    failed: int = Field(0, description="New, and not stored: refused by the server, cut, or too large.")
    missing: int = Field(0, description="Known, and not shown any more.")
    deleted: int = Field(0, description="Deleted on the server, because the mailbox asks for it.")
    octets: int = Field(0, examples=[60375], description="Octets retrieved and stored.")
    to_retrieve: int = Field(0, description="New, and still to do.")
    phases: dict[str, int] = Field(
        default_factory=dict,
        examples=[_PHASES],
        json_schema_extra={"deprecated": True},
        description="The same as `phases_ms`.",
    )

    @computed_field(description="Milliseconds spent in each phase.", examples=[_PHASES])  # type: ignore[prop-decorator]  # mypy knows no other way
    @property
    def phases_ms(self) -> dict[str, int]:
        """The phases under the name that says their unit."""
        return self.phases

    def kept(self) -> dict[str, Any]:
        """As it is stored: what is answered twice once."""
        return self.model_dump(exclude={"phases_ms"})


class SyncErrorAnswer(BaseModel):
    """Why a sync failed, or was cut after something was stored."""

    code: SyncErrorCode = Field(description="Stable; what a program decides by.")
    detail: str = Field(examples=["The server refused the connection."], description="For people.")
    cause: str | None = Field(
        None,
        examples=["pop.example.org takes no connections on port 995: no server listens there."],
        description="What is likely behind it, as the connection check says; null: of a sync of an earlier version.",
    )
    remedy: str | None = Field(
        None, examples=["Check the port."], description="What to do about it; null as `cause`."
    )
    server_reply: str | None = Field(
        examples=["-ERR [IN-USE] Do you have another POP session running?"],
        description="The server's own words; withheld where they repeat part of a secret.",
    )
    retry_at: UtcTime | None = Field(description="When it is tried again without being asked.")


class SyncAnswer(BaseModel):
    """One run of list, diff, retrieve, store."""

    id: str = Field(examples=["syn_12"], description="The id of the sync.")
    mailbox_id: str = Field(examples=["mbx_7"], description="The mailbox that is synced.")
    trigger: Trigger = Field(description="Who asked for it.")
    status: SyncStatus = Field(
        examples=["succeeded"],
        description="How far it is, or how it ended. `partial`: the session was cut after something was stored "
        "(`error` says how), or messages that failed are listed and wait for a next attempt.",
    )
    queued_at: UtcTime = Field(description="When it was asked for.")
    started_at: UtcTime | None = Field(
        examples=["2026-11-23T02:47:00.131Z"], description="When a worker took it; null: not yet."
    )
    finished_at: UtcTime | None = Field(
        examples=["2026-11-23T02:47:00.457Z"], description="When it ended; null: not yet."
    )
    report: Report = Field(description="What it found and did so far.")
    error: SyncErrorAnswer | None = Field(examples=[None], description="Why it failed; null: it did not.")


def _example(status: SyncStatus, *, begun: bool) -> dict[str, Any]:
    asked = datetime(2026, 11, 23, 2, 47, 0, 123_000, UTC)
    shown = SyncAnswer(
        id="syn_12",
        mailbox_id="mbx_7",
        trigger=Trigger.MANUAL,
        status=status,
        queued_at=asked,
        started_at=asked + timedelta(milliseconds=8) if begun else None,
        finished_at=asked + timedelta(milliseconds=334) if begun else None,
        report=Report(listed=120, known=118, new=2, retrieved=1, octets=8185, to_retrieve=1)
        if begun
        else Report(),
        error=None,
    )
    return shown.model_dump(mode="json")


QUEUED: Final = _example(SyncStatus.QUEUED, begun=False)
STOPPED: Final = _example(SyncStatus.CANCELLED, begun=True)


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
