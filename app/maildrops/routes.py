"""Trying a mailbox over HTTP."""

from typing import Annotated

from fastapi import Body, Depends
from sqlmodel import Session

from app.access.routes import By, Within, requires
from app.access.service import Scope
from app.mailboxes.examples import MAILBOXES
from app.mailboxes.routes import mailbox_id_of
from app.mailboxes.schemas import MailboxChange
from app.mailboxes.service import existing
from app.maildrops import learnt
from app.maildrops.connection_check import ConnectionCheck, ConnectionReport, MailboxToCheck
from app.web.errors.problems import answered, documented
from app.web.features import served
from app.web.routing import Router

Injected = Annotated[ConnectionCheck, Depends(served(ConnectionCheck))]

router = Router(tags=["Mailboxes"])


@router.post(
    "/mailboxes/test",
    dependencies=[requires(Scope.MAILBOXES)],
    responses=documented() | answered(200, "Each step, and whether it worked."),
    summary="Try a mailbox's settings",
)
async def test_settings(
    feature: Injected,
    body: Annotated[MailboxToCheck, Body(openapi_examples=MAILBOXES)],
    by: By,
) -> ConnectionReport:
    """Connects, logs in, counts messages and unique-ids, and says QUIT. Nothing is stored, retrieved or deleted.

    The answer is 200 whether it worked or not: `ok` says which. `steps` are in the order in which they
    happen, and end with the one that failed, which tells `cause` and `remedy`: `dns`, `tcp`, `tls`, `greeting`,
    `capa`, `auth`, `stat`, `uidl`. With `starttls`, `tls` comes behind `capa`; with `none` it is left out. A test
    is a login: it meets the maildrop's lock and LOGIN-DELAY like any other. It waits at most 30 s for an answer.
    A key may have ten tests under way.
    """
    with feature.places.taken(by.key):
        return await feature.run(body, reach=by.reach)


@router.post(
    "/mailboxes/{mailbox_id}/test",
    dependencies=[requires(Scope.MAILBOXES)],
    responses=documented(404) | answered(200, "The steps that were made."),
    summary="Try what is stored of a mailbox, or changes to it",
)
async def test_stored(
    feature: Injected,
    mailbox_id: str,
    by: By,
    change: Annotated[MailboxChange | None, Body(description="What to try otherwise than it is.")] = None,
) -> ConnectionReport:
    """As `/mailboxes/test`. Changes for which the stored credentials would go elsewhere need them in the body."""
    with feature.places.taken(by.key):
        wanted = await feature.stored(mailbox_id_of(mailbox_id), change, reach=by.reach)
        return await feature.run(wanted, reach=by.reach)


@router.delete(
    "/mailboxes/{mailbox_id}/learnt",
    status_code=204,
    dependencies=[requires(Scope.MAILBOXES)],
    responses=documented(404) | answered(204, "It is forgotten."),
    summary="Forget what was learnt about a mailbox's server",
)
async def forget_learnt(feature: Injected, mailbox_id: str, reach: Within) -> None:
    """That it did not do what it announces, and how its sizes fit: the next sync asks anew. It is forgotten by
    itself after 30 days, or when the server's greeting changes. `server.warnings` shows it.
    """
    number = mailbox_id_of(mailbox_id)

    def change(db: Session) -> None:
        learnt.forget(db, existing(db, number, reach=reach))

    await feature.database.write(change)
