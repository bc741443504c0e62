"""How callers name mailboxes for themselves: an id of their own, labels, and a map of texts."""

import json
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, Field

from app.mailboxes.models import Mailbox
from app.web.ids import encode_id
from app.web.text import Label, Line, written_as

MOST_LABELS: Final = 20
MOST_METADATA_OCTETS: Final = 8 * 1024

# No slash: it stands in a path. It begins so that no path has "." or ".." for it, which clients take away.
EXTERNAL_ID_PATTERN: Final = r"^[A-Za-z0-9_][A-Za-z0-9_.~:@+=,-]{0,199}$"


def _as_set(labels: list[str]) -> list[str]:
    return sorted(set(labels))


def _within_bounds(metadata: dict[str, str]) -> dict[str, str]:
    octets = len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode())
    if octets > MOST_METADATA_OCTETS:
        raise ValueError(f"must have at most {MOST_METADATA_OCTETS} octets as JSON; this has {octets}")
    return dict(sorted(metadata.items()))


Labels = Annotated[
    list[Label],
    Field(
        max_length=MOST_LABELS,
        examples=[["acme"]],
        description="Words to find mailboxes by, and the messages that come to them: up to 20, each of up to 63 ASCII "
        "letters, digits and `._:@/=+-`, the first one a letter or digit. Capitals count. A set: sorted, each once.",
    ),
    AfterValidator(_as_set),
]
ExternalId = Annotated[
    str,
    Field(
        pattern=EXTERNAL_ID_PATTERN,
        examples=["customer-17.inbox"],
        description="The caller's own id of the mailbox, which no other one has: up to 200 ASCII letters, digits and "
        "`_.~:@+=,-`. Capitals count. null: none.",
    ),
    written_as(
        EXTERNAL_ID_PATTERN,
        "must be 1 to 200 ASCII letters, digits and _.~:@+=,-, the first one a letter, a digit or _",
    ),
]
Metadata = Annotated[
    dict[Annotated[Line, Field(min_length=1, max_length=100)], str],
    Field(
        examples=[{"customer": "17"}],
        description="What the caller wants to find beside the mailbox: texts by name, up to 8 KB as JSON. Nothing is "
        "decided by it.",
    ),
    AfterValidator(_within_bounds),
]


class MailboxNames(BaseModel):
    """By which names a mailbox is known, beside its messages."""

    id: str = Field(examples=["mbx_7"], description="The id of the mailbox.")
    name: str = Field(examples=["Invoices"], description="For people.")
    external_id: str | None = Field(examples=["customer-17.inbox"], description="The caller's own id of it.")
    labels: list[str] = Field(examples=[["acme"]], description="Its labels, sorted.")


def names(row: Mailbox) -> MailboxNames:
    """Those of a row."""
    return MailboxNames(
        id=encode_id("mbx", row.id or 0), name=row.name, external_id=row.external_id, labels=row.labels
    )
