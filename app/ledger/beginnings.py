"""SQL of what syncs begin with, read for many of them at once."""

from collections.abc import Iterable, Mapping, Sequence
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

_MOST_DUE = 1_000  # lines, of which each is a row that whoever claims besides waits for
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
_DUE = KNOWN.add_columns(LEDGER.c.mailbox_id).where(
    LEDGER.c.mailbox_id.in_(bindparam("mailboxes", expanding=True)),
    LEDGER.c.next_attempt_at <= bindparam("now"),
    LEDGER.c.missing_since.is_(None),
)
_DUE_LINES = PreparedStatement(_DUE)
_FEW_DUE_LINES = PreparedStatement(_DUE.limit(bindparam("most")))


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a sync begins with, as it was ``at`` a moment: the mailbox, what is remembered of its last listing, what is
    to be tried again, and what was learnt of its server.

    ``kept``: how many messages the server still shows although it was asked to delete them, or could not be.
    """

    at: datetime
    mailbox: Mailbox
    last_digest: ListingDigest | None
    due: Sequence[Known]
    learnt: Learnt
    kept: int = 0


def read(db: Session, asked: Sequence[tuple[MailboxId, datetime]]) -> Sequence[Beginning | None]:
    """What syncs of these mailboxes begin with, at their moments; None: the mailbox is gone."""
    moments = dict(asked)
    rows = mailboxes.snapshots(db, list(moments))
    due = list(_DUE_LINES.rows(db, {"mailboxes": list(moments), "now": max(moments.values())}))
    begun = _begun(db, moments, rows, due)
    return [begun.get(mailbox_id) for mailbox_id, _ in asked]


def read_claimed(
    db: Session, mailbox_ids: Sequence[MailboxId], *, now: datetime
) -> Mapping[MailboxId, Beginning]:
    """The same within the transaction that claims these syncs, where that is a matter of moments.

    Who finds a sync running has it begin anew after a change (``runs.compare_anew``), and finds none running before
    this transaction ends: so the mailboxes are held until then. One that somebody is changing has to be read once the
    claim is committed; all, where many lines are to be tried again.
    """
    rows = mailboxes.snapshots(db, mailbox_ids, are_held=True)
    if not rows:
        return {}
    due = list(_FEW_DUE_LINES.rows(db, {"mailboxes": list(rows), "now": now, "most": _MOST_DUE + 1}))
    return _begun(db, dict.fromkeys(rows, now), rows, due) if len(due) <= _MOST_DUE else {}


def _begun(
    db: Session,
    moments: Mapping[MailboxId, datetime],
    rows: Mapping[MailboxId, Mailbox],
    lines: Iterable[Any],
) -> Mapping[MailboxId, Beginning]:
    ids = list(rows)
    marks = {row[0]: ListingDigest(*row[1:]) for row in _MARKS_OF.rows(db, {"mailboxes": ids})}
    due: dict[MailboxId, list[Sequence[Any]]] = {}
    for line in lines:
        due.setdefault(line.mailbox_id, []).append(line[:-1])
    lessons = learnt.read(db, rows.values(), now=min(moments.values()))
    deleting = [each for each, row in rows.items() if row.server_retention["mode"] != "keep"]
    kept = {row[0]: row[1] for row in _KEPT.rows(db, {"mailboxes": deleting})} if deleting else {}
    return {
        each: Beginning(
            moments[each],
            row,
            marks.get(each),
            as_known(due.get(each, ())),
            lessons[each],
            kept.get(each, 0),
        )
        for each, row in rows.items()
    }
