"""DBOS. Usage: python -m benchmarks.engines.peers.dbos_ URL JOBS: through a queue that is polled every 0.25 s."""

import sys
from importlib.metadata import version

from dbos import DBOS

from benchmarks.engines.turn import AT_ONCE, Bodies, play

_POLL_SECONDS = 0.25


def main(url: str, count: str) -> None:
    bodies = Bodies()
    DBOS(
        config={"name": "bench", "system_database_url": url, "run_admin_server": False, "log_level": "ERROR"}
    )

    def nothing() -> None:
        bodies.ran()

    workflow = DBOS.workflow(name="nothing")(nothing)
    DBOS.launch()
    DBOS.register_queue("jobs", worker_concurrency=AT_ONCE, polling_interval_sec=_POLL_SECONDS)

    def queue(jobs: int) -> None:
        for _ in range(jobs):
            DBOS.enqueue_workflow("jobs", workflow)

    play(f"DBOS {version('dbos')}", queue, bodies, int(count))


if __name__ == "__main__":
    main(*sys.argv[1:])
