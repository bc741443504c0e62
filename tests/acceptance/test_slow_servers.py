"""Servers that hardly move: they keep their places while nobody else wants them, and no longer."""

import asyncio
from pathlib import Path

from tests.fakes.pop3_server import LOCK_STEP, FakeMaildrop, FakePop3Server, Faults
from tests.service import digests, digests_of, running, settings_for

FIRST = b"Subject: first\r\n\r\nx\r\n"


def drop_of(*contents: bytes) -> FakeMaildrop:
    drop = FakeMaildrop()
    for number, content in enumerate(contents):
        drop.deliver(content, f"id-{number}")
    return drop


async def test_a_drip_is_let_be_until_another_waits_for_its_place_and_then_keeps_what_came_whole(
    tmp_path: Path,
) -> None:
    slow_drop, quick_drop = drop_of(FIRST, b"Subject: drip\r\n\r\n" + b"y" * 2_000), drop_of(FIRST)
    drips = FakePop3Server(slow_drop, capabilities=LOCK_STEP, faults=Faults(drip={"RETR 2": 0.02}))
    settings = settings_for(
        tmp_path / "data", sync_concurrency=1, slow_after_seconds=0.5, tick_seconds=60, finished_syncs_days=0
    )
    async with drips, FakePop3Server(quick_drop) as quick, running(settings) as service:
        slow_id = await service.register(slow_drop, drips, name="slow")
        asked = (await service.http.post(f"/mailboxes/{slow_id}/sync")).json()["id"]
        while "RETR 2" not in drips.commands:
            await asyncio.sleep(0.01)
        await asyncio.sleep(2.5)  # several looks for who is slow
        assert (await service.http.get(f"/syncs/{asked}")).json()["status"] == "running"
        assert (await service.sync(await service.register(quick_drop, quick, name="quick")))["status"] == (
            "succeeded"
        )
        ended = await service.ended(asked)
        assert (ended["status"], ended["error"]["code"]) == ("partial", "server_temporary")
        assert "while other mailboxes waited" in ended["error"]["detail"]
        assert digests((await service.feed())[0]) == digests_of([FIRST, FIRST])


async def test_one_address_under_many_names_has_one_share(tmp_path: Path) -> None:
    """All names of the sick address hang; one healthy mailbox comes later, and gets its place."""
    healthy = drop_of(FIRST)
    names = [f"pop{number}.localhost" for number in range(12)]  # all of them are loopback (RFC 6761)
    settings = settings_for(tmp_path / "data", sync_concurrency=8, syncs_per_host=3, tick_seconds=60)
    async with (
        FakePop3Server(faults=Faults(is_silent=True)) as sick,
        FakePop3Server(healthy) as server,
        running(settings) as service,
    ):
        asked = []
        for name in names:
            mailbox_id = await service.register(FakeMaildrop(), sick, host=name, name=name)
            asked.append((await service.http.post(f"/mailboxes/{mailbox_id}/sync")).json()["id"])
        while sick.sessions < 3:
            await asyncio.sleep(0.01)
        assert (await service.sync(await service.register(healthy, server)))["status"] == "succeeded"
        states = [(await service.http.get(f"/syncs/{each}")).json()["status"] for each in asked]
        assert sorted(states) == ["queued"] * 9 + ["running"] * 3
        assert sick.sessions == 3
