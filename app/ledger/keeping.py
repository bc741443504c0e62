"""What the ledger keeps of stored copies that go: by it their messages are known again, under whatever id they come.

Lines that an earlier version wrote get here what else would be read from the copy once it is needed.
"""

from collections.abc import Sequence

import structlog
from sqlalchemy import false, func, or_, update
from sqlalchemy import select as select_columns
from sqlmodel import Session

from app.ledger.repository import LEDGER, slices
from app.mailboxes.models import Mailbox
from app.messages import intake
from app.messages.models import MessageSeq

_log = structlog.get_logger()


def maybe_on_server(db: Session, mailbox: Mailbox, seqs: Sequence[MessageSeq]) -> set[MessageSeq]:
    """Which of these messages of the mailbox their server may still hold, as far as the ledger knows.

    That one is missing is noted before the server is told to delete it, which may fail: it is gone once a later listing
    did not show it. Whatever an earlier maildrop held is behind us.
    """
    is_gone = LEDGER.c.generation < mailbox.generation
    if mailbox.listed_at is not None:
        is_gone = or_(is_gone, func.coalesce(LEDGER.c.missing_since < mailbox.listed_at, false()))
    found: set[MessageSeq] = set()
    for some in slices(seqs):
        listed = select_columns(LEDGER.c.message_seq).where(LEDGER.c.message_seq.in_(some), ~is_gone)
        found |= {MessageSeq(row[0]) for row in db.execute(listed)}
    return found


def keep_what_tells(db: Session, seqs: Sequence[MessageSeq]) -> None:
    """Note in the ledger what tells these messages again, in the transaction in which their contents go."""
    for some in slices(seqs):
        untold = select_columns(LEDGER.c.message_seq).where(
            LEDGER.c.message_seq.in_(some), LEDGER.c.body_sha256.is_(None)
        )
        for seq in sorted({MessageSeq(row[0]) for row in db.execute(untold)}):
            _note(db, seq)


def _note(db: Session, seq: MessageSeq) -> None:
    copy = intake.copy_of(db, seq)
    if copy is None:  # damaged, or its contents have gone before
        _log.warning("nothing_to_note_of_copy", seq=seq)
    names, octets = (copy.head.names, copy.head.head_octets) if copy else (None, None)
    told = {
        "body_sha256": copy.body if copy else None,
        # As it is noted of lines whose copies are read for it: 0, where nothing tells any more.
        "names_sha256": func.coalesce(LEDGER.c.names_sha256, names),
        "head_octets": func.coalesce(LEDGER.c.head_octets, octets or 0),
    }
    db.execute(update(LEDGER).where(LEDGER.c.message_seq == seq).values(told))
