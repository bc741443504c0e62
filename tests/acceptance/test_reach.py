"""Every operation of the document with every kind of key, inside and outside of what the key reaches."""

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server
from tests.service import Client, running, settings_for

INCLUDED = {
    "read": {"read"},
    "sync": {"read", "sync"},
    "write": {"read", "write"},
    "mailboxes": {"read", "mailboxes"},
    "admin": {"read", "sync", "write", "mailboxes", "admin"},
}
MISSING = 999_999


@dataclass(frozen=True)
class One:
    """An operation on one thing: 404 out of reach, as if it were not there. ``path``: what it takes of one tenant.

    ``statuses``: what it answers in reach.
    """

    scope: str
    statuses: tuple[int, ...] = (200,)
    body: dict[str, Any] | None = None
    query: dict[str, Any] = field(default_factory=dict)
    content: bytes | None = None


@dataclass(frozen=True)
class Many:
    """A list, of which everybody gets what is in reach."""

    scope: str
    of: str  # where the mailbox's id stands in an item


@dataclass(frozen=True)
class Mail:
    """Mail of many mailboxes in one answer, as octets: of which everybody gets what is in reach."""

    scope: str
    query: dict[str, Any]


@dataclass(frozen=True)
class Sums:
    """Numbers of all that is in reach: ``counts`` says how many mailboxes and messages an answer is about."""

    scope: str
    counts: Callable[[Any], tuple[int, int]]
    query: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Whole:
    """What is about all mailboxes: for keys that reach them all."""

    scope: str
    statuses: tuple[int, ...] = (200,)
    body: dict[str, Any] | None = None


@dataclass(frozen=True)
class Own:
    """What is about the key or what is sent, and about nobody's mailbox. Tested by itself where it matters."""

    scope: str
    statuses: tuple[int, ...]
    body: dict[str, Any] | None = None


@dataclass(frozen=True)
class Open:
    """What needs no key."""


Row = One | Many | Mail | Sums | Whole | Own | Open
_KEY = {"name": "k", "scopes": ["read"]}

