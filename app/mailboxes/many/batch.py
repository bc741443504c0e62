"""Many mailboxes in one request: registered or replaced, changed, removed; each by itself, and with its own result.

A part of them is one transaction, so that nobody else waits long. A process that dies in between has done the parts
before: the same request, sent again, replaces what it finds by the callers' own ids, and does the rest.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from pydantic import ValidationError
from sqlmodel import Session

from app.access.reach import Reach
from app.database import Database
from app.errors import AppError, InputFault, invalid_request
from app.mailboxes import repository, service
from app.mailboxes.credentials.destination import canonical_host
from app.mailboxes.maildrop_moves import LedgerOfMailbox
from app.mailboxes.models import Mailbox, MailboxId
from app.mailboxes.registering import Registry, register_many
from app.mailboxes.replacing import MailboxReplacement, put
from app.web.faults import faults_of
from app.web.requests.places import Places

_PART: Final = 100  # items in one transaction
_TESTED_AT_ONCE, _TESTED_AT_A_HOST = 20, 3
_TESTS_END_AFTER_SECONDS: Final = 120.0
_TESTED_OF_A_KEY, _TESTED_OF_ALL = 2, 5  # batches whose items are being tried

Passes = Callable[[MailboxReplacement, MailboxId | None, Reach], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an item: 201 made, 200 replaced, changed or removed; or the error. ``mailbox_id``: None where
    nothing was made.
    """

    status: int
    mailbox_id: MailboxId | None = None
    external_id: str | None = None
    error: AppError | None = None


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What batches work with. ``passes`` tries a mailbox's settings, and raises AppError where they do not work."""

    database: Database
    ledger: LedgerOfMailbox
    passes: Passes
    places: Places = field(
        default_factory=lambda: Places(
            _TESTED_OF_A_KEY, _TESTED_OF_ALL, "Too many batches of mailboxes are being tried."
        )
    )

    async def register(
        self, sent: Sequence[object], registry: Registry, *, asked_by: str, dry_run: bool, test: bool
    ) -> list[Done]:
        """Register or replace each, in its order. ``asked_by``: the name of the key. ``dry_run``: what would become of
        each. Raises AppError: 429.
        """
        read = _read_all(sent, registry)
        if test:
            with self.places.taken(asked_by):
                read = await self._tested(read, registry.reach)
        results: list[Done] = []
        for some in [read] if dry_run else _in_parts(read):  # each dry run sees but itself
            do = partial(self._do, some=some, registry=registry)
            results += await _done(self.database, do, dry_run=dry_run)
        return results

    def _do(self, db: Session, some: "Sequence[_Item]", registry: Registry) -> list[Done]:
        wanted = [item for item in some if item.wanted is not None]
        names = [item.external_id for item in wanted if item.external_id]
        there = repository.by_external_ids(db, names, reach=registry.reach)
        new = [item.wanted for item in wanted if item.wanted and item.external_id not in there]
        made = iter(register_many(db, new, registry))
        results = []
        for item in some:
            if item.wanted is None:
                results.append(
                    Done(item.error.status if item.error else 422, None, item.external_id, item.error)
                )
            elif item.external_id in there:
                results.append(self._replaced(db, item, there[item.external_id], registry))
            else:
                results.append(_made(next(made), item))
        return results

    def _replaced(self, db: Session, item: "_Item", mailbox_id: MailboxId, registry: Registry) -> Done:
        assert item.wanted is not None
        within = db.begin_nested()  # so that nothing is left of what fails half-way
        try:
            done = put(
                db,
                item.external_id or "",
                item.wanted,
                existing=mailbox_id,
                reach=registry.reach,
                vault=registry.vault,
                ledger=self.ledger,
                allowed=registry.allowed,
                now=registry.now,
                kept=registry.kept,
            )
            service.refuse_other_port(done.row, registry.ports)
        except AppError as error:
            within.rollback()
            return Done(error.status, mailbox_id, item.external_id, error)
        within.commit()
        return Done(200, mailbox_id, item.external_id)

    async def _tested(self, items: "Sequence[_Item]", reach: Reach) -> "list[_Item]":
        """The items; those whose settings do not work have that error. So many at the same time, few of one server."""
        overall = asyncio.Semaphore(_TESTED_AT_ONCE)
        hosts: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_TESTED_AT_A_HOST))
        names = [item.external_id for item in items if item.external_id]
        ask = partial(repository.by_external_ids, external_ids=names, reach=reach, to_change=False)
        there = await self.database.read(ask)

        async def tested(item: _Item) -> _Item:
            if item.wanted is None:
                return item
            async with hosts[canonical_host(item.wanted.host)], overall:
                try:
                    await self.passes(item.wanted, there.get(item.external_id or ""), reach)
                except AppError as error:
                    return replace(item, wanted=None, error=error)
            return item

        tasks = [asyncio.create_task(tested(item)) for item in items]
        try:
            await asyncio.wait(tasks, timeout=_TESTS_END_AFTER_SECONDS)
            return [
                task.result() if task.done() else replace(item, wanted=None, error=_untested())
                for task, item in zip(tasks, items, strict=True)
            ]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class _Item:
    """An item as it was read; or why it was not."""

    wanted: MailboxReplacement | None
    external_id: str | None = None
    error: AppError | None = None


