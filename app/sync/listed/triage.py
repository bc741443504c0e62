"""Which candidates to retrieve: suspects recognised by their headers, the unwanted and the too large set aside."""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from app import pop3
from app.ledger.diff import is_due
from app.ledger.lines import Candidate, Known, Turn, is_made_up
from app.ledger.listing_view import ListingView
from app.ledger.matching import Matcher, SameAs
from app.ledger.models import EntryId
from app.mail.fingerprint import Fingerprint
from app.maildrops.errors import SyncErrorCode, SyncFailed
from app.messages.wholeness import usable
from app.reading.shares import Owner
from app.reading.slices import Slices
from app.reading.threads import FairThreads
from app.sync.listed.headers import CandidateHead, Judge, read_heads

# So few ledger lines that nothing can recognise are worth no question to a person.
_FEW = 5
_CLOCKS_DIFFER, _CLOCK_BEHIND = timedelta(days=1), timedelta(hours=1)  # of a server
MOST_RETRIEVED_TO_COMPARE = 1_000  # known messages that one sync retrieves, as their sizes do not add up

ContentUnder = Callable[[Known, bytes], Awaitable[bytes | None]]
"""The content digest of a line's stored copy below another header block; no octets: there is none; None: not now."""


@dataclass(frozen=True, slots=True)
class Triaged:
    """The candidates of a listing, each in one place.

    ``postponed``: known for now, and compared by the next sync. ``awaited``: lines that are not listed, and whose
    messages those may prove to be that have no unique-id, once they are retrieved.
    """

    recognised: tuple[tuple[Candidate, SameAs], ...] = ()
    baseline: tuple[tuple[Candidate, Fingerprint | None], ...] = ()
    postponed: tuple[Candidate, ...] = ()
    too_large: tuple[Candidate, ...] = ()
    filtered: tuple[tuple[Candidate, CandidateHead], ...] = ()
    to_retrieve: tuple[Candidate, ...] = ()
    heads: Mapping[int, CandidateHead] = field(default_factory=dict)
    awaited: frozenset[EntryId] = frozenset()

    @property
    def shown(self) -> dict[int, Fingerprint]:
        """What the headers told, by message-number."""
        return {number: head.marks for number, head in self.heads.items()}


async def triage(
    session: pop3.Pop3Session,
    view: ListingView,
    matcher: Matcher,
    *,
    most_octets: int,
    total: int = 0,
    is_baseline: bool,
    judge: Judge | None,
    threads: FairThreads,
    slices: Slices,
    owner: Owner,
    content_under: ContentUnder,
    now: datetime,
    listed_at: datetime | None = None,
    may_hold: bool = True,
) -> Triaged:
    """Sort the candidates, asking for headers (TOP, pipelined) only where they decide something.

    ``content_under``: of stored copies. ``listed_at``: when the maildrop was listed last. ``total``: STAT's octets.
    ``is_baseline``: all that is listed is known from now on, also where a baseline that was written in part says
    otherwise.
    Raises SyncFailed ``needs_review`` when a wholesale change of unique-ids cannot be decided.
    """
    diff = view.diff
    if not (diff.fresh or diff.due or diff.suspects):
        return Triaged()  # as most polls find: nothing is to be placed
    rows = len(diff.fresh) + len(diff.due) + len(diff.suspects) + len(diff.gone)
    large = partial(_is_large, most_octets=most_octets, total=total)
    begin = partial(_sorted_out, view, matcher, is_large=large, is_baseline=is_baseline, judge=judge)
    piles = await slices.call(begin, rows=rows)
    heads: dict[int, CandidateHead] = {}
    later: set[int] = set()
    blank = _blank(view) if piles.is_wholesale else []
    may_hold = may_hold and len(blank) >= _FEW
    is_dated = bool(blank) or any(matcher.is_baseline(candidate) for candidate in diff.suspects)
    dated_until = now + _CLOCKS_DIFFER if is_dated else None
    async for candidate, head, octets in read_heads(
        session, piles.asked, judge=judge, threads=threads, owner=owner, dated_until=dated_until
    ):
        heads[candidate.number] = head
        if line := matcher.rewritten(candidate, head.marks):
            content = await content_under(line, octets)
            heads[candidate.number] = replace(head, marks=replace(head.marks, content=content or b""))
            if content is None:
                later.add(candidate.number)
    hold = partial(_hold_if_undecided, view, listed_at=listed_at) if may_hold else None
    before = listed_at - _CLOCK_BEHIND if listed_at is not None else None
    end = partial(
        _decided,
        view,
        matcher,
        piles,
        heads,
        later,
        is_baseline=is_baseline,
        now=now,
        hold=hold,
        before=before,
    )
    return await slices.call(end, rows=rows)


