"""The ledger's counts, what is stored, and the last sync of mailboxes, for their answers."""

from collections.abc import Sequence

from sqlmodel import Session

from app.ledger import repository as ledger
from app.ledger.models import EntryState
from app.mailboxes.answers import Counts, LastSync, MailboxStats
from app.mailboxes.models import MailboxId
from app.messages import sums
from app.runs import repository as runs
from app.web.ids import encode_id


def stats_of(db: Session, mailbox_ids: Sequence[MailboxId]) -> dict[MailboxId, MailboxStats]:
    """The ledger's counts, what is stored and the last sync of each mailbox, in three statements however many there
    are."""
    if not mailbox_ids:
        return {}
    facts = {mailbox_id: MailboxStats() for mailbox_id in mailbox_ids}
    for mailbox_id, state, count, missing, not_whole in ledger.counts_by_state(db, mailbox_ids):
        counts: Counts = facts[mailbox_id].counts
        setattr(counts, state, count)
        counts.unique_ids += count
        if state != EntryState.IMPORTED.value:  # most of these no server has ever shown
            counts.missing += missing
        counts.not_whole += not_whole
    for mailbox_id, stored in sums.of(db, mailbox_ids).items():
        counts = facts[mailbox_id].counts
        counts.messages_stored, counts.octets_stored = stored.messages, stored.octets
    for sync in runs.latest(db, mailbox_ids):
        assert sync.id is not None
        facts[MailboxId(sync.mailbox_id)].last_sync = LastSync(
            id=encode_id("syn", sync.id),
            status=sync.status,
            finished_at=sync.finished_at,
            error_code=sync.error["code"] if sync.error else None,
        )
    return facts
