"""Whether a mailbox has another maildrop behind it once it is changed, and what follows for what is known of it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from app.errors import invalid_request
from app.mailboxes.credentials.destination import Destination, canonical_host
from app.mailboxes.duplicates import LoginKey
from app.mailboxes.earlier_maildrops import EarlierMaildrop, found, with_left, without
from app.mailboxes.models import Mailbox, MailboxId, MailboxStatus
from app.mailboxes.schemas import MaildropMove


@dataclass(frozen=True, slots=True)
class LedgerOfMailbox:
    """What a change of a mailbox means to its ledger, which stands above: told by functions.

    ``is_known``: anything is known of the maildrop. ``begin_maildrop``: another one stands behind the mailbox;
    how many messages were there. ``adopt_maildrop``: an earlier one does again; how many lines are left of it.
    ``compare_anew``: it may show anything from now on. ``judge_again``: the criteria changed.
    """

    is_known: Callable[[Session, MailboxId], bool]
    begin_maildrop: Callable[[Session, MailboxId, datetime], int]
    adopt_maildrop: Callable[[Session, MailboxId, int, int], int]
    compare_anew: Callable[[Session, MailboxId], None]
    judge_again: Callable[[Session, MailboxId, datetime], None]


def move_of(
    old: Destination, new: Destination, said: MaildropMove | None, *, is_known: bool
) -> MaildropMove | None:
    """PURE  Whether the mailbox has the same maildrop as before, or another one; None: that is no question.

    Raises AppError where it has to be said.
    """
    if old.username.casefold() != new.username.casefold():
        if said is MaildropMove.SAME:
            raise invalid_request(
                "/maildrop", "another username is another maildrop: leave this out, or say 'other'"
            )
        return MaildropMove.OTHER
    is_elsewhere = canonical_host(old.host) != canonical_host(new.host) or old.port != new.port
    if is_elsewhere and said is None and is_known:
        raise invalid_request(
            "/maildrop",
            "with another host or port, say 'same' or 'other'. 'same': the maildrop was moved; each message that it "
            "shows is compared with what is known, and only unknown ones are new. 'other': it is another maildrop; all "
            "that it shows is new, or a baseline where initial_sync is from_now, and what was known is to be read only",
        )
    if old.username != new.username and said is None and is_known:
        return MaildropMove.SAME  # only its case differs: each message tells whether it is the same account
    return said


def settle_maildrop(
    db: Session,
    row: Mailbox,
    move: MaildropMove | None,
    *,
    ledger: LedgerOfMailbox,
    left: LoginKey,
    back: LoginKey | None,
    now: datetime,
) -> None:
    """``left``: the login before. ``back``: that by which an earlier maildrop may be there again; None: it is another
    one by the caller's own word."""
    assert row.id is not None
    mailbox_id = MailboxId(row.id)
    if move is MaildropMove.SAME:
        row.compares_all = True
    if move is not MaildropMove.OTHER:
        return
    present = ledger.begin_maildrop(db, mailbox_id, now)
    earlier = [EarlierMaildrop.read(kept) for kept in row.earlier_maildrops or ()]
    again = None if back is None else found(earlier, back)
    earlier = with_left(earlier, _as_left(row, left, present=present))
    begin_generation(row, now=now)
    if again is not None:
        earlier = without(earlier, again.login)
        lines = ledger.adopt_maildrop(db, mailbox_id, again.generation, row.generation)
        if lines >= again.present:  # else they were forgotten meanwhile, and it begins anew
            row.listed_at, row.ids_changed = again.listed_at, again.ids_changed
            row.ids_are_numbers = again.ids_are_numbers
    row.earlier_maildrops = [one.kept for one in earlier]


def _as_left(row: Mailbox, login: LoginKey, *, present: int) -> EarlierMaildrop:
    return EarlierMaildrop(
        login=login,
        generation=row.generation,
        listed_at=row.listed_at,
        ids_changed=row.ids_changed,
        ids_are_numbers=row.ids_are_numbers,
        present=present,
    )


def begin_generation(row: Mailbox, *, now: datetime) -> None:
    """Another maildrop stands behind the mailbox from now on: nothing that was learnt of the one before holds."""
    row.generation += 1
    row.listed_at = row.listed_entries = row.stat_excess = row.uidl_failed_at = row.server = None
    row.uidl_failures = 0
    row.ids_changed = row.ids_are_changing = row.ids_are_numbers = row.compares_all = False
    if row.status == MailboxStatus.NEEDS_REVIEW:
        row.turn(MailboxStatus.ACTIVE, now=now)
