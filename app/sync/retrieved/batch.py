"""A batch of retrieved messages: what each proved to be, and how all of it is stored in one transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlmodel import Session

from app.ledger import repository as ledger
from app.ledger.entries import Row, RowMaker
from app.ledger.lines import Candidate, Known, MaildropId
from app.ledger.matching import CopyOf, Matcher, SameAs, Verdict
from app.ledger.models import EntryId, EntryState, Leased
from app.mail.fingerprint import is_stamped
from app.messages import intake
from app.messages.models import MessageSeq
from app.messages.wholeness import (
    MAY_BE_CUT,
    Before,
    Doubt,
    Habit,
    fit,
    less_than_known,
    usable,
    wholeness_of,
)
from app.runs.admission.schedule import next_message_attempt
from app.runs.schemas import Report
from app.sync.retrieved.batches import Outcome

FeedPlaces = dict[tuple[bytes, int], MessageSeq]
"""(unique-id, occurrence) -> place in the feed, of the messages that a batch stored."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Outcomes with their verdicts; ``shared``: ids that are listed more than once."""

    settled: tuple[tuple[Outcome, Verdict], ...]
    shared: frozenset[bytes]
    now: datetime

    @property
    def undecided(self) -> list[Candidate]:
        """Those of which nothing came that says which message they are."""
        return [
            outcome.candidate
            for outcome, _ in self.settled
            if outcome.prepared is None and not outcome.is_too_large
        ]

    @property
    def stored(self) -> list[Outcome]:
        """Those that are messages of their own, and wanted."""
        return [
            outcome
            for outcome, verdict in self.settled
            if outcome.prepared and verdict is None and outcome.unwanted is None
        ]

    def recognised_as(self, lines: Sequence[Known]) -> "Batch":
        """The same with these lines, of messages that were imported meanwhile, for what would be stored beside them."""
        left = {line.content: line for line in lines}

        def settled(outcome: Outcome, verdict: Verdict) -> Verdict:
            if outcome.prepared is None or verdict is not None or outcome.unwanted is not None:
                return verdict
            marks = outcome.prepared.fingerprint
            line = left.pop(marks.content, None)
            return SameAs(line, marks) if line else None

        return replace(self, settled=tuple((one, settled(one, verdict)) for one, verdict in self.settled))

    def counted_in(self, report: Report) -> Report:
        """The report with this batch in it. What was recognised is known, and no longer new."""
        messages = [outcome.prepared for outcome in self.stored if outcome.prepared]
        failed = sum(outcome.prepared is None for outcome, _verdict in self.settled)
        known = sum(verdict is not None for _outcome, verdict in self.settled)
        filtered = len(self.settled) - len(messages) - failed - known
        return report.model_copy(
            update={
                "known": report.known + known,
                "new": report.new - known,
                "retrieved": report.retrieved + len(messages),
                "octets": report.octets + sum(message.octets for message in messages),
                "filtered": report.filtered + filtered,
                "failed": report.failed + failed,
                "to_retrieve": report.to_retrieve - len(self.settled),
            }
        )

    def store(self, db: Leased, maildrop: MaildropId) -> FeedPlaces:
        """Store messages and ledger lines; for a unit of work."""
        stored = self.stored
        messages = [outcome.prepared for outcome in stored if outcome.prepared]
        taken = intake.store(db, maildrop.mailbox_id, messages, now=self.now)
        places = {
            (outcome.candidate.unique_id, outcome.candidate.occurrence): seq
            for outcome, seq in zip(stored, taken, strict=True)
        }
        make = RowMaker(maildrop, self.now)
        ledger.write_entries(db, [self._row(make, *settled, places) for settled in self.settled])
        missing = [*renamed_away(self._recognised()), *self._waited_in_vain()]
        ledger.mark_missing(db, missing, now=self.now, last_seen_at=self.now)
        self._note_copies(db, places)
        return places

    def remember(self, matcher: Matcher, places: FeedPlaces) -> None:
        """Note, after the commit, where messages are in the feed of which further copies may be listed."""
        for outcome in self.stored:
            candidate = outcome.candidate
            if candidate.unique_id in self.shared and outcome.prepared:
                seq = places[candidate.unique_id, candidate.occurrence]
                content = outcome.prepared.fingerprint.content
                matcher.remember(candidate.unique_id, candidate.occurrence, content, seq)

    def _row(self, make: RowMaker, outcome: Outcome, verdict: Verdict, places: FeedPlaces) -> Row:
        candidate, message = outcome.candidate, outcome.prepared
        if message is None:
            return self._failed(make, outcome)
        is_whole = outcome.wholeness.is_whole
        whole = {"is_whole": is_whole, "doubt": None if is_whole else outcome.wholeness.doubt}
        if isinstance(verdict, SameAs):
            return make.same(candidate, verdict) | whole
        marks = message.fingerprint
        if isinstance(verdict, CopyOf):
            seq = _place_of(verdict, places)
            return make.copy(candidate, of=verdict.occurrence, message_seq=seq, marks=marks) | whole
        if outcome.unwanted is not None:
            return make.filtered(candidate, outcome.unwanted, marks)
        return make.stored(candidate, marks, places[candidate.unique_id, candidate.occurrence]) | whole

    def _failed(self, make: RowMaker, outcome: Outcome) -> Row:
        if outcome.is_too_large:
            return make.too_large(outcome.candidate)
        wholeness = outcome.wholeness
        if wholeness.again_in is not None:
            return make.row(
                outcome.candidate,
                EntryState.FAILED,
                reason=outcome.reason,
                attempts=wholeness.attempts,
                next_attempt_at=self.now + wholeness.again_in,
                doubt=wholeness.doubt,
                doubtful_sha256=outcome.copy.digest if outcome.copy else None,
            )
        attempts, before = outcome.candidate.attempts + 1, outcome.candidate.before
        return make.row(
            outcome.candidate,
            EntryState.FAILED,
            reason=outcome.reason,
            attempts=attempts,
            next_attempt_at=next_message_attempt(attempts, self.now, by_chance=outcome.ended_session),
            is_wanted=outcome.candidate.is_forced,
            doubt=_doubt_left(before, ended_session=outcome.ended_session),
            doubtful_sha256=before.digest,
        )

    def _recognised(self) -> list[tuple[Candidate, SameAs]]:
        return [(o.candidate, verdict) for o, verdict in self.settled if isinstance(verdict, SameAs)]

    def _waited_in_vain(self) -> list[EntryId]:
        """Lines whose awaited message proved to be that of another line of the same id."""
        return [
            candidate.entry.entry_id
            for candidate, same in self._recognised()
            if candidate.entry is not None
            and candidate.entry.entry_id != same.line.entry_id
            and candidate.unique_id == same.line.unique_id
        ]

    def _note_copies(self, db: Session, places: FeedPlaces) -> None:
        for _outcome, verdict in self.settled:
            seq = _place_of(verdict, places) if isinstance(verdict, CopyOf) else None
            if seq is not None:
                intake.note_copies(db, seq)


