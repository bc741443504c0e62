"""What was learnt about a mail server, or about one mailbox at it: kept for all who ask it next, and forgotten in time.

A subject is a server (``tls://pop.example.org:995``) or a mailbox there (``tls://pop.example.org:995/7``): what one
letter can bring about is believed of its mailbox only. A lesson is a name with facts; a new kind is a new name.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import bindparam, delete
from sqlalchemy import select as select_columns
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel

import app.maildrops.models  # noqa: F401  its table
from app.mailboxes.models import Mailbox
from app.messages.wholeness import Habit

FORGOTTEN_AFTER: Final = timedelta(days=30)

_ONE_AT_A_TIME: Final = "one_at_a_time"
_SIZES: Final = "sizes"

# Made once: to make a statement and its cache key costs several times its execution.
_LEARNT = SQLModel.metadata.tables["learnt"]
_OF = select_columns(_LEARNT.c.subject, _LEARNT.c.name, _LEARNT.c.facts).where(
    _LEARNT.c.subject.in_(bindparam("subjects", expanding=True)), _LEARNT.c.learnt_at > bindparam("since")
)

Facts = Mapping[str, Any]
Lesson = tuple[str, str]
"""Subject and name."""


def server_of(mailbox: Mailbox) -> str:
    """The subject that all mailboxes of a server share."""
    return f"{mailbox.security}://{mailbox.host.lower()}:{mailbox.port}"


@dataclass(slots=True)
class Learnt:
    """What a sync knows when it begins, and what it learns: ``changes``, where None is what proved wrong."""

    server: str
    mailbox: str
    known: Mapping[Lesson, Facts]
    changes: dict[Lesson, Facts | None] = field(default_factory=dict)

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
        if (self.server, _ONE_AT_A_TIME) in self.known:
            return ["The server ends messages as its files lie on disk: they are retrieved one at a time."]
        if (self.mailbox, _ONE_AT_A_TIME) in self.known:
            return ["A message ran on into the next answers: messages are retrieved one at a time for now."]
        return []

    def runs_on(self) -> None:
        """A message held what may be the next answers: the mailbox is asked for one message at a time."""
        self.changes[self.mailbox, _ONE_AT_A_TIME] = {}

    def ends_as_files(self) -> None:
        """The server was really seen to end a message so: all mailboxes there are asked for one message at a time."""
        self.changes[self.server, _ONE_AT_A_TIME] = {}

    def ended_well(self) -> None:
        """All messages were retrieved one at a time, and ended as RFC 1939 says: it was a letter that looked so."""
        if (self.mailbox, _ONE_AT_A_TIME) in self.known:
            self.changes.setdefault((self.mailbox, _ONE_AT_A_TIME), None)

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
    facts = {(row[0], row[1]): row[2] for row in db.connection().execute(_OF, asked)}
    return {
        mailbox_id: Learnt(*both, {lesson: facts[lesson] for lesson in facts if lesson[0] in both})
        for mailbox_id, both in subjects.items()
        if mailbox_id is not None
    }


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


def forget_old(db: Session, *, now: datetime) -> None:
    """Forget what nobody has learnt again for long: servers change."""
    db.connection().execute(delete(_LEARNT).where(_LEARNT.c.learnt_at <= now - FORGOTTEN_AFTER))