# A new operation needs a row here: say what it shows to whom.
TABLE: dict[str, Row] = {
    "get /livez": Open(),
    "get /readyz": Open(),
    "get /metrics": Whole("read"),
    "get /audit": Whole("admin"),
    "get /whoami": Own("read", (200,)),
    "post /mailboxes": Own("mailboxes", (422,), {}),
    "get /mailboxes": Many("read", "id"),
    "get /mailboxes/{mailbox_id}": One("read"),
    "patch /mailboxes/{mailbox_id}": One("mailboxes", body={"name": "renamed"}),
    "delete /mailboxes/{mailbox_id}": One("mailboxes", (422,)),
    "put /mailboxes/by-external-id/{external_id}": Own("mailboxes", (422,), {}),
    "post /mailboxes/batch": Own("mailboxes", (422,), {}),
    "patch /mailboxes": Own("mailboxes", (422,), {}),  # which ones is not said
    "delete /mailboxes": Own("mailboxes", (422,)),
    "post /mailboxes/{mailbox_id}/sync": One("sync", (202,)),
    "post /mailboxes/{mailbox_id}/syncs": One("sync", (202,)),
    "get /mailboxes/{mailbox_id}/syncs": One("read"),
    "get /syncs/{sync_id}": One("read"),
    "get /syncs/{sync_id}/transcript": One("read", (404,)),  # transcript_not_found
    "get /syncs/{sync_id}/events": One("read"),
    "post /syncs/{sync_id}/cancel": One("sync", (202,)),
    "post /mailboxes/test": Own("mailboxes", (422,), {}),
    "post /mailboxes/discover": Own("mailboxes", (422,), {"address": "nobody"}),
    "post /mailboxes/{mailbox_id}/test": One("mailboxes"),
    "delete /mailboxes/{mailbox_id}/learnt": One("mailboxes", (204,)),
    "get /mailboxes/{mailbox_id}/unique-ids": One("read"),
    "post /mailboxes/{mailbox_id}/unique-ids/{entry_id}/retrieve": One("sync", (409,)),  # it is stored
    "post /mailboxes/{mailbox_id}/unique-ids/import": One("mailboxes", (422,), content=b"no state file"),
    "post /mailboxes/{mailbox_id}/rebaseline": One("mailboxes", query={"dry_run": "true"}),
    "post /mailboxes/{mailbox_id}/criteria/preview": One("mailboxes", body={"criteria": None}),
    "post /mailboxes/{mailbox_id}/server-retention/preview": One("mailboxes"),
    "get /messages": Many("read", "mailbox_id"),
    "get /mailboxes/{mailbox_id}/messages": One("read"),
    "get /overview": Sums("read", lambda told: (told["mailboxes"]["total"], told["stored_24h"]["messages"])),
    "get /syncs": Many("read", "mailbox_id"),
    "post /syncs": Own("sync", (422,), {}),
    "get /sync-batches/{batch_id}": Own("read", (404,)),  # see tests/contract/test_sync_batches.py
    "get /sync-batches/{batch_id}/events": Own("read", (404,)),
    "post /sync-batches/{batch_id}/cancel": Own("sync", (404,)),
    "get /messages/export": Mail("read", {"format": "mbox"}),
    "get /mailboxes/{mailbox_id}/export": One("read"),
    "post /mailboxes/{mailbox_id}/import": One("write", (422,), content=b"no mail"),
    "delete /messages": Sums(
        "write",
        lambda told: (told["matched"] // 3, told["matched"]),
        {"before": "2999-01-01T00:00:00Z", "dry_run": "true"},
    ),
    "get /messages/{message_id}": One("read"),
    "delete /messages/{message_id}": One("write", (204, 404)),  # 404: another key has deleted it
    "post /messages/{message_id}/reparse": One("write"),
    "get /messages/{message_id}/raw": One("read"),
    "get /messages/{message_id}/attachments/{index}": One("read", (404,)),  # it has none
    "post /api-keys": Whole("admin", (201,), _KEY),
    "get /api-keys": Whole("admin"),
    "get /api-keys/{key_id}": Whole("admin"),
    "patch /api-keys/{key_id}": Whole("admin", body={"name": "renamed"}),
    "delete /api-keys/{key_id}": Whole("admin", (204,)),
    "post /api-keys/{key_id}/rotate": Whole("admin"),
}
# They take things away, or begin sessions beside which others find the maildrop locked: asked last.
LAST = (
    "post /mailboxes/{mailbox_id}/sync",
    "post /mailboxes/{mailbox_id}/syncs",
    "post /syncs/{sync_id}/cancel",
    "delete /messages/{message_id}",
    "delete /api-keys/{key_id}",
)


@dataclass
class Tenant:
    """A mailbox with mail, and what belongs to it."""

    mailbox_id: str
    sync_id: str
    entry_id: str
    message_id: str

    def path(self, template: str, *, key_id: str = "") -> str:
        """The path of an operation on what is this tenant's."""
        return template.format(**vars(self), index=0, external_id="x", key_id=key_id, batch_id="x")


@dataclass
class Key:
    """A kind of key."""

    name: str
    scopes: set[str]
    headers: dict[str, str]
    is_bound: bool


@dataclass
class House:
    """A service with two tenants, and keys of every kind, the bound ones to what is ours."""

    service: Client
    server: FakePop3Server
    ours: Tenant
    theirs: Tenant
    ids: dict[str, str] = field(default_factory=dict)  # of operations, by method and path
    changed: set[str] = field(default_factory=set)  # by operations that were answered so

    async def make_key(self, *scopes: str, **fields: Any) -> dict[str, str]:
        """The headers of a new key."""
        body = {"name": "k", "scopes": list(scopes), **fields}
        answer = await self.service.http.post("/api-keys", json=body)
        assert answer.status_code == 201, answer.text
        return {"Authorization": f"Bearer {answer.json()['key']}"}

    async def key_id(self) -> str:
        """A key that anything may become of."""
        answer = await self.service.http.post("/api-keys", json=_KEY)
        key_id: str = answer.json()["id"]
        return key_id


@asynccontextmanager
async def house(folder: Path, **settings: Any) -> AsyncIterator[House]:
    """With two tenants, whose label says which they are, on one mail server."""
    drops = []
    for name in ("ours", "theirs"):
        drop = FakeMaildrop(username=name)
        for number in range(3):
            text = f"Message-ID: <{number}@{name}>\r\nSubject: {name} {number}\r\n\r\nsecret of {name}\r\n"
            drop.deliver(text.encode(), f"{name}{number}")
        drops.append(drop)
    async with (
        FakePop3Server(*drops) as server,
        running(settings_for(folder / "data", **settings)) as service,
    ):
        ours, theirs = [await settled(service, server, drop) for drop in drops]
        yield House(service, server, ours, theirs)


async def settled(service: Client, server: FakePop3Server, drop: FakeMaildrop) -> Tenant:
    """A tenant whose mail was retrieved."""
    mailbox_id = await service.register(drop, server, labels=[drop.username])
    sync = await service.sync(mailbox_id)
    assert sync["status"] == "succeeded", sync
    entries = (await service.http.get(f"/mailboxes/{mailbox_id}/unique-ids")).json()["items"]
    messages, _ = await service.feed(mailbox_id=mailbox_id)
    return Tenant(mailbox_id, sync["id"], entries[0]["id"], messages[0]["id"])


async def every_key(home: House) -> list[Key]:
    """Of each scope: one that reaches all, one bound to ours by its id and one by its label."""
    keys = []
    for scope, included in INCLUDED.items():
        keys.append(Key(scope, included, await home.make_key(scope), False))
        if scope != "admin":
            by_id = await home.make_key(scope, mailbox_ids=[home.ours.mailbox_id])
            by_label = await home.make_key(scope, labels=["ours", "of-nobody"])
            keys.append(Key(f"{scope}, bound to an id", included, by_id, True))
            keys.append(Key(f"{scope}, bound to a label", included, by_label, True))
    return keys


async def test_every_operation_with_every_key_inside_and_outside_of_its_reach(tmp_path: Path) -> None:
    """A row for each operation says what it shows; what it shows to each key follows from that."""
    async with house(tmp_path, link_seconds=60) as home:
        document = (await home.service.http.get("/openapi.json")).json()
        paths = document["paths"].items()
        home.ids = {
            f"{method} {path}": each[method]["operationId"] for path, each in paths for method in each
        }
        operations = list(home.ids)
        assert sorted(TABLE) == sorted(operations), (
            "each operation needs a row that says what it shows to whom"
        )
        keys = await every_key(home)
        faults: list[str] = []
        for name in sorted(TABLE, key=lambda name: (name in LAST, name)):
            for key in keys:
                faults += [f"{name} with {key.name}: {told}" async for told in judged(home, name, key)]
        assert faults == []
        assert home.changed - await told_in_audit(home) == set(), (
            "an operation that changes something is told of"
        )


async def told_in_audit(home: House) -> set[str]:
    """The operations that stand in the audit."""
    found: set[str] = set()
    query: dict[str, Any] = {"limit": 200}
    while query:
        page = (await home.service.http.get("/audit", params=query)).json()
        found |= {each["action"] for each in page["items"]}
        query = query | {"after": page["next_cursor"]} if page["has_more"] else {}
    return found


async def judged(home: House, name: str, key: Key) -> AsyncIterator[str]:
    """What is wrong with the answers of an operation to a key."""
    row = TABLE[name]
    if isinstance(row, Open):
        return
    inside = await ask(home, name, home.ours, key)
    if row.scope not in key.scopes or (isinstance(row, Whole) and key.is_bound):
        for answer in (inside, await ask(home, name, home.theirs, key)):
            if (answer.status_code, answer.json()["code"]) != (403, "forbidden"):
                yield f"{answer.status_code} in place of 403"
        return
    if isinstance(row, One | Own | Whole) and inside.status_code not in row.statuses:
        yield f"{inside.status_code} {inside.text[:200]}"
    if not name.startswith("get ") and inside.status_code < 300:
        home.changed.add(home.ids[name])
    if isinstance(row, Many):
        seen = {item[row.of] for item in inside.json()["items"]}
        if seen != {home.ours.mailbox_id} | (set() if key.is_bound else {home.theirs.mailbox_id}):
            yield f"shows {seen}"
    if isinstance(row, Sums) and row.counts(inside.json()) != ((1, 3) if key.is_bound else (2, 6)):
        yield f"counts {inside.text}"
    if isinstance(row, Mail):
        seen = {name for name in ("ours", "theirs") if f"secret of {name}" in inside.text}
        if seen != ({"ours"} if key.is_bound else {"ours", "theirs"}):
            yield f"shows {seen}"
    if isinstance(row, One):
        outside = await ask(home, name, home.theirs, key)
        if not key.is_bound and outside.status_code not in row.statuses:
            yield f"{outside.status_code} {outside.text[:200]} of the other, who is in reach"
        if key.is_bound:
            missing = await ask(home, name, absent(home.theirs), key)
            for told in differences(outside, missing):
                yield f"told apart from what is not there: {told}"


async def ask(home: House, name: str, tenant: Tenant, key: Key) -> httpx.Response:
    """The answer to an operation on what is a tenant's."""
    method, template = name.split(" ")
    row = TABLE[name]
    key_id = await home.key_id() if "{key_id}" in template else ""
    given: dict[str, Any] = {"headers": key.headers}
    if isinstance(row, One | Own | Whole) and row.body is not None:
        given["json"] = row.body
    if isinstance(row, One | Mail | Sums):
        given["params"] = row.query
    if isinstance(row, One) and row.content is not None:
        given["content"] = row.content
    return await home.service.http.request(method, tenant.path(template, key_id=key_id), **given)


def absent(tenant: Tenant) -> Tenant:
    """The same, with ids that name nothing."""
    return Tenant(**{name: f"{word.partition('_')[0]}_{MISSING}" for name, word in vars(tenant).items()})


def differences(answer: httpx.Response, missing: httpx.Response) -> Iterator[str]:
    """In what an answer differs from that of a thing that is not there; its request's id is its own."""
    if answer.status_code != 404 or missing.status_code != 404:
        yield f"{answer.status_code}, {missing.status_code}"
    bodies = [re.sub(r"request:\w+|(?<=_)\d+", "", each.text) for each in (answer, missing)]
    if bodies[0] != bodies[1]:
        yield f"{bodies}"
    names = [{*each.headers} for each in (answer, missing)]
    if names[0] != names[1]:
        yield f"{names}"
