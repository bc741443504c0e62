"""What was learnt about a mail server, or about one mailbox at it: kept for all who ask it next, and forgotten in time.

A subject is a server (``tls://pop.example.org:995``) or a mailbox there (``tls://pop.example.org:995/7``): what one
letter can bring about is believed of its mailbox only. A lesson is a name with facts; a new kind is a new name.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final, Protocol

from sqlalchemy import bindparam, delete
from sqlalchemy import select as select_columns
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel

import app.maildrops.models  # noqa: F401  its table
from app.database import PreparedStatement
from app.mailboxes.models import Mailbox
from app.messages.wholeness import Habit
from app.pop3.errors import Pop3Error, Sign

FORGOTTEN_AFTER: Final = timedelta(days=30)

_ONE_AT_A_TIME: Final = "one_at_a_time"
_SIZES: Final = "sizes"
_WAYS: Final = "ways"
_UNANSWERED: Final = "unanswered"
_LOCK_STEP: Final = "lock_step"
_NO_CAPA: Final = "no_capa"
_TRIED_AGAIN_AFTER: Final = timedelta(days=1)
_OFTEN_ENOUGH: Final = 2
_REFUSED_ALL: Final = "refused_all"
_NO_SINGLE_IDS: Final = "no_single_ids"
_LOGINS: Final = "logins"
_SAID_AGAIN_AFTER: Final = timedelta(minutes=10)  # that logins are accepted

# Made once: to make a statement and its cache key costs several times its execution.
_LEARNT = SQLModel.metadata.tables["learnt"]
_OF = PreparedStatement(
    select_columns(_LEARNT.c.subject, _LEARNT.c.name, _LEARNT.c.facts).where(
        _LEARNT.c.subject.in_(bindparam("subjects", expanding=True)),
        _LEARNT.c.learnt_at > bindparam("since"),
    )
)

Facts = Mapping[str, Any]
Lesson = tuple[str, str]
"""Subject and name."""


class Server(Protocol):
    """Where a mailbox is: its row, or what decides about its polls."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def security(self) -> str: ...


def server_of(mailbox: Server | Mailbox) -> str:
    """The subject that all mailboxes of a server share."""
    return f"{mailbox.security}://{mailbox.host.lower()}:{mailbox.port}"


def _shape_of(greeting: str) -> str:
    """What of a greeting stays the same from session to session: neither its time nor its numbers."""
    words = re.sub(r"<[^<>]*>|\d+", "", greeting[:500])
    return sha256(words.encode("utf-8", "replace")).hexdigest()[:16]


def _login_of(mailbox: Mailbox) -> str | None:
    return mailbox.login_changed_at.isoformat() if mailbox.login_changed_at else None


