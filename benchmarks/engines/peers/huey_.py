"""huey. Usage: python -m benchmarks.engines.peers.huey_ URL JOBS, with postgresql://… or sqlite:///…"""

import sys
import threading
from importlib.metadata import version
from typing import Any

import huey
from huey.consumer import Consumer

from benchmarks.engines.turn import Bodies, play


class _InAThread(Consumer):  # type: ignore[misc, unused-ignore]  # nothing of it is installed where types are checked
    """One that leaves the signals of the process alone."""

    def _set_signal_handlers(self) -> None:
        pass


def main(url: str, count: str) -> None:
    bodies, engine = Bodies(), _engine(url)

    def nothing() -> None:
        bodies.ran()

    task = engine.task(name="nothing")(nothing)
    # The wait between two looks at an empty queue grows from 0.1 s to the ten seconds that are its default.
    threading.Thread(target=_InAThread(engine).run, daemon=True).start()

    def queue(jobs: int) -> None:
        for _ in range(jobs):
            task()

    play(f"huey {version('huey')}", queue, bodies, int(count))


def _engine(url: str) -> Any:
    if url.startswith("sqlite:"):
        return huey.SqliteHuey("bench", filename=url.removeprefix("sqlite:///"))
    return huey.PostgresHuey("bench", dsn=url)


if __name__ == "__main__":
    main(*sys.argv[1:])
