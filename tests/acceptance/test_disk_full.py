"""A disk that is full: the process lives, what was committed is served, and all comes once there is room again."""

import asyncio
from pathlib import Path

from tests.servers.dovecot import Dovecot, Maildrop
from tests.servers.maildir import as_served
from tests.servers.messages import sample_messages
from tests.service import Client, ServiceProcess, digests, digests_of


async def test_a_full_disk_loses_nothing(tmp_path: Path, dovecot_server: Dovecot, maildrop: Maildrop) -> None:
    sent = list(sample_messages(400, seed=13, mean_octets=20_000))
    maildrop.maildir.deliver_many(sent)
    service = ServiceProcess(tmp_path / "data", MAILDELTA_BATCH_MESSAGES="20", MAILDELTA_LEASE_SECONDS="3")
    with service.started():
        async with service.client() as http:
            client = Client(http)
            mailbox_id = await client.register(maildrop, dovecot_server)
            service.limit_files(2_000_000)
            sync_id = (await http.post(f"/mailboxes/{mailbox_id}/sync")).json()["id"]
            for _ in range(200):
                if "storage_failed" in service.log or "sync_unfinished" in service.log:
                    break
                await asyncio.sleep(0.05)
            else:
                raise AssertionError("the disk was never full")
            assert (await http.get("/livez")).status_code == 200
            stored, _cursor = await client.feed()
            assert 0 < len(stored) < len(sent)
            assert digests_of([await client.raw(stored[0]["id"])]) == [stored[0]["raw_sha256"]]
            refused = await http.post(
                "/mailboxes", json={"name": "x" * 200, "host": "pop.example.org", "username": "u"}
            )
            assert refused.status_code in {201, 503}
            assert refused.status_code == 201 or refused.json()["code"] == "storage_failed"

            service.limit_files(None)
            sync = await client.ended(sync_id)
            if sync["status"] == "failed":  # the last word still found room
                assert sync["error"]["code"] == "storage_failed"
                sync = await client.sync(mailbox_id)
            assert sync["status"] == "succeeded"
            messages, _cursor = await client.feed()
            assert digests(messages) == digests_of(as_served(raw) for raw in sent)
