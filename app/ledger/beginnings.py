"""SQL of what syncs begin with, read for many of them at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, text
from sqlalchemy import select as select_columns
from sqlmodel import Session, SQLModel

from app.database import PreparedStatement
from app.ledger.lines import Known
from app.ledger.listing_digest import ListingDigest
from app.ledger.repository import KNOWN, LEDGER, as_known
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import Mailbox, MailboxId
from app.maildrops import learnt
from app.maildrops.learnt import Learnt

_MARKS = SQLModel.metadata.tables["listing_marks"]
_MARKS_OF = PreparedStatement(
    select_columns(
        _MARKS.c.mailbox_id, *[column for column in _MARKS.c if column.name != "mailbox_id"]
    ).where(_MARKS.c.mailbox_id.in_(bindparam("mailboxes", expanding=True)))
)
_KEPT = PreparedStatement(
    select_columns(LEDGER.c.mailbox_id, func.count())
    .where(LEDGER.c.mailbox_id.in_(bindparam("mailboxes", expanding=True)))
    .where(text("missing_since IS NULL AND delete_after IS NOT NULL"))  # as the index says it
    .group_by(LEDGER.c.mailbox_id)
)
_DUE_LINES = PreparedStatement(
    KNOWN.add_columns(LEDGER.c.mailbox_id).where(
        LEDGER.c.mailbox_id.in_(bindparam("mailboxes", expanding=True)),
        LEDGER.c.next_attempt_at <= bindparam("now"),
        LEDGER.c.missing_since.is_(None),
    )
)


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a sync begins with: the mailbox, what is remembered of its last listing, what is to be tried again,
    and what was learnt of its server.

    ``kept``: how many messages the server still shows although it was asked to delete them, or could not be.
    """

    mailbox: Mailbox
    last_digest: ListingDigest | None
    due: Sequence[Known]
    learnt: Learnt
    kept: int = 0


def read(db: Session, asked: Sequence[tuple[MailboxId, datetime]]) -> Sequence[Beginning | None]:
    """What syncs of these mailboxes begin with, at their moments; None: the mailbox is gone."""
    ids = [mailbox_id for mailbox_id, _ in asked]
    rows = mailboxes.snapshots(db, ids)
    marks = {row[0]: ListingDigest(*row[1:]) for row in _MARKS_OF.rows(db, {"mailboxes": ids})}
    due: dict[MailboxId, list[Sequence[Any]]] = {}
    for line in _DUE_LINES.rows(db, {"mailboxes": ids, "now": max(now for _, now in asked)}):
        due.setdefault(line.mailbox_id, []).append(line[:-1])
    lessons = learnt.read(db, rows.values(), now=min((now for _, now in asked)))
    deleting = [each for each, row in rows.items() if row.server_retention["mode"] != "keep"]
    kept = {row[0]: row[1] for row in _KEPT.rows(db, {"mailboxes": deleting})} if deleting else {}
    return [
        Beginning(
            rows[each],
            marks.get(each),
            as_known(due.get(each, ())),
            lessons[each],
            kept.get(each, 0),
        )
        if each in rows
        else None
        for each in ids
    ]
