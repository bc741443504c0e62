"""What the ledger keeps of stored copies that go: by it their messages are known again, under whatever id they come.

Lines that an earlier version wrote get here what else would be read from the copy once it is needed.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import structlog
from sqlalchemy import false, func, or_, update
from sqlalchemy import select as select_columns
from sqlmodel import Session

from app.database import Database
from app.database.units import Result
from app.ledger.repository import LEDGER, slices
from app.mailboxes.models import Mailbox
from app.messages import intake
from app.messages.intake import Copy
from app.messages.models import MessageSeq
from app.messages.repository import MESSAGES

_MOST_READ_WITHIN = 1024 * 1024  # octets of a copy that is read within a transaction that writes

Tell = Callable[[Session, Sequence[MessageSeq]], None]

_log = structlog.get_logger()


class CopiesUnread(Exception):
    """These copies are to be read before a change: they are too large to be read within it."""

    def __init__(self, seqs: Sequence[MessageSeq]) -> None:
        super().__init__(f"{len(seqs)} copies are to be read first")
        self.seqs = tuple(seqs)


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


async def let_go(
    database: Database,
    change: Callable[[Tell, Session], Result],
    *,
    durable: bool = True,
    is_long: bool = False,
) -> Result:
    """Make a change that lets contents of messages go: first it has ``Tell`` note what tells these again.

    A large copy is read before, or all others that write would wait for it; ``change`` is then begun anew. Raises what
    ``Database.write`` raises.
    """
    read: dict[MessageSeq, Copy | None] = {}
    while True:
        try:
            with_it = partial(change, partial(keep_what_tells, read=read))
            return await database.write(with_it, durable=durable, is_long=is_long)
        except CopiesUnread as unread:
            for seq in unread.seqs:
                read[seq] = await database.search(partial(intake.copy_of, seq=seq))


def keep_what_tells(
    db: Session, seqs: Sequence[MessageSeq], *, read: Mapping[MessageSeq, Copy | None]
) -> None:
    """Note in the ledger what tells these messages again, in the transaction in which their contents go.

    ``read``: copies that were read before; None: one cannot be read. Raises CopiesUnread.
    """
    untold = dict[MessageSeq, int]()
    for some in slices(seqs):
        lines = (
            select_columns(LEDGER.c.message_seq, func.coalesce(MESSAGES.c.octets, 0))
            .select_from(LEDGER.outerjoin(MESSAGES, MESSAGES.c.seq == LEDGER.c.message_seq))
            .where(LEDGER.c.message_seq.in_(some), LEDGER.c.body_sha256.is_(None))
        )
        untold |= {MessageSeq(seq): octets for seq, octets in db.execute(lines)}
    if unread := [seq for seq, octets in untold.items() if octets > _MOST_READ_WITHIN and seq not in read]:
        raise CopiesUnread(unread)
    for seq in sorted(untold):
        _note(db, seq, read[seq] if seq in read else intake.copy_of(db, seq))


def _note(db: Session, seq: MessageSeq, copy: Copy | None) -> None:
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