def _is_large(candidate: Candidate, *, most_octets: int, total: int) -> bool:
    """By LIST's size, where that is one: else the limit holds for what comes."""
    return not candidate.is_forced and (usable(candidate.octets, total) or 0) > most_octets


@dataclass(frozen=True, slots=True)
class _Piles:
    """The candidates as they are sorted out before any headers are known. ``large``: by number."""

    recognised: list[tuple[Candidate, SameAs]]
    suspects: list[Candidate]
    plain: list[Candidate]
    baseline: list[Candidate]
    asked: list[Candidate]
    large: frozenset[int]
    is_wholesale: bool


def _sorted_out(
    view: ListingView,
    matcher: Matcher,
    *,
    is_large: Callable[[Candidate], bool],
    is_baseline: bool,
    judge: Judge | None,
) -> _Piles:
    diff = view.diff
    is_wholesale = diff.is_wholesale and not is_baseline
    recognised: list[tuple[Candidate, SameAs]] = []
    suspects, plain, baseline = list(diff.suspects), list(diff.due), list[Candidate]()
    # What had no unique-id may have got one since, and the other way round.
    is_suspicious = is_wholesale or any(is_made_up(line.unique_id) for line in diff.gone)
    for candidate in diff.fresh:
        if (same := matcher.take_by_import(candidate)) is not None:
            recognised.append((candidate, same))
        elif is_baseline:
            baseline.append(candidate)
        else:
            (suspects if is_suspicious or is_made_up(candidate.unique_id) else plain).append(candidate)
    large = {c.number for c in [*suspects, *plain] if is_large(c)}
    compared = () if is_baseline else suspects
    asked = [c for c in compared if c.number in large or not matcher.may_have_come_out_of_step(c)]
    if judge is not None:
        # TOP of what ended a session, or may, ends the next one before anything is retrieved.
        asked += [c for c in plain if c.turn is Turn.WITH_OTHERS]
    elif view.is_in_doubt and view.compares_all:
        asked += plain  # of a known one among them it must be known that it is there
    asked += [c for c in baseline if view.is_in_doubt or is_made_up(c.unique_id)]
    asked.sort(key=_tried)
    return _Piles(recognised, suspects, plain, baseline, asked, frozenset(large), is_wholesale)


def _decided(
    view: ListingView,
    matcher: Matcher,
    piles: _Piles,
    heads: dict[int, CandidateHead],
    later: Collection[int],
    *,
    is_baseline: bool,
    now: datetime,
    hold: Callable[[Matcher, Sequence[Candidate], Mapping[int, CandidateHead]], None] | None,
    before: datetime | None,
) -> Triaged:
    """Each candidate in its place, as the headers that are known tell. ``later``: of which not all is known yet.
    ``hold``: raises SyncFailed where too much is undecided. ``before``: what the server took by then was there at the
    last listing. What may be a stored message is retrieved though the criteria no longer want it."""
    matcher.expect(head.marks for head in heads.values())
    suspects = _suspects_placed(view, matcher, piles, heads, later, now=now, before=before)
    baseline = [*piles.baseline, *(suspects.unknown if is_baseline else ())]
    plain = [*piles.plain, *(() if is_baseline else suspects.unknown)]
    if hold is not None:
        undecided = [
            c for c in plain if not (c.number in heads and matcher.proposed(c, heads[c.number].marks))
        ]
        hold(matcher, undecided, heads)
    filtered: list[tuple[Candidate, CandidateHead]] = []
    too_large: list[Candidate] = []
    to_retrieve: list[Candidate] = []
    for candidate in plain:
        head, is_large = heads.get(candidate.number), candidate.number in piles.large
        if candidate.is_forced:
            to_retrieve.append(candidate)
        elif (
            head is not None
            and head.unwanted is not None
            and (is_large or not matcher.proposed(candidate, head.marks))
        ):
            filtered.append((candidate, head))
        elif is_large:
            too_large.append(candidate)
        else:
            to_retrieve.append(candidate)
    return Triaged(
        recognised=(*piles.recognised, *suspects.recognised),
        baseline=tuple((c, heads[c.number].marks if c.number in heads else None) for c in baseline),
        postponed=suspects.postponed,
        too_large=tuple(too_large),
        filtered=tuple(filtered),
        to_retrieve=tuple(sorted(to_retrieve, key=_tried)),
        heads=heads,
        awaited=frozenset(_awaited(to_retrieve, heads, matcher)),
    )


