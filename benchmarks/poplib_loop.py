"""What one writes in an hour: poplib, one message after the other, into SQLite, a commit per batch.

Usage: python poplib_loop.py HOST PORT ACCOUNTS DATABASE [CA_FILE]
ACCOUNTS is a file with a line `username password` for each maildrop; they are read one after the other.
"""

import poplib
import sqlite3
import ssl
import sys
from pathlib import Path

_BATCH = 200

# The standard library refuses lines of more than 2,048 octets, and with them much real mail.
poplib._MAXLINE = 1 << 30  # type: ignore[attr-defined]  # its only way to long lines


def sync(session: poplib.POP3, username: str, password: str, db: sqlite3.Connection) -> None:
    """Stores what is new. Raises poplib.error_proto when the server refuses."""
    found = db.execute("SELECT unique_id FROM messages WHERE username = ?", (username,))
    known = {row[0] for row in found}
    session.user(username)
    session.pass_(password)
    batch = []
    for line in session.uidl()[1]:
        number, unique_id = line.split()
        if unique_id in known:
            continue
        batch.append((username, unique_id, b"\r\n".join(session.retr(int(number))[1]) + b"\r\n"))
        if len(batch) == _BATCH:
            _store(db, batch)
            batch = []
    _store(db, batch)
    session.quit()


def _store(db: sqlite3.Connection, batch: list[tuple[str, bytes, bytes]]) -> None:
    if batch:
        with db:
            db.executemany("INSERT INTO messages VALUES (?, ?, ?)", batch)


def _main(host: str, port: str, accounts: str, database: str, ca_file: str | None = None) -> None:
    db = sqlite3.connect(database)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(
        "CREATE TABLE IF NOT EXISTS messages "
        "(username TEXT, unique_id BLOB, raw BLOB NOT NULL, PRIMARY KEY (username, unique_id))"
    )
    tls = ssl.create_default_context(cafile=ca_file) if ca_file else None
    for line in Path(accounts).read_text().splitlines():
        username, password = line.split()
        session = poplib.POP3_SSL(host, int(port), context=tls) if tls else poplib.POP3(host, int(port))
        sync(session, username, password, db)
    db.close()


if __name__ == "__main__":
    _main(*sys.argv[1:])
