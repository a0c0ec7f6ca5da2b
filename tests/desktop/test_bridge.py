"""The bridge over the real engine process: every signal in the window's thread, nothing lost."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QThread
from pytestqt.qtbot import QtBot

from desktop.bridge import Bridge
from engine.errors import EngineError, ErrorCode
from engine.job import JobState, Measured
from engine.project import Project
from tests.desktop.support import WAIT_MS, MakeBridge
from tests.engine.executors.watching import job as spec


class Heard:
    """Collects what a bridge says, in order, with the thread it was said in."""

    def __init__(self, bridge: Bridge) -> None:
        self.said: list[tuple[str, tuple[object, ...]]] = []
        self.foreign: list[str] = []
        self._home = QThread.currentThread()
        for name in (
            "job_added", "job_changed", "progressed", "previewed", "result_added", "warned", "failed",
            "cancelled", "finished", "engine_ready", "engine_died", "logged", "refused",
        ):  # fmt: skip
            getattr(bridge, name).connect(lambda *a, name=name: self._hear(name, a))

    def _hear(self, name: str, values: tuple[object, ...]) -> None:
        self.said.append((name, values))
        if QThread.currentThread() is not self._home:
            self.foreign.append(name)

    def names(self) -> Counter[str]:
        return Counter(name for name, _ in self.said)

    def of(self, name: str) -> list[tuple[object, ...]]:
        return [values for said, values in self.said if said == name]


def test_a_job_runs_and_everything_is_told_in_order(
    qtbot: QtBot, project: Project, make_bridge: MakeBridge
) -> None:
    bridge = make_bridge("process")
    heard = Heard(bridge)
    job = bridge.submit(spec("work", count=5, text="x"))
    assert project.job(job).state is JobState.QUEUED, "durable before anything else happens"
    with qtbot.waitSignal(bridge.finished, timeout=WAIT_MS) as finished:
        pass
    assert finished.args[0] == job
    assert finished.args[1].items() >= {"units": 5, "pair": [1, 2]}.items()
    assert project.job(job).state is JobState.SUCCEEDED
    assert heard.foreign == []
    results = heard.of("result_added")
    assert [owner for _, owner in results] == [job] * 5
    assert [project.result(result).name for result, _ in results] == [
        f"result-{n:04}" for n in range(5)
    ]
    assert heard.of("warned") == [(job, "made for a test")]
    order = [name for name, _ in heard.said]
    assert order[0] == "job_added"
    assert order[-1] == "finished"
    assert order.index("engine_ready") < order.index("result_added")
    assert heard.of("progressed")[-1][:3] == (job, 5.0, 5.0), "the last progress is never dropped"
    image = heard.of("previewed")[-1][1]
    assert isinstance(image, np.ndarray)
    assert image.shape == (2, 4, 5, 3)


def test_a_flood_of_progress_becomes_twenty_signals_a_second(
    qtbot: QtBot, make_bridge: MakeBridge
) -> None:
    bridge = make_bridge("process")
    heard = Heard(bridge)
    with qtbot.waitSignal(bridge.engine_ready, timeout=WAIT_MS):
        pass
    began = time.monotonic()
    bridge.submit(spec("flood", count=2000, seconds=0.0005))
    with qtbot.waitSignal(bridge.finished, timeout=WAIT_MS):
        pass
    seconds = time.monotonic() - began
    shown = heard.of("progressed")
    assert 1 <= len(shown) <= 20 * seconds + 5
    shares = [done for _, done, _, _ in shown]
    assert shares == sorted(shares)
    assert shares[-1] == 2000
    assert len(heard.of("result_added")) == 1


def test_previews_follow_the_chosen_rate(qtbot: QtBot, make_bridge: MakeBridge) -> None:
    bridge = make_bridge("inline")
    bridge.set_preview_rate(2)
    heard = Heard(bridge)
    began = time.monotonic()
    bridge.submit(spec("work", count=40, seconds=0.02, text="x"))
    with qtbot.waitSignal(bridge.finished, timeout=WAIT_MS):
        pass
    assert 1 <= len(heard.of("previewed")) <= 2 * (time.monotonic() - began) + 2


def test_cancel_of_a_running_and_of_a_waiting_job(
    qtbot: QtBot, project: Project, make_bridge: MakeBridge
) -> None:
    bridge = make_bridge("process")
    heard = Heard(bridge)
    running = bridge.submit(spec("wait", text="running"))
    waiting = bridge.submit(spec("wait", text="waiting"))
    qtbot.waitUntil(lambda: bridge.running == running, timeout=WAIT_MS)
    with qtbot.waitSignal(bridge.cancelled, timeout=WAIT_MS):
        bridge.cancel(waiting)
    assert project.job(waiting).state is JobState.CANCELLED
    assert bridge.running == running
    with qtbot.waitSignal(bridge.cancelled, timeout=WAIT_MS):
        bridge.cancel(running)
    assert project.job(running).state is JobState.CANCELLED
    assert bridge.running is None
    assert heard.names()["cancelled"] == 2
    assert heard.names()["failed"] == 0


def test_a_job_that_ignores_a_cancel_is_killed_and_the_next_runs(
    qtbot: QtBot, project: Project, make_bridge: MakeBridge
) -> None:
    bridge = make_bridge("process", kill_after=0.3)
    deaf = bridge.submit(spec("ignore"))
    qtbot.waitUntil(lambda: bridge.running == deaf, timeout=WAIT_MS)
    after = bridge.submit(spec("work", count=1, text="x"))
    with qtbot.waitSignal(bridge.finished, timeout=WAIT_MS) as finished:
        bridge.cancel(deaf)
    assert finished.args[0] == after
    assert project.job(deaf).state is JobState.CANCELLED


def test_the_engine_is_killed_while_it_works(
    qtbot: QtBot, project: Project, make_bridge: MakeBridge
) -> None:
    """The window lives, the job failed with ``engine_died`` once, the next job runs."""
    bridge = make_bridge("process")
    heard = Heard(bridge)
    with qtbot.waitSignal(bridge.engine_ready, timeout=WAIT_MS) as ready:
        pass
    victim = bridge.submit(spec("wait", text="x"))
    following = bridge.submit(spec("work", count=2, text="x"))
    qtbot.waitUntil(lambda: bridge.running == victim, timeout=WAIT_MS)
    with qtbot.waitSignals([bridge.failed, bridge.engine_died, bridge.finished], timeout=WAIT_MS):
        os.kill(ready.args[0]["pid"], signal.SIGKILL)
    (failure,) = heard.of("failed")
    assert failure[0] == victim
    assert isinstance(failure[1], EngineError)
    assert failure[1].code is ErrorCode.ENGINE_DIED
    assert project.job(victim).state is JobState.FAILED
    assert project.job(following).state is JobState.SUCCEEDED
    assert heard.names()["engine_ready"] == 2
    pids = {info["pid"] for (info,) in heard.of("engine_ready")}
    assert len(pids) == 2


def test_pause_holds_the_queue_and_survives_many_jobs(
    qtbot: QtBot, project: Project, make_bridge: MakeBridge
) -> None:
    bridge = make_bridge("inline")
    bridge.pause()
    jobs = bridge.submit_many([spec("work", count=1, text="x") for _ in range(5)])
    bridge.move(jobs[4], jobs[0])
    ended: list[str] = []
    bridge.finished.connect(lambda job, _: ended.append(job))
    with qtbot.waitSignal(bridge.job_changed, timeout=WAIT_MS):
        pass
    assert bridge.running is None
    assert project.counts()[JobState.QUEUED] == 5
    bridge.resume()
    qtbot.waitUntil(lambda: len(ended) == 5, timeout=WAIT_MS)
    assert ended == [jobs[4], *jobs[:4]]


def test_what_the_queue_refuses_is_told(qtbot: QtBot, make_bridge: MakeBridge) -> None:
    bridge = make_bridge("inline")
    with qtbot.waitSignal(bridge.refused, timeout=WAIT_MS) as refused:
        bridge.cancel("no such job")
    assert refused.args[0].code is ErrorCode.INVALID_INPUT


def test_close_interrupts_the_running_job_and_leaves_no_process(
    qtbot: QtBot, tmp_path: Path, make_bridge: MakeBridge, project: Project
) -> None:
    bridge = make_bridge("process")
    with qtbot.waitSignal(bridge.engine_ready, timeout=WAIT_MS) as ready:
        pass
    job = bridge.submit(spec("wait", text="x"))
    qtbot.waitUntil(lambda: bridge.running == job, timeout=WAIT_MS)
    bridge.close()
    bridge.close()
    with pytest.raises(ProcessLookupError):
        os.kill(ready.args[0]["pid"], 0)
    project.close()
    with Project.open(project.folder) as again:
        assert again.job(job).state is JobState.INTERRUPTED


def test_an_engine_that_cannot_start_is_told(qtbot: QtBot, project: Project) -> None:
    def broken(_project: Project) -> None:
        raise OSError("no such program")

    bridge = Bridge(project, broken)  # type: ignore[arg-type]
    with qtbot.waitSignal(bridge.engine_died, timeout=WAIT_MS) as died:
        bridge.start()
    assert "no such program" in died.args[0]
    bridge.close()


def test_what_is_measured_keeps_its_order(make_bridge: MakeBridge) -> None:
    bridge = make_bridge()
    heard: list[dict[str, object]] = []
    bridge.measured.connect(lambda job, series, values: heard.append(values))
    bridge._deliver(Measured("job", "align", {"terms": {"sharpness": 1.0, "brightness": 2.0}}))
    assert list(heard[0]["terms"]) == ["sharpness", "brightness"]  # type: ignore[call-overload]


def test_a_bridge_that_was_never_started_closes(qtbot: QtBot, make_bridge: MakeBridge) -> None:
    make_bridge("inline", start=False).close()


def test_stop_does_not_wait_but_tells_when_all_ended(
    qtbot: QtBot, make_bridge: MakeBridge, project: Project
) -> None:
    bridge = make_bridge("process")
    with qtbot.waitSignal(bridge.engine_ready, timeout=WAIT_MS) as ready:
        pass
    job = bridge.submit(spec("wait", text="x"))
    qtbot.waitUntil(lambda: bridge.running == job, timeout=WAIT_MS)
    with qtbot.waitSignal(bridge.closed, timeout=WAIT_MS):
        bridge.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(ready.args[0]["pid"], 0)