def _awaited(
    to_retrieve: Sequence[Candidate], heads: Mapping[int, CandidateHead], matcher: Matcher
) -> Iterator[EntryId]:
    for candidate in to_retrieve:
        if is_made_up(candidate.unique_id) and candidate.number in heads:
            for line in matcher.proposed(candidate, heads[candidate.number].marks):
                yield line.entry_id


@dataclass(frozen=True, slots=True)
class _Suspects:
    """``unknown``: those that headers did not decide about, and those that are known and that somebody waits for."""

    recognised: tuple[tuple[Candidate, SameAs], ...]
    postponed: tuple[Candidate, ...]
    unknown: tuple[Candidate, ...]


def _suspects_placed(
    view: ListingView,
    matcher: Matcher,
    piles: _Piles,
    heads: dict[int, CandidateHead],
    later: Collection[int],
    *,
    now: datetime,
    before: datetime | None,
) -> _Suspects:
    known = _recognised(
        piles.suspects,
        heads,
        matcher,
        is_wholesale=piles.is_wholesale,
        compares_all=view.compares_all,
        before=before,
        gone=_blank(view) if piles.is_wholesale else (),
    )
    later = {*later, *_to_postpone(piles.suspects, known, heads, matcher, large=piles.large)}
    recognised: list[tuple[Candidate, SameAs]] = []
    unknown: list[Candidate] = []
    for candidate in piles.suspects:
        same = known.get(candidate.number)
        if candidate.number in later:
            continue
        if same is None:
            line = matcher.take_failed_before(candidate)
            if line is not None and line.next_attempt_at is not None and not is_due(line, now):
                later.add(candidate.number)  # its time has not come
            else:
                unknown.append(_of_line(candidate, line) if line else candidate)
        elif same.line.unique_id == candidate.unique_id and is_due(same.line, now):
            unknown.append(_of_line(candidate, same.line))
        else:
            recognised.append((candidate, same))
    postponed = (candidate for candidate in piles.suspects if candidate.number in later)
    return _Suspects(tuple(recognised), tuple(postponed), tuple(unknown))


def _tried(candidate: Candidate) -> int:
    """What failed before comes last: a message that ends each session must not stand before the others."""
    return candidate.attempts


def _of_line(candidate: Candidate, line: Known) -> Candidate:
    """The candidate as the message that a ledger line waits for."""
    return replace(candidate, occurrence=line.occurrence, entry=line)


