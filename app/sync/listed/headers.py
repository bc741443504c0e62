"""The headers of candidates: asked for by TOP, read, and judged by the criteria."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from app import pop3
from app.ledger.lines import Candidate
from app.mail.envelope import received_at
from app.mail.fingerprint import Fingerprint, shown
from app.mailboxes.wanted import judging as judged
from app.mailboxes.wanted.criteria import Criteria
from app.messages.intake import summary_of
from app.reading.shares import Owner
from app.reading.threads import FairThreads

# Octets of headers that are digested where they arrive: a hop to a thread costs as much.
FEW_OCTETS = 16 * 1024

ASKED_AT_ONCE = 2_000  # so that nothing goes through all of a long listing at once

Judge = Callable[[bytes, int | None], str | None]
"""Head and octets of a message -> why the criteria do not want it, or None."""


@dataclass(frozen=True, slots=True)
class CandidateHead:
    """What the headers of a candidate told. ``received``: when the server took it, where that was asked for."""

    marks: Fingerprint
    unwanted: str | None
    received: datetime | None = None


async def read_heads(
    session: pop3.Pop3Session,
    candidates: Sequence[Candidate],
    *,
    judge: Judge | None,
    threads: FairThreads,
    owner: Owner,
    dated_until: datetime | None = None,
) -> AsyncIterator[tuple[Candidate, CandidateHead, bytes]]:
    """What the headers of each tell, and the headers; of those that the server gives them of.

    ``dated_until``: say when each was received; later than this none was.
    """
    async for candidate, octets in heads_of(session, candidates):
        if octets is not None:
            read = partial(_head, candidate, octets, judge=judge, dated_until=dated_until)
            is_long = judge is not None or dated_until is not None or len(octets) > FEW_OCTETS
            yield candidate, await threads.call(owner, read) if is_long else read(), octets


async def heads_of(
    session: pop3.Pop3Session, candidates: Sequence[Candidate]
) -> AsyncIterator[tuple[Candidate, bytes | None]]:
    """The headers of each (TOP, pipelined), cut where they are very long; None where the server does not give them."""
    for start in range(0, len(candidates), ASKED_AT_ONCE):
        by_number = {one.number: one for one in candidates[start : start + ASKED_AT_ONCE]}
        async for reply in session.top(list(by_number), lines=0):
            octets = reply.body if isinstance(reply.body, bytes) else None
            reply.close()
            yield by_number[reply.number], octets


def judge_by(criteria: dict[str, Any] | None) -> Judge | None:
    """The judge for a mailbox's criteria as they are stored; None when everything is wanted."""
    if criteria is None:
        return None
    rules = Criteria.model_validate(criteria)

    def judge(head: bytes, octets: int | None) -> str | None:
        verdict = judged.judge(rules, head=judged.JudgedHead(head), octets=octets)
        return None if verdict.wanted else verdict.rule

    return judge


def _head(
    candidate: Candidate, octets: bytes, *, judge: Judge | None, dated_until: datetime | None
) -> CandidateHead:
    unwanted = None if judge is None or candidate.is_forced else judge(octets, candidate.octets)
    received = (
        None if dated_until is None else received_at(summary_of(octets).received, not_after=dated_until)
    )
    return CandidateHead(shown(octets), unwanted, received)
