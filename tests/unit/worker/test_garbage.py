"""When garbage is looked for."""

import asyncio
from pathlib import Path

from app.worker.garbage import Garbage
from tests.service import running, settings_for


async def test_garbage_is_looked_for_while_little_is_held_and_else_the_eleventh_time() -> None:
    held, looks, seen = iter([False, *[True] * 12, False]), list[str](), list[int]()
    garbage = Garbage(is_much_held=lambda: next(held), collect=lambda: looks.append("looked"))
    for _ in range(14):
        await garbage.look()
        seen.append(len(looks))
    assert seen == [1, *[1] * 10, 2, 2, 3]


async def test_a_process_that_runs_no_syncs_looks_for_garbage_too(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, role="api")):
        assert "look_for_garbage" in {task.get_name() for task in asyncio.all_tasks()}
