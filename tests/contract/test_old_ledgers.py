"""A mailbox of every earlier schema keeps its ledger: nothing of it comes again, whatever was written into it since."""

from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import zstandard
from sqlalchemy import create_engine

from app.database import driver_url
from app.database.schema import revisions, upgrade
from app.mail.fingerprint import fingerprint
from tests.rows import NOW, tables_of
from tests.simulator.bench import Bench
from tests.simulator.maildrop import Mail, letter

NAMES = {41: "a", 42: "b", 43: "c"}  # by unique-ids that are no message-numbers


def old_rows(number: int, content: bytes) -> dict[str, dict[str, Any]]:
    """What versions that knew neither names nor generations wrote for a stored message."""
    digest = sha256(content).digest()
    marks = fingerprint(content, digest)
    return {
        "contents": {
            "sha256": digest, "octets": len(content), "blocks": 1,
            "data": zstandard.ZstdCompressor().compress(content),
        },
        "messages": {
            "seq": number, "mailbox_id": 1, "unique_id": b"%d" % number, "occurrence": 1, "subject": f"mail {number}",
            "to": [], "cc": [], "reply_to": [], "retrieved_at": NOW, "octets": len(content), "raw_sha256": digest,
            "has_attachments": False, "snippet": "", "warnings": [],
        },
        "unique_ids": {
            "mailbox_id": 1, "unique_id": b"%d" % number, "occurrence": 1, "state": "stored",
            "octets": len(content), "first_seen_at": NOW, "message_seq": number, "attempts": 0, "is_wanted": False,
            "headers_sha256": marks.headers, "content_sha256": marks.content,
        },
    }  # fmt: skip


def fill(url: str) -> None:
    """A mailbox with three stored messages, in the columns that there are."""
    tables, engine = tables_of(url).tables, create_engine(driver_url(url))
    mailbox = {
        "id": 1, "name": "m", "host": "h", "port": 110, "security": "none", "username": "u", "created_at": NOW,
        "allow_cleartext_password": True, "initial_sync": "from_now", "server_retention": {"mode": "keep"},
        "status": "active", "listed_at": NOW, "ids_changed": False, "failures": 0,
    }  # fmt: skip
    with engine.begin() as connection:
        connection.execute(tables["mailboxes"].insert(), mailbox)
        for number, name in NAMES.items():
            for table, row in old_rows(number, letter(name)).items():
                connection.execute(tables[table].insert(), row)
        connection.execute(tables["feed"].update().values(last_seq=max(NAMES)))
    engine.dispose()


@pytest.mark.parametrize("revision", revisions()[:-1])
async def test_nothing_of_an_older_ledger_comes_again(empty_url: str, tmp_path: Path, revision: str) -> None:
    upgrade(empty_url, revision)
    fill(empty_url)
    upgrade(empty_url)
    bench = Bench.of(empty_url)
    try:
        bench.now += timedelta(days=1)
        scanned = "X-Scan: yes\r\n"
        for number, name in NAMES.items():
            content = letter(name, headers=scanned, size=1_000 + len(scanned))
            bench.maildrop.mails.append(Mail(b"%d" % number, content))
        report = await bench.sync()
        assert (report["known"], report["new"], bench.maildrop.retrievals) == (3, 0, 0)
        for mail in bench.maildrop.mails:
            mail.unique_id = b"new-" + mail.unique_id
        bench.maildrop.mails.append(Mail(b"new-4", letter("d")))
        report = await bench.sync()
        assert (report["known"], report["retrieved"]) == (3, 1)
        assert [line.generation for line in await bench.lines()] == [1] * 7
    finally:
        bench.close()