@dataclass(slots=True)
class Learnt:
    """What a sync knows when it begins, and what it learns: ``changes``, where None is what proved wrong."""

    server: str
    mailbox: str
    known: Mapping[Lesson, Facts]
    changes: dict[Lesson, Facts | None] = field(default_factory=dict)
    now: datetime | None = None
    greeting: str | None = None

    def knows_changes(self) -> None:
        """Another session follows in the same sync, which is to know what this one has learnt."""
        changed = {**self.known, **self.changes}
        self.known = {lesson: facts for lesson, facts in changed.items() if facts is not None}

    @property
    def is_one_at_a_time(self) -> bool:
        """Messages are asked for one by one."""
        return any((subject, _ONE_AT_A_TIME) in self.known for subject in (self.server, self.mailbox))

    @property
    def habit(self) -> Habit:
        """How the server's sizes fit."""
        return Habit(dict(self.known.get((self.server, _SIZES), {})))

    @property
    def warnings(self) -> list[str]:
        """The same for a person."""
        said = []
        if self.is_in_lock_step:
            said.append("Commands that went ahead of answers were lost: for a day each waits for its answer.")
        if self.is_without_capa:
            said.append("CAPA was not answered: it is not asked for a day.")
        if not self.tells_single_ids:
            said.append(
                "UIDL of one message does not tell its unique-id: before messages are deleted their numbers are not "
                "looked at once more."
            )
        if (self.server, _ONE_AT_A_TIME) in self.known:
            return [
                *said,
                "The server ends messages in a way of its own: they are retrieved one at a time.",
            ]
        if (self.mailbox, _ONE_AT_A_TIME) in self.known:
            said.append(
                "A message ran on into the next answers: messages are retrieved one at a time for now."
            )
        if refused := self.known.get((self.mailbox, _WAYS), {}).get("refused"):
            said.append(
                f"The login by {', '.join(refused)} is announced, and did not work: another one is used."
            )
        return said

    def logged_in(self, now: datetime) -> None:
        """The server accepts logins."""
        before = succeeded_at(self.known.get((self.server, _LOGINS)))
        if before is None or not before <= now < before + _SAID_AGAIN_AFTER:
            self.changes[self.server, _LOGINS] = {"succeeded_at": now.isoformat()}

    @property
    def is_in_lock_step(self) -> bool:
        """PIPELINING is announced and was not done: each command waits for its answer."""
        times = self.known.get((self.server, _LOCK_STEP), {}).get("times", 0)
        is_the_server = times >= _OFTEN_ENOUGH and self._holds(self.server, _LOCK_STEP)
        return is_the_server or self._holds(self.mailbox, _LOCK_STEP)

    @property
    def is_without_capa(self) -> bool:
        """CAPA is not asked: the last time there was no answer to it."""
        return self._holds(self.server, _NO_CAPA)

    def greeted(self, greeting: str) -> None:
        """The server has said this. With another greeting it is another server: what it did not do is forgotten."""
        self.greeting = _shape_of(greeting)
        for (subject, name), facts in self.known.items():
            if subject == self.server and facts.get("greeting") not in {None, self.greeting}:
                self.changes[subject, name] = None

    def failed(self, error: Pop3Error) -> None:
        """A session ended so."""
        if error.sign is Sign.CAPA:
            self.changes[self.server, _NO_CAPA] = self._learnt_now()
        elif error.sign is Sign.PIPELINING and not self.is_in_lock_step:
            self.changes[self.mailbox, _LOCK_STEP] = self._learnt_now() | {"place": error.answers}
            if self.known.get((self.server, _LOCK_STEP), {}).get("times", 0) >= _OFTEN_ENOUGH:
                self.changes[self.server, _LOCK_STEP] = self._learnt_now() | {"times": _OFTEN_ENOUGH}
        else:
            self.ended(error.answers, is_cut=True)

    def ended(self, answers: int, *, is_cut: bool = False) -> None:
        """A session ended after so many answers of the server; ``is_cut``: not in order."""
        place = self.known.get((self.mailbox, _LOCK_STEP), {}).get("place")
        if self._holds(self.mailbox, _LOCK_STEP) and place is not None and answers:
            if answers <= place:  # it was not the pipelining
                self.changes[self.mailbox, _LOCK_STEP] = None
            else:
                times = self.known.get((self.server, _LOCK_STEP), {}).get("times", 0) + 1
                self.changes[self.server, _LOCK_STEP] = self._learnt_now() | {"times": times}
        elif not is_cut and not self.is_in_lock_step:  # it does it now
            for lesson in ((self.server, _LOCK_STEP), (self.mailbox, _LOCK_STEP)):
                if lesson in self.known:
                    self.changes[lesson] = None
        if not is_cut and not self.is_without_capa and (self.server, _NO_CAPA) in self.known:
            self.changes[self.server, _NO_CAPA] = None

    def _learnt_now(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"at": self.now.isoformat()} if self.now else {}
        return facts | ({"greeting": self.greeting} if self.greeting else {})

    def _holds(self, subject: str, name: str) -> bool:
        """Whether it was learnt within a day; then it is tried again."""
        at = self.known.get((subject, name), {}).get("at")
        return (
            at is not None
            and self.now is not None
            and self.now < datetime.fromisoformat(at) + _TRIED_AGAIN_AFTER
        )

    def avoided_ways(self, mailbox: Mailbox) -> tuple[str, ...]:
        """Ways to log in that were announced and did not work with these credentials."""
        facts = self.known.get((self.mailbox, _WAYS), {})
        return tuple(facts.get("refused", ())) if facts.get("of") == _login_of(mailbox) else ()

    def ways_were_refused(self, mailbox: Mailbox, ways: Iterable[str]) -> None:
        """Another way to log in was tried behind these, so that they are not tried again."""
        refused = sorted({*self.avoided_ways(mailbox), *ways})
        self.changes[self.mailbox, _WAYS] = {"of": _login_of(mailbox), "refused": refused}

    def way_was_unanswered(self, mailbox: Mailbox, way: str | None) -> None:
        """A sync ended as no status came to the login by this mechanism, though there is another way; None: it did not.

        Once, the network may have been lost. Twice in a row the mechanism is avoided as one that was refused.
        """
        lesson = self.mailbox, _UNANSWERED
        before, facts = self.known.get(lesson), {"of": _login_of(mailbox), "way": way}
        if way is not None and before == facts:
            self.ways_were_refused(mailbox, [way])
            self.changes[lesson] = None
        elif way is not None:
            self.changes[lesson] = facts
        elif before is not None:
            self.changes[lesson] = None

    @property
    def has_refused_all(self) -> bool:
        """The last session ended as the server refused whatever was asked for; two in a row do not."""
        return (self.mailbox, _REFUSED_ALL) in self.known

    def refused_all(self) -> None:
        """The server refused whatever was asked for, and the session ended."""
        self.changes[self.mailbox, _REFUSED_ALL] = {}

    @property
    def tells_single_ids(self) -> bool:
        """UIDL of one message may be asked."""
        return (self.mailbox, _NO_SINGLE_IDS) not in self.known

    def tells_no_single_ids(self) -> None:
        """UIDL of one message was answered with anything but its unique-id."""
        self.changes[self.mailbox, _NO_SINGLE_IDS] = {}

    def runs_on(self) -> None:
        """A message held what may be the next answers: the mailbox is asked for one message at a time."""
        self.changes[self.mailbox, _ONE_AT_A_TIME] = {}

    def ends_as_files(self) -> None:
        """The server was really seen to end a message so: all mailboxes there are asked for one message at a time."""
        self.changes[self.server, _ONE_AT_A_TIME] = {}

    def ended_well(self) -> None:
        """All messages were retrieved one at a time, and ended as RFC 1939 says: it was a letter that looked so."""
        for name in (_ONE_AT_A_TIME, _REFUSED_ALL):
            if (self.mailbox, name) in self.known:
                self.changes.setdefault((self.mailbox, name), None)

    def fits(self, habit: Habit) -> None:
        """How the server's sizes fit now."""
        if habit != self.habit:
            self.changes[self.server, _SIZES] = dict(habit.counts)


