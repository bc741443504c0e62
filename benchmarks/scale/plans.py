"""Query plans: the statements of a question as they were sent, and what the database does for each, in few words."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

from sqlalchemy import Connection, Engine, event

_PAGES = "SELECT sum(pg_stat_get_xact_blocks_fetched(oid)) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
_BOUNDED = ("json_each", "json_array_elements", "unnest")  # tables that a statement brings along
_SMALL = ("feed",)  # it has one row


@dataclass(frozen=True)
class Plan:
    """One statement, and the steps of its plan, outermost first."""

    statement: str
    steps: tuple[str, ...]

    @property
    def doubts(self) -> tuple[str, ...]:
        """Steps that read a table or an index from end to end, or sort: fine only where little can be there."""
        return tuple(step for step in self.steps if is_doubtful(step))


class Heard:
    """The statements that an engine sends, while somebody listens."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.sent: dict[str, Any] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Each statement once, with the first parameters that it was sent with."""
        event.listen(self._engine, "before_cursor_execute", self._hear)
        try:
            yield
        finally:
            event.remove(self._engine, "before_cursor_execute", self._hear)

    def _hear(self, _db: Any, _cursor: Any, statement: str, parameters: Any, *told: Any) -> None:
        is_many = told[-1]
        if statement.lstrip().split(None, 1)[0].upper() in {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"}:
            self.sent.setdefault(statement, parameters[0] if is_many else parameters)


def plans(connection: Connection, sent: dict[str, Any]) -> list[Plan]:
    """What this database would do for these statements, in the state that the connection sees."""
    found = []
    for statement, parameters in sent.items():
        if connection.dialect.name == "sqlite":
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            lines = [row[3] for row in rows]
            steps = sqlite_steps(lines)
        else:
            rows = connection.exec_driver_sql(f"EXPLAIN (COSTS OFF) {statement}", parameters)
            steps = postgresql_steps([row[0] for row in rows])
        found.append(Plan(shortened(statement), steps))
    return found


@contextmanager
def effort(connection: Connection) -> Iterator[list[int]]:
    """What the database does in the block, in numbers that no other load changes; they are added at its end.

    SQLite: instructions of its machine. PostgreSQL: pages of our tables and indices that were looked at.
    """
    counted: list[int] = []
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        steps = count()
        driver.set_progress_handler(lambda: next(steps) < 0, 1)
        try:
            yield counted
        finally:
            driver.set_progress_handler(None, 0)
        counted.append(next(steps))
    else:
        before = connection.exec_driver_sql(_PAGES).scalar_one()
        yield counted
        counted.append(int(connection.exec_driver_sql(_PAGES).scalar_one() - before))


def shortened(statement: str) -> str:
    """One line, without the columns that are read, given or written."""
    line = " ".join(statement.split())
    line = re.sub(r"\bSELECT (?:(?!\bSELECT\b|\bFROM\b).)*? FROM\b", _without_columns, line)
    line = re.sub(r"(INSERT INTO \w+) \(.*", r"\1 …", line)
    line = re.sub(r" SET .*? WHERE ", " SET … WHERE ", line)
    line = re.sub(r" RETURNING .*", " RETURNING …", line)
    line = re.sub(r"%\((\w+?)\)s(?:::\w+(?: WITH(?:OUT)? TIME ZONE)?)?", "?", line)
    line = re.sub(r"\((?:\?, )+\?\)", "(?, …)", line)
    return line if len(line) <= 300 else f"{line[:299]}…"


def _without_columns(found: "re.Match[str]") -> str:
    return found.group() if len(found.group()) < 40 else "SELECT … FROM"


def sqlite_steps(lines: Sequence[str]) -> tuple[str, ...]:
    """What EXPLAIN QUERY PLAN says, without what only groups."""
    grouping = (
        "QUERY PLAN",
        "MULTI-INDEX OR",
        "INDEX ",
        "LIST SUBQUERY",
        "SETUP",
        "RECURSIVE STEP",
        "CO-ROUTINE",
    )
    return tuple(line for line in lines if not line.startswith(grouping) and "CONSTANT ROW" not in line)


def postgresql_steps(lines: Sequence[str]) -> tuple[str, ...]:
    """The nodes of the tree, without conditions and names of schemas."""
    nodes = [re.sub(r"^[ ]*(?:->[ ]*)?", "", line) for line in lines if re.match(r"[ ]*->|\w", line)]
    return tuple(node for node in nodes if " Scan" in node or node.startswith(("Sort", "Incremental Sort")))


def is_doubtful(step: str) -> bool:
    """Whether a step reads from end to end or sorts, unless it is over what the statement brings along."""
    words = step.split()
    if words[:1] == ["SCAN"]:  # SQLite
        return words[1] not in {*_BOUNDED, *_SMALL, "walk", "value"} and not words[1].startswith("(")
    if step.startswith(("USE TEMP B-TREE", "Sort", "Incremental Sort")):
        return True
    _before, is_scan, what = step.partition("Seq Scan on ")
    return bool(is_scan) and what.split()[0] not in _SMALL
