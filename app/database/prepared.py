"""Statements that are made once and executed often, by the driver itself.

SQLAlchemy compiles a statement once too. But around each execution it makes contexts, looks for hooks and describes the
result anew, which takes several times as long as a short statement itself.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, CursorResult, Executable, Result
from sqlalchemy.engine import IteratorResult
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import visitors
from sqlalchemy.sql.compiler import SQLCompiler
from sqlmodel import Session

Parameters = Mapping[str, Any]
Rows = Result[*tuple[Any, ...]]
_Processors = Sequence[tuple[int, Callable[[Any], Any]]]  # by place, for those that need one

_MOST_FORMS: Final = 200
_MOST_DOUBLED: Final = 512  # values of a list: up to here their number is a power of two, beyond a multiple


class PreparedStatement:
    """A statement that is executed as ``Connection.execute`` would, with the same outcome.

    It may have lists (``in_`` of a parameter), and columns to write that are named by the parameters. Lists are filled
    up with their last values to one of a few lengths, for each length is a statement of its own. Who listens for
    statements (an event of SQLAlchemy's) hears these too: they take SQLAlchemy's way then.

    ``is_binary``: PostgreSQL is asked for values as octets; octets themselves are twice as long as text.
    """

    def __init__(self, statement: Executable, *, is_binary: bool = False) -> None:
        self._statement = statement
        self._is_binary = is_binary
        elements = visitors.iterate(statement)  # type: ignore[arg-type]  # an Executable is an element
        parameters = [one for one in elements if isinstance(one, BindParameter)]
        self._lists = tuple({one.key for one in parameters if one.expanding and one.required})
        self._forms: dict[tuple[object, ...], _Form] = {}

    def rows(self, db: Session, parameters: Parameters) -> Rows:
        """The rows that it gives."""
        connection = db.connection()
        if _is_heard(connection):
            return connection.execute(self._statement, parameters)
        parameters = self._filled_up(parameters)
        return self._form(connection, parameters).rows(connection, parameters)

    def change(self, db: Session, parameters: Parameters) -> int:
        """Make a change; how many rows it met."""
        return self.change_each(db, [parameters])

    def change_each(self, db: Session, many: Sequence[Parameters]) -> int:
        """Make a change for each of these, which have the same names; how many rows were met."""
        connection = db.connection()
        if _is_heard(connection):
            return _met(connection.execute(self._statement, many))
        if self._lists:
            many = [self._filled_up(parameters) for parameters in many]
        return self._form(connection, many[0]).change(connection, many)

    def _filled_up(self, parameters: Parameters) -> Parameters:
        if not self._lists:
            return parameters
        return {**parameters, **{name: _filled_up([*parameters[name]]) for name in self._lists}}

    def _form(self, connection: Connection, parameters: Parameters) -> "_Form":
        """The statement for this database, these columns, and lists of these lengths."""
        lengths = [len(parameters[name]) for name in self._lists]
        key = (connection.dialect.name, *parameters, *lengths)
        form = self._forms.get(key)
        if form is None:
            if len(self._forms) >= _MOST_FORMS:
                self._forms.clear()
            form = self._forms[key] = _Form(
                self._statement, connection, parameters, is_binary=self._is_binary
            )
        return form


class _Form:
    """A statement as the driver takes it, with how values go in and come out."""

    def __init__(
        self, statement: Any, connection: Connection, parameters: Parameters, *, is_binary: bool
    ) -> None:
        dialect = connection.dialect
        self._cursor_options = {"binary": True} if is_binary and dialect.name == "postgresql" else {}
        self._columns = getattr(statement, "exported_columns", None) or None
        compiled: SQLCompiler = statement.compile(
            dialect=dialect, column_keys=list(parameters), for_executemany=self._columns is None
        )
        assert not {*compiled.insert_prefetch, *compiled.update_prefetch, *compiled.literal_execute_params}
        expanded = compiled.construct_expanded_state(dict(parameters))
        self._text, self._error_class = expanded.statement, dialect.loaded_dbapi.Error
        self._is_positional = expanded.positiontup is not None
        self._names = list(expanded.positiontup or expanded.parameters)
        of_lists = {one: name for name, ones in expanded.parameter_expansion.items() for one in ones}
        self._lists = [item for item in expanded.parameter_expansion.items() if item[0] in parameters]
        binds = {name: compiled.binds[of_lists.get(name, name)] for name in self._names}
        self._fixed = {name: expanded.parameters[name] for name, one in binds.items() if not one.required}
        self._named = _getter(self._names)
        self._inward = _needed(
            binds[name].type.dialect_impl(dialect).bind_processor(dialect) for name in self._names
        )
        self._described: tuple[SimpleResultMetaData, _Processors] | None = None

    def rows(self, connection: Connection, parameters: Parameters) -> Rows:
        (values,) = self._values([parameters])
        try:
            cursor = connection.connection.cursor(**self._cursor_options)
            cursor.execute(self._text, values)
            rows = cursor.fetchall()
        except self._error_class as error:
            raise as_sqlalchemys(error, connection, self._text) from error
        metadata, outward = self._described or self._describe(connection, cursor)
        cursor.close()
        return IteratorResult(metadata, iter(_processed(rows, outward) if outward else rows))

    def change(self, connection: Connection, many: Sequence[Parameters]) -> int:
        values = self._values(many)
        try:
            cursor = connection.connection.cursor()
            if len(values) == 1:
                cursor.execute(self._text, values[0])
            else:
                cursor.executemany(self._text, values)
        except self._error_class as error:
            raise as_sqlalchemys(error, connection, self._text) from error
        return int(cursor.rowcount)

    def _values(self, many: Sequence[Parameters]) -> list[Any]:
        """What the driver takes for each of these. A value that is the one of the row before is made ready once."""
        if self._fixed or self._lists:
            many = [self._complete(parameters) for parameters in many]
        rows = [list(values) for values in map(self._named, many)]
        for place, process in self._inward:
            last: Any = rows  # is nobody's value
            ready: Any = None
            for row in rows:
                if row[place] is not last:
                    last = row[place]
                    ready = process(last)
                row[place] = ready
        return rows if self._is_positional else [dict(zip(self._names, row, strict=True)) for row in rows]

    def _complete(self, parameters: Parameters) -> Parameters:
        """With the constants of the statement, and a name for each value of a list."""
        complete = {**self._fixed, **parameters}
        for name, ones in self._lists:
            complete.update(zip(ones, parameters[name], strict=True))
        return complete

    def _describe(
        self, connection: Connection, cursor: DBAPICursor
    ) -> tuple[SimpleResultMetaData, _Processors]:
        """The names of the columns, and how the driver's values become ours."""
        told, dialect = cursor.description or (), connection.dialect
        outward = (
            column.type.dialect_impl(dialect).result_processor(dialect, kind[1])
            for column, kind in zip(self._columns or (), told, strict=self._columns is not None)
        )
        self._described = SimpleResultMetaData([column[0] for column in told]), _needed(outward)
        return self._described


def _filled_up(values: list[Any]) -> list[Any]:
    length = len(values)
    if length > _MOST_DOUBLED:
        wanted = -(-length // _MOST_DOUBLED) * _MOST_DOUBLED
    else:
        wanted = 1 << (length - 1).bit_length() if length else 0
    return values + values[-1:] * (wanted - length)


def _getter(names: Sequence[str]) -> Callable[[Parameters], Sequence[Any]]:
    """Gets the values with these names, in order."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda parameters: [parameters[name] for name in names]


def _needed(processors: Iterable[Callable[[Any], Any] | None]) -> _Processors:
    return [(place, process) for place, process in enumerate(processors) if process is not None]


def _processed(rows: Iterable[Sequence[Any]], outward: _Processors) -> list[tuple[Any, ...]]:
    processed = []
    for row in rows:
        values = list(row)
        for place, process in outward:
            values[place] = process(values[place])
        processed.append(tuple(values))
    return processed


def _is_heard(connection: Connection) -> bool:
    """Whether somebody listens for statements."""
    hooks = connection.dispatch
    return bool(hooks.before_cursor_execute or hooks.after_cursor_execute or hooks.before_execute)


def _met(result: CursorResult[*tuple[Any, ...]]) -> int:
    return result.rowcount


def as_sqlalchemys(error: Any, connection: Connection, text: str) -> DBAPIError:
    """A driver's error as SQLAlchemy raises it; a connection that is lost is not used again."""
    dialect = connection.dialect
    driver = dialect.loaded_dbapi
    is_lost = dialect.is_disconnect(error, connection.connection.dbapi_connection, None)
    if is_lost:
        connection.invalidate(error)
    told: DBAPIError = DBAPIError.instance(
        text,
        None,
        error,
        driver.Error,
        hide_parameters=True,
        connection_invalidated=is_lost,
        dialect=dialect,
    )
    return told
