"""A job engine that keeps asks and runs them when the test says so."""

from collections.abc import Sequence

from app.jobs.port import Job, JobEngine, UnknownJob


class InlineJobs:
    """Asked jobs run in ``settle``, one after the other, in the test's own task; errors reach the test.

    ``asked`` holds the names that wait, in order, each once.
    """

    def __init__(self, jobs: Sequence[Job] = ()) -> None:
        self.jobs = {job.name: job for job in jobs}
        self.asked: list[str] = []
        self.started = False

    async def start(self) -> None:
        self.started = True

    async def stop(self, *, within_seconds: float) -> None:
        self.started = False

    def ask(self, name: str) -> None:
        if name not in self.jobs:
            raise UnknownJob(name)
        if name not in self.asked:
            self.asked.append(name)

    async def settle(self) -> None:
        """Run what was asked for, and what that asks for, until nothing is left."""
        while self.asked:
            await self.jobs[self.asked.pop(0)].run()


_: type[JobEngine] = InlineJobs
