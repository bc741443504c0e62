"""Letters put straight into a database: for tests of what is done with them afterwards."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from pathlib import Path

from sqlmodel import Session

from app.database import Database
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import Mailbox, MailboxId
from app.messages import intake
from app.messages.letters.contents import BLOCK_OCTETS, Packer
from app.messages.models import MessageSeq
from app.web.ids import encode_id
from tests import schemas

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def stored(directory: Path, letters: Sequence[bytes], *, url: str = "") -> list[str]:
    """Put letters in one mailbox of the database at ``url``, or of a data directory's embedded one; their ids."""
    directory.mkdir(parents=True, exist_ok=True)
    url = url or f"sqlite:///{directory / 'maildelta.sqlite'}"
    schemas.make_embedded(url)
    database = Database(url)
    try:
        places = [await database.write(partial(_store, number=n, raw=raw)) for n, raw in enumerate(letters)]
    finally:
        database.close()
    return [encode_id("msg", place) for place in places]


def _store(db: Session, number: int, raw: bytes) -> MessageSeq:
    mailbox = mailboxes.get(db, MailboxId(1))
    if mailbox is None:
        row = Mailbox(
            name="letters", host="127.0.0.1", port=1, security="none", username="u", created_at=_NOW,
            server_retention={"mode": "keep"},
        )  # fmt: skip
        mailboxes.add(db, row)
    packed = Packer().pack([raw if len(raw) <= BLOCK_OCTETS else BytesIO(raw)])[0]
    prepared = intake.prepare(packed, unique_id=b"%d" % number, occurrence=1)
    return intake.store(db, MailboxId(1), [prepared], now=_NOW)[0]
