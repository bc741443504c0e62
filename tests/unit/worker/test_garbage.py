"""When garbage is looked for."""

from app.worker.garbage import Garbage


async def test_garbage_is_looked_for_while_little_is_held_and_else_the_eleventh_time() -> None:
    held, looks, seen = iter([False, *[True] * 12, False]), list[str](), list[int]()
    garbage = Garbage(is_much_held=lambda: next(held), collect=lambda: looks.append("looked"))
    for _ in range(14):
        await garbage.look()
        seen.append(len(looks))
    assert seen == [1, *[1] * 10, 2, 2, 3]
