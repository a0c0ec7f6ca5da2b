"""The Queue page over a real project: what is listed, and what can be done with it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from PySide6.QtWidgets import QPushButton, QWidget
from pytestqt.qtbot import QtBot

from desktop.services import Services
from desktop.shell.banners import Banners
from desktop.shell.job_events import JobEvents
from desktop.shell.job_model import ACTIVE_SHOWN, JOB, PROGRESS, STATE, JobModel, job_title
from desktop.shell.job_queue import JobQueuePage
from desktop.theme import Theme
from engine.errors import EngineError, ErrorCode
from engine.job import JobSpec, JobState
from engine.project import Project
from tests.desktop.support import WAIT_MS
from tests.engine.executors.watching import job as spec


@pytest.fixture
def page(qtbot: QtBot, services: Services) -> Iterator[JobQueuePage]:
    """The shown page; the queue is paused, so that jobs wait."""
    services.bridge.pause()
    ground = QWidget()
    qtbot.addWidget(ground)
    banners = Banners(services.theme)
    banners.setParent(ground)
    result = JobQueuePage(services, banners)
    result.setParent(ground)
    result.banners = banners  # type: ignore[attr-defined]
    ground.show()
    yield result
    ground.hide()


def listed(page: JobQueuePage) -> list[tuple[str, str]]:
    model = page.model
    return [(model.index(r, STATE).data(), model.index(r, JOB).data()) for r in range(model.rowCount())]


def trigger(services: Services, id: str) -> None:
    action = services.actions.action(id)
    assert action.isEnabled(), f"{id} is disabled"
    action.trigger()


def add(qtbot: QtBot, page: JobQueuePage, services: Services, *texts: str) -> list[str]:
    jobs = services.bridge.submit_many([spec("work", count=1, text=text) for text in texts])
    rows = page.model.rowCount() + len(jobs)
    qtbot.waitUntil(lambda: page.model.rowCount() == rows)
    return jobs


@pytest.mark.parametrize(
    ("params", "title"),
    [
        ({"prompt": "a red fox", "count": 4}, "Generate: a red fox (×4)"),
        ({"prompt": " ", "class_name": "star", "count": 1}, "Generate: star"),
        ({}, "Generate"),
    ],
)
def test_titles(params: dict, title: str) -> None:
    assert job_title(JobSpec("images.generate", params)) == title


def test_an_empty_queue_says_so(page: JobQueuePage) -> None:
    assert page.model.rowCount() == 0
    assert not page.table.isVisible()


def test_jobs_are_listed_and_cancelled(
    qtbot: QtBot, page: JobQueuePage, services: Services, project: Project
) -> None:
    jobs = add(qtbot, page, services, "a", "b")
    assert listed(page) == [("Waiting", "Work"), ("Waiting", "Work")]
    page.select([jobs[0]])
    trigger(services, "queue.cancel")
    qtbot.waitUntil(lambda: project.job(jobs[0]).state is JobState.CANCELLED, timeout=WAIT_MS)
    qtbot.waitUntil(lambda: listed(page) == [("Waiting", "Work"), ("Cancelled", "Work")])
    assert [record.id for record in page.selected()] == [jobs[0]], "the selection follows the job"
    assert not services.actions.action("queue.cancel").isEnabled()


def test_moving_changes_the_order_of_the_queue(
    qtbot: QtBot, page: JobQueuePage, services: Services, project: Project
) -> None:
    jobs = add(qtbot, page, services, "a", "b", "c")

    def order() -> list[str]:
        return [record.id for record in project.jobs([JobState.QUEUED])]

    page.select([jobs[2]])
    trigger(services, "queue.up")
    qtbot.waitUntil(lambda: order() == [jobs[0], jobs[2], jobs[1]], timeout=WAIT_MS)
    qtbot.waitUntil(lambda: page.model.row_of(jobs[2]) == 1)
    page.select([jobs[0]])
    trigger(services, "queue.down")
    qtbot.waitUntil(lambda: order() == [jobs[2], jobs[0], jobs[1]], timeout=WAIT_MS)
    qtbot.waitUntil(lambda: page.model.row_of(jobs[0]) == 1)
    page.select([jobs[2]])
    trigger(services, "queue.up")
    trigger(services, "queue.up")
    page.select([jobs[1]])
    trigger(services, "queue.down")
    qtbot.wait(50)
    assert order() == [jobs[2], jobs[0], jobs[1]], "nothing moves past the ends"


def test_running_again_makes_a_new_job_of_the_same_spec(
    qtbot: QtBot, page: JobQueuePage, services: Services, project: Project
) -> None:
    (job,) = add(qtbot, page, services, "a")
    page.select([job])
    page.run_main_action()
    first, second = project.jobs()
    assert first.id != second.id
    assert first.spec == second.spec


def test_cancel_all_asks_once(
    qtbot: QtBot, page: JobQueuePage, services: Services, project: Project
) -> None:
    add(qtbot, page, services, "a", "b", "c")
    services.actions.action("job.cancel_all").trigger()
    banners: Banners = page.banners  # type: ignore[attr-defined]
    assert "Cancel 3 jobs?" in banners.text("cancel-all")
    assert project.counts()[JobState.QUEUED] == 3
    (yes,) = [b for b in banners.findChildren(QPushButton) if b.text() == "Cancel them"]
    yes.click()
    qtbot.waitUntil(lambda: project.counts()[JobState.CANCELLED] == 3, timeout=WAIT_MS)


def test_a_failed_job_says_why(
    qtbot: QtBot, page: JobQueuePage, services: Services, project: Project
) -> None:
    services.bridge.resume()
    with qtbot.waitSignal(services.bridge.failed, timeout=WAIT_MS):
        job = services.bridge.submit(spec("raise", text="boom"))
    qtbot.waitUntil(lambda: listed(page) == [("Failed", "Raise")])
    assert "boom" in page.model.index(0, PROGRESS).data()
    page.select([job])
    assert "boom" in page._error.text()
    assert page._error.isVisible()


def interrupted(project: Project, texts: list[str]) -> list[str]:
    jobs = project.add_jobs([spec("work", count=1, text=text) for text in texts])
    for job in jobs:
        project.set_job_state(job, JobState.RUNNING)
        project.set_job_state(job, JobState.INTERRUPTED)
    return jobs


def test_interrupted_jobs_wait_for_a_decision(
    qtbot: QtBot, page: JobQueuePage, services: Services, project: Project
) -> None:
    first, second = interrupted(project, ["a", "b"])
    page._reload()
    assert [state for state, _ in listed(page)] == ["Interrupted", "Interrupted"]
    page.select([first])
    trigger(services, "queue.resume")
    qtbot.waitUntil(lambda: project.job(first).state is JobState.QUEUED, timeout=WAIT_MS)
    page.select([second])
    trigger(services, "queue.discard")
    qtbot.waitUntil(lambda: project.job(second).state is JobState.CANCELLED, timeout=WAIT_MS)


@pytest.mark.parametrize(
    ("answer", "state"), [("Resume", JobState.QUEUED), ("Discard", JobState.CANCELLED)]
)
def test_the_window_asks_about_interrupted_jobs(
    qtbot: QtBot, page: JobQueuePage, services: Services, project: Project, answer: str, state: JobState
) -> None:
    jobs = interrupted(project, ["a", "b"])
    banners: Banners = page.banners  # type: ignore[attr-defined]
    events = JobEvents(services, banners, lambda: "queue", page)
    events.offer_interrupted()
    assert "2 jobs were interrupted" in banners.text("interrupted")
    (button,) = [b for b in banners.findChildren(QPushButton) if b.text() == answer]
    button.click()
    qtbot.waitUntil(lambda: all(project.job(job).state is state for job in jobs), timeout=WAIT_MS)


def test_escape_asks_only_when_much_work_would_be_lost(
    qtbot: QtBot, page: JobQueuePage, services: Services, project: Project
) -> None:
    banners: Banners = page.banners  # type: ignore[attr-defined]
    events = JobEvents(services, banners, lambda: "queue", page)
    events.cancel_running()
    assert not banners.asks("cancel"), "nothing runs"
    services.bridge.resume()
    first = services.bridge.submit(spec("wait", text="a"))
    qtbot.waitUntil(lambda: services.bridge.running == first, timeout=WAIT_MS)
    with qtbot.waitSignal(services.bridge.cancelled, timeout=WAIT_MS):
        events.cancel_running()
    second = services.bridge.submit(spec("wait", text="b"))
    qtbot.waitUntil(lambda: services.bridge.running == second, timeout=WAIT_MS)
    services.settings.set("confirm_cancel_seconds", 0)
    started = project.job(second).started
    assert started is not None
    qtbot.waitUntil(lambda: time.time() > started)
    events.cancel_running()
    assert "Cancel it?" in banners.text("cancel")
    assert project.job(second).state is JobState.RUNNING
    (button,) = [b for b in banners.findChildren(QPushButton) if b.text() == "Cancel the job"]
    with qtbot.waitSignal(services.bridge.cancelled, timeout=WAIT_MS):
        button.click()


def test_closing_asks_only_when_much_work_would_be_lost(
    qtbot: QtBot, page: JobQueuePage, services: Services, project: Project
) -> None:
    banners: Banners = page.banners  # type: ignore[attr-defined]
    events = JobEvents(services, banners, lambda: "queue", page)
    closed: list[str] = []
    assert events.may_close(lambda: closed.append("closed"))
    services.bridge.resume()
    job = services.bridge.submit(spec("wait", text="a"))
    qtbot.waitUntil(lambda: services.bridge.running == job, timeout=WAIT_MS)
    assert events.may_close(lambda: closed.append("closed")), "it has only just begun"
    services.settings.set("confirm_cancel_seconds", 0)
    started = project.job(job).started
    assert started is not None
    qtbot.waitUntil(lambda: time.time() > started)
    assert not events.may_close(lambda: closed.append("closed"))
    assert "the next start offers to run it again" in banners.text("close")
    (button,) = [b for b in banners.findChildren(QPushButton) if b.text() == "Close"]
    button.click()
    assert closed == ["closed"]


def test_what_the_user_hears_of_jobs(
    qtbot: QtBot, page: JobQueuePage, services: Services, project: Project
) -> None:
    banners: Banners = page.banners  # type: ignore[attr-defined]
    current = ["test"]
    events = JobEvents(services, banners, lambda: current[0], page)
    assert events.parent() is page
    services.bridge.resume()
    with qtbot.waitSignal(services.bridge.finished, timeout=WAIT_MS):
        services.bridge.submit(spec("work", count=1, text="a"))
    levels = [notice.level for notice in services.notifications.notices]
    assert levels == ["warning"], "the page itself shows what is done"
    current[0] = "images"
    with qtbot.waitSignal(services.bridge.finished, timeout=WAIT_MS):
        services.bridge.submit(spec("work", count=1, text="b"))
    assert services.notifications.notices[0].level == "success"
    with qtbot.waitSignal(services.bridge.failed, timeout=WAIT_MS):
        services.bridge.submit(spec("raise", text="boom"))
    failure = services.notifications.notices[0]
    assert failure.level == "error"
    assert "boom" in failure.text
    assert failure.hint
    assert [title for title, _ in failure.actions] == ["Run again"]


def test_an_engine_that_dies_idle_is_told_once_for_a_row_of_deaths(
    page: JobQueuePage, services: Services
) -> None:
    banners: Banners = page.banners  # type: ignore[attr-defined]
    JobEvents(services, banners, lambda: "queue", page)
    for _ in range(3):
        services.bridge.engine_died.emit("it was ended by SIGKILL")
    assert len(services.notifications.notices) == 1
    services.bridge.engine_ready.emit({})
    services.bridge.engine_died.emit("it was ended by SIGKILL")
    assert len(services.notifications.notices) == 2


def test_an_error_of_the_queue_itself_is_told(page: JobQueuePage, services: Services) -> None:
    banners: Banners = page.banners  # type: ignore[attr-defined]
    JobEvents(services, banners, lambda: "queue", page)
    services.bridge.refused.emit(
        EngineError(ErrorCode.INVALID_INPUT, "The disk is full.", "Make room.")
    )
    assert services.notifications.notices[0].hint == "Make room."


def test_a_long_queue_is_listed_in_part_and_a_long_history_in_pages(
    project: Project, theme: Theme
) -> None:
    over = project.add_jobs([spec("work", text=str(n)) for n in range(500)])
    for job in over:
        project.discard(job)
    project.add_jobs([spec("work", text=str(n)) for n in range(ACTIVE_SHOWN + 50)])
    model = JobModel(project, theme)
    model.reload()
    assert model.hidden == 50
    assert model.rowCount() == ACTIVE_SHOWN + 200
    assert model.record(ACTIVE_SHOWN).id == over[-1], "what ended last comes first"
    while model.canFetchMore(model.index(-1, -1)):
        model.fetchMore(model.index(-1, -1))
    shown = [model.record(row).id for row in range(ACTIVE_SHOWN, model.rowCount())]
    assert shown == over[::-1]
    model.reload()
    assert [model.record(row).id for row in range(ACTIVE_SHOWN, model.rowCount())] == shown
