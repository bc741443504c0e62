"""What the service asks of its database again and again: the functions themselves, with what they are asked here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from sqlmodel import Session

from app.access.reach import ALL_MAILBOXES
from app.ledger import beginnings, deletions, listing_view
from app.ledger import repository as ledger
from app.ledger.diff import diff
from app.ledger.lines import MaildropId
from app.ledger.models import Leased
from app.mailboxes.health import Thresholds
from app.mailboxes.models import MailboxId
from app.messages import repository as messages
from app.messages.models import MessageSeq
from app.messages.pages import search
from app.messages.pages.search import Wanted
from app.pop3 import RawListing, Stat, parse_listing
from app.runs import claims
from app.runs import repository as runs
from app.runs.claims import Limits
from app.runs.models import SyncId, SyncStatus
from app.worker import clock_skew
from benchmarks.scale.generated import INTERVAL_SECONDS, Amount

_PAGE = 100
_LEASE = timedelta(seconds=60)
_SOME = 20
_LIMITS = Limits(per_server=64)


@dataclass(frozen=True)
class Question:
    """One of them. ``prepare`` is not timed; what it gives is handed to ``ask``. Nothing of it is kept."""

    name: str
    what: str
    ask: Callable[[Session, Any], object]
    prepare: Callable[[Session], Any] = lambda _db: None


def questions(amount: Amount, *, now: datetime, random: Random) -> Sequence[Question]:
    """All that are measured. `now` is the moment for which the rows were made."""
    asked = _Asked(amount, now, random)
    return (
        Question("messages.feed", f"{_PAGE} messages behind a cursor", asked.feed),
        Question("messages.feed of one mailbox", f"{_PAGE} of 1,000 messages", asked.feed_of_one),
        Question("messages.newest", f"{_PAGE} messages against feed order", asked.newest),
        Question("messages.newest of one mailbox", f"{_PAGE} of 1,000 messages", asked.newest_of_one),
        Question("repository.forget_finished", "1,000 looked at, none old", asked.forget_finished),
        Question("ledger: the same listing", "1,000 lines: mark and due lines", asked.same_listing),
        Question("ledger: ten more", "1,010 lines: the new ones alone", asked.grown_listing),
        Question("ledger: another listing", "1,000 lines beside the whole ledger", asked.other_listing),
        Question("repository.counts_by_state", "of one mailbox with 1,000 lines", asked.counts),
        Question("repository.latest", "the last sync of 10 mailboxes", asked.latest),
        Question("repository.page", "50 syncs of a mailbox", asked.page),
        Question("repository.entries", "100 ledger lines of a mailbox", asked.entries),
        Question("deletions.deletable", "100 of a mailbox, the longest known", asked.deletable),
        # What writes leaves dead rows behind, which whoever comes later has to step over.
        Question("claims.has_work", "nothing is due, nothing queued", asked.has_work),
        Question("claims.request_due", "500 mailboxes are due", asked.request_due),
        Question("claims.claim", "128 of 500 that are queued", asked.claim, asked.prepare_due),
        Question("claims.renew", "the leases of 128", asked.renew, asked.prepare_claimed),
        Question("clock_skew.shorten_leases", "128 are running", asked.shorten_leases, asked.prepare_claimed),
        Question("clock_skew.pull_back_plans", "none is astray", asked.pull_back_plans),
        Question("repository.cancelled_among", "128 are running", asked.cancelled, asked.prepare_claimed),
        Question("repository.backlog", "128 of 500 are running", asked.backlog, asked.prepare_claimed),
        Question("repository.finish", "one of 128", asked.finish, asked.prepare_claimed),
        Question("ledger and feed: store", f"{_SOME} new messages, with their ledger lines", asked.store),
        Question("messages.remove", "one message", asked.remove),
    )


class _Asked:
    """The questions as methods; what is random is so anew at each."""

    def __init__(self, amount: Amount, now: datetime, random: Random) -> None:
        self._amount = amount
        self._now = now
        self._random = random

    def feed(self, db: Session, _: object) -> object:
        return search.between(
            db,
            reach=ALL_MAILBOXES,
            wanted=Wanted(),
            above=self._cursor(),
            below=messages.last_place(db) + 1,
            limit=_PAGE,
        )

    def feed_of_one(self, db: Session, _: object) -> object:
        wanted = Wanted(mailbox_id=self._filled())
        return search.between(
            db,
            reach=ALL_MAILBOXES,
            wanted=wanted,
            above=self._cursor(),
            below=messages.last_place(db) + 1,
            limit=_PAGE,
        )

    def newest(self, db: Session, _: object) -> object:
        return search.between(
            db, reach=ALL_MAILBOXES, wanted=Wanted(), above=0, below=self._place(), newest=True, limit=_PAGE
        )

    def newest_of_one(self, db: Session, _: object) -> object:
        return search.between(
            db,
            Wanted(mailbox_id=self._filled()),
            reach=ALL_MAILBOXES,
            above=0,
            below=messages.last_place(db) + 1,
            newest=True,
            limit=_PAGE,
        )

    def has_work(self, db: Session, _: object) -> object:
        return claims.has_work(db, now=self._now)

    def request_due(self, db: Session, _: object) -> object:
        seconds = 500 * INTERVAL_SECONDS / self._amount.mailboxes
        return claims.request_due(db, now=self._now + timedelta(seconds=seconds + 0.01), limit=500)

    def prepare_due(self, db: Session) -> object:
        return self.request_due(db, None)

    def claim(self, db: Session, _: object) -> list[runs.Claim]:
        return claims.claim(
            db, worker="w", limit=128, now=self._now, lease_expires_at=self._now + _LEASE, limits=_LIMITS
        )

    def prepare_claimed(self, db: Session) -> list[runs.Claim]:
        self.request_due(db, None)
        return self.claim(db, None)

    def renew(self, db: Session, held: list[runs.Claim]) -> None:
        claims.renew(db, held, until=self._now + 2 * _LEASE)

    def shorten_leases(self, db: Session, _: object) -> object:
        return clock_skew.shorten_leases(db, now=self._now, seconds=_LEASE.total_seconds())

    def pull_back_plans(self, db: Session, _: object) -> object:
        return clock_skew.pull_back_plans(db, now=self._now)

    def cancelled(self, db: Session, held: list[runs.Claim]) -> object:
        return runs.cancelled_among(db, [claim.sync_id for claim in held])

    def backlog(self, db: Session, _: object) -> object:
        return runs.backlog(db, now=self._now, thresholds=Thresholds())

    def finish(self, db: Session, held: list[runs.Claim]) -> None:
        ending = runs.Ending(held[0], SyncStatus.SUCCEEDED, {"listed": 10}, None, self._now)
        runs.finish(db, [ending])

    def forget_finished(self, db: Session, _: object) -> object:
        before = self._now - timedelta(days=30)
        return runs.forget_finished(db, before=before, quiet_before=before, after=SyncId(0), limit=1_000)

    def same_listing(self, db: Session, _: object) -> object:
        mailbox = self._filled()
        return beginnings.read(db, [(mailbox, self._now)])

    def grown_listing(self, db: Session, _: object) -> object:
        ids = frozenset(b"new-%d" % number for number in range(10))
        return ledger.read_part(db, MaildropId(self._filled(), 1), ids=ids)

    def other_listing(self, db: Session, _: object) -> object:
        mailbox = self._filled()
        lines = ledger.ledger_page(db, MaildropId(mailbox, 1), after=None, limit=10**6)
        uidl = b"".join(b"%d %s\r\n" % (number, line.unique_id) for number, line in enumerate(lines, 1))
        sizes = b"".join(b"%d 2000\r\n" % number for number in range(1, len(lines) + 1))
        listing = parse_listing(
            RawListing(Stat(len(lines), 2000 * len(lines)), uidl, sizes), most_entries=10**6
        )
        view = listing_view.whole(listing, diff(listing.entries, lines, now=self._now), last_digest=None)
        assert view.listed == view.known > 0
        return view

    def store(self, db: Session, _: object) -> None:
        mailbox, first = self._filled(), messages.take_places(db, _SOME, octets=_SOME)
        sha256 = b"%032d" % 1
        messages.add_contents(db, [{"sha256": sha256, "octets": 1, "blocks": 1, "data": b""}])
        places = range(first, first + _SOME)
        messages.add_messages(db, [self._message(mailbox, place, sha256) for place in places])
        ledger.write_entries(Leased(db), [self._line(mailbox, place, sha256) for place in places])

    def counts(self, db: Session, _: object) -> object:
        return ledger.counts_by_state(db, [self._filled()])

    def latest(self, db: Session, _: object) -> object:
        some = self._random.sample(range(self._amount.synced_mailboxes), 10)
        return runs.latest(db, [MailboxId(1 + number) for number in some])

    def page(self, db: Session, _: object) -> object:
        return runs.page(db, self._synced(), before=None, limit=50)

    def entries(self, db: Session, _: object) -> object:
        return ledger.entries(db, self._filled(), state=None, after=self._place() // 2, limit=_PAGE)

    def deletable(self, db: Session, _: object) -> object:
        return deletions.deletable(
            db, self._filled(), seen_before=self._now, now=self._now, after=None, limit=_PAGE
        )

    def remove(self, db: Session, _: object) -> None:
        assert messages.remove(db, MessageSeq(self._place() + 1), reach=ALL_MAILBOXES)

    def _cursor(self) -> int:
        """With a full page behind it."""
        return self._random.randrange(self._amount.messages * 3 // 4)

    def _place(self) -> int:
        return self._random.randrange(self._amount.messages)

    def _filled(self) -> MailboxId:
        return MailboxId(1 + self._random.randrange(self._amount.filled_mailboxes))

    def _synced(self) -> MailboxId:
        return MailboxId(1 + self._random.randrange(self._amount.synced_mailboxes))

    def _message(self, mailbox: MailboxId, place: int, sha256: bytes) -> dict[str, Any]:
        return {
            "to": [],
            "cc": [],
            "reply_to": [],
            "warnings": [],
            "seq": place,
            "mailbox_id": mailbox,
            "unique_id": b"new-%d" % place,
            "occurrence": 1,
            "subject": "new",
            "retrieved_at": self._now,
            "octets": 1,
            "raw_sha256": sha256,
            "has_attachments": False,
            "snippet": "",
        }

    def _line(self, mailbox: MailboxId, place: int, sha256: bytes) -> dict[str, Any]:
        return {
            "mailbox_id": mailbox,
            "unique_id": b"new-%d" % place,
            "occurrence": 1,
            "state": "stored",
            "octets": 1,
            "first_seen_at": self._now,
            "message_seq": place,
            "attempts": 1,
            "is_wanted": False,
            "content_sha256": sha256,
        }