def _read_all(sent: Sequence[object], registry: Registry) -> list[_Item]:
    items = [_read(each, registry) for each in sent]
    counts = Counter(item.external_id for item in items if item.external_id is not None)
    seen: set[str] = set()
    for index, item in enumerate(items):
        name = item.external_id
        if name is not None and counts[name] > 1:
            if name in seen:
                items[index] = _Item(
                    None, name, invalid_request("/external_id", "is that of another item before")
                )
            seen.add(name)
    return items


def _read(sent: object, registry: Registry) -> _Item:
    name = sent.get("external_id") if isinstance(sent, Mapping) else None
    name = name if isinstance(name, str) else None
    try:
        wanted = MailboxReplacement.model_validate(sent)
        service.refuse_literal(wanted.host, registry.allowed)
        service.refuse_token_url(wanted.oauth2, registry.allowed, registry.ports)
    except ValidationError as error:
        faults: tuple[InputFault, ...] = faults_of(error.errors())
        return _Item(None, name, AppError(422, "invalid_request", "The item is not valid.", faults))
    except AppError as error:
        return _Item(None, name, error)
    return _Item(wanted, wanted.external_id)


def _made(found: Mailbox | AppError, item: _Item) -> Done:
    if isinstance(found, AppError):
        return Done(found.status, None, item.external_id, found)
    return Done(201, None if found.id is None else MailboxId(found.id), item.external_id)


def _untested() -> AppError:
    detail = f"It could not be tried within {_TESTS_END_AFTER_SECONDS:.0f} seconds, and was not stored."
    return AppError(503, "busy", detail)


def _in_parts(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), _PART):
        yield items[start : start + _PART]


Change = Callable[[Session, MailboxId], None]


async def to_each(
    database: Database, mailbox_ids: Sequence[MailboxId], change: Change, *, dry_run: bool
) -> list[Done]:
    """Make a change to each of these mailboxes, and what became of it. One that fails is left as it was.

    ``dry_run``: what would become of each.
    """
    results: list[Done] = []
    for some in _in_parts(mailbox_ids):
        results += await _done(database, partial(_each, some=some, change=change), dry_run=dry_run)
    return results


class _Judged(Exception):
    """A dry run came to its end: nothing is to stay of it."""

    def __init__(self, results: list[Done]) -> None:
        super().__init__("a dry run")
        self.results = results


async def _done(database: Database, do: Callable[[Session], list[Done]], *, dry_run: bool) -> list[Done]:
    """What became of a part, in one transaction, which with ``dry_run`` is not committed."""

    def judge(db: Session) -> list[Done]:
        raise _Judged(do(db))

    try:
        return await database.write(judge if dry_run else do, is_long=True)
    except _Judged as judged:
        return [replace(each, mailbox_id=None) if each.status == 201 else each for each in judged.results]


def _each(db: Session, some: Sequence[MailboxId], change: Change) -> list[Done]:
    results = []
    for mailbox_id in some:
        within = db.begin_nested()
        try:
            change(db, mailbox_id)
        except AppError as error:
            within.rollback()
            results.append(Done(error.status, mailbox_id, None, error))
        else:
            within.commit()
            results.append(Done(200, mailbox_id))
    return results