def settle(
    outcomes: Sequence[Outcome],
    matcher: Matcher,
    *,
    same_bodies: Mapping[int, frozenset[EntryId]],
    shared: frozenset[bytes],
    total: int,
    habit: Habit,
    now: datetime,
) -> tuple[Batch, Habit]:
    """Find out what each retrieved message proves to be, and whether it is whole; and how the server's sizes fit now.

    ``same_bodies``: see ``copies.Bodies``. ``total``: STAT's octets. ``habit``: how its sizes fitted before.
    """
    sizes = [(outcome, usable(outcome.candidate.octets, total)) for outcome in outcomes]
    habit = habit.with_more(
        fit(outcome.copy, listed)
        for outcome, listed in sizes
        if outcome.copy is not None and outcome.candidate.before.doubt is None
    )
    settled = tuple(
        _settled(_judged(outcome, listed, habit), matcher, same_bodies, shared) for outcome, listed in sizes
    )
    return Batch(settled, shared, now), habit


def renamed_away(recognised: Iterable[tuple[Candidate, SameAs]]) -> list[EntryId]:
    """Ledger lines whose message is there under another unique-id now: under their own it is missing."""
    return [
        same.line.entry_id
        for candidate, same in recognised
        if same.line.unique_id != candidate.unique_id and not same.line.is_missing
    ]


def _judged(outcome: Outcome, listed: int | None, habit: Habit) -> Outcome:
    candidate = outcome.candidate
    if outcome.prepared is None or outcome.copy is None:
        return outcome
    wholeness = wholeness_of(outcome.copy, listed, habit, candidate.before, is_wanted=candidate.is_forced)
    if wholeness.warning is None:
        return outcome
    message = replace(outcome.prepared, warnings=(*outcome.prepared.warnings, wholeness.warning))
    return replace(outcome, prepared=message, wholeness=wholeness)


def _settled(
    outcome: Outcome,
    matcher: Matcher,
    same_bodies: Mapping[int, frozenset[EntryId]],
    shared: frozenset[bytes],
) -> tuple[Outcome, Verdict]:
    """What a message proves to be. One whose octets are those of a known one is that one, however short LIST says that
    it is; else what is in doubt is asked for again."""
    candidate, prepared = outcome.candidate, outcome.prepared
    if prepared is None:
        return outcome, None
    marks = prepared.fingerprint
    same_body = same_bodies.get(candidate.number, frozenset())
    had_as_many = (line.octets == candidate.octets for line in matcher.proposed(candidate, marks))
    if outcome.copy is not None and outcome.wholeness.is_whole and any(had_as_many):
        wholeness = less_than_known(outcome.copy, candidate.octets, candidate.before)
        outcome = replace(outcome, wholeness=wholeness)
    if outcome.wholeness.again_in is not None:
        same = matcher.take_by_doubtful_content(
            candidate, marks, same_body=same_body, is_astray=outcome.wholeness.doubt is Doubt.ASTRAY
        )
        if same is not None:
            return outcome, same
        return replace(outcome, prepared=None, reason=outcome.wholeness.warning), None
    verdict = matcher.take_by_content(
        candidate,
        marks,
        is_shared=candidate.unique_id in shared,
        same_body=same_body,
        is_stamped_part=outcome.wholeness.doubt in MAY_BE_CUT and is_stamped(prepared.packed.head),
    )
    return outcome, verdict


def _doubt_left(before: Before, *, ended_session: bool) -> str | None:
    """What is in doubt of a message of which nothing came this time. Where the session ended within it, it is asked for
    last, and first where what came before is in doubt."""
    if ended_session and before.doubt != Doubt.SHORT:
        return Doubt.ENDED
    return before.doubt if before.digest is not None else None


def _place_of(copy: CopyOf, places: FeedPlaces) -> MessageSeq | None:
    if copy.message_seq is not None:
        return MessageSeq(copy.message_seq)
    return places.get((copy.unique_id, copy.occurrence))
