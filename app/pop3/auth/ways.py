"""PURE  In which ways to log in by a password, and whether a refusal speaks of the way or of the password."""

import re
from collections.abc import Collection, Sequence, Set
from typing import Final

from app.pop3.words.verdicts import Verdict, plain, verdict_of

BY_USER: Final = "USER"  # and PASS (RFC 1939 §7)
BY_APOP: Final = "APOP"
LONGEST_ARGUMENT: Final = 248  # octets, of USER and PASS: a line has 255 (RFC 2449 §4)

# The password does not cross the network: the server has to keep it, or what is as good, and many keep a hash only.
_NOT_ON_THE_WIRE: Final = ("SCRAM-SHA-256", "CRAM-MD5")
_ON_THE_WIRE: Final = ("PLAIN", "LOGIN")
_NOT_THE_PASSWORD: Final = {
    Verdict.PASSING,
    Verdict.LOCK,
    Verdict.DELAY,
    Verdict.SERVER,
    Verdict.LOCKED_ACCOUNT,
}
_OF_THE_WAY: Final = re.compile(
    r"\b(?:mechanism|(?:invalid|bad|illegal|no such|wrong) command"
    r"|un(?:known|recogni[sz]ed|supported|implemented) (?:command|auth\w*|login|method)"
    r"|(?:command|auth\w*|login|user|pass|plain|method)\b[^.;]{0,30}"
    r"\bnot (?:known|recogni[sz]ed|supported|implemented|understood|enabled|available|valid in this state)"
    r"|(?:auth\w*(?: plain| login)?|plain(?:text)?(?: auth\w*| login)?|user/pass\w*|sasl) (?:is |has been )?"
    r"(?:disabled|disallowed)"
    r"|un(?:implemented|supported)|not (?:supported|implemented)|what\?|syntax error|use (?:auth|sasl)\b)"
)


def ways_to_log_in(
    offered: Set[str],
    *,
    offers_user: bool,
    is_clear_text: bool,
    may_use_apop: bool = False,
    is_long: bool = False,
    wanted: str | None = None,
    avoided: Collection[str] = (),
) -> tuple[str, ...]:
    """The ways, the best one first; empty: there is none.

    In clear text first those with which the password does not cross. Else USER and PASS where they are offered: every
    server has tried them, and passwords that are stored hashed bear no SCRAM and no CRAM-MD5. ``offered``: SASL
    mechanisms. ``is_long``: the password, or the name, has no room in a line. ``wanted``: this and no other.
    ``avoided``: what did not work before, unless there is nothing else.
    """
    if wanted is not None:
        return (wanted,)
    hidden = [name for name in _NOT_ON_THE_WIRE if name in offered]
    by_lines = [BY_APOP] * may_use_apop + [BY_USER] if offers_user and not is_long else []
    shown = [name for name in _ON_THE_WIRE if name in offered]
    ways = [*hidden, *by_lines, *shown] if is_clear_text else [*by_lines, *hidden, *shown]
    ways = ways or [BY_USER] * (not is_long)  # servers announce less than works
    return tuple(way for way in ways if way not in avoided) or tuple(ways)


def other_way(way: str, ways: Sequence[str], words: str | None, *, is_long: bool = False) -> str | None:
    """What to try once where ``way`` was refused with these words (None: it could not be played to its end); None: they
    are the verdict on the password.

    Always one by which the password is sent as it is: only that lets a server that keeps a hash judge it. USER and PASS
    though they are not announced, where the words plainly speak of the way and there is no other.
    """
    if words is not None and not may_be_the_way(way, words):
        return None
    others = [other for other in ways if other in {BY_USER, *_ON_THE_WIRE} and other != way]
    if not others and words is not None and _OF_THE_WAY.search(plain(words)):
        others = [BY_USER] * (way != BY_USER and not is_long)
    return next(iter(others), None)


def may_be_the_way(way: str, words: str) -> bool:
    """Whether a refusal may be about the way to log in, and not about the password."""
    if way in {*_NOT_ON_THE_WIRE, BY_APOP}:
        return verdict_of(words) not in _NOT_THE_PASSWORD
    return _OF_THE_WAY.search(plain(words)) is not None
