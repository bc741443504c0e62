"""The audit: who did what to what, when, from where, with which result.

Theory of operation
-------------------

Every request that may change something is told of by its route, without its handler knowing (``Admission.change``).
Its entry is committed with the first change that the handler makes, in the same transaction (``database.companions``):
there is no change without its entry, and no entry for what was not done. Should the answer be an error nevertheless,
the entry gets its status. Where one request changes many mailboxes in several transactions, each mailbox has an entry,
which stays as it is: an error that ends the request later has one of its own.

What changed nothing, because it was refused or only tried something, is written by itself afterwards. Of each key and
process these are at most thirty a minute, so that whoever is refused again and again fills no database; the next entry
says how many were left out. All of them are in the log. Requests that are not valid (400, 422 and the like) or whose
key is not known (401) are in the log alone: they were about nothing, or by nobody.

No entry holds what was sent. The address is the client's as limits count it.
"""

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Final

import structlog
from sqlmodel import Session

from app.access import repository
from app.access.reach import mailbox_of
from app.database import Database, StorageFailed
from app.database.companions import Companion
from app.web.ids import encode_id
from app.web.requests.rates import Rate

_log = structlog.get_logger()

UNCHANGED_PER_MINUTE: Final = 30  # of one key
TOLD_OF: Final = frozenset(
    (403, 404, 409, 412, 424)
)  # refusals that stand in the audit, beside errors of ours
COMMAND_LINE: Final = "command-line"
_KEYS: Final = 10_000
_ID: Final = re.compile(r"([a-z]{3})_([1-9][0-9]{0,17})", re.ASCII)
# Ids in a path, the one that says most first.
_TARGETS: Final = ("batch_id", "entry_id", "message_id", "sync_id", "key_id", "mailbox_id")
_KINDS: Final = {"mailboxes": "mbx", "syncs": "syn", "api_keys": "key", "sync_batches": "bat"}


@dataclass(frozen=True, kw_only=True)
class Act:
    """What is known of a request when it begins."""

    key: str
    address: str
    action: str
    ids: dict[str, str]
    status: int
    request_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class About:
    """What an act was about: the id of the thing, and the number of its mailbox."""

    target: str | None
    mailbox_id: int | None


class Note(Companion):
    """The entry of one request, which goes along with its first change."""

    def __init__(self, act: Act) -> None:
        super().__init__(self._add)
        self.act = act
        self.entry_id: int | None = None
        self._is_of_many = False
        self._told: set[int] = set()  # mailboxes that have an entry
        self._telling: set[int] = set()  # the same, as soon as the change is committed
        self._owner: int | None = None

    @property
    def has_entry(self) -> bool:
        """Whether an entry is committed."""
        return self.is_written and (self.entry_id is not None or self._is_of_many)

    @property
    def entry_of_all(self) -> int | None:
        """The committed entry, where one is of the whole request and not of its parts."""
        return self.entry_id if self.is_written and not self._is_of_many else None

    def ended(self, *, is_done: bool) -> None:
        """Those of a change that is undone are told of with its next try."""
        if is_done:
            self._told |= self._telling
        self._telling = set()
        super().ended(is_done=is_done)

    def look(self, db: Session) -> None:
        """Whose it is, as long as it is there."""
        for name in ("sync_id", "message_id"):
            if name in self.act.ids and "mailbox_id" not in self.act.ids:
                kind, _, number = self.act.ids[name].partition("_")
                self._owner = mailbox_of(db, kind, int(number))

    def _add(self, db: Session, result: Any) -> bool:
        parts = (
            result if isinstance(result, list) and all(hasattr(one, "mailbox_id") for one in result) else None
        )
        if self._is_of_many and parts is None:
            return True  # of what else goes on meanwhile
        if parts == [] or _was_there(result, self.act.at):
            return True
        if parts is None:
            of = about(self.act.ids, result)
            of = of if of.mailbox_id is not None else replace(of, mailbox_id=self._owner)
            self.entry_id = repository.add_entry(db, entry(self.act, of))
            return False
        # A part of many: an entry for each mailbox of which something became, once however many parts it is in.
        self._is_of_many = True
        done = {
            each.mailbox_id: each for each in parts if each.mailbox_id and not getattr(each, "error", None)
        }
        new = done.keys() - self._told
        rows = [
            entry(self.act, About(encode_id("mbx", number), number), status=getattr(each, "status", None))
            for number, each in done.items()
            if number in new
        ]
        repository.add_entries(db, rows)
        self._telling = set(new)
        return True


