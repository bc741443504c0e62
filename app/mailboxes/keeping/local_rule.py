"""PURE  How long contents are kept here, read together with how long mail is kept on the server."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.errors import invalid_request

_DAYS = "delete_after_days"


@dataclass(frozen=True, slots=True)
class LocalRule:
    """Contents go so many days after they were retrieved; ``keep_headers``: what lists show of a message stays."""

    days: int
    keep_headers: bool

    def before(self, now: datetime) -> datetime:
        """What was retrieved up to this moment is to go."""
        return now - timedelta(days=self.days)


def rule_of(local: Mapping[str, Any] | None, default: LocalRule | None) -> LocalRule | None:
    """The rule of a mailbox; None: all is kept. ``local``: its own, as it is stored; None: the default holds."""
    if local is None:
        return default
    return LocalRule(local["days"], bool(local.get("keep_headers"))) if local["mode"] == _DAYS else None


def is_kept_on_server(server: Mapping[str, Any]) -> bool:
    """Whether the server's copies stay for ever, so that those here need not wait for them to go."""
    return bool(server["mode"] == "keep")


def refuse_shorter(
    server: Mapping[str, Any], local: Mapping[str, Any] | None, default: LocalRule | None, *, pointer: str
) -> None:
    """Refuse to keep contents here for a shorter time than mail on the server. Raises AppError.

    ``pointer``: to what was sent.
    """
    rule = rule_of(local, default)
    if rule is None or server["mode"] != _DAYS or rule.days >= server["days"]:
        return
    whose = (
        "local_retention"
        if local is not None
        else "the default of this service (MAILDELTA_LOCAL_RETENTION_DAYS)"
    )
    detail = (
        f"{whose} removes contents here after {rule.days} days, and server_retention deletes them on the server after "
        f"{server['days']}: a copy is removed here only once the server's was deleted, so it must be kept here for "
        f"{server['days']} days at least. Let it be kept longer here, or shorter on the server"
    )
    if local is None:
        detail += ", or set local_retention of the mailbox"
    raise invalid_request(pointer, detail)
