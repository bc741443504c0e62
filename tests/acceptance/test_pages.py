"""What the documents tell people to type is typed: every shell block, page by page, against a service and a Dovecot."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.servers.dovecot import Dovecot, Maildrop
from tests.service import API_KEY, ServiceProcess

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
# What tests elsewhere run: make, containers; and the loop that test_reading_the_feed.py runs as it stands.
ELSEWHERE = re.compile(r"^(make|docker) |FEED_KEY", re.MULTILINE)
WITHOUT_SERVICE = re.compile(r"maildelta (restore|migrate-data)")
PRELUDE = """\
API=http://127.0.0.1:8000/v1
AUTH="Authorization: Bearer $MAILDELTA_API_KEY"
curl() { command curl --silent --show-error --fail-with-body "$@"; }
"""


def blocks(page: Path) -> list[str]:
    return [block for block in BLOCK.findall(page.read_text()) if not ELSEWHERE.search(block)]


def letter(number: int) -> bytes:
    return b"From: shop@example.org\r\nSubject: Invoice %d\r\nMessage-ID: <%d@x>\r\n\r\nTo pay\r\n" % (
        number,
        number,
    )


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem)
def test_every_command_of_a_page_does_what_it_is_for(
    page: Path, tmp_path: Path, dovecot_server: Dovecot, maildrop: Maildrop, postgres_url: str
) -> None:
    service = ServiceProcess(tmp_path / "data")
    for number in (1, 2):
        maildrop.maildir.deliver(letter(number))
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])
    (tmp_path / "backups").mkdir()
    (tmp_path / ".fetchids").write_text(f"{maildrop.username}@127.0.0.1 0000000100000001\n")
    account = {
        "name": "m", "host": "127.0.0.1", "port": dovecot_server.port, "security": "none",
        "allow_cleartext_password": True, "username": maildrop.username, "password": maildrop.password,
    }  # fmt: skip
    environment = os.environ | {
        "MAILDELTA_API_KEY": API_KEY,
        "MAILDELTA_DATA_DIR": "data",
        "MAILDELTA_PORT": str(service.port),
    }

    def typed(block: str) -> str:
        for name, put in {
            "127.0.0.1:8000": f"127.0.0.1:{service.port}",
            '"invoices@example.org"': f'"{maildrop.username}"',
            '"correct horse"': f'"{maildrop.password}"',
            "postgresql://maildelta@localhost/maildelta": postgres_url,
        }.items():
            block = block.replace(name, put)
        server = f'"host": "127.0.0.1", "port": {dovecot_server.port}, "security": "none"'
        return re.sub(r'"host": "[^"]*"', f'{server}, "allow_cleartext_password": true', block)

    told = ""
    with service.started():
        http = httpx.Client(
            base_url=f"http://127.0.0.1:{service.port}/v1", headers={"Authorization": f"Bearer {API_KEY}"}
        )
        with http:
            if not re.search(r"\$API/mailboxes -H|-X PUT", page.read_text()):
                http.post("/mailboxes", json=account).raise_for_status()
            for block in blocks(page):
                if WITHOUT_SERVICE.search(block):
                    assert service.stop()
                if "$CURSOR" in block:
                    environment["CURSOR"] = http.get("/messages").json()["next_cursor"]
                    maildrop.maildir.deliver(letter(3))
                done = subprocess.run(
                    ["sh", "-ec", typed(PRELUDE + block)],
                    cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False,
                )  # fmt: skip
                assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
                told += done.stdout
                if not service.is_started:
                    service.start()
    for said in TOLD.get(page.stem, ()):
        assert said in told, told


TOLD = {
    "README": ['"id":"mbx_1"', '"status":"succeeded"', '"new":2', '"subject":"Invoice 2"'],
    "first-mailbox": [
        '"ok":true',
        '"id":"mbx_1"',
        '"new":2',
        '"known":2,"new":1',
        '"subject":"Invoice 3"',
        "  -\n",
    ],
    "many-mailboxes": [
        '"external_id":"acme-invoices"',
        '"created":1,"replaced":0,"failed":1',
        '"matched":2,"done":2,"failed":0',
        '"never_synced":',
        "event: done",
        '"labels":["acme"]',
    ],
    "owners": [
        '"reaches_all":false',
        '"labels":["acme","billing"]',
        '"action":"createMailbox","target":"mbx_1"',
        '"action":"revokeApiKey"',
    ],
    "moving": ["fetchmail: 1 unique-ids imported", '"already_known":1', '"status":"succeeded"'],
    "backup-and-upgrade": ["Restored."],
    "postgresql": ["All is there."],
    "troubleshooting": ['"step":"uidl"', '"ok":true'],
}
