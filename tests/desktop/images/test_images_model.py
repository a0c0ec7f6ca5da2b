"""The page's state: jobs follow the bridge's signals, estimates follow finished jobs."""

from __future__ import annotations

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from desktop.bridge import Bridge
from desktop.images.model import ImagesModel, PageJob
from engine.errors import EngineError, ErrorCode
from engine.job import JobSpec, JobState
from engine.project import Project
from tests.desktop.images.conftest import AddResult, spec


@pytest.fixture
def model(project: Project, quiet_bridge: Bridge, qapp: object) -> ImagesModel:
    return ImagesModel(project, quiet_bridge)


def start(model: ImagesModel, project: Project, bridge: Bridge, count: int = 3) -> PageJob:
    job = model.submit(spec(count=count, prompt="rocket"))
    project.set_job_state(job.id, JobState.RUNNING)
    bridge.job_changed.emit(job.id)
    return job


def test_a_submitted_job_waits_in_the_project(model: ImagesModel, project: Project) -> None:
    job = model.submit(spec(prompt="rocket"))
    assert project.job(job.id).state is JobState.QUEUED
    assert list(model.jobs) == [job]
    assert (model.waiting, model.running) == (1, None)
    assert job.title == "rocket"
    assert "queue" in job.status()


def test_jobs_of_other_workspaces_are_not_ours(
    model: ImagesModel, quiet_bridge: Bridge, project: Project
) -> None:
    quiet_bridge.submit(JobSpec("tracks.follow"))
    assert model.jobs == []
    for name, arguments in (
        ("progressed", ("other", 1.0, 2.0, "x")),
        ("previewed", ("other", np.zeros((1, 2, 2, 3), np.uint8))),
        ("warned", ("other", "x")),
        ("result_added", (1, "other")),
    ):
        getattr(quiet_bridge, name).emit(*arguments)
    model.load_history()
    assert model.jobs == []


def test_progress_previews_and_results_build_the_picture_of_a_job(
    model: ImagesModel, project: Project, quiet_bridge: Bridge, qtbot: QtBot
) -> None:
    job = start(model, project, quiet_bridge)
    assert model.running is job
    with qtbot.waitSignal(model.job_updated) as heard:
        quiet_bridge.progressed.emit(job.id, 30.0, 90.0, "Step 10 of 30")
    assert heard.args == [job.id]
    assert job.fraction == pytest.approx(1 / 3)
    assert job.running_since is not None
    assert job.seconds_left(job.running_since + 10) == pytest.approx(20)
    text = job.status(job.running_since + 10)
    assert text == "Step 10 of 30 · 0 of 3 pictures · about 20 s left"

    previews = np.arange(3 * 2 * 2 * 3, dtype=np.uint8).reshape(3, 2, 2, 3)
    quiet_bridge.previewed.emit(job.id, previews)
    quiet_bridge.result_added.emit(7, job.id)
    quiet_bridge.result_added.emit(7, job.id)
    assert job.results == [7]
    # The previews that are left are those of the pictures still to come.
    assert job.previews is not None
    assert np.array_equal(job.previews, previews[1:])

    project.set_job_state(job.id, JobState.SUCCEEDED, metrics={"seconds": 9, "model_evaluations": 180})
    quiet_bridge.finished.emit(job.id, {})
    assert job.previews is None
    assert job.status() == "Finished in 9 s"
    assert model.running is None


def test_a_job_known_to_have_ended_has_its_results_already(
    model: ImagesModel, project: Project, quiet_bridge: Bridge, add_result: AddResult
) -> None:
    """The project is ahead of the bridge: what is said of a cancel may be read after the job's end."""
    job = start(model, project, quiet_bridge)
    results = [add_result(job.id, index) for index in range(2)]
    project.set_job_state(job.id, JobState.CANCELLED)
    told: list[int] = []
    model.result_added.connect(told.append)
    quiet_bridge.job_changed.emit(job.id)
    assert job.state is JobState.CANCELLED
    assert job.results == told == results
    for result in results:
        quiet_bridge.result_added.emit(result, job.id)
    quiet_bridge.cancelled.emit(job.id)
    assert job.results == told == results


def test_a_late_preview_does_not_cover_the_result(
    model: ImagesModel, project: Project, quiet_bridge: Bridge
) -> None:
    job = start(model, project, quiet_bridge)
    project.set_job_state(job.id, JobState.CANCELLED)
    quiet_bridge.cancelled.emit(job.id)
    quiet_bridge.previewed.emit(job.id, np.zeros((2, 2, 3), np.uint8))
    assert job.previews is None
    assert job.status() == "Cancelled after 0 of 3"


def test_a_failure_says_its_reason(model: ImagesModel, project: Project, quiet_bridge: Bridge) -> None:
    job = start(model, project, quiet_bridge)
    error = EngineError(ErrorCode.ENGINE_DIED, "The engine process ended.", "It starts again.")
    project.set_job_state(job.id, JobState.FAILED, error=error)
    quiet_bridge.failed.emit(job.id, error)
    assert job.status() == "The engine process ended."
    assert job.state is JobState.FAILED


def test_warnings_are_kept_once(model: ImagesModel, project: Project, quiet_bridge: Bridge) -> None:
    job = start(model, project, quiet_bridge)
    quiet_bridge.warned.emit(job.id, "mind")
    quiet_bridge.warned.emit(job.id, "mind")
    assert job.warnings == ["mind"]


def test_the_estimate_follows_the_last_finished_job_on_the_model(
    model: ImagesModel, project: Project, quiet_bridge: Bridge
) -> None:
    params = spec(count=2).params
    assert model.estimate(params) is None
    job = start(model, project, quiet_bridge, count=4)
    metrics = {"seconds": 12.0, "model_evaluations": 240}
    project.set_job_state(job.id, JobState.SUCCEEDED, metrics=metrics)
    quiet_bridge.finished.emit(job.id, {})
    assert model.estimate(params) == pytest.approx(6)
    assert model.estimate({**params, "guidance": 1}) == pytest.approx(3)
    assert model.estimate({**params, "model": "other"}) is None


def test_the_history_and_the_estimate_come_back_with_the_project(
    project: Project, quiet_bridge: Bridge, add_result: AddResult, qapp: object
) -> None:
    first = project.add_job(spec(prompt="first"))
    project.set_job_state(first, JobState.RUNNING)
    project.set_job_state(first, JobState.SUCCEEDED, metrics={"seconds": 6.0, "model_evaluations": 60})
    second = project.add_job(spec(prompt="second"))
    model = ImagesModel(project, quiet_bridge)
    model.load_history()
    assert [job.id for job in model.jobs] == [second, first]
    assert model.estimate(spec().params) == pytest.approx(6)
    assert model.job(first) is not None


def test_only_the_end_of_a_long_history_is_read(
    project: Project, quiet_bridge: Bridge, qapp: object
) -> None:
    ids = project.add_jobs([spec(seed=seed) for seed in range(260)])
    model = ImagesModel(project, quiet_bridge)
    model.load_history()
    assert [job.id for job in model.jobs] == ids[:-201:-1]
