"""Does the window stay fluid while the engine floods it, and while 10,000 jobs are queued?

``python tests/benchmarks/bench_event_flood.py [--seconds N]``

A job in the real engine process sends progress as fast as it can be asked to; the whole window is
open on its Queue page. A 10 ms timer in the window's thread is the measure: by how much it is late is
what the user feels. Budgets: at 1,000 events a second p95 of the lateness <= 33 ms; 10,000 jobs are
queued within 2 s.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ["TRIPTYCH_PLUGINS"] = "tests.engine.executors.job_kinds"

TICK = 0.010
RATE = 1000


class Ticker:
    """Records how late a 10 ms timer is served."""

    def __init__(self) -> None:
        from PySide6.QtCore import Qt, QTimer

        self.late: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer(interval=round(TICK * 1000), timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)

    def start(self) -> None:
        """Begin anew."""
        self.late.clear()
        self._last = time.perf_counter()
        self._timer.start()

    def report(self, title: str) -> str:
        """Stop and summarise, in milliseconds."""
        self._timer.stop()
        late = sorted(1000 * value for value in self.late)
        p95 = late[int(0.95 * (len(late) - 1))]
        return (
            f"{title:28} timer late by: median {statistics.median(late):5.1f}  p95 {p95:5.1f}  "
            f"max {late[-1]:5.1f} ms ({len(late)} ticks)\n"
        )

    def _tick(self) -> None:
        now = time.perf_counter()
        self.late.append(max(0.0, now - self._last - TICK))
        self._last = now


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        for kind in ("CONFIG", "STATE", "DATA", "CACHE"):
            os.environ[f"XDG_{kind}_HOME"] = f"{home}/{kind}"
        measure(Path(home) / "project", options.seconds)
    return 0


def measure(folder: Path, seconds: float) -> None:
    """Open the window on a new project and flood it."""
    from PySide6.QtTest import QTest
    from PySide6.QtWidgets import QApplication

    from desktop.app import Application
    from engine.job import JobSpec

    app = QApplication([])
    application = Application(app, folder, "dark", "queue")
    application.show()

    def until(condition) -> None:
        while not condition():
            QTest.qWait(10)

    until(lambda: application.services is not None)
    services = application.services
    assert services is not None
    bridge = services.bridge
    until(lambda: bridge.engine)
    ticker = Ticker()

    ticker.start()
    QTest.qWait(round(seconds * 1000))
    sys.stdout.write(ticker.report("idle"))

    shown: list[str] = []
    ended: list[str] = []
    bridge.progressed.connect(lambda *_: shown.append(""))
    bridge.finished.connect(lambda job, _: ended.append(job))
    count = round(seconds * RATE)
    params = {"count": count, "seconds": 1 / RATE}
    bridge.submit(JobSpec("test.flood", params, device="cpu"))
    until(lambda: bridge.running is not None)
    began = time.perf_counter()
    ticker.start()
    until(lambda: ended)
    took = time.perf_counter() - began
    sys.stdout.write(ticker.report(f"{count / took:.0f} events/s"))
    sys.stdout.write(f"{'':28} {count} events became {len(shown)} signals in {took:.1f} s\n")

    bridge.pause()
    QTest.qWait(200)
    ticker.start()
    began = time.perf_counter()
    bridge.submit_many([JobSpec("test.work", {"text": str(n)}, device="cpu") for n in range(10_000)])
    queued = time.perf_counter() - began
    QTest.qWait(2000)
    sys.stdout.write(ticker.report("10,000 jobs queued"))
    sys.stdout.write(f"{'':28} queued in {queued:.2f} s\n")
    application.close()


if __name__ == "__main__":
    sys.exit(main())
