"""A message of a list as JSON, written by the database from its columns.

A page of the feed is read again and again, by everybody. Made through the row's object, the lists of people read from
their JSON, a model that checks them and writes JSON once more, a page of 200 took twenty times as long as FastAPI takes
to write one. ``schemas.answer`` says the same in the same order; ``tests/contract/test_written.py`` holds the two
together.
"""

from collections.abc import Mapping
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, Text, literal_column, select
from sqlmodel import SQLModel

from app.web.ids import encode_id, unique_id_text

_MESSAGES = SQLModel.metadata.tables["messages"]
_NAMED = SQLModel.metadata.tables["mailboxes"].alias("named")

# Of each database: a text as JSON, octets in hexadecimal, a moment as ``times.as_text`` gives it, what makes one text
# of many, and JSON as text.
_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "sqlite": {
        "quoted": "json_quote({0})",
        "hex": "lower(hex({0}))",
        "moment": "substr({0}, 1, 10) || 'T' || substr({0}, 12, 12) || 'Z'",
        "format": "printf",
        "json": "{0}",
    },
    "postgresql": {
        "quoted": "to_json({0})::text",
        "hex": "encode({0}, 'hex')",
        "moment": """to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')""",
        "format": "format",
        "json": "{0}::text",
    },
}
_TEXT, _PLAIN, _FLAG, _JSON, _PEOPLE, _MOMENT = "text", "plain", "flag", "json", "people", "moment"
# The members behind ``unique_id``, in the order of ``MessageAnswer``. ``from``, ``authors``, ``thread_id`` and
# ``raw_sha256`` are written in words of their own.
_MEMBERS: Final = (
    ("occurrence", _PLAIN), ("seq", _PLAIN), ("message_id", _TEXT), ("subject", _TEXT), ("from", ""), ("authors", ""),
    ("from_ambiguous", _FLAG), ("to", _PEOPLE), ("cc", _PEOPLE), ("reply_to", _PEOPLE), ("bcc", _PEOPLE),
    ("sender", _PEOPLE), ("in_reply_to", _TEXT), ("references", _JSON), ("thread_id", ""), ("delivered_to", _JSON),
    ("list_id", _TEXT), ("automated", _TEXT), ("automated_by", _TEXT), ("kind", _JSON), ("bounce", _JSON),
    ("date", _MOMENT), ("received_at", _MOMENT), ("retrieved_at", _MOMENT), ("expired", ""), ("octets", _PLAIN),
    ("raw_sha256", ""), ("has_attachments", _FLAG), ("snippet", _TEXT), ("warnings", _JSON),
)  # fmt: skip


@lru_cache
def written(dialect: str) -> Select[Any]:
    """Of messages ``seq``, ``mailbox_id``, the names of the mailbox, ``unique_id`` and what is written behind it, for
    ``message_json``.
    """
    words = _WORDS[dialect]
    shape = ",".join(f'"{name}":%s' for name, _ in _MEMBERS) + "}"
    values = ", ".join(_value(name, kind, words) for name, kind in _MEMBERS)
    rest: ColumnElement[Any] = literal_column(f"{words['format']}('{shape}', {values})", Text)
    own = (_MESSAGES.c.seq, _MESSAGES.c.mailbox_id, _names(words), _MESSAGES.c.unique_id)
    # An outer join, so that every plan begins with the messages. Of rows of the same mailbox PostgreSQL remembers it.
    its = _NAMED.c.id == _MESSAGES.c.mailbox_id
    return select(*own, rest.label("written")).outerjoin_from(_MESSAGES, _NAMED, its)


def message_json(row: Any) -> bytes:
    """The object. ``row``: the values of ``written``."""
    seq, mailbox_id, names, unique_id, written = row
    return (
        f'{{"id":"{encode_id("msg", seq)}","mailbox_id":"{encode_id("mbx", mailbox_id)}","mailbox":{names},'
        f'"unique_id":{encode_basestring_ascii(unique_id_text(unique_id))},{written}'
    ).encode()


def _names(words: Mapping[str, str]) -> ColumnElement[Any]:
    """``naming.names`` as JSON."""
    name, external_id = (words["quoted"].format(f"named.{column}") for column in ("name", "external_id"))
    labels = words["json"].format("named.labels")
    shape = '{"id":"mbx_%s","name":%s,"external_id":%s,"labels":%s}'
    values = f"named.id, {name}, coalesce({external_id}, 'null'), {labels}"
    return literal_column(f"{words['format']}('{shape}', {values})", Text).label("names")


def _value(name: str, kind: str, words: Mapping[str, str]) -> str:
    column = f'messages."{name}"'
    quoted = words["quoted"].format
    if name == "from":
        return _sender(words)
    if name == "authors":
        one = f"CASE WHEN messages.from_address IS NULL THEN '[]' ELSE '[' || {_sender(words)} || ']' END"
        return f"coalesce({_people(column, words)}, {one})"
    if name == "thread_id":
        digest = words["hex"].format(column)  # SQLite's of null is a text
        return f"""CASE WHEN {column} IS NULL THEN 'null' ELSE '"thr_' || {digest} || '"' END"""
    if name == "raw_sha256":
        either = words["hex"].format(f"coalesce(messages.expired_sha256, {column})")
        return f"""'"' || {either} || '"'"""
    if name == "expired":
        return "CASE WHEN messages.expired_sha256 IS NULL THEN 'false' ELSE 'true' END"
    return {
        _PLAIN: column,
        _TEXT: f"coalesce({quoted(column)}, 'null')",
        _FLAG: f"CASE WHEN {column} IS NULL THEN 'null' WHEN {column} THEN 'true' ELSE 'false' END",
        _JSON: f"coalesce({words['json'].format(column)}, 'null')",
        _PEOPLE: f"coalesce({_people(column, words)}, 'null')",
        _MOMENT: f"""coalesce('"' || {words["moment"].format(column)} || '"', 'null')""",
    }[kind]


def _sender(words: Mapping[str, str]) -> str:
    name, address = (words["quoted"].format(f"messages.{column}") for column in ("from_name", "from_address"))
    named = f"CASE WHEN messages.from_name <> '' THEN {name} ELSE 'null' END"
    return (
        f"CASE WHEN messages.from_address IS NULL THEN 'null' "
        f"""ELSE '{{"name":' || {named} || ',"address":' || {address} || '}}' END"""
    )


def _people(column: str, words: Mapping[str, str]) -> str:
    """An empty name is null. No text within JSON has a bare quote, so that what is replaced is a member."""
    return f"""replace({words["json"].format(column)}, '"name": ""', '"name": null')"""
