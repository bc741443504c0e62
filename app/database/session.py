"""The session of a unit of work: its connection at once, and a session of SQLAlchemy only for those who need one.

Most units of work execute statements and nothing else. To set a session up, and to have it follow each step of its
transaction, takes longer than the statements of a poll.
"""

from typing import Any

from sqlalchemy import Connection, Engine
from sqlmodel import Session


class UnitSession(Session):
    """A session in a transaction of its own, which is on the connection that ``connection`` gives.

    Its own ``__init__`` runs when something is asked for that a session alone can do: to flush an object, to begin a
    savepoint. It joins the transaction then.
    """

    def __init__(self, engine: Engine) -> None:
        # Without super(): what that would set, __getattr__ sets up.
        self._engine = engine
        self._connection: Connection | None = None
        self._is_set_up = False

    def __getattr__(self, name: str) -> Any:
        """Set the session up for the first that asks for something that a session has of its own."""
        if self.__dict__.get("_is_set_up", True):
            raise AttributeError(name)
        connection = self.connection()
        self._is_set_up = True
        super().__init__(connection, expire_on_commit=False, join_transaction_mode="control_fully")
        return getattr(self, name)

    def connection(self, *_: Any, **__: Any) -> Connection:
        """The connection, on which the transaction begins with the first question for it."""
        if self._connection is None:
            self._connection = self._engine.connect()
            self._connection.begin()
        return self._connection

    def get_bind(self, *arguments: Any, **named: Any) -> Engine | Connection:
        """Where statements go."""
        return super().get_bind(*arguments, **named) if self._is_set_up else self._engine

    def empty(self) -> None:
        """Write what objects wait to have written, and forget all of them."""
        if self._is_set_up:
            self.flush()
            self.expunge_all()

    def commit(self) -> None:
        """Commit, together with what objects wait to have written."""
        if self._is_set_up:
            super().commit()
        elif self._connection is not None:
            self._connection.commit()

    def close(self) -> None:
        """Give the connection back. What is not committed by then leaves no trace."""
        if self._is_set_up:
            super().close()
        if self._connection is not None:
            self._connection.close()
