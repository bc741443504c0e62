"""Logging in to maildrops, and connection checks, wired."""

from app import pop3
from app.core import Core, Feature
from app.database.companions import alone
from app.mailboxes.credentials.secrets import OAuth2, Vault
from app.mailboxes.models import MailboxId
from app.mailboxes.service import replace_oauth2, stored_oauth2
from app.maildrops import discovery_routes
from app.maildrops.autoconfig import MOST_OCTETS
from app.maildrops.connection_check import ConnectionCheck
from app.maildrops.discovery import Discovery
from app.maildrops.login import Maildrop
from app.maildrops.oauth2 import AccessTokens
from app.maildrops.routes import router
from app.network.fetch import Fetcher
from app.network.lookups import Lookups
from app.settings import Settings


def build(check: ConnectionCheck) -> Feature:
    """The routes that try a mailbox's settings."""
    return Feature(serves=check, routers=[router])


def discovery(core: Core, *, lookups: Lookups) -> Feature:
    """The route that looks for the maildrop of an address."""
    fetcher = Fetcher(
        allowed=core.settings.allowed_private_networks,
        lookups=lookups,
        tls=pop3.client_tls_context(),
        within=core.settings.lookup_timeout_seconds,
        most_octets=MOST_OCTETS,
    )
    return Feature(serves=Discovery(lookups=lookups, fetcher=fetcher), routers=[discovery_routes.router])


def maildrop(core: Core, *, vault: Vault, lookups: Lookups) -> Maildrop:
    """The way from a mailbox's row to a session that is logged in."""
    return Maildrop(
        vault=vault,
        allowed=core.settings.allowed_private_networks,
        ports=core.settings.allowed_ports,
        lookups=lookups,
        limits=session_limits(core.settings),
        tokens=_tokens(core, vault=vault, lookups=lookups),
        monotonic=core.monotonic,
        traces=core.traces,
    )


def connection_check(core: Core, *, vault: Vault, tokens: AccessTokens, lookups: Lookups) -> ConnectionCheck:
    """The check, which mailboxes ask too before they change."""
    return ConnectionCheck(
        database=core.database,
        vault=vault,
        tokens=tokens,
        allowed=core.settings.allowed_private_networks,
        ports=core.settings.allowed_ports,
        lookups=lookups,
        limits=session_limits(core.settings),
        clock=core.clock,
        monotonic=core.monotonic,
    )


def session_limits(settings: Settings) -> pop3.Limits:
    """What one session may take."""
    return pop3.Limits(
        message_octets=settings.max_message_octets,
        listing_entries=settings.max_listing_entries,
        connect_timeout=settings.connect_timeout_seconds,
        reply_timeout=settings.reply_timeout_seconds,
        silence=settings.silence_seconds,
        session_timeout=settings.session_timeout_seconds,
    )


def _tokens(core: Core, *, vault: Vault, lookups: Lookups) -> AccessTokens:
    async def keep(mailbox_id: MailboxId, old: OAuth2, new: OAuth2) -> None:
        with alone():  # whoever tries a mailbox has changed nothing
            await core.database.write(
                lambda db: replace_oauth2(db, mailbox_id, old=old, new=new, vault=vault)
            )

    async def stored(mailbox_id: MailboxId) -> OAuth2 | None:
        return await core.database.read(lambda db: stored_oauth2(db, mailbox_id, vault=vault))

    return AccessTokens(
        allowed=core.settings.allowed_private_networks,
        ports=core.settings.allowed_ports,
        lookups=lookups,
        keep=keep,
        stored=stored,
        monotonic=core.monotonic,
    )