@dataclass
class Audit:
    """Writes entries, and lets those that changed nothing through at a bounded rate."""

    database: Database
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    _unchanged: Rate = field(default_factory=lambda: Rate(UNCHANGED_PER_MINUTE))
    _omitted: OrderedDict[str, int] = field(default_factory=OrderedDict)

    async def ended(self, note: Note, *, status: int, code: str | None = None) -> None:
        """A request was answered so."""
        note.close()
        is_error = status >= 400
        if is_error and status < 500 and status not in TOLD_OF and not note.has_entry:
            return
        facts = {"key": note.act.key, "client": note.act.address, "action": note.act.action, **note.act.ids}
        _log.info("audit", **facts, status=status, code=code, request_id=note.act.request_id)
        if note.has_entry and not is_error:
            return
        try:
            if (number := note.entry_of_all) is not None:
                correct = partial(repository.correct_entry, entry_id=number, status=status, code=code)
                await self.database.write(correct)
            else:
                await self._unchanged_by(note.act, status, code)
        except StorageFailed as error:
            _log.warning("audit_entry_lost", reason=str(error), request_id=note.act.request_id)

    async def _unchanged_by(self, act: Act, status: int, code: str | None) -> None:
        if self._unchanged.spend(act.key, now=self.monotonic()):
            self._omitted[act.key] = self._omitted.pop(act.key, 0) + 1
            if len(self._omitted) > _KEYS:
                self._omitted.popitem(last=False)
            return
        row = entry(act, about(act.ids, None), status=status)
        row = replace(row, code=code, omitted=self._omitted.pop(act.key, 0))
        await self.database.write(partial(repository.add_entry, row=row), durable=False)


def told(db: Session, *, action: str, target: str, now: datetime) -> None:
    """An entry of what was done on the machine itself, by a command."""
    row = repository.NewEntry(
        at=now, key=COMMAND_LINE, address="", action=action, target=target, status=200, request_id=""
    )
    repository.add_entry(db, row)


def entry(act: Act, about_what: About, *, status: int | None = None) -> repository.NewEntry:
    """What is stored of an act; ``status``: where that of a part is another."""
    return repository.NewEntry(
        at=act.at,
        key=act.key,
        address=act.address,
        action=act.action,
        target=about_what.target,
        mailbox_id=about_what.mailbox_id,
        status=status or act.status,
        request_id=act.request_id,
    )


def about(ids: dict[str, str], result: Any) -> About:
    """PURE  What an act was about, by the ids in its path and the result of its change: a row of ours, an answer with
    an id, or several of which the first is one.
    """
    found = result[0] if isinstance(result, tuple) and result else result
    named = [ids[name] for name in _TARGETS if name in ids]
    made = _id_of(found)
    target = named[0] if named else made
    mailbox = ids.get("mailbox_id") or (made if made and made.startswith("mbx_") else None)
    number = _number(mailbox) if mailbox else getattr(found, "mailbox_id", None)
    return About(target, number if isinstance(number, int) else None)


def _was_there(result: Any, moment: datetime) -> bool:
    """Whether a sync was asked for that was under way already: nothing was changed, however often that is asked."""
    queued_at = getattr(result, "queued_at", None)
    return isinstance(queued_at, datetime) and queued_at < moment


def _id_of(found: Any) -> str | None:
    found = getattr(found, "batch", found)  # of what tells how far one is
    its_id = getattr(found, "id", None)
    if isinstance(its_id, str) and _ID.fullmatch(its_id):
        return its_id
    kind = _KINDS.get(str(getattr(type(found), "__tablename__", "")))
    return encode_id(kind, its_id) if kind and isinstance(its_id, int) else None


def _number(text: str) -> int | None:
    found = _ID.fullmatch(text)
    return int(found.group(2)) if found else None


def ids_in(path_params: dict[str, Any]) -> dict[str, str]:
    """PURE  The ids of ours in a path: what was typed in place of one is left out."""
    return {name: word for name, word in path_params.items() if name in _TARGETS and _ID.fullmatch(str(word))}