def read(db: Session, mailboxes: Iterable[Mailbox], *, now: datetime) -> dict[int, Learnt]:
    """What is known about mailboxes and their servers, by mailbox."""
    subjects = {each.id: (server := server_of(each), f"{server}/{each.id}") for each in mailboxes}
    asked = {
        "subjects": sorted({one for both in subjects.values() for one in both}),
        "since": now - FORGOTTEN_AFTER,
    }
    facts = {(row[0], row[1]): row[2] for row in _OF.rows(db, asked)}
    return {
        mailbox_id: Learnt(*both, {lesson: facts[lesson] for lesson in facts if lesson[0] in both}, now=now)
        for mailbox_id, both in subjects.items()
        if mailbox_id is not None
    }


def last_login(db: Session, server: str, *, now: datetime) -> datetime | None:
    """When a login at a server was accepted last, as far as that is remembered, to within some minutes."""
    asked = {"subjects": [server], "since": now - FORGOTTEN_AFTER}
    facts = {row[1]: row[2] for row in _OF.rows(db, asked)}
    return succeeded_at(facts.get(_LOGINS))


def succeeded_at(facts: Facts | None) -> datetime | None:
    """The moment that a lesson about logins holds."""
    return datetime.fromisoformat(facts["succeeded_at"]) if facts else None


def write(db: Session, changes: Mapping[Lesson, Facts | None], *, now: datetime) -> None:
    """Keep what was learnt, and forget what proved wrong."""
    if not changes:
        return
    on = db.connection()
    insert = (postgresql.insert if on.dialect.name == "postgresql" else sqlite.insert)(_LEARNT)
    kept = insert.on_conflict_do_update(
        index_elements=["subject", "name"],
        set_={"facts": insert.excluded.facts, "learnt_at": insert.excluded.learnt_at},
    )
    rows: Sequence[dict[str, Any]] = [
        {"subject": subject, "name": name, "facts": dict(facts), "learnt_at": now}
        for (subject, name), facts in sorted(changes.items())
        if facts is not None
    ]
    if rows:
        on.execute(kept, rows)
    for (subject, name), facts in changes.items():
        if facts is None:
            on.execute(delete(_LEARNT).where(_LEARNT.c.subject == subject, _LEARNT.c.name == name))


def forget(db: Session, mailbox: Mailbox) -> None:
    """Forget what was learnt about a mailbox's server, and about the mailbox there: somebody knows better."""
    subjects = (server := server_of(mailbox), f"{server}/{mailbox.id}")
    db.connection().execute(delete(_LEARNT).where(_LEARNT.c.subject.in_(subjects)))


def forget_old(db: Session, *, now: datetime) -> None:
    """Forget what nobody has learnt again for long: servers change."""
    db.connection().execute(delete(_LEARNT).where(_LEARNT.c.learnt_at <= now - FORGOTTEN_AFTER))
