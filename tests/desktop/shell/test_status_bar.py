"""The status bar says what the engine does."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from desktop.services import Services
from desktop.shell.status_bar import StatusBar, duration
from engine.job import JobSpec
from tests.desktop.support import WAIT_MS
from tests.engine.executors.watching import job as spec


@pytest.fixture
def bar(qtbot: QtBot, services: Services) -> StatusBar:
    result = StatusBar(services.theme, services.actions, services.notifications)
    qtbot.addWidget(result)
    result.resize(1280, 36)
    result.attach(services)
    return result


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (8, "8 s"), (59.7, "1 min 00 s"), (80, "1 min 20 s"), (7500, "2 h 05 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_engine_starts_is_ready_and_dies(bar: StatusBar, services: Services) -> None:
    assert bar.engine_text == "Engine starting…"
    services.bridge.engine_ready.emit({"device": "cpu", "device_name": "A processor"})
    assert bar.engine_text == "Engine ready · CPU"
    services.bridge.engine_died.emit("it was ended by SIGKILL")
    assert "starting again" in bar.engine_text
    bar.detach()
    assert bar.engine_text == "No project is open"


def test_a_running_job_is_shown_and_gone_when_it_ends(
    qtbot: QtBot, bar: StatusBar, services: Services
) -> None:
    assert bar.job_text == ""
    job = services.bridge.submit(spec("wait", text="x"))
    qtbot.waitUntil(lambda: bar.job_text.startswith("waiting"), timeout=WAIT_MS)
    qtbot.waitUntil(lambda: bar.queue_text == "Queue 1")
    with qtbot.waitSignal(services.bridge.cancelled, timeout=WAIT_MS):
        services.bridge.cancel(job)
    assert bar.job_text == ""
    qtbot.waitUntil(lambda: bar.queue_text == "Queue")


@pytest.mark.parametrize(("sampler", "foretold"), [("ddim", True), ("parataa", False)])
def test_the_time_left_is_not_told_where_progress_does_not_tell_it(
    bar: StatusBar, services: Services, sampler: str, foretold: bool
) -> None:
    bridge = services.bridge
    bridge.pause()
    job = bridge.submit(JobSpec("images.generate", {"sampler": {"name": sampler}}))
    bridge._running = job
    bridge.job_changed.emit(job)
    bar._began -= 10
    bridge.progressed.emit(job, 15.0, 30.0, "Round 4: 15 of 30 steps solved")
    assert bar.job_text.startswith("Round 4: 15 of 30 steps solved 50 %")
    assert ("left" in bar.job_text) == foretold
    bridge._running = None


def test_a_paused_queue_says_so(qtbot: QtBot, bar: StatusBar, services: Services) -> None:
    services.bridge.pause()
    services.bridge.submit(spec("work", text="x"))
    qtbot.waitUntil(lambda: bar.queue_text == "Queue paused 1")


def test_unread_messages_are_counted(bar: StatusBar, services: Services) -> None:
    services.notifications.post("info", "one")
    services.notifications.post("info", "two")
    assert bar._messages.text() == "2"
    services.notifications.mark_read()
    assert bar._messages.text() == ""
