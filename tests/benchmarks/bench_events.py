"""What a flood of events costs the window: 1,000 progress events a second for some seconds.

Run by hand from the repository: ``python tests/benchmarks/bench_events.py``. Prints one JSON line.
``late_p95`` is by how many seconds a 10 ms timer of this process is late during the flood (the
window's timer would be too), ``late_p95_idle`` the same without a flood. ``waiting_max`` is how
long the queue ever was while the consumer looked 20 times a second, ``waiting_unread`` after a
flood that nobody read. ``cpu_share`` is this process's, of one core.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from engine.executors.process import ProcessExecutor
from engine.job import Event, JobSpec, Progress, is_terminal

SECONDS = 5
RATE = 1000
AT_ONCE = 20_000
CONSUMER_INTERVAL = 0.05
PLUGIN = "tests.engine.executors.job_kinds"
BUDGETS = {"late_p95": 0.033, "waiting_max": 20, "waiting_unread": 20}


class Ticker:
    """A 10 ms timer that notes by how much it is late."""

    def __init__(self) -> None:
        self._late: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tick)

    def __enter__(self) -> Ticker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def p95(self) -> float:
        return sorted(self._late)[int(0.95 * len(self._late))]

    def _tick(self) -> None:
        while not self._stop.is_set():
            asked = time.perf_counter()
            time.sleep(0.01)
            self._late.append(time.perf_counter() - asked - 0.01)


def flood(count: int, rate: float | None = None) -> JobSpec:
    """A job that reports ``rate`` times a second, or as fast as it can."""
    pause = 1 / rate if rate else 0.0
    return JobSpec("test.flood", {"count": count, "seconds": pause}, device="cpu")


def read(executor: ProcessExecutor, waiting: list[int] | None = None) -> list[Event]:
    """Events of a job until its end, looked for 20 times a second like the window does."""
    events: list[Event] = []
    while not (events and is_terminal(events[-1])):
        time.sleep(CONSUMER_INTERVAL)
        if waiting is not None:
            waiting.append(len(executor._events))
        events += executor.events(1.0)
    return events


def main() -> None:
    """Measure and print."""
    report: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        executor = ProcessExecutor(Path(folder), plugins=[PLUGIN], warm=False)
        executor.submit(JobSpec("test.work", {"count": 1}, device="cpu"))
        read(executor)

        with Ticker() as ticker:
            time.sleep(2)
        report["late_p95_idle"] = ticker.p95()

        waiting: list[int] = []
        cpu, started = time.process_time(), time.perf_counter()
        with Ticker() as ticker:
            executor.submit(flood(RATE * SECONDS, RATE))
            events = read(executor, waiting)
        elapsed = time.perf_counter() - started
        report["events_per_second"] = RATE * SECONDS / elapsed
        report["progress_delivered_per_second"] = (
            sum(isinstance(event, Progress) for event in events) / elapsed
        )
        report["late_p95"] = ticker.p95()
        report["waiting_max"] = max(waiting)
        report["cpu_share"] = (time.process_time() - cpu) / elapsed

        started = time.perf_counter()
        executor.submit(flood(AT_ONCE))
        read(executor)
        report["events_per_second_at_most"] = AT_ONCE / (time.perf_counter() - started)

        executor.submit(flood(AT_ONCE))
        time.sleep(SECONDS)
        report["waiting_unread"] = len(executor._events)
        executor.close()
    within = {name: report[name] <= budget for name, budget in BUDGETS.items()}
    figures = {name: float(f"{value:.3g}") for name, value in report.items()}
    print(json.dumps({"benchmark": "events", "unit": "s", **figures, "within_budget": within}))


if __name__ == "__main__":
    main()
