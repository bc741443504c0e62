"""PURE  Whether a program sent a message, and the header that says so.

RFC 3834 (Auto-Submitted), RFC 3464 (delivery reports), RFC 2369 and RFC 2919 (lists), and what programs wrote before
there were standards: Precedence, X-Autoreply, X-Failed-Recipients, the null return path (RFC 5321 §4.5.5).
"""

import re
from collections.abc import Callable, Mapping, Sequence, Set
from enum import StrEnum
from typing import NamedTuple

from app.mail.fields.parameters import main_value
from app.mail.kinds import Kind

Fields = Mapping[str, Sequence[bytes]]
"""The raw values of each header, by its name in lower case."""


class Automated(StrEnum):
    """As what a program sent a message."""

    AUTO_REPLY = "auto_reply"
    AUTO_GENERATED = "auto_generated"
    BOUNCE = "bounce"
    BULK = "bulk"


class Automation(NamedTuple):
    """What a message is, and the name of the header that says so, in lower case; both None where none does."""

    what: Automated | None
    header: str | None


_NONE = Automation(None, None)
# Its address, or its name where no address is beside it; anybody may have such a name.
_DAEMON = re.compile(
    rb"(?:^|[\s<\"'(,;:])mail(?:er)?[-_. ]?daemon(?:@|>|[\"']?\s*(?:\(|<\s*>|$))", re.IGNORECASE
)
_LIKE_DAEMON = re.compile(
    rb"mail(?:er)?[-_. ]?daemon|postmaster|mail[ _]delivery|delivery[ _](?:sub)?system|^\s*<>\s*$",
    re.IGNORECASE,
)
_DELAYED = re.compile(
    rb"(?!.*(?:undeliver|fail|return)).*"
    rb"(?:\bdelay(?:ed)?\b|could[ _]not[ _]send[ _]message[ _]for[ _]past|still[ _]being[ _]retried)",
    re.IGNORECASE | re.DOTALL,
)
_NULL_PATH = re.compile(rb"\s*+(?:<\s*+(?:mailer-daemon)?\s*+>)?\s*+", re.IGNORECASE)
_NO = frozenset({"", "no", "false", "0", "none"})


def looks_bounced(fields: Fields) -> str | None:
    """The header that says that a message tells of another one that has not arrived; None where none does."""
    if "x-failed-recipients" in fields:
        return "x-failed-recipients"
    senders = b" ".join(fields.get("from", ())).lower()
    if b"daemon" in senders and _DAEMON.search(senders):
        return "from"
    return "return-path" if _has_null_path(fields) and _LIKE_DAEMON.search(senders) else None


def automation_of(fields: Fields, kinds: Set[Kind], bounced: str | None) -> Automation:
    """The most telling comes first. ``bounced``: what ``looks_bounced`` said."""
    if kinds:
        for kind, what in _BY_KIND:
            if kind in kinds:
                return Automation(what, "content-type")
    if bounced is not None:
        return Automation(Automated.AUTO_GENERATED if _is_delayed(fields) else Automated.BOUNCE, bounced)
    if not _RULES.keys().isdisjoint(fields):
        for name, rule in _RULES.items():
            what_it_says = rule(main_value(fields[name][0])) if name in fields else None
            if what_it_says is not None:
                return Automation(what_it_says, name)
    if _has_null_path(fields):
        return Automation(Automated.AUTO_GENERATED, "return-path")
    return _NONE


def _is_delayed(fields: Fields) -> bool:
    """Whether the other message is late only: the server still tries to deliver it."""
    return "subject" in fields and _DELAYED.match(fields["subject"][0]) is not None


def _has_null_path(fields: Fields) -> bool:
    if "return-path" not in fields or b"@" in (path := fields["return-path"][0]):
        return False
    return _NULL_PATH.fullmatch(path) is not None


def _auto_submitted(value: str) -> Automated | None:
    """RFC 3834 §5: what is not "no", and not known, was sent by a program all the same."""
    if value in _NO:
        return None
    return Automated.AUTO_REPLY if "repl" in value else Automated.AUTO_GENERATED


def _precedence(value: str) -> Automated | None:
    if value in {"bulk", "list", "junk"}:
        return Automated.BULK
    return Automated.AUTO_REPLY if value.replace("-", "_") in {"auto_reply", "autoreply"} else None


def _where_said(what: Automated) -> Callable[[str], Automated | None]:
    return lambda value: what if value else None


def _unless_no(what: Automated) -> Callable[[str], Automated | None]:
    return lambda value: None if value in _NO else what


_BY_KIND = (
    (Kind.BOUNCE, Automated.BOUNCE),
    (Kind.READ_RECEIPT, Automated.AUTO_REPLY),
    (Kind.DELIVERY_REPORT, Automated.AUTO_GENERATED),
    (Kind.ABUSE_REPORT, Automated.AUTO_GENERATED),
)
_OF_LISTS = (
    *(
        "list-id",
        "list-unsubscribe",
        "list-post",
        "list-help",
        "list-subscribe",
        "list-owner",
        "list-archive",
    ),
    *("mailing-list", "x-mailing-list", "feedback-id"),
)
_RULES: dict[str, Callable[[str], Automated | None]] = {
    "auto-submitted": _auto_submitted,
    **dict.fromkeys(
        ("x-autoreply", "x-auto-reply", "x-autorespond", "x-autoresponder", "x-mail-autoreply"),
        _unless_no(Automated.AUTO_REPLY),
    ),
    "x-autoreply-from": _where_said(Automated.AUTO_REPLY),
    "precedence": _precedence,
    "x-precedence": _precedence,
    "x-auto-generated": _unless_no(Automated.AUTO_GENERATED),
    "x-cron-env": _where_said(Automated.AUTO_GENERATED),
    **dict.fromkeys(_OF_LISTS, _where_said(Automated.BULK)),
}
