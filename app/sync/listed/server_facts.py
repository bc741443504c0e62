"""PURE  What a session shows of a mailbox and its server, and what a person should know of it."""

from datetime import datetime
from typing import Any

from app import pop3
from app.ledger.beginnings import Beginning
from app.ledger.listing_view import ListingView
from app.mailboxes.answers import ServerFacts
from app.mailboxes.models import Mailbox
from app.maildrops.providers import least_seconds_between_logins
from app.sync.listed.listing import Listed

_MOST_SHOWN = 10  # lines that cannot be read


def columns_shown(mailbox: Mailbox, view: ListingView, server: ServerFacts, now: datetime) -> dict[str, Any]:
    """Columns of the mailbox that hold once its listing is recorded."""
    columns: dict[str, Any] = {"listed_at": now}
    if mailbox.listed_entries != view.listed:
        columns["listed_entries"] = view.listed
    if view.diff.is_wholesale and not mailbox.ids_are_changing:
        columns["ids_are_changing"] = True
    if view.diff.most_gone or view.has_shifted:
        columns["ids_changed"] = True  # it may hide some of the new names for now, or do it again
    if mailbox.server != (shown := server.model_dump()):
        columns["server"] = shown
    return columns


def server_facts(
    session: pop3.Pop3Session, beginning: Beginning, listed: Listed, view: ListingView
) -> ServerFacts:
    """What the server said of itself, with warnings."""
    capabilities = session.capabilities
    return ServerFacts(
        greeting=session.greeting,
        implementation=capabilities.implementation,
        capabilities=sorted(capabilities.names),
        warnings=[
            *_about_listing(session, view, beginning.mailbox),
            *beginning.learnt.warnings,
            *_about_ids(listed),
            *_about_retention(beginning.kept),
            *_about_capabilities(capabilities, beginning.mailbox),
        ],
    )


def with_quit_lost(server: ServerFacts, *, deleted: int) -> dict[str, Any]:
    """The facts as they are kept, where QUIT behind some deletions was not answered."""
    said = f"QUIT was not answered: whether {deleted} messages were deleted is seen at the next sync."
    return server.model_copy(update={"warnings": [*server.warnings, said]}).model_dump()


def _about_listing(session: pop3.Pop3Session, view: ListingView, mailbox: Mailbox) -> list[str]:
    unread = [session.shown(line) for line in view.malformed[:_MOST_SHOWN]]
    warnings = [f"The listing has a line that cannot be read: {line}" for line in unread]
    if view.is_short:
        warnings.append("The listing shows fewer messages than STAT said; nothing was marked missing.")
    elif view.excess or (mailbox.stat_excess and not view.is_whole):
        warnings.append(
            "The listing shows fewer messages than STAT said, by as many as before: it counts as whole."
        )
    return warnings


def _about_ids(listed: Listed) -> list[str]:
    if listed.has_ids:
        return []
    said = "The server's unique-ids are message-numbers" if listed.are_numbers else "The server has no UIDL"
    return [f"{said}: messages are told apart by their headers, read at every sync."]


def _about_retention(kept: int) -> list[str]:
    if not kept:
        return []
    said = (
        f"{kept} messages that server_retention wants deleted are still on the server: it says that it deletes "
        "them and keeps them, it does not show that they are those that are stored, or it shows several messages under "
        "one unique-id."
    )
    return [said]


def _about_capabilities(capabilities: pop3.Capabilities, mailbox: Mailbox) -> list[str]:
    warnings = []
    if not capabilities.pipelining:
        warnings.append("The server does not announce PIPELINING: each command costs a round trip.")
    if capabilities.expire == 0:
        warnings.append(
            "The server announces EXPIRE 0: sessions end without QUIT, so that it deletes nothing."
        )
    wait = max(capabilities.login_delay or 0, least_seconds_between_logins(mailbox.host))
    if mailbox.poll_interval_seconds is not None and mailbox.poll_interval_seconds < wait:
        warnings.append(
            f"The server or its provider wants {wait} s between two logins: no poll comes sooner."
        )
    return warnings
