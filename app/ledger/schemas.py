"""A ledger entry as it is answered."""

from datetime import datetime

from pydantic import BaseModel, Field

from app.ledger.models import EntryState, UniqueIdEntry
from app.mail.mime import parse
from app.web.ids import encode_id, unique_id_text
from app.web.times import UtcTime


class UniqueIdAnswer(BaseModel):
    """One line of the ledger."""

    id: str = Field(examples=["uid_5"], description="The id of the entry.")
    unique_id: str = Field(examples=["00000001514d5a2b"], description=r"Octets outside ASCII as `\xNN`.")
    occurrence: int = Field(
        examples=[1], description="2 and up: the server used the same unique-id again, for another message."
    )
    generation: int = Field(
        examples=[1],
        description="Of which maildrop: it grows when another account stands behind the mailbox. Earlier ones are to "
        "be read only.",
    )
    state: EntryState = Field(description="What became of it.")
    octets: int | None = Field(examples=[52190], description="As LIST said.")
    first_seen_at: UtcTime = Field(
        description="When a listing showed the message first, under this unique-id or another."
    )
    last_seen_at: UtcTime | None = Field(description="When a listing showed it last.")
    missing_since: UtcTime | None = Field(
        examples=[None], description="When a listing first lacked it; null: it is on the server."
    )
    stored_message_id: str | None = Field(
        examples=["msg_34"], description="The stored message, while it is there."
    )
    attempts: int = Field(examples=[1], description="How often it was tried to retrieve it.")
    next_attempt_at: UtcTime | None = Field(
        examples=[None], description="When a failed one is tried again; null: it waits for nothing."
    )
    reason: str | None = Field(
        examples=[None], description="Why it is in this state, where that needs saying."
    )
    headers: dict[str, list[str]] | None = Field(
        examples=[None], description="Of a message that is too large to be retrieved."
    )


def entry_answer(row: UniqueIdEntry, *, listed_at: datetime | None, has_message: bool) -> UniqueIdAnswer:
    """Shape a ledger entry. While it is not missing, it was last seen when the mailbox was last listed.

    A listing comes before what is found in it is recorded: no entry was last seen before it was first seen.
    """
    assert row.id is not None
    seen_at = row.last_seen_at if row.missing_since else listed_at
    kept_apart = {"id", "unique_id", "mailbox_id", "message_seq", "last_seen_at", "is_wanted", "head"}
    digests = {"headers_sha256", "content_sha256", "names_sha256", "head_octets", "body_sha256"}
    fields = row.model_dump(exclude=kept_apart | digests | {"deletes", "delete_after"})
    kept = row.message_seq is not None and has_message
    return UniqueIdAnswer(
        **fields,
        headers=parse(row.head).headers if row.head and row.state == EntryState.TOO_LARGE else None,
        id=encode_id("uid", row.id),
        unique_id=unique_id_text(row.unique_id),
        last_seen_at=max(seen_at or row.first_seen_at, row.first_seen_at),
        stored_message_id=encode_id("msg", row.message_seq) if kept and row.message_seq else None,
    )
