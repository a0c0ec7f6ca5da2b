"""Waiting for an executor's events, and the promises that hold for every job."""

from __future__ import annotations

import time
from collections.abc import Callable

from engine.executors import Executor
from engine.job import Event, JobSpec, Logged, Progress, Started, is_terminal

PLUGIN = "tests.engine.executors.job_kinds"
PATIENCE = 60.0


def job(kind: str, **params: object) -> JobSpec:
    """A test job on the CPU (a named device needs no torch, which saves the tests seconds)."""
    return JobSpec(f"test.{kind}", params, seed=7, device="cpu")


class Watcher:
    """Everything an executor has said so far."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.events: list[Event] = []

    def until(self, wanted: Callable[[Event], bool]) -> Event:
        """The first event that is wanted, waiting for it if need be."""
        seen = 0
        deadline = time.monotonic() + PATIENCE
        while True:
            for event in self.events[seen:]:
                if wanted(event):
                    return event
            seen = len(self.events)
            assert time.monotonic() < deadline, f"never came; so far: {self.events[-20:]}"
            self.events += self.executor.events(1.0)

    def runs(self, job_id: str) -> None:
        """Wait until the handler of a job has reported."""
        self.until(lambda event: isinstance(event, Progress) and event.job == job_id)

    def ends(self, job_id: str) -> Event:
        """Wait for a job's terminal event, and check the job's promises."""
        terminal = self.until(lambda event: is_terminal(event) and event.job == job_id)
        self.check(job_id)
        return terminal

    def of(self, job_id: str, kind: type | None = None) -> list[Event]:
        """Events of one job."""
        return [e for e in self.events if e.job == job_id and (kind is None or isinstance(e, kind))]

    def check(self, job_id: str) -> None:
        """The promises of architecture section 3 for a job that ended."""
        events = self.of(job_id)
        assert sum(map(is_terminal, events)) == 1, events
        assert is_terminal(events[-1]), events
        told = [event for event in events if not isinstance(event, Logged)]
        starts = [index for index, event in enumerate(told) if isinstance(event, Started)]
        assert starts in ([], [0]), events
        shares = [event.done / event.total for event in events if isinstance(event, Progress)]
        assert shares == sorted(shares)
        assert all(0 <= share <= 1 for share in shares)