def _recognised(
    suspects: Sequence[Candidate],
    heads: dict[int, CandidateHead],
    matcher: Matcher,
    *,
    is_wholesale: bool,
    compares_all: bool,
    before: datetime | None,
    gone: Sequence[Known],
) -> dict[int, SameAs]:
    """What each suspect is, by message-number. Every line of an id is looked for under that id first.

    ``compares_all``: where id and size are not enough, a line that was never looked into is known by them only if most
    of those that were are known by their headers. ``before``: a baseline's message that the server took by then is
    the same, though its size changed; under a new id it is one of the ``gone`` if these are so few that nobody is asked
    about them, and its size is the same.
    """
    known: dict[int, SameAs] = {}
    few = {line.entry_id for line in gone} if len(gone) < _FEW else set()
    looked_at = [candidate for candidate in suspects if candidate.number in heads]
    comparable = [candidate for candidate in looked_at if matcher.has_headers_of(candidate)]
    for candidate in looked_at:
        same = matcher.take_by_own_headers(candidate, heads[candidate.number].marks)
        if same is not None:
            known[candidate.number] = same
    agreeing = sum(candidate.number in known for candidate in comparable)
    for candidate in suspects if not compares_all or 2 * agreeing > len(comparable) or not comparable else ():
        if candidate.number not in known and (same := matcher.take_by_size(candidate)) is not None:
            known[candidate.number] = same
    for candidate in looked_at:
        head = heads[candidate.number]
        is_old = before is not None and head.received is not None and head.received < before
        if candidate.number in known or not is_old:
            continue
        if (same := matcher.take_as_old(candidate, head.marks, gone=few)) is not None:
            known[candidate.number] = same
    alike = Counter(head.marks.headers for head in heads.values())
    for candidate in looked_at:
        marks = heads[candidate.number].marks
        # Several with the same headers are several messages, or one and its copies: the content tells.
        if candidate.number in known or (is_wholesale and alike[marks.headers] > 1):
            continue
        if (same := matcher.take_by_headers(candidate, marks)) is not None:
            known[candidate.number] = same
    for candidate in suspects:
        if candidate.number not in known and (same := matcher.take_by_size_alone(candidate)) is not None:
            known[candidate.number] = same
    return known


def _to_postpone(
    suspects: Sequence[Candidate],
    known: dict[int, SameAs],
    heads: dict[int, CandidateHead],
    matcher: Matcher,
    *,
    large: Collection[int],
) -> frozenset[int]:
    """Messages under their own ids that only their octets can decide about, beyond what one sync retrieves for that, or
    of more octets than are retrieved. What headers can never tell is not left for another sync, which would know no
    more."""
    unknown = [c for c in suspects if c.number not in known and c.number in heads]
    asked = [
        candidate
        for candidate in unknown
        if any(
            line.unique_id == candidate.unique_id
            for line in matcher.proposed(candidate, heads[candidate.number].marks)
        )
    ]
    unread = (c.number for c in unknown if matcher.is_steady_and_nameless(c))
    too_large = (c.number for c in asked if c.number in large)
    beyond = (
        c.number
        for c in asked[MOST_RETRIEVED_TO_COMPARE:]
        if not matcher.is_told_by_octets_alone(c, heads[c.number].marks)
    )
    return frozenset(beyond) | frozenset(unread) | frozenset(too_large)


def _blank(view: ListingView) -> list[Known]:
    """Lines that are gone, and of which nothing tells who their messages are."""
    return [line for line in view.diff.gone if line.headers is None and line.content is None]


def _hold_if_undecided(
    view: ListingView,
    matcher: Matcher,
    unknown: Sequence[Candidate],
    heads: Mapping[int, CandidateHead],
    *,
    listed_at: datetime | None,
) -> None:
    """Most of what was there is gone, and we have no headers of it: old mail under new ids, or new mail?

    Where a server shows its newest messages only, whoever sends many brings that about. So only what may be old counts.
    """
    blank = [line for line in _blank(view) if line.entry_id not in matcher.found]
    sizes = Counter(line.octets for line in blank)
    old = 0
    for candidate in unknown:
        head = heads.get(candidate.number)
        if head is not None and head.received is not None:  # by the server's own clock
            old += listed_at is None or head.received < listed_at - _CLOCK_BEHIND
            continue
        size = candidate.octets if sizes[candidate.octets] else None  # of some lines it is not known
        if sizes[size]:
            sizes[size] -= 1
            old += 1
    if len(blank) >= _FEW and 2 * len(blank) >= len(view.diff.gone) and 2 * old >= len(blank):
        raise SyncFailed(
            SyncErrorCode.NEEDS_REVIEW,
            f"{len(view.diff.gone)} known messages are gone and {len(unknown)} unknown ones are there; nothing "
            f"is kept of {len(blank)} of the gone ones that could tell whether they are the same. "
            "POST /mailboxes/{id}/rebaseline?dry_run=true shows what would happen and how to decide.",
        )
