"""PURE  How much may be stored: of a mailbox, and of all. Once it is reached nothing more is retrieved."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from app.web.sent import Sent

ABOUT = (
    "How much is stored of this mailbox: once so many octets or messages are, a sync ends `failed`, `quota_exceeded`, "
    "before anything is retrieved, and nothing is deleted on the server, whatever `server_retention` says. A sync that "
    "reaches it goes beyond it by a batch at most. null: as the settings of the service say "
    "(`MAILDELTA_MAILBOX_QUOTA_OCTETS`, `…_MESSAGES`)."
)
_MOST = 2**62


class Quota(Sent):
    """What is counted is what `counts` says as `octets_stored` and `messages_stored`."""

    octets: int | None = Field(
        None, ge=1, le=_MOST, examples=[1_000_000_000], description="null: any number."
    )
    messages: int | None = Field(None, ge=1, le=_MOST, examples=[100_000], description="null: any number.")


@dataclass(frozen=True, slots=True)
class Limit:
    """Octets and messages; None: any number."""

    octets: int | None = None
    messages: int | None = None

    @classmethod
    def of(cls, quota: Mapping[str, Any] | None, default: "Limit") -> "Limit":
        """As a mailbox says it; else the default."""
        return default if quota is None else cls(quota.get("octets"), quota.get("messages"))

    def reached_by(self, *, octets: int, messages: int) -> str | None:
        """What has reached it, for people; None: nothing."""
        if self.octets is not None and octets >= self.octets:
            return f"{octets} octets are stored, of {self.octets} that may be"
        if self.messages is not None and messages >= self.messages:
            return f"{messages} messages are stored, of {self.messages} that may be"
        return None
