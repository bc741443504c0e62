"""Whatever the server does: each distinct message reaches the feed exactly once, and nothing is deleted unasked."""

import asyncio
import os
import shutil
import tempfile
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlmodel import Session, select

from app import pop3
from app.access.reach import ALL_MAILBOXES
from app.jobs.wakeups import Wakeups
from app.ledger import repository as ledger
from app.mailboxes import repository as mailboxes
from app.mailboxes.maildrop_moves import begin_generation
from app.mailboxes.models import Mailbox
from app.messages.models import Message
from app.reading.threads import FairThreads
from app.runs import claims as claiming
from app.runs import repository as syncs
from app.runs.models import SyncStatus, Trigger
from app.sync.context import SyncTools as Tools
from app.sync.retrieved.batches import MemoryBudget
from app.sync.service import sync_mailbox
from tests import schemas
from tests.servers.postgres import Postgres
from tests.simulator.bench import Killed, MortalDatabase
from tests.simulator.maildrop import Mail, SimulatedMaildrop, letter, letters

SyncTools = partial(
    Tools, rows_per_change=2, rows_per_read=2
)  # so that short listings take several transactions
START = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


class MaildropMachine(RuleBasedStateMachine):
    """Arrivals, deletions, reuse, copies, windows, renamings, refusals, cut connections, kills; and syncs."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.url = self.make_database()
        self.database = MortalDatabase(self.url)
        self.threads = FairThreads(1, name="prepare")
        self.now = START
        self.maildrop = SimulatedMaildrop()
        self.letters = letters()
        self.serial = 0
        self.freed: list[bytes] = []
        self.counts_ids = False
        self.may_delete = False
        self.of_one_size = (letter(f"of one size {n}") for n in count(10_000))
        self.tools = SyncTools(
            database=self.database,
            maildrop=self.maildrop,  # type: ignore[arg-type]  # the part of it that a sync uses
            threads=self.threads,
            wakeups=Wakeups(),
            clock=lambda: self.now,
            monotonic=lambda: 0.0,
            chance=lambda: 0.5,
            lease_seconds=60,
            limits=pop3.Limits(),
            batch_messages=3,
            batch_octets=1 << 20,
            memory=MemoryBudget(1 << 20),
        )
        row = Mailbox(
            name="m", host="h", port=110, security="none", username="u", server_retention={"mode": "keep"},
            created_at=START,
        )  # fmt: skip
        self.mailbox_id = self.run(self.database.write(lambda db: mailboxes.add(db, row)))

    @initialize(ids=st.sampled_from(["named", "named", "counted", "numbers"]))
    def the_server_has_its_way_with_ids(self, ids: str) -> None:
        self.counts_ids = ids == "counted"
        self.maildrop.whims.ids_are_numbers = ids == "numbers"

    def make_database(self) -> str:
        """The URL of a database of its own with the newest schema."""
        self.directory = Path(tempfile.mkdtemp())
        url = f"sqlite:///{self.directory / 'data.sqlite'}"
        schemas.make_embedded(url)
        return url

    def remove_database(self) -> None:
        """Nobody uses it any more."""
        shutil.rmtree(self.directory)

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        try:
            self.heal_and_check()
        finally:
            self.database.close()
            self.threads.close()
            self.loop.close()
            self.remove_database()

    def fresh_id(self) -> bytes:
        self.serial += 1
        return b"%d" % self.serial if self.counts_ids else b"id-%d" % self.serial

    @rule(count=st.integers(1, 4))
    def mail_arrives(self, count: int) -> None:
        for _ in range(count):
            self.maildrop.mails.append(Mail(self.fresh_id(), next(self.letters)))

    @rule(data=st.data())
    @precondition(lambda self: self.freed)
    def mail_arrives_under_an_id_that_was_used_before(self, data: st.DataObject) -> None:
        unique_id = data.draw(st.sampled_from(self.freed))
        self.freed.remove(unique_id)
        self.maildrop.mails.append(Mail(unique_id, next(self.letters)))

    @rule(data=st.data(), is_same=st.booleans())
    @precondition(lambda self: self.maildrop.mails)
    def mail_arrives_under_an_id_that_is_in_use(self, data: st.DataObject, is_same: bool) -> None:
        other = data.draw(st.sampled_from(self.maildrop.mails))
        is_same = is_same and not self.maildrop.whims.ids_are_numbers  # there it is under an id of its own
        content = other.content if is_same else next(self.letters)
        self.maildrop.mails.append(Mail(other.unique_id, content, is_hidden=other.is_hidden))

    @rule()
    def mail_of_the_usual_size_arrives(self) -> None:
        self.maildrop.mails.append(Mail(self.fresh_id(), next(self.of_one_size)))

    @rule()
    def mail_arrives_under_an_id_that_we_deleted(self) -> None:
        """Of the very same size."""
        there = {mail.unique_id for mail in self.maildrop.mails}
        for mail in self.maildrop.deleted:
            if mail.unique_id not in there and b"of one size" in mail.content:
                self.maildrop.mails.append(Mail(mail.unique_id, next(self.of_one_size)))
                there.add(mail.unique_id)

    @rule()
    def mail_arrives_without_an_id(self) -> None:
        self.maildrop.mails.append(Mail(b"", next(self.letters)))

    @rule()
    def ids_appear_later(self) -> None:
        self.heal()
        for mail in self.maildrop.mails:
            if not mail.unique_id:
                mail.unique_id = self.fresh_id()

    @rule(data=st.data())
    @precondition(lambda self: len(self.maildrop.mails) > 3)
    def an_id_is_lost(self, data: st.DataObject) -> None:
        self.heal()
        if len(self.maildrop.mails) > 3:
            mail = data.draw(st.sampled_from(self.maildrop.mails))
            if self.is_alone(mail):
                mail.unique_id = b""

    @rule(data=st.data(), is_cut=st.integers(0, 12))
    @precondition(lambda self: self.maildrop.mails)
    def a_scanner_writes_into_the_headers(self, data: st.DataObject, is_cut: int) -> None:
        """Each time something else. What is away meanwhile, or shares its id, is decided by content."""
        self.heal()
        for mail in self.maildrop.mails:
            first, _, rest = mail.content.partition(b"\r\n")
            if b"Message-ID" in rest and self.may_be_written_into(mail) and data.draw(st.booleans()):
                self.serial += 1
                mail.content = b"%b\r\nX-Scan: %d\r\n%b" % (first, 10**self.serial % (10**40 + 7), rest)
        if is_cut:
            self.maildrop.whims.cut_after_replies = is_cut
            self.sync_once()
            self.maildrop.whims.cut_after_replies = None
        self.heal()

    def may_be_written_into(self, mail: Mail) -> bool:
        """Whether it could be told, then, who the message is: not where numbers are all that it has for an id, and it
        should have been deleted."""
        whims = self.maildrop.whims
        is_kept = whims.ids_are_numbers and whims.keeps_deleted
        return bool(mail.unique_id) and self.is_alone(mail) and not is_kept

    def is_alone(self, mail: Mail) -> bool:
        ids = Counter(other.unique_id for other in self.maildrop.mails)
        subjects = Counter(other.subject for other in self.maildrop.mails)
        return ids[mail.unique_id] == 1 and subjects[mail.subject] == 1

    @rule(subject=st.integers(0, 3), is_same_size=st.booleans())
    @precondition(lambda self: self.maildrop.mails)
    def somebody_forges_a_copy(self, subject: int, is_same_size: bool) -> None:
        """The three of a message that is there, and another body, which the subject tells apart."""
        victim = self.maildrop.mails[subject % len(self.maildrop.mails)]
        self.serial += 1
        head, _, body = victim.content.partition(b"\r\n\r\n")
        _subject, _, names = head.partition(b"\r\n")
        begins = b"Subject: forged %d\r\n%b\r\n\r\n%08d" % (self.serial, names, self.serial)
        octets = len(victim.content) if is_same_size else len(begins) + len(body)
        forged = begins + b"z" * (octets - len(begins) - 2) + b"\r\n"
        self.maildrop.mails.append(Mail(self.fresh_id(), forged))

    @rule(subject=st.integers(0, 3))
    @precondition(lambda self: self.maildrop.mails)
    def a_list_sends_it_once_more(self, subject: int) -> None:
        """The three of a message that is known, and its body, under another subject.

        Where most ids vanish at the same time, or ids are numbers and there is no TOP, nobody could tell it from that
        message behind a mover or a scanner.
        """
        if self.maildrop.whims.ids_are_numbers and not self.maildrop.whims.has_top:
            return
        self.heal()
        if self.maildrop.mails:
            victim = self.maildrop.mails[subject % len(self.maildrop.mails)]
            self.serial += 1
            rest = victim.content.partition(b"\r\n")[2]
            self.maildrop.mails.append(Mail(self.fresh_id(), b"Subject: list %d\r\n%b" % (self.serial, rest)))
            self.sync_once()

    @rule(is_wanted=st.booleans())
    def we_are_told_to_delete_or_to_keep(self, is_wanted: bool) -> None:
        self.may_delete |= is_wanted
        mode = {"mode": "delete_after_retrieve" if is_wanted else "keep"}
        self.run(self.database.write(lambda db: mailboxes.change(db, self.mailbox_id, server_retention=mode)))

    @rule(
        keeps=st.booleans(),
        refused=st.integers(0, 1),
        removed=st.integers(0, 2),
        lost=st.integers(0, 1),
        dele=st.booleans(),
    )
    @precondition(lambda self: self.may_delete)
    def deletion_fails(self, keeps: bool, refused: int, removed: int, lost: int, dele: bool) -> None:
        whims = self.maildrop.whims
        whims.keeps_deleted, whims.refuses_quit, whims.loses_quit = keeps, refused, lost
        whims.quit_removes = removed
        whims.refuses_dele = {mail.unique_id for mail in self.maildrop.mails[::2]} if dele else set()

    @rule(data=st.data(), fault=st.sampled_from(["refused", "short", "nonsense"]), times=st.integers(1, 2))
    @precondition(lambda self: self.maildrop.mails)
    def a_message_cannot_be_read_for_now(self, data: st.DataObject, fault: str, times: int) -> None:
        """So that a known one cannot be compared, either. Of what no server stamped nobody could tell, where the same
        part comes twice, whether it is the known one."""
        mail = data.draw(st.sampled_from(self.maildrop.mails))
        is_stamped = b"\r\nReceived:" in mail.content
        mail.faults = ["short" if fault == "nonsense" and not is_stamped else fault] * times

    @rule(data=st.data(), more=st.integers(1, 2_000))
    @precondition(lambda self: self.maildrop.mails)
    def list_calls_a_message_larger(self, data: st.DataObject, more: int) -> None:
        mail = data.draw(st.sampled_from(self.maildrop.mails))
        mail.listed_octets = len(mail.content) + more

    @rule(times=st.integers(1, 3))
    def uidl_fails_for_a_while(self, times: int) -> None:
        self.maildrop.whims.uidl_failures = times

    @rule(excess=st.integers(0, 2))
    def stat_counts_more(self, excess: int) -> None:
        self.maildrop.whims.stat_excess = excess

    @rule(arrivals=st.integers(0, 3))
    def another_account_stands_behind_the_mailbox(self, arrivals: int) -> None:
        def change(db: Session) -> None:
            row = mailboxes.get(db, self.mailbox_id)
            assert row is not None
            begin_generation(row, now=self.now)
            ledger.begin_maildrop(db, self.mailbox_id, self.now)
            syncs.compare_anew(db, self.mailbox_id)

        self.run(self.database.write(change))
        ids = [mail.unique_id for mail in self.maildrop.mails]
        self.maildrop.mails.clear()
        self.maildrop.deleted.clear()
        self.maildrop.whims.is_stale = 0  # a replica that is behind has nothing of it yet
        self.freed.clear()
        for unique_id in ids[:arrivals]:
            self.maildrop.mails.append(Mail(unique_id, next(self.of_one_size)))

    @rule(data=st.data())
    @precondition(lambda self: self.maildrop.mails)
    def the_maildrop_moves_to_another_host(self, data: st.DataObject) -> None:
        """Where one id stands for another message of the same size."""
        self.heal()
        usual = [one for one in self.maildrop.mails if b"of one size" in one.content and self.is_alone(one)]
        if usual:
            data.draw(st.sampled_from(usual)).content = next(self.of_one_size)

        def change(db: Session) -> None:
            syncs.compare_anew(db, self.mailbox_id)
            mailboxes.change(db, self.mailbox_id, compares_all=True)

        self.run(self.database.write(change))

    @rule(data=st.data())
    @precondition(lambda self: self.maildrop.mails)
    def somebody_deletes(self, data: st.DataObject) -> None:
        gone = data.draw(st.lists(st.sampled_from(self.maildrop.mails), max_size=3, unique_by=id))
        self.remove(gone)

    @rule(data=st.data())
    @precondition(lambda self: self.maildrop.mails)
    def an_id_is_given_to_another_message_at_once(self, data: st.DataObject) -> None:
        """Its size differs: with the same size nobody could tell without retrieving everything each time."""
        mail = data.draw(st.sampled_from(self.maildrop.mails))
        self.maildrop.mails.remove(mail)
        self.maildrop.mails.append(Mail(mail.unique_id, next(self.letters)))

    def remove(self, gone: list[Mail]) -> None:
        self.maildrop.mails = [
            mail for mail in self.maildrop.mails if all(mail is not other for other in gone)
        ]
        left = {mail.unique_id for mail in self.maildrop.mails}
        self.freed += [m.unique_id for m in gone if m.unique_id not in left and m.unique_id not in self.freed]

    @rule(first=st.integers(0, 5), last=st.integers(0, 5))
    @precondition(lambda self: self.maildrop.mails)
    def the_window_moves(self, first: int, last: int) -> None:
        count = len(self.maildrop.mails)
        for place, mail in enumerate(self.maildrop.mails):
            mail.is_hidden = not first <= place < max(count - last, first + 1)

    @rule()
    def everything_is_shown(self) -> None:
        for mail in self.maildrop.mails:
            mail.is_hidden = False

    @rule(arrivals=st.integers(0, 2))
    def all_ids_change(self, arrivals: int) -> None:
        """After a sync that saw all there is: what the ledger never saw cannot be recognised."""
        self.heal()
        names: dict[bytes, bytes] = {}
        for mail in self.maildrop.mails:
            mail.unique_id = names.setdefault(mail.unique_id, self.fresh_id())
        for _ in range(arrivals):
            self.mail_arrives(1)
        self.freed.clear()

    @rule(times=st.integers(1, 3))
    def the_listing_is_empty_for_a_while(self, times: int) -> None:
        self.maildrop.whims.empty_sessions = times

    @rule(count=st.integers(1, 3))
    def the_listing_is_cut_once(self, count: int) -> None:
        self.maildrop.whims.short_by = count

    @rule()
    def a_line_is_garbled_once(self) -> None:
        self.maildrop.whims.garbles_line = True

    @rule()
    def the_order_turns(self) -> None:
        self.maildrop.whims.is_reversed = not self.maildrop.whims.is_reversed

    @rule()
    def the_server_notes_what_was_read(self) -> None:
        self.maildrop.whims.notes_status = True

    @rule(has_top=st.booleans())
    def top_works_or_not(self, has_top: bool) -> None:
        self.maildrop.whims.has_top = has_top

    @rule(data=st.data())
    @precondition(lambda self: self.maildrop.mails)
    def a_message_is_refused(self, data: st.DataObject) -> None:
        self.maildrop.whims.refuses.add(data.draw(st.sampled_from(self.maildrop.mails)).unique_id)

    @rule()
    def nothing_is_refused_any_more(self) -> None:
        self.maildrop.whims.refuses.clear()

    @rule(hours=st.integers(1, 48))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule()
    def sync(self) -> None:
        self.sync_once()

    @rule(replies=st.integers(0, 8), is_within=st.booleans())
    def the_connection_is_cut_during_a_sync(self, replies: int, is_within: bool) -> None:
        """``is_within``: a message, so that the sync goes on in another session."""
        self.maildrop.whims.cuts_within = is_within
        self.maildrop.whims.cut_after_replies = replies
        self.sync_once()
        self.maildrop.whims.cut_after_replies = None

    @rule(commits=st.integers(0, 5))
    def the_process_is_killed_during_a_sync(self, commits: int) -> None:
        self.database.dies_in = commits
        with suppress(Killed):
            self.sync_once()
        self.database.dies_in = None
        self.now += timedelta(minutes=2)  # the lease of the dead runs out

    def sync_once(self) -> SyncStatus:
        async def ask_claim_and_run() -> SyncStatus:
            lease = self.now + timedelta(minutes=1)

            def change(db: Session) -> list[syncs.Claim]:
                claiming.request(db, self.mailbox_id, Trigger.MANUAL, now=self.now)
                return claiming.claim(db, worker="w", limit=1, now=self.now, lease_expires_at=lease)

            (claim,) = await self.database.write(change)
            status = await sync_mailbox(claim, tools=self.tools)
            sync = await self.database.read(lambda db: syncs.get(db, claim.sync_id, reach=ALL_MAILBOXES))
            assert sync is not None
            report = sync.report
            if report and status in {SyncStatus.SUCCEEDED, SyncStatus.PARTIAL}:
                assert report["listed"] == report["known"] + report["new"], report
                done = report["filtered"] + report["retrieved"] + report["failed"] + report["to_retrieve"]
                assert report["new"] == done, report
            return status

        return self.run(ask_claim_and_run())  # type: ignore[no-any-return]  # `run` takes and gives anything

    def feed(self) -> Counter[str]:
        def question(db: Session) -> list[str]:
            return list(db.exec(select(Message.subject)).all())

        return Counter(self.run(self.database.read(question)))

    @invariant()
    def no_message_came_twice(self) -> None:
        assert all(count == 1 for count in self.feed().values())

    @invariant()
    def nothing_was_deleted_unasked_or_unread(self) -> None:
        assert self.may_delete or not self.maildrop.deletions
        assert {mail.subject for mail in self.maildrop.deleted} <= set(self.feed())

    def heal(self) -> None:
        """The server behaves, time passes, and syncs follow one another until there is nothing to do."""
        whims = self.maildrop.whims
        whims.empty_sessions = whims.short_by = whims.uidl_failures = whims.stat_excess = 0
        whims.refuses_quit = whims.loses_quit = 0
        whims.garbles_line = False
        whims.refuses.clear()
        whims.refuses_dele.clear()
        for mail in self.maildrop.mails:
            mail.faults, mail.listed_octets = [], None
        self.everything_is_shown()
        # A listing that is suddenly empty is not believed at first, so that a message may be waited for in vain.
        at_first = (
            {SyncStatus.SUCCEEDED} if self.maildrop.mails else {SyncStatus.SUCCEEDED, SyncStatus.PARTIAL}
        )
        for expected in (at_first, {SyncStatus.SUCCEEDED}, {SyncStatus.SUCCEEDED}):
            self.now += timedelta(days=2)
            assert self.sync_once() in expected

    def heal_and_check(self) -> None:
        self.heal()
        there = {mail.subject for mail in self.maildrop.mails}
        feed = self.feed()
        assert there <= set(feed), f"missed: {sorted(there - set(feed))}"
        assert all(count == 1 for count in feed.values())
        self.run(
            self.database.write(
                lambda db: mailboxes.change(db, self.mailbox_id, server_retention={"mode": "keep"})
            )
        )
        if self.maildrop.whims.keeps_deleted:  # what it was told to delete and shows again is compared once
            assert self.sync_once() is SyncStatus.SUCCEEDED
        retrievals, tops = self.maildrop.retrievals, self.maildrop.tops
        assert self.sync_once() is SyncStatus.SUCCEEDED
        if not self.maildrop.whims.ids_are_numbers and not self.counts_ids:
            assert (self.maildrop.retrievals, self.maildrop.tops) == (retrievals, tops), (
                "work without a change"
            )


def games(examples: int) -> settings:
    """So many; CI plays the same each time, `make soak` others."""
    return settings(
        max_examples=examples,
        stateful_step_count=30,
        deadline=None,
        derandomize="SIMULATOR_EXAMPLES" not in os.environ,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        phases=[Phase.generate] if os.environ.get("SIMULATOR_FAST") else list(Phase),
    )


EXAMPLES = int(os.environ.get("SIMULATOR_EXAMPLES", "40"))
TestMaildrop = MaildropMachine.TestCase
TestMaildrop.settings = games(EXAMPLES)


def test_the_same_on_postgresql(postgres_server: Postgres, migrated_postgres_url: str) -> None:
    class OnPostgresql(MaildropMachine):
        def make_database(self) -> str:
            return schemas.copy_of(migrated_postgres_url, postgres_server)

        def remove_database(self) -> None:
            postgres_server.drop_database(self.url)

    run_state_machine_as_test(OnPostgresql, settings=games(max(EXAMPLES // 10, 1)))
