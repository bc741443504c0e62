"""Which mailboxes somebody sees, and the one way to say so in SQL.

Every function that reads for a route what belongs to mailboxes takes a ``Reach``, without a default: who forgets it has
no way to call it. What runs for nobody in particular (workers, upkeep) says ``ALL_MAILBOXES``; no route does, and
a test (``tests/unit/access/test_reach.py``) looks.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, column, false, or_, select, table
from sqlmodel import Session

from app.database import Json

# The tables of features above, as far as reach depends on them: their models cannot be imported from here.
_LABELS = table("mailbox_labels", column("mailbox_id"), column("label"), column("gives_reach"))
_MAILBOXES = table("mailboxes", column("id"), column("removed_at"))
_SYNCS = table("syncs", column("id"), column("mailbox_id"))
_MESSAGES = table("messages", column("seq"), column("mailbox_id"))
_BATCHES = table("sync_batches", column("id"), column("reach", Json))

# Whose a thing is, by the kind of its id.
_OWNERS: Final = {
    "mbx": (_MAILBOXES.c.id, _MAILBOXES.c.id),
    "syn": (_SYNCS.c.id, _SYNCS.c.mailbox_id),
    "msg": (_MESSAGES.c.seq, _MESSAGES.c.mailbox_id),
}


@dataclass(frozen=True, slots=True)
class Reach:
    """All mailboxes, or those with one of these ids and those with one of these labels."""

    is_all: bool
    mailbox_ids: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()

    @classmethod
    def bound_to(cls, mailbox_ids: Iterable[int] | None, labels: Iterable[str] | None) -> "Reach":
        """None, both: all mailboxes. An empty list binds too, to nothing."""
        if mailbox_ids is None and labels is None:
            return ALL_MAILBOXES
        return cls(False, tuple(sorted(set(mailbox_ids or ()))), tuple(dict.fromkeys(labels or ())))

    def of(self, mailbox_id: ColumnElement[int]) -> tuple[ColumnElement[bool], ...]:
        """The conditions on a column that holds mailboxes' ids; none where all are in reach.

        Each row is judged by itself (a step in an index): what it costs is bounded by the rows that are looked at.
        """
        if self.is_all:
            return ()
        ways: list[ColumnElement[bool]] = []
        if self.mailbox_ids:
            ways.append(mailbox_id.in_(self.mailbox_ids))
        if self.labels:
            labelled = select(_LABELS.c.label).where(_LABELS.c.mailbox_id == mailbox_id, *self._given())
            ways.append(labelled.exists())
        return (or_(false(), *ways),)

    def among(self, mailbox_id: ColumnElement[int]) -> tuple[ColumnElement[bool], ...]:
        """The same for a question that is answered from the mailboxes in reach: they are looked up first, as a set."""
        if self.is_all or not self.labels:
            return self.of(mailbox_id)
        labelled = mailbox_id.in_(select(_LABELS.c.mailbox_id).where(*self._given()))
        return (or_(mailbox_id.in_(self.mailbox_ids), labelled) if self.mailbox_ids else labelled,)

    def sees(self, db: Session, kind: str, number: int) -> bool:
        """Whether a thing with an id of this kind is there, and of a mailbox in reach (``mbx``, ``syn``, ``msg``)."""
        its_id, its_mailbox = _OWNERS[kind]
        is_there = and_(_MAILBOXES.c.id == its_mailbox, _MAILBOXES.c.removed_at.is_(None))
        one = select(_MAILBOXES.c.id).where(its_id == number, is_there, *self.of(_MAILBOXES.c.id))
        return db.execute(one).first() is not None

    def sees_path(self, db: Session, path: str) -> bool:
        """The same, by the path of a mailbox, a sync or a batch of syncs (``/syncs/syn_1``). All paths, where all
        mailboxes are in reach.
        """
        if self.is_all:
            return True
        kind, _, number = path.rpartition("/")[2].partition("_")
        if not number.isdecimal():
            return False
        if kind == "bat":
            asked = select(_BATCHES.c.reach).where(_BATCHES.c.id == int(number))
            return any(self.includes(bound) for bound in db.execute(asked).scalars())
        return kind in _OWNERS and self.sees(db, kind, int(number))

    def includes(self, bound: Mapping[str, Any] | None) -> bool:
        """Whether it holds all that another reach does, as a batch keeps it (None: all mailboxes)."""
        if self.is_all or bound is None:
            return self.is_all
        return set(bound["mailbox_ids"]) <= set(self.mailbox_ids) and set(bound["labels"]) <= set(self.labels)

    def _given(self) -> Sequence[ColumnElement[bool]]:
        return (_LABELS.c.label.in_(self.labels), _LABELS.c.gives_reach.is_(True))


def mailbox_of(db: Session, kind: str, number: int) -> int | None:
    """The mailbox of a thing with an id of this kind; None: there is no such thing, or it is nobody's."""
    if kind not in _OWNERS:
        return None
    its_id, its_mailbox = _OWNERS[kind]
    found: int | None = db.execute(select(its_mailbox).where(its_id == number)).scalar()
    return found


ALL_MAILBOXES: Final = Reach(True)
