"""The message within which a session ends is to blame for it, so that it stands before no other one next time."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from app import pop3
from app.ledger import repository as ledger
from app.ledger.lines import Candidate, MaildropId
from app.ledger.models import Leased
from app.sync.context import SyncContext
from app.sync.retrieved.batch import Batch
from app.sync.retrieved.batches import Outcome
from app.sync.retrieved.refusals import RefusedAll


@asynccontextmanager
async def blaming(sync: SyncContext, candidates: Sequence[Candidate]) -> AsyncIterator[None]:
    """Note that the candidate has failed within which the session ends.

    The first time chance may be to blame: it is tried again in the next sync, last of all. Then ever more rarely.
    """
    try:
        yield
    except pop3.SpoolFailed:
        raise  # our own disk
    except RefusedAll:
        sync.beginning.learnt.refused_all()
        raise  # no message is to blame
    except pop3.Pop3Error as error:
        if isinstance(error, pop3.BodyRunsOn):
            sync.beginning.learnt.runs_on()
        for candidate in candidates:
            if candidate.number == sync.session.awaited:
                await _record(sync, candidate, reason=f"the session ended within it: {error}"[:1000])
        raise


async def _record(sync: SyncContext, candidate: Candidate, *, reason: str) -> None:
    findings = sync.findings
    outcome = Outcome(candidate, None, reason=reason, ended_session=True)
    batch = Batch(((outcome, None),), frozenset(), sync.tools.clock())
    findings.has_failed = True
    if findings.report.to_retrieve:
        findings.report = batch.counted_in(findings.report)
    change = partial(_store, batch=batch, maildrop=sync.maildrop)
    await sync.lease.write(change, report=findings.report)


def _store(db: Leased, *, batch: Batch, maildrop: MaildropId) -> None:
    batch.store(db, maildrop)
    ledger.forget_listing_digest(db, maildrop.mailbox_id)
