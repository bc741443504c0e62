"""A name server that says nothing costs the mailboxes of its names time, and nobody else."""

import asyncio
from pathlib import Path
from typing import Any

from tests.fakes.name_server import FakeNameServer
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server
from tests.service import running, settings_for

SILENT = 24
ROUND = 4.0  # seconds that a look-up may take


def drop_of_one() -> FakeMaildrop:
    drop = FakeMaildrop()
    drop.deliver(b"Subject: hello\r\n\r\nx\r\n", "a")
    return drop


async def test_many_mailboxes_on_a_silent_name_server_hold_up_no_neighbour(tmp_path: Path) -> None:
    drop = drop_of_one()
    async with (
        FakePop3Server(drop) as server,
        FakeNameServer({"pop.healthy.example": ["127.0.0.1"]}, silent=["silent.example"]) as names,
    ):
        settings = settings_for(
            tmp_path / "data",
            name_servers=names.address,
            lookup_timeout_seconds=ROUND,
            connect_timeout_seconds=60,
        )
        async with running(settings) as service:

            async def registered(host: str, **fields: Any) -> str:
                return await service.register(drop, server, host=host, name=host, **fields)

            healthy = await registered("pop.healthy.example")
            silent = [await registered(f"pop{n % 20}.silent.example") for n in range(SILENT)]
            asked = [(await service.http.post(f"/mailboxes/{each}/sync")).json()["id"] for each in silent]
            while len(names.asked) < 20:
                await asyncio.sleep(0.01)
            for _ in range(3):
                assert (await service.sync(healthy))["status"] == "succeeded"
            assert {(await service.http.get(f"/syncs/{each}")).json()["status"] for each in asked} == {
                "running"
            }
            ended = [await service.ended(each) for each in asked]
            assert {sync["error"]["code"] for sync in ended} == {"connect_failed"}
            assert all("no name server answered within 4 s" in sync["error"]["detail"] for sync in ended)
            assert max(names.asked.values()) <= 2, "once for all who ask, and repeated once"
            tried = await service.http.post(
                "/mailboxes/test",
                json={
                    "host": "pop0.silent.example", "port": server.port, "security": "none", "username": "u",
                    "password": "p", "allow_cleartext_password": True,
                },
            )  # fmt: skip
            step = tried.json()["steps"][-1]
            assert (step["step"], step["code"]) == ("dns", "connect_failed")
            assert "No name server" in step["cause"]
            assert step["remedy"]
