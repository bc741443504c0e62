"""How long the contents of a mailbox's messages are kept here, as it is sent and as it is answered."""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from app.mailboxes.wanted.shapes import Shaped
from app.web.sent import Sent

_MOST_DAYS = 36_500
ABOUT = (
    "How long the contents of messages are kept here. They go only once the server's copy is gone, or where "
    "`server_retention` keeps it there, so days here may not be fewer than days there. The ledger stays: nothing comes "
    "again. null: as the settings of the service say (`MAILDELTA_LOCAL_RETENTION_DAYS`)."
)


class LocalMode(StrEnum):
    """What becomes of the contents of messages here."""

    KEEP = "keep"
    DELETE_AFTER_DAYS = "delete_after_days"


class KeepHere(BaseModel, extra="forbid"):
    """Nothing is removed."""

    mode: Literal[LocalMode.KEEP] = Field(description="For ever.")


class RemoveAfterDays(BaseModel, extra="forbid"):
    """Contents go some days after they were retrieved."""

    mode: Literal[LocalMode.DELETE_AFTER_DAYS] = Field(description="So many days.")
    days: int = Field(ge=1, le=_MOST_DAYS, examples=[30], description="How long after it was retrieved.")
    keep_headers: bool = Field(
        False,
        description="true: what lists show of a message stays, but for the beginning of its text (`snippet`), and it "
        "has `expired: true`. false: of its place in the feed there is `{id, seq, expired: true}`.",
    )


LocalRetentionShape = Annotated[KeepHere | RemoveAfterDays, Field(discriminator="mode")]


class LocalRetention(Shaped, Sent):
    """How long contents are kept here."""

    mode: LocalMode = LocalMode.KEEP
    days: int | None = Field(None, ge=1, le=_MOST_DAYS)
    keep_headers: bool | None = None

    @classmethod
    def shapes(cls) -> Any:
        return LocalRetentionShape

    @model_validator(mode="after")
    def _days_belong_to_their_mode(self) -> Self:
        is_limited = self.mode is LocalMode.DELETE_AFTER_DAYS
        if is_limited != (self.days is not None):
            raise ValueError("days go with mode delete_after_days, and only with it")
        if self.keep_headers is not None and not is_limited:
            raise ValueError("keep_headers goes with mode delete_after_days only")
        return self

    @model_serializer(mode="wrap")
    def _as_shape(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        told = {name: value for name, value in dump(self).items() if value is not None}
        return told if self.mode is LocalMode.KEEP else {"keep_headers": False} | told
