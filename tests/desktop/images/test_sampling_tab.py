"""The Sampling tab on the page: live rounds, replay, comparison, variations, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor
from pytestqt.qtbot import QtBot

from desktop.images.catalogue import Catalogue
from desktop.images.controls import PARALLEL_ON_CPU
from desktop.images.page import INSPECTOR_WIDTH, ImagesPage
from desktop.images.run_figures import CPU_NOTE, PIXEL_NOTE, Comparison, Figures
from desktop.images.vary_form import VaryForm, effect
from desktop.services import Services
from desktop.widgets.compare_view import Agreement, CompareMode
from desktop.widgets.image_canvas import TileState
from engine.errors import EngineError, ErrorCode
from engine.job import JobSpec, JobState
from engine.project import Project
from tests.desktop.images.parallel import (
    PARALLEL,
    ROUNDS,
    STEPS,
    add_parallel,
    add_picture,
    add_sequential,
    events_of_a_run,
    rounds_of_a_run,
    spec,
)
from tests.desktop.support import WAIT_MS

MakePage = Callable[..., ImagesPage]
DDIM = {"name": "ddim", "eta": 0.0, "spacing": "model"}


def settle(page: ImagesPage, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: not page.background.busy, timeout=WAIT_MS)


def finished(project: Project, **details: Any) -> int:
    """A finished parallel picture."""
    job = project.add_job(spec(**details.pop("spec", {})))
    project.set_job_state(job, JobState.RUNNING)
    result = add_parallel(project, job, **details)
    project.set_job_state(job, JobState.SUCCEEDED, metrics={"seconds": 2.5})
    return result


def show(page: ImagesPage, result: int, qtbot: QtBot) -> None:
    """Select a result and wait until its rounds are drawn."""
    page.inspector.setCurrentWidget(page.sampling.panel)
    page.gallery.model.sync()
    page.gallery.select([result])
    settle(page, qtbot)


def start(page: ImagesPage, services: Services, project: Project, **params: Any) -> str:
    """Queue a parallel job, follow it and let it run."""
    job = services.bridge.submit(spec(**params))
    page.showing.follow(job)
    project.set_job_state(job, JobState.RUNNING)
    services.bridge.job_changed.emit(job)
    page.inspector.setCurrentWidget(page.sampling.panel)
    return job


def action(services: Services, name: str) -> Any:
    return services.actions.action(f"images.{name}")


def told(services: Services) -> list[str]:
    return [notice.text for notice in services.notifications.notices]


# --- while it runs --------------------------------------------------------------------------------


def test_the_map_and_the_figures_grow_with_every_round(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    quiet_services.bridge._engine = {"device": "cpu"}
    job = start(page, quiet_services, project)
    panel = page.sampling.panel
    assert "appear here" in panel.message.text()
    residuals, finished_states = rounds_of_a_run()
    for count, values in enumerate(events_of_a_run(), start=1):
        quiet_services.bridge.measured.emit(job, "parallel", values)
        settle(page, qtbot)
        assert panel.map is not None
        assert panel.map.shape == (count, STEPS)
        assert panel.figures.bar.value() == STEPS - finished_states[count - 1]
        assert panel.figures.state.text() == f"Round {count}"
    assert panel.figures.rows == [
        ("", "Parallel", "Sequential"),
        ("Rounds", "5", "20"),
        ("Evaluations", str((~np.isnan(residuals)).sum()), "20"),
        ("Seconds", "2.50", "?"),
    ]
    assert panel.figures.note.text() == CPU_NOTE
    assert panel.figures.steps.text() == "20 of 20 steps converged"
    assert not panel.replay.isVisible()
    assert not panel.compare.isVisible()


def test_the_plotting_library_is_not_loaded_before_the_tab_is_shown(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    result = finished(project)
    page.gallery.model.sync()
    page.gallery.select([result])
    settle(page, qtbot)
    assert page.sampling.panel.map is None
    assert action(quiet_services, "compare_sequential").isEnabled()
    page.inspector.setCurrentWidget(page.sampling.panel)
    settle(page, qtbot)
    settle(page, qtbot)
    assert page.sampling.panel.map is not None
    assert page.sampling.panel.map.shape == (ROUNDS, STEPS)


def test_the_picture_of_a_batch_is_chosen_in_the_tab_or_on_the_stage(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    job = start(page, quiet_services, project, count=3)
    panel = page.sampling.panel
    for image, rounds in ((0, 1), (1, 2), (2, 3)):
        for values in list(events_of_a_run(image))[:rounds]:
            quiet_services.bridge.measured.emit(job, "parallel", values)
    assert panel.place.text() == "Picture 1 of 3"
    assert panel.figures.state.text() == "Round 1"
    page.stage.canvas.set_current(2)
    assert panel.place.text() == "Picture 3 of 3"
    assert panel.figures.state.text() == "Round 3"
    panel.place_chosen.emit(1)
    assert page.stage.canvas.current == 1
    assert panel.figures.state.text() == "Round 2"
    quiet_services.bridge.measured.emit(job, "parallel", list(events_of_a_run(1))[2])
    assert panel.figures.state.text() == "Round 3"
    settle(page, qtbot)


def test_a_parallel_job_promises_no_seconds(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    job = start(page, quiet_services, project)
    quiet_services.bridge.progressed.emit(job, 15.0, 20.0, "Round 3 · 15 of 20 steps converged")
    known = page.model.job(job)
    assert known is not None
    known.running_since = 0.0
    assert known.status(now=100.0) == "Round 3 · 15 of 20 steps converged"
    settle(page, qtbot)


def test_the_history_tells_rounds_and_what_a_cancel_kept(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    bridge = quiet_services.bridge
    job = start(page, quiet_services, project)
    metrics = {"seconds": 12.0, "rounds": 9}
    project.set_job_state(job, JobState.SUCCEEDED, metrics=metrics)
    bridge.finished.emit(job, metrics)
    known = page.model.job(job)
    assert known is not None
    assert known.status() == "Finished in 12 s, 9 rounds"

    job = start(page, quiet_services, project, count=3)
    for index in range(2):
        bridge.result_added.emit(add_parallel(project, job, finished=4, index=index), job)
    project.set_job_state(job, JobState.CANCELLED)
    bridge.cancelled.emit(job)
    known = page.model.job(job)
    assert known is not None
    assert known.status() == "Cancelled; 2 of 3 kept"
    settle(page, qtbot)


def test_a_sequential_job_says_where_rounds_come_from(
    page: ImagesPage, quiet_services: Services, project: Project
) -> None:
    start(page, quiet_services, project, sampler=DDIM)
    assert "samples step by step" in page.sampling.panel.message.text()


# --- afterwards -----------------------------------------------------------------------------------


def test_a_finished_run_shows_how_it_ended(page: ImagesPage, project: Project, qtbot: QtBot) -> None:
    show(page, finished(project), qtbot)
    panel = page.sampling.panel
    assert panel.figures.state.text() == "All steps converged after 5 rounds"
    assert panel.figures.rows[1:] == [
        ("Rounds", "5", "20"),
        ("Evaluations", "60", "20"),
        ("Seconds", "2.50", "?"),
    ]
    assert panel.map is not None
    assert panel.map.shape == (ROUNDS, STEPS)
    assert panel.replay.isVisible()


def test_a_cancelled_run_is_marked_everywhere(page: ImagesPage, project: Project, qtbot: QtBot) -> None:
    show(page, finished(project, finished=7), qtbot)
    tile = page.stage.canvas.tiles[0]
    assert tile.mark == "Not converged · 13 of 20 steps"
    assert page.stage.note.text().endswith("not converged · 13 of 20 steps")
    assert page.sampling.panel.figures.state.text() == "Cancelled after 5 rounds"
    assert page.sampling.panel.figures.steps.text() == "13 of 20 steps converged"
    page.stage.canvas.set_current(0)
    assert "Not converged" in page.stage.canvas.accessibleDescription()
    page.stage.canvas.grab()


def test_a_converged_run_has_no_mark(page: ImagesPage, project: Project, qtbot: QtBot) -> None:
    show(page, finished(project), qtbot)
    assert page.stage.canvas.tiles[0].mark == ""
    assert "converged" not in page.stage.note.text()


def test_the_rounds_are_replayed_on_the_stage(page: ImagesPage, project: Project, qtbot: QtBot) -> None:
    result = finished(project, colour=200)
    show(page, result, qtbot)

    def shown() -> int:
        image = page.stage.canvas.tiles[0].image
        return -1 if image is None else image.pixelColor(2, 2).red()

    qtbot.waitUntil(lambda: shown() == 200, timeout=WAIT_MS)
    replay = page.sampling.panel.replay
    assert replay.text.text() == "The result"
    replay.slider.setValue(1)
    assert shown() == 20
    assert page.stage.canvas.tiles[0].mark == "Round 2 of 5"
    assert replay.text.text() == "Round 2 of 5"
    qtbot.keyClick(replay.slider, Qt.Key.Key_Right)
    assert shown() == 30
    replay.slider.setValue(ROUNDS)
    assert shown() == 200
    assert page.stage.canvas.tiles[0].mark == ""


def test_replaying_ends_with_another_picture(page: ImagesPage, project: Project, qtbot: QtBot) -> None:
    first, second = finished(project), finished(project, colour=50, spec={"seed": 8})
    show(page, first, qtbot)
    page.sampling.panel.replay.slider.setValue(0)
    show(page, second, qtbot)
    assert page.stage.canvas.tiles[0].mark == ""
    show(page, first, qtbot)
    assert page.stage.canvas.tiles[0].mark == ""
    assert page.sampling.panel.replay.text.text() == "The result"


def test_the_rounds_play_by_themselves_to_the_end_and_stop(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    show(page, finished(project), qtbot)
    replay = page.sampling.panel.replay
    replay._timer.setInterval(1)
    action(quiet_services, "replay").trigger()
    assert replay.playing
    assert page.stage.canvas.tiles[0].mark == "Round 1 of 5"
    assert replay.play_button.accessibleName() == "Hold"
    qtbot.waitUntil(lambda: not replay.playing, timeout=WAIT_MS)
    assert replay.text.text() == "The result"
    replay.toggle()
    page.inspector.setCurrentWidget(page.history)
    assert not replay.playing


def test_a_run_without_previews_has_no_replay(page: ImagesPage, project: Project, qtbot: QtBot) -> None:
    show(page, finished(project, film=False), qtbot)
    assert not page.sampling.panel.replay.isVisible()
    page.sampling.panel.replay.toggle()
    assert not page.sampling.panel.replay.playing


def test_a_lost_trace_is_said_and_the_figures_stay(
    page: ImagesPage, project: Project, qtbot: QtBot
) -> None:
    result = finished(project)
    project.store.path(project.manifest(result)["parallel"]["trace"]["sha256"]).unlink()
    show(page, result, qtbot)
    panel = page.sampling.panel
    assert panel.message.text()
    assert panel.figures.rows[1] == ("Rounds", "5", "20")
    assert panel.compare.isVisible()


@pytest.mark.parametrize(
    ("sampler", "said", "offered"),
    [
        ({"name": "ddim"}, "step by step: 20 steps", True),
        ({"name": "heun"}, "cannot be solved in rounds", False),
    ],
)
def test_a_sequential_picture_says_what_it_is(
    page: ImagesPage,
    quiet_services: Services,
    project: Project,
    qtbot: QtBot,
    sampler: dict[str, Any],
    said: str,
    offered: bool,
) -> None:
    result = add_sequential(project, project.add_job(spec(4, sampler)))
    show(page, result, qtbot)
    panel = page.sampling.panel
    assert said in panel.message.text()
    assert panel.parallel.isVisible() == offered
    assert panel.vary.isVisible() == offered
    assert not panel.compare.isVisible()
    if offered:
        panel.parallel.click()
        made = project.jobs()[-1].spec
        assert made.params["sampler"]["name"] == "parataa"
        assert made.seed == 4


def test_without_a_picture_there_is_one_sentence(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    page.inspector.setCurrentWidget(page.sampling.panel)
    assert page.sampling.panel.message.text() == "Select a picture to see how it was sampled."
    for name in ("compare_sequential", "vary_step", "sample_parallel", "replay"):
        assert not action(quiet_services, name).isEnabled()
    results = [finished(project), finished(project, spec={"seed": 8})]
    page.gallery.model.sync()
    page.gallery.select(results)
    assert "Choose one of the pictures" in page.sampling.panel.message.text()
    assert page.sampling.panel.place.text() == "2 pictures"
    settle(page, qtbot)


def test_a_picture_of_before_there_were_figures_is_shown_all_the_same(
    page: ImagesPage, project: Project, qtbot: QtBot
) -> None:
    job = project.add_job(JobSpec("images.generate", {"prompt": "old", "steps": 9, "model": "x"}))
    result = add_picture(project, job, 80, "cpu", 0)
    show(page, result, qtbot)
    assert "cannot be solved in rounds" in page.sampling.panel.message.text()


def test_a_stopped_run_is_gone_on_with(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    result = finished(project, finished=7, trajectory=True)
    show(page, result, qtbot)
    panel = page.sampling.panel
    assert panel.solve_rest.isVisible()
    panel.solve_rest.click()
    made = project.jobs()[-1].spec
    kept = project.manifest(result)["parallel"]["trajectory"]
    assert made.inputs["start"].to_json() == kept  # type: ignore[union-attr]
    assert page.showing.subject is not None
    assert page.showing.subject.job == project.jobs()[-1].id


@pytest.mark.parametrize("details", [{"finished": 7}, {"trajectory": True}])
def test_what_cannot_be_gone_on_with_is_not_offered(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot, details: dict[str, Any]
) -> None:
    show(page, finished(project, **details), qtbot)
    assert not page.sampling.panel.solve_rest.isVisible()
    assert not action(quiet_services, "solve_rest").isEnabled()


def test_a_run_that_was_gone_on_with_counts_on_and_claims_no_seconds(
    page: ImagesPage, project: Project, qtbot: QtBot
) -> None:
    show(page, finished(project, before=6), qtbot)
    panel = page.sampling.panel
    assert panel.figures.state.text() == "All steps converged after 11 rounds"
    assert panel.figures.rows[1] == ("Rounds", "11", "20")
    assert panel.figures.rows[3] == ("Seconds", "?", "?")
    assert panel.map is not None
    assert panel.map.cell_text(1, 1).startswith("Round 7")


def test_the_seconds_of_a_batch_are_not_passed_off_as_one_pictures(
    page: ImagesPage, project: Project, qtbot: QtBot
) -> None:
    show(page, finished(project, pictures=4), qtbot)
    note = page.sampling.panel.figures.note.text()
    assert note.startswith("The seconds in parallel are those of 4 pictures together.")


def test_what_the_engine_measured_of_batches_is_said(
    page: ImagesPage, project: Project, qtbot: QtBot
) -> None:
    for notes, said in ((["Batches do not pay here."], "Batches do not pay here."), ([], "")):
        job = project.add_job(spec(9 + len(notes)))
        project.set_job_state(job, JobState.RUNNING)
        result = add_parallel(project, job)
        metrics = {"seconds": 1.0, "batch_gain": 1.2, "notes": notes}
        project.set_job_state(job, JobState.SUCCEEDED, metrics=metrics)
        show(page, result, qtbot)
        assert page.sampling.panel.figures.note.text() == said


# --- comparing ------------------------------------------------------------------------------------


def test_the_twin_of_the_history_is_compared_at_once(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    add_sequential(project, project.add_job(spec(5, DDIM)), colour=110)
    jobs = len(project.jobs())
    show(page, finished(project, colour=100), qtbot)
    page.sampling.panel.compare.click()
    qtbot.waitUntil(lambda: page.stage.comparing, timeout=WAIT_MS)
    assert len(project.jobs()) == jobs + 1, "no job but that of the picture itself"
    assert page.stage.compare.mode is CompareMode.DIFFERENCE
    assert page.stage.compare._names == ("Parallel", "Sequential")
    rms = np.sqrt(np.mean((np.full(3, 100 / 127.5 - 1) - (110 / 127.5 - 1)) ** 2))
    psnr = 20 * np.log10(2 / rms)
    assert page.sampling.panel.figures.rows == [
        ("", "Parallel", "Sequential"),
        ("Rounds", "5", "20"),
        ("Evaluations", "60", "20"),
        ("Seconds", "2.50", "0.50"),
        ("RMS", f"{rms:.2g}", ""),
        ("PSNR", f"{psnr:.1f} dB", ""),
    ]
    note = page.sampling.panel.figures.note.text()
    assert note == f"Measured here: parallel took 5.0 times as long. {CPU_NOTE} {PIXEL_NOTE}"
    page.stage.leave_compare()
    assert len(page.stage.canvas.tiles) == 1
    page.sampling.panel.compare.click()
    qtbot.waitUntil(lambda: page.stage.comparing, timeout=WAIT_MS)
    settle(page, qtbot)


def test_without_a_twin_one_is_made_and_then_compared(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    bridge = quiet_services.bridge
    result = finished(project)
    show(page, result, qtbot)
    action(quiet_services, "compare_sequential").trigger()
    settle(page, qtbot)
    job = page.model.jobs[0]
    assert job.spec.params["sampler"] == DDIM
    assert (job.spec.seed, job.count) == (5, 1)
    panel = page.sampling.panel
    assert panel.compare_note.text() == "Sequential run: waiting in the queue"
    assert not panel.compare.isEnabled()

    project.set_job_state(job.id, JobState.RUNNING)
    bridge.job_changed.emit(job.id)
    bridge.progressed.emit(job.id, 4.0, 20.0, "Step 4 of 20")
    assert "step 4 of 20" in panel.compare_note.text()
    assert page.stage.canvas.tiles[0].key == result, "the stage stays with the picture"

    twin = add_sequential(project, job.id, colour=101)
    bridge.result_added.emit(twin, job.id)
    project.set_job_state(job.id, JobState.SUCCEEDED, metrics={"seconds": 0.5})
    bridge.finished.emit(job.id, {})
    qtbot.waitUntil(lambda: page.stage.comparing, timeout=WAIT_MS)
    assert panel.compare_note.text() == ""
    assert panel.compare.isEnabled()
    assert panel.figures.rows[3] == ("Seconds", "2.50", "0.50")
    settle(page, qtbot)


def own_twin(project: Project, job: str, colour: int) -> int:
    """The sequential twin that a parallel job makes when it is asked to compare."""
    sampling = {"evaluations": STEPS, "seconds": 0.7, "steps": STEPS, "pictures": 1}
    details = {"sampling": sampling, "sequential_of": "image-0001"}
    return add_picture(project, job, colour, "cpu", 0, "-sequential", **details)


def test_the_twin_that_the_job_made_itself_is_used_and_its_figures_are_there_at_once(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    job = project.add_job(spec(sampler={**PARALLEL, "compare_sequential": True}))
    project.set_job_state(job, JobState.RUNNING)
    result = add_parallel(project, job, colour=100)
    twin = own_twin(project, job, 102)
    project.set_job_state(job, JobState.SUCCEEDED, metrics={"seconds": 3.0})
    show(page, result, qtbot)
    qtbot.waitUntil(lambda: len(page.sampling.panel.figures.rows) == 6, timeout=WAIT_MS)
    assert page.sampling.panel.figures.rows[3] == ("Seconds", "2.50", "0.70")
    assert not page.stage.comparing, "nobody asked to see it yet"
    page.sampling.panel.compare.click()
    qtbot.waitUntil(lambda: page.stage.comparing, timeout=WAIT_MS)
    assert project.jobs()[-1].id == job, "nothing was run"
    show(page, twin, qtbot)
    assert "sequential twin of a parallel picture" in page.sampling.panel.message.text()
    assert not page.sampling.panel.parallel.isVisible()


def test_a_twin_does_not_take_the_place_of_a_picture_of_its_job(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    bridge = quiet_services.bridge
    sampler = {**PARALLEL, "compare_sequential": True}
    job = start(page, quiet_services, project, count=2, sampler=sampler)
    first = add_parallel(project, job)
    bridge.result_added.emit(first, job)
    bridge.result_added.emit(own_twin(project, job, 90), job)
    second = add_parallel(project, job, index=1)
    bridge.result_added.emit(second, job)
    assert [tile.key for tile in page.stage.canvas.tiles] == [first, second]
    project.set_job_state(job, JobState.SUCCEEDED, metrics={"seconds": 3.0})
    bridge.finished.emit(job, {})
    assert page.gallery.selected() == [second, first]
    known = page.model.job(job)
    assert known is not None
    known.results = []
    page.showing.show_job(job)
    assert known.results == [first, second]
    settle(page, qtbot)


@pytest.mark.parametrize("state", [JobState.CANCELLED, JobState.FAILED])
def test_a_twin_that_does_not_come_is_said(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot, state: JobState
) -> None:
    show(page, finished(project), qtbot)
    page.sampling.panel.compare.click()
    settle(page, qtbot)
    job = page.model.jobs[0]
    project.set_job_state(job.id, JobState.RUNNING)
    quiet_services.bridge.job_changed.emit(job.id)
    error = EngineError(ErrorCode.OUT_OF_MEMORY, "The memory is full.")
    project.set_job_state(job.id, state, error=error if state is JobState.FAILED else None)
    if state is JobState.FAILED:
        quiet_services.bridge.failed.emit(job.id, error)
    else:
        quiet_services.bridge.cancelled.emit(job.id)
    assert "gave nothing to compare" in page.sampling.panel.compare_note.text()
    assert page.sampling.panel.compare.isEnabled()
    assert not page.stage.comparing


def test_a_comparison_that_comes_while_the_user_is_elsewhere_waits_for_a_click(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    add_sequential(project, project.add_job(spec(5, DDIM)))
    first, other = finished(project), finished(project, spec={"seed": 8})
    show(page, first, qtbot)
    page.sampling.panel.compare.click()
    page.gallery.select([other])
    qtbot.waitUntil(lambda: bool(told(quiet_services)), timeout=WAIT_MS)
    assert not page.stage.comparing
    assert told(quiet_services) == ["The comparison with the sequential picture is there."]
    quiet_services.notifications.notices[0].actions[0][1]()
    qtbot.waitUntil(lambda: page.stage.comparing, timeout=WAIT_MS)
    assert page.stage.canvas.tiles[0].key == first
    settle(page, qtbot)


def test_a_variation_is_not_compared(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    sampler = {**PARALLEL, "variation_step": 6}
    show(page, finished(project, spec={"sampler": sampler}), qtbot)
    assert not page.sampling.panel.compare.isVisible()
    assert not action(quiet_services, "compare_sequential").isEnabled()
    assert "its last 6 steps were made anew" in page.sampling.panel.message.text()


@pytest.mark.parametrize(
    ("mine", "other", "verdict"),
    [
        (2.0, 5.0, "Measured here: parallel was 2.5 times as fast."),
        (5.0, 2.0, "Measured here: parallel took 2.5 times as long."),
        (2.0, 2.01, "Measured here: both took equally long."),
        (None, 2.0, ""),
    ],
)
def test_the_verdict_is_what_was_measured(mine: float | None, other: float, verdict: str) -> None:
    found = Comparison(1, Figures(5, 60, mine), Figures(20, 40, other), Agreement(0.01, 46.0))
    assert found.verdict("parallel") == verdict


# --- varying --------------------------------------------------------------------------------------


def test_a_picture_is_varied_from_its_trajectory(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    result = finished(project, trajectory=True)
    show(page, result, qtbot)
    panel = page.sampling.panel
    action(quiet_services, "vary_step").trigger()
    assert panel.vary.prompt.text() == "red heart"
    assert panel.vary.note.text() == "From noise, this picture took 5 rounds."
    assert panel.trajectory.text() == "Kept, 3.0 MiB: varying starts from it at once."
    panel.vary.prompt.setText("blue heart")
    panel.vary.slider.setValue(6)
    assert panel.vary.step.text() == "Makes the last 6 of 20 steps anew"
    panel.keep.click()
    panel.vary.run.click()
    made = project.jobs()[-1].spec
    kept = project.manifest(result)["parallel"]["trajectory"]
    assert made.inputs["start"].to_json() == kept  # type: ignore[union-attr]
    assert (made.params["prompt"], made.seed) == ("blue heart", 5)
    assert made.params["sampler"]["variation_step"] == 6
    assert made.params["sampler"]["keep_trajectory"] is True
    assert page.showing.subject is not None
    assert page.showing.subject.job == project.jobs()[-1].id, "the new picture is watched"


def test_without_a_trajectory_the_extra_cost_is_said(
    page: ImagesPage, project: Project, qtbot: QtBot
) -> None:
    result = finished(project)
    show(page, result, qtbot)
    panel = page.sampling.panel
    assert "was not kept: it is solved again first, 5 rounds" in panel.vary.note.text()
    assert panel.trajectory.text() == "Not kept for this picture."
    panel.vary.guidance.set_value(5.0)
    panel.vary.run.click()
    made = project.jobs()[-1].spec
    assert made.inputs["start"] == project.result(result).artifact
    assert made.params["guidance"] == 5.0


def test_varying_nothing_is_refused_until_something_is_changed(
    page: ImagesPage, project: Project, qtbot: QtBot
) -> None:
    show(page, finished(project), qtbot)
    before = len(project.jobs())
    vary = page.sampling.panel.vary
    vary.run.click()
    assert len(project.jobs()) == before
    assert "the same picture would come out" in vary.refusal.text()
    assert vary.refusal.isVisible()
    vary.prompt.setText("dog face")
    assert not vary.refusal.isVisible()
    qtbot.keyClick(vary.prompt, Qt.Key.Key_Return)
    assert len(project.jobs()) == before + 1


def test_a_wrong_guidance_is_not_sent(page: ImagesPage, project: Project, qtbot: QtBot) -> None:
    show(page, finished(project), qtbot)
    before = len(project.jobs())
    vary = page.sampling.panel.vary
    vary.prompt.setText("dog face")
    vary.guidance.box.lineEdit().setText("99")
    assert "from 0 to 30" in vary.refusal.text()
    vary.run.click()
    assert len(project.jobs()) == before


def test_what_was_typed_survives_news_about_the_picture(
    page: ImagesPage, project: Project, qtbot: QtBot
) -> None:
    show(page, finished(project), qtbot)
    page.sampling.panel.vary.prompt.setText("dog face")
    page.sampling.refresh()
    assert page.sampling.panel.vary.prompt.text() == "dog face"


def test_keeping_trajectories_is_one_setting_in_form_and_tab(
    page: ImagesPage, project: Project, qtbot: QtBot
) -> None:
    show(page, finished(project), qtbot)
    panel = page.sampling.panel
    assert not panel.keep.isChecked()
    page.controls.show_settings(
        {"sampler": {"name": "parataa", "keep_trajectory": True}}, lock_seed=False
    )
    assert panel.keep.isChecked()
    panel.keep.click()
    assert page.controls.values()["sampler"]["keep_trajectory"] is False


def test_the_scale_of_variation_is_in_plain_words() -> None:
    texts = [effect(step, 100) for step in (1, 20, 50, 90, 100)]
    assert len(set(texts)) == 5
    assert texts[1] == "Keeps the composition"
    assert texts[-1] == "A new picture"


def test_models_that_read_texts_offer_a_negative_prompt(qtbot: QtBot) -> None:
    form = VaryForm()
    qtbot.addWidget(form)
    settings = {"prompt": "a", "negative_prompt": "b", "guidance": 2.0, "steps": 10}
    form.show_picture(settings, "", negative=True)
    assert form.changes() == {"prompt": "a", "guidance": 2.0, "negative_prompt": "b"}
    form.show_picture(settings, "")
    assert form.changes() == {"prompt": "a", "guidance": 2.0}


# --- form, estimate, parameters -------------------------------------------------------------------


def test_on_a_machine_without_gpu_the_form_says_what_parallel_costs(
    page: ImagesPage, quiet_services: Services
) -> None:
    form = page.controls.form
    assert form is not None
    assert page.controls.values()["sampler"]["name"] == "ddim", "sequential by default"
    quiet_services.bridge.engine_ready.emit({"device": "cpu"})
    note = form._rows["sampler"].note
    assert note.text() == ""
    page.controls.show_settings({"sampler": {"name": "parataa"}}, lock_seed=False)
    assert note.text() == PARALLEL_ON_CPU
    assert note.isVisible()
    assert "variation_step" not in page.controls.values()["sampler"]
    quiet_services.bridge.engine_ready.emit({"device": "cuda:0"})
    assert not note.isVisible()


def test_optional_numbers_of_the_solver_read_auto(page: ImagesPage) -> None:
    page.controls.show_settings({"sampler": {"name": "parataa"}}, lock_seed=False)
    inner = page.controls._sampler_editor.variant("parataa")
    assert inner is not None
    for name in ("order", "window", "memory", "max_rounds"):
        line = inner.editor(name).box.lineEdit()  # type: ignore[attr-defined]
        assert (line.text(), line.placeholderText()) == ("", "Auto")
        assert inner.values()[name] is None


def test_the_time_of_a_parallel_run_is_known_from_the_same_settings_only(
    page: ImagesPage, quiet_services: Services, project: Project
) -> None:
    values = dict(spec().params)
    assert page.model.estimate(values) is None
    job = quiet_services.bridge.submit(spec(count=2))
    for state in (JobState.RUNNING, JobState.SUCCEEDED):
        project.set_job_state(job, state, metrics={"seconds": 8.0, "model_evaluations": 100})
        quiet_services.bridge.job_changed.emit(job)
    assert page.model.estimate({**values, "count": 3, "prompt": "dog face"}) == pytest.approx(12.0)
    assert page.model.estimate({**values, "guidance": 9.0}) is None
    sequential = {**values, "sampler": DDIM}
    assert page.model.estimate(sequential) is None, "a batch's speed says nothing about single steps"


def test_the_parameters_are_readable(page: ImagesPage, project: Project) -> None:
    from desktop.images.parameters_panel import describe

    result = finished(project, finished=7)
    groups = dict(describe(project.manifest(result), project.result(result)))
    rows = dict(groups["Sampling"])
    assert rows["Sampler"] == "parataa"
    assert rows["Method"] == "Auto"
    assert rows["Order"] == "Auto"
    assert rows["Solver"] == "First order"
    assert rows["Keep trajectory"] == "Off"
    assert rows["Rounds"] == "5"
    assert rows["Converged"] == "13 of 20 steps"
    assert rows["Evaluations"] == "60"
    assert not {"Variation step", "Max rounds", "Name"} & set(rows)
    assert not any("None" in value or "{" in value for value in rows.values())


def test_settings_within_settings_are_named_by_both() -> None:
    from desktop.images.parameters_panel import _settings

    nested = {"name": "x", "guard": {"name": "y", "strength": 0.5, "on": True, "steps": [1, 2]}}
    assert _settings(nested) == [
        ("Guard, strength", "0.5"),
        ("Guard, on", "On"),
        ("Guard, steps", "1, 2"),
    ]


def test_the_settings_of_a_variation_are_used_without_its_start(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    sampler = {**PARALLEL, "variation_step": 6}
    show(page, finished(project, spec={"sampler": sampler}), qtbot)
    page.results.use()
    assert page.controls.values()["sampler"]["name"] == "parataa"
    assert "which the form cannot do" in quiet_services.notifications.notices[0].hint


# --- saving, look ---------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "svg", "csv"])
def test_the_map_is_saved(
    page: ImagesPage,
    quiet_services: Services,
    project: Project,
    qtbot: QtBot,
    tmp_path: Path,
    suffix: str,
) -> None:
    show(page, finished(project), qtbot)
    target = tmp_path / f"rounds.{suffix}"
    page.sampling.panel.save_map_to(suffix, target)
    settle(page, qtbot)
    assert target.stat().st_size > 100
    assert told(quiet_services) == [f"Saved rounds.{suffix}."]
    page.sampling.panel.save_map_to(suffix, tmp_path / "nowhere" / "x")
    settle(page, qtbot)
    assert "The copy was not saved" in told(quiet_services)[0]


def test_the_tab_follows_the_theme(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    show(page, finished(project), qtbot)
    panel = page.sampling.panel
    assert panel.map is not None
    dark = panel.grab().toImage()
    quiet_services.theme.set_mode("light")
    light = panel.grab().toImage()
    at = panel.map.mapTo(panel, panel.map.rect().topLeft())
    assert dark.pixelColor(at).lightness() < 60 < 180 < light.pixelColor(at).lightness()
    assert panel.map._left.textPen().color() == QColor(quiet_services.theme.tokens.muted)


def test_the_page_can_go_while_its_rounds_play(
    quiet_services: Services, catalogue: Catalogue, make_page: MakePage, project: Project, qtbot: QtBot
) -> None:
    result = finished(project)
    page = make_page(quiet_services, lambda: catalogue)
    show(page, result, qtbot)
    page.sampling.panel.replay.toggle()
    assert page.sampling.panel.replay.playing
    assert page.stage.canvas.tiles[0].state is TileState.DONE


def test_every_control_of_the_tab_has_a_name_and_is_reached_by_keyboard(
    page: ImagesPage, project: Project, qtbot: QtBot
) -> None:
    from PySide6.QtWidgets import QAbstractButton, QLineEdit, QSlider, QWidget

    show(page, finished(project, finished=7, trajectory=True), qtbot)
    panel = page.sampling.panel
    assert panel.map is not None
    wanted: list[QWidget] = [panel.map]
    for kind in (QAbstractButton, QLineEdit, QSlider):
        wanted += [widget for widget in panel.findChildren(kind) if widget.isVisible()]
    wanted = [widget for widget in wanted if widget.focusPolicy() & Qt.FocusPolicy.TabFocus]
    for widget in wanted:
        named = widget.accessibleName() or (isinstance(widget, QAbstractButton) and widget.text())
        assert named or widget.objectName() == "qt_spinbox_lineedit", widget
    page.activateWindow()
    qtbot.waitUntil(page.isActiveWindow, timeout=WAIT_MS)
    panel.map.setFocus()
    qtbot.waitUntil(panel.map.hasFocus, timeout=WAIT_MS)
    reached: list[QWidget] = []
    while panel.map not in reached and len(reached) < 200:
        page.focusNextChild()
        reached.append(page.focusWidget())
    assert reached.index(panel.replay.slider) < reached.index(panel.vary.prompt)
    assert reached[0] is panel.replay.play_button, "the map comes before what is below it"
    missing = [w for w in wanted if w not in reached and w.objectName() != "qt_spinbox_lineedit"]
    assert missing == []


def test_nothing_of_the_tab_is_cut_at_its_side(
    page: ImagesPage, project: Project, qtbot: QtBot
) -> None:
    add_sequential(project, project.add_job(spec(5, DDIM)), colour=110)
    show(page, finished(project, finished=7, trajectory=True), qtbot)
    panel = page.sampling.panel
    panel.compare.click()
    qtbot.waitUntil(lambda: page.stage.comparing, timeout=WAIT_MS)
    needed = panel._scroll.widget().minimumSizeHint().width()
    assert needed <= INSPECTOR_WIDTH - panel._scroll.verticalScrollBar().sizeHint().width()
