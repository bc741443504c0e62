"""What one writes in an hour: poplib, one message after the other, into SQLite, a commit per batch.

Usage: python poplib_loop.py HOST PORT USERNAME PASSWORD DATABASE
"""

import poplib
import sqlite3
import sys

_BATCH = 200

# The standard library refuses lines of more than 2,048 octets, and with them much real mail.
poplib._MAXLINE = 1 << 30  # type: ignore[attr-defined]


def sync(host: str, port: int, username: str, password: str, database: str) -> None:
    """Stores what is new. Raises poplib.error_proto when the server refuses."""
    db = sqlite3.connect(database)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE IF NOT EXISTS messages (unique_id BLOB PRIMARY KEY, raw BLOB NOT NULL)")
    known = {row[0] for row in db.execute("SELECT unique_id FROM messages")}
    session = poplib.POP3(host, port)
    session.user(username)
    session.pass_(password)
    batch = []
    for line in session.uidl()[1]:
        number, unique_id = line.split()
        if unique_id in known:
            continue
        batch.append((unique_id, b"\r\n".join(session.retr(int(number))[1]) + b"\r\n"))
        if len(batch) == _BATCH:
            _store(db, batch)
            batch = []
    _store(db, batch)
    session.quit()
    db.close()


def _store(db: sqlite3.Connection, batch: list[tuple[bytes, bytes]]) -> None:
    with db:
        db.executemany("INSERT INTO messages VALUES (?, ?)", batch)


if __name__ == "__main__":
    _host, _port, _username, _password, _database = sys.argv[1:]
    sync(_host, int(_port), _username, _password, _database)
