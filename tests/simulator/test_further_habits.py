"""The same random games with habits that are played rarely enough to have games of their own."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from hypothesis import strategies as st
from hypothesis.stateful import rule
from sqlmodel import Session, select

from app.access.reach import ALL_MAILBOXES
from app.ledger import keeping
from app.mail.fingerprint import names_digest
from app.messages import repository as messages
from app.messages.models import Message, MessageSeq
from tests.simulator.maildrop import Mail
from tests.simulator.test_maildrop import MaildropMachine, games


class FurtherHabits(MaildropMachine):
    """Replicas, indices that are rebuilt, other counts and numbers, words for UIDL; and copies that we delete."""

    def __init__(self) -> None:
        super().__init__()
        self.removed: set[str] = set()

    @rule(times=st.integers(1, 2))
    def a_replica_is_behind(self, times: int) -> None:
        """It shows what the last session saw: what was deleted since, and not what came."""
        self.maildrop.whims.is_stale = times

    @rule(is_at_once=st.booleans())
    def dele_needs_no_quit(self, is_at_once: bool) -> None:
        self.maildrop.whims.deletes_at_once = is_at_once

    @rule(counts_lf=st.booleans())
    def sizes_are_counted_in_another_way(self, counts_lf: bool) -> None:
        self.maildrop.whims.counts_lf = counts_lf

    @rule(number=st.integers(0, 4))
    def a_number_is_left_out(self, number: int) -> None:
        self.maildrop.whims.skips_number = number

    @rule(by=st.integers(0, 2))
    def list_tells_fewer_sizes_than_uidl_ids(self, by: int) -> None:
        self.maildrop.whims.sizes_short_by = by

    @rule(by=st.integers(1, 3))
    def the_index_is_rebuilt(self, by: int) -> None:
        """Ids go to other messages, none to one of the same size: nobody could tell that. What nothing names keeps its
        own, and nothing that a list sent once more is there: each would be taken for the other one."""
        self.heal()
        names = Counter(names_digest(mail.content) for mail in self.maildrop.mails)
        if any(count > 1 for name, count in names.items() if name is not None):
            return
        mails = [mail for mail in self.maildrop.mails if mail.unique_id and b"Message-ID" in mail.content]
        ids = [mail.unique_id for mail in mails]
        if self.maildrop.whims.ids_are_numbers or len(set(ids)) < len(ids) or not mails:
            return
        moved = list(zip(ids[by % len(ids) :] + ids[: by % len(ids)], mails, strict=True))
        octets = {mail.unique_id: len(mail.content) for mail in mails}
        if any(octets[one] == len(mail.content) for one, mail in moved):
            return
        for unique_id, mail in moved:
            mail.unique_id = unique_id

    @rule(data=st.data())
    def our_copy_is_deleted(self, data: st.DataObject) -> None:
        """So that nothing but the ledger tells of it."""
        seqs = self.run(self.database.read(lambda db: list(db.exec(select(Message.seq)).all())))
        if seqs:
            one = MessageSeq(data.draw(st.sampled_from(seqs)))
            removed = self.run(keeping.let_go(self.database, partial(_remove, seq=one)))
            self.removed.add(removed)

    def may_be_written_into(self, mail: Mail) -> bool:
        """Where ids are numbers nothing is left to compare a message with, once our copy is deleted."""
        is_lost = self.maildrop.whims.ids_are_numbers and mail.subject in self.removed
        return super().may_be_written_into(mail) and not is_lost

    @rule(times=st.integers(1, 3))
    def uidl_is_unknown_for_a_while(self, times: int) -> None:
        self.maildrop.whims.uidl_failures = times
        self.maildrop.whims.uidl_words = "Unknown command: UIDL"

    @rule(data=st.data())
    def headers_are_shown_and_the_message_is_refused(self, data: st.DataObject) -> None:
        if self.maildrop.mails:
            refused = data.draw(st.sampled_from(self.maildrop.mails))
            self.maildrop.whims.refuses_retr.add(refused.unique_id)

    def heal(self) -> None:
        whims = self.maildrop.whims
        whims.is_stale = whims.sizes_short_by = whims.skips_number = 0
        whims.refuses_retr.clear()
        super().heal()

    def feed(self) -> Counter[str]:
        """With what came and was deleted here: each once, and not again."""
        found = super().feed()
        found.update(self.removed)
        return found


def _remove(tell: Callable[[Session, Sequence[MessageSeq]], None], db: Session, *, seq: MessageSeq) -> str:
    subject: str = db.exec(select(Message.subject).where(Message.seq == seq)).one()
    tell(db, [seq])
    messages.remove(db, seq, reach=ALL_MAILBOXES)
    return subject


TestFurtherHabits = FurtherHabits.TestCase
TestFurtherHabits.settings = games(int(os.environ.get("SIMULATOR_EXAMPLES", "15")))
