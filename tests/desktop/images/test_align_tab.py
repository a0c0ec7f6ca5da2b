"""The Align tab on the page: subjects, live runs, holding, scrubbing, branching, batches, warnings."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from desktop.images.align_jobs import stricter, terms_by_key
from desktop.images.align_panel import READ_OUT
from desktop.images.align_run_view import RED_TEXT
from desktop.images.align_tab import FOREIGN, NOT_HERE, SELECT
from desktop.images.catalogue import Catalogue, ModelEntry
from desktop.images.controls import Controls
from desktop.images.page import INSPECTOR_WIDTH, ImagesPage
from desktop.services import Services
from desktop.theme import SPACE_M
from desktop.widgets.compare_view import CompareMode
from desktop.widgets.tab_order import focus_stops
from engine.errors import EngineError, ErrorCode
from engine.images.alignment_params import GUARD_STRENGTHS, AlignParams
from engine.job import JobSpec, JobState
from engine.project import Project
from tests.desktop.images.aligning import (
    REWARDS,
    SAMPLING_STEPS,
    STEPS,
    add_aligned,
    add_generated,
    align_spec,
    points,
)
from tests.desktop.support import WAIT_MS

MakePage = Callable[..., ImagesPage]


def settle(page: ImagesPage, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: not page.background.busy, timeout=WAIT_MS)


def show(page: ImagesPage, results: list[int], qtbot: QtBot) -> None:
    """Select results and wait until the tab shows them."""
    page.inspector.setCurrentWidget(page.align.panel)
    page.gallery.model.sync()
    page.gallery.select(results)
    settle(page, qtbot)
    settle(page, qtbot)


def finished(project: Project, **details: Any) -> int:
    """A finished alignment of the generated picture with the same seed."""
    job = project.add_job(align_spec(**details.pop("spec", {})))
    project.set_job_state(job, JobState.RUNNING)
    result = add_aligned(project, job, **details)
    state = JobState.CANCELLED if details.get("ended") == "cancelled" else JobState.SUCCEEDED
    project.set_job_state(job, state, metrics={"seconds": 9.0})
    return result


def start(page: ImagesPage, services: Services, project: Project, qtbot: QtBot, **params: Any) -> str:
    """Queue an alignment, follow it and let it run."""
    job = services.bridge.submit(align_spec(**params))
    page.showing.follow(job)
    project.set_job_state(job, JobState.RUNNING)
    services.bridge.job_changed.emit(job)
    page.inspector.setCurrentWidget(page.align.panel)
    settle(page, qtbot)
    return job


def run_steps(services: Services, job: str, **params: Any) -> None:
    for values in points(**params):
        services.bridge.measured.emit(job, "align", values)


def end(services: Services, project: Project, job: str, state: JobState, **details: Any) -> int:
    """End a running job with a result."""
    result = add_aligned(project, job, **details)
    services.bridge.result_added.emit(result, job)
    project.set_job_state(job, state)
    services.bridge.job_changed.emit(job)
    return result


def action(services: Services, name: str) -> Any:
    return services.actions.action(f"images.{name}")


def queued(project: Project) -> list[JobSpec]:
    waiting = [record for record in project.jobs() if record.state is JobState.QUEUED]
    return [record.spec for record in waiting if record.spec.kind == "images.align"]


def told(services: Services) -> list[str]:
    return [notice.text for notice in services.notifications.notices]


# --- what can be aligned --------------------------------------------------------------------------


def test_nothing_is_read_before_the_tab_is_shown(
    page: ImagesPage, project: Project, qtbot: QtBot
) -> None:
    result = add_generated(project)
    page.gallery.model.sync()
    page.gallery.select([result])
    settle(page, qtbot)
    assert page.align.catalogue is None
    page.inspector.setCurrentWidget(page.align.panel)
    settle(page, qtbot)
    assert page.align.catalogue is not None
    assert page.align.panel.curves is None


def test_without_a_picture_the_tab_says_what_it_is_for(
    page: ImagesPage, quiet_services: Services, qtbot: QtBot
) -> None:
    page.inspector.setCurrentWidget(page.align.panel)
    settle(page, qtbot)
    assert page.align.panel.message.text() == SELECT
    assert not page.align.panel.setup.isVisible()
    for name in ("align", "align_run", "align_pause", "align_stop", "align_branch", "align_compare"):
        assert not action(quiet_services, name).isEnabled()
    page.align.start()
    page.align.results.pin()
    page.align.results.compare()
    assert page.align.results.pins == []


def test_a_picture_is_aligned_with_the_rewards_of_the_stack(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    result = add_generated(project)
    show(page, [result], qtbot)
    setup = page.align.panel.setup
    assert setup.start.text() == "red heart, seed 5"
    assert not action(quiet_services, "align_run").isEnabled()
    setup.stack.add("brightness")
    assert action(quiet_services, "align_run").isEnabled()
    assert f"× {SAMPLING_STEPS} sampling steps × 3 × 2 for guidance" in setup.forecast.text()
    qtbot.mouseClick(setup.run, Qt.MouseButton.LeftButton)
    (spec,) = queued(project)
    assert spec.seed == 5
    assert spec.inputs == {}
    params = AlignParams.model_validate(spec.params)
    assert [term.name for term in params.rewards] == ["brightness", "white_border"]
    assert params.picture.prompt == "red heart"
    assert (params.guard, params.branch_step) == ("soft", None)
    # Next time, and in the next session, the stack is as it was.
    saved = project.get("images.align.settings")
    assert [term["name"] for term in saved["rewards"]] == ["brightness", "white_border"]


def test_the_stack_of_the_last_session_is_there_again(
    quiet_services: Services, catalogue: Catalogue, make_page: MakePage, project: Project, qtbot: QtBot
) -> None:
    project.put("images.align.settings", {"rewards": REWARDS, "guard": "strict", "steps": 7})
    page = make_page(quiet_services, lambda: catalogue)
    show(page, [add_generated(project)], qtbot)
    setup = page.align.panel.setup
    assert [card.entry.name for card in setup.stack.cards] == ["brightness", "white_border"]
    assert setup.guard == "strict"
    assert setup.form is not None
    assert setup.form.values()["steps"] == 7


def test_pictures_of_models_without_gradient_and_of_others_are_refused_with_the_reason(
    quiet_services: Services, make_page: MakePage, project: Project, catalogue: Catalogue, qtbot: QtBot
) -> None:
    entry = ModelEntry("builtin", "Built-in", aligns=False)
    page = make_page(quiet_services, lambda: Catalogue(catalogue.schema, (entry,)))
    assert page.controls.entry("builtin") is entry
    show(page, [add_generated(project)], qtbot)
    assert page.align.panel.message.text() == NOT_HERE
    assert not page.align.panel.setup.isVisible()
    page.align._manifest = {"spec": {"kind": "other.job"}}
    assert page.align._obstacle() == FOREIGN


def test_a_key_leads_to_the_form(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    result = add_generated(project)
    page.gallery.model.sync()
    page.gallery.select([result])
    page.activateWindow()
    action(quiet_services, "align").trigger()
    assert page.inspector.currentWidget() is page.align.panel
    settle(page, qtbot)
    action(quiet_services, "align").trigger()
    assert page.align.panel.setup.stack.add_button.hasFocus()
    # Without rewards the key that starts leads to the form as well.
    page.align.start()
    assert queued(project) == []


def test_the_keys_of_the_tab_are_free(page: ImagesPage, quiet_services: Services) -> None:
    actions = quiet_services.actions
    rows = [row.id for row in actions.all("images") if row.id.startswith("images.align")]
    assert len(rows) == 11
    for name in rows:
        assert actions.conflict(name, actions.shortcut(name)) is None, name


# --- while it runs --------------------------------------------------------------------------------


def test_curves_and_figures_grow_with_every_step(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    job = start(page, quiet_services, project, qtbot)
    panel = page.align.panel
    assert not panel.setup.isVisible()
    run_steps(quiet_services, job, upto=4)
    settle(page, qtbot)
    assert panel.curves is not None
    assert panel.curves.isVisible()
    assert len(panel.curves.steps.points) == 5
    view = panel.run_view
    assert view.state.text() == "Aligning"
    assert view.figures.text() == "Step 4 of 10 · best: 4 · 1.5 s a step · about 9 s left"
    assert view.sign.text.text() == "Looks random (P 0.32, worst step 0.16)"
    assert view.bar.value() == 4
    assert view.pause.isVisible()
    assert not view.banner.isVisible()
    assert panel.legend.rows == [("Brighter", "36 of 100"), ("Coloured background", "86 of 100")]


def test_the_estimate_learns_from_what_runs(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    job = start(page, quiet_services, project, qtbot)
    run_steps(quiet_services, job)
    result = end(quiet_services, project, job, JobState.SUCCEEDED)
    show(page, [result], qtbot)
    setup = page.align.panel.setup
    setup.stack.set_terms(REWARDS)
    assert setup.form is not None
    setup.form.set_values({"steps": 20})
    assert "About 30 s here." in setup.forecast.text()


def test_before_any_alignment_the_estimate_follows_generating(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    result = add_generated(project)
    job = page.model.submit(project.job(project.result(result).job).spec)
    project.set_job_state(job.id, JobState.RUNNING)
    metrics = {"seconds": 2.0, "model_evaluations": 2 * SAMPLING_STEPS}
    project.set_job_state(job.id, JobState.SUCCEEDED, metrics=metrics)
    quiet_services.bridge.job_changed.emit(job.id)
    show(page, [result], qtbot)
    setup = page.align.panel.setup
    setup.stack.set_terms(REWARDS)
    assert setup.form is not None
    setup.form.set_values({"steps": 5})
    assert "About 30 s here." in setup.forecast.text()


def test_red_is_told_in_words_with_what_can_be_done(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    job = start(page, quiet_services, project, qtbot)
    run_steps(quiet_services, job, upto=8, red_from=7)
    settle(page, qtbot)
    view = page.align.panel.run_view
    assert view.banner.isVisible()
    assert view.banner.text.text() == RED_TEXT
    assert [item.text() for item in view.banner.buttons if item.isVisible()] == [
        "Back to the last green step",
        "Stricter guard, and go on",
        "Stop",
    ]
    assert all(item.isEnabled() for item in view.banner.buttons)
    assert "No longer random" in view.sign.text.text()


@pytest.mark.parametrize("name", ["align_pause", "align_stop", "align_back", "align_stricter"])
def test_what_holds_a_run_cancels_its_job(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot, name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    asked: list[str] = []
    job = start(page, quiet_services, project, qtbot)
    monkeypatch.setattr(quiet_services.bridge, "cancel", asked.append)
    run_steps(quiet_services, job, upto=8, red_from=7)
    action(quiet_services, name).trigger()
    assert asked == [job]


def test_a_held_run_goes_on_as_if_it_had_not_been_stopped(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    job = start(page, quiet_services, project, qtbot)
    run_steps(quiet_services, job, upto=4)
    assert action(quiet_services, "align_pause").text() == "Pause"
    action(quiet_services, "align_pause").trigger()
    result = end(quiet_services, project, job, JobState.CANCELLED, upto=4, ended="cancelled")
    show(page, [result], qtbot)
    view = page.align.panel.run_view
    assert view.state.text() == "Paused"
    assert (view.pause.text(), view.pause.isVisible(), view.stop.isVisible()) == ("Go on", True, False)
    qtbot.mouseClick(view.pause, Qt.MouseButton.LeftButton)
    (spec,) = queued(project)
    made = project.manifest(result)
    assert spec.params == made["spec"]["params"]
    assert spec.inputs["start"].to_json() == made["align"]["noise"]  # type: ignore[union-attr]
    assert spec.seed == 5


def test_back_shows_the_last_green_step_once_the_run_ended(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    job = start(page, quiet_services, project, qtbot)
    run_steps(quiet_services, job, upto=8, red_from=7)
    action(quiet_services, "align_back").trigger()
    end(quiet_services, project, job, JobState.CANCELLED, upto=8, red_from=7, ended="cancelled")
    settle(page, qtbot)
    settle(page, qtbot)
    panel = page.align.panel
    assert panel.scrub.step == 5
    assert page.stage.canvas.tiles[0].mark == "Step 5"
    assert panel.setup.start.text() == "From step 5 on"


def test_a_stricter_guard_goes_on_from_the_last_green_step(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    job = start(page, quiet_services, project, qtbot)
    run_steps(quiet_services, job, upto=8, red_from=7)
    action(quiet_services, "align_stricter").trigger()
    end(quiet_services, project, job, JobState.CANCELLED, upto=8, red_from=7, ended="cancelled")
    settle(page, qtbot)
    (spec,) = queued(project)
    assert (spec.params["guard"], spec.params["branch_step"], spec.params["steps"]) == ("strict", 5, 5)
    assert "start" in spec.inputs


def test_a_guard_beyond_strict_is_a_heavier_one() -> None:
    assert stricter({"guard": "off", "gamma": None})["guard"] == "soft"
    once = stricter({"guard": "strict", "gamma": None})
    twice = stricter(once)
    assert (once["guard"], twice["guard"]) == ("strict", "strict")
    assert once["gamma"] == 3 * GUARD_STRENGTHS["strict"]
    assert twice["gamma"] == 3 * once["gamma"]


# --- a finished one -------------------------------------------------------------------------------


def test_a_finished_alignment_shows_how_it_went_and_what_changed(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    add_generated(project)
    result = finished(project)
    show(page, [result], qtbot)
    panel = page.align.panel
    assert panel.run_view.state.text() == "Finished"
    assert panel.run_view.figures.text() == "Step 10 of 10 · best: 10 · 1.5 s a step"
    assert not panel.run_view.pause.isVisible()
    rows = panel.explain.rows
    assert rows[0] == ("", "Before", "After", "")
    assert [row[0] for row in rows[1:3]] == ["• White border", "• Brightness"]
    assert ("Sharpness", "101", "101", "same") in rows
    assert panel.explain.traded.text().startswith("Changed without being asked for: contrast -")
    assert panel.explain.picture.isVisible()
    assert "mean 100.0, largest 100" in panel.explain.picture_text.text()
    assert panel.setup.run.text() == "Branch from step 10"


def test_any_step_can_be_looked_at(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    result = finished(project)
    show(page, [result], qtbot)
    panel, tiles = page.align.panel, page.stage.canvas
    assert tiles.tiles[0].mark == ""
    panel.scrub.bar.slider.setValue(3)
    assert tiles.tiles[0].mark == "Step 3"
    image = tiles.tiles[0].image
    assert image is not None
    assert image.pixelColor(0, 0).red() == 40
    assert panel.scrub.found.text() == "Step 3: total +0.10, P 0.32, worst step 0.16"
    assert panel.curves is not None
    assert panel.curves.marked == 3
    assert "nearest step before whose noise was kept is 0" in panel.scrub.kept.text()
    assert panel.legend.rows[0] == ("Brighter", "32 of 100")
    panel.scrub.bar.slider.setValue(STEPS + 1)
    assert tiles.tiles[0].mark == ""
    assert panel.scrub.found.text().startswith("Step 10 (kept as the best)")


def test_the_curves_lead_to_steps_by_mouse_and_keyboard(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    show(page, [finished(project)], qtbot)
    panel = page.align.panel
    curves = panel.curves
    assert curves is not None
    qtbot.keyClick(curves, Qt.Key.Key_Home)
    assert panel.scrub.step == 0
    for _ in range(2):
        qtbot.keyClick(curves, Qt.Key.Key_Right)
    assert panel.scrub.step == 2
    qtbot.keyClick(curves, Qt.Key.Key_Left)
    assert panel.scrub.step == 1
    qtbot.keyClick(curves, Qt.Key.Key_End)
    assert panel.scrub.step == 10
    qtbot.mouseClick(curves.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(curves.width() - 20, 50))
    assert panel.scrub.step == 10
    middle = (44 + curves.width() - 14) // 2
    qtbot.mouseClick(curves.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(middle, 50))
    assert abs(panel.scrub.step - 5) <= 1


def test_pinned_steps_lead_back_and_are_kept(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    result, other = finished(project), finished(project, spec={"seed": 6}, colour=90)
    show(page, [result], qtbot)
    scrub = page.align.panel.scrub
    for step in (7, 3):
        scrub.go_to(step)
        action(quiet_services, "align_pin").trigger()
    assert [item.text() for item in scrub.pin_buttons] == ["3", "7"]
    qtbot.mouseClick(scrub.pin_buttons[1], Qt.MouseButton.LeftButton)
    assert scrub.step == 7
    action(quiet_services, "align_pin").trigger()
    assert [item.accessibleName() for item in scrub.pin_buttons] == ["Pinned step 3"]
    show(page, [other], qtbot)
    assert scrub.pin_buttons == []
    show(page, [result], qtbot)
    assert page.align.results.pins == [3]


def test_a_branch_starts_at_the_step_that_is_looked_at(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    result = finished(project)
    show(page, [result], qtbot)
    panel = page.align.panel
    panel.scrub.go_to(7)
    action(quiet_services, "align_branch").trigger()
    assert panel.setup.run.text() == "Branch from step 5"
    panel.setup.stack.set_terms([{"name": "contrast", "weight": -2.0}])
    qtbot.mouseClick(panel.setup.run, Qt.MouseButton.LeftButton)
    (spec,) = queued(project)
    assert spec.params["branch_step"] == 5
    assert [term["name"] for term in spec.params["rewards"]] == ["contrast"]
    assert spec.params["picture"] == align_spec().params["picture"]
    assert spec.inputs["start"].to_json() == project.manifest(result)["align"]["noise"]  # type: ignore[union-attr]


def test_undo_makes_the_picture_of_a_step_and_nothing_more(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    show(page, [finished(project)], qtbot)
    page.align.panel.scrub.go_to(5)
    action(quiet_services, "align_undo").trigger()
    (spec,) = queued(project)
    assert (spec.params["branch_step"], spec.params["steps"]) == (5, 0)
    assert spec.params["rewards"] == align_spec().params["rewards"]


def test_a_step_is_wiped_against_the_start(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    add_generated(project)
    result = finished(project)
    show(page, [result], qtbot)
    page.align.panel.scrub.go_to(4)
    action(quiet_services, "align_compare").trigger()
    qtbot.waitUntil(lambda: page.stage.comparing, timeout=WAIT_MS)
    compare = page.stage.compare
    assert compare.mode is CompareMode.WIPE
    assert compare._names == ("Start", "Step 4")
    assert compare._images is not None
    assert [image.pixelColor(1, 1).red() for image in compare._images] == [100, 50]
    page.align.panel.scrub.bar.slider.setValue(STEPS + 1)
    action(quiet_services, "align_compare").trigger()
    qtbot.waitUntil(lambda: page.stage.comparing, timeout=WAIT_MS)
    assert compare._names == ("Start", "Aligned")
    assert compare._images[1].pixelColor(1, 1).red() == 200


def test_a_start_that_is_not_there_is_made_for_the_comparison(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    result = finished(project)
    show(page, [result], qtbot)
    action(quiet_services, "align_compare").trigger()
    jobs = [r for r in project.jobs() if r.spec.kind == "images.generate"]
    assert [(r.spec.seed, r.spec.params["prompt"]) for r in jobs] == [(5, "red heart")]
    assert "is being made" in page.align.panel.scrub.kept.text()
    project.set_job_state(jobs[0].id, JobState.RUNNING)
    job = jobs[0].id
    from tests.desktop.images.parallel import add_picture

    made = add_picture(project, job, 100, "cpu", 0)
    quiet_services.bridge.result_added.emit(made, job)
    project.set_job_state(job, JobState.SUCCEEDED)
    quiet_services.bridge.job_changed.emit(job)
    qtbot.waitUntil(lambda: page.stage.comparing, timeout=WAIT_MS)


def test_a_run_that_ended_red_offers_ways_back(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    result = finished(project, upto=7, red_from=7, ended="red")
    show(page, [result], qtbot)
    view = page.align.panel.run_view
    assert view.state.text() == "Stopped: the noise no longer looked random"
    assert view.banner.isVisible()
    assert not view.banner.buttons[-1].isVisible()
    action(quiet_services, "align_back").trigger()
    settle(page, qtbot)
    assert page.align.panel.scrub.step == 5
    action(quiet_services, "align_stricter").trigger()
    assert [spec.params["guard"] for spec in queued(project)] == ["strict"]


def test_an_alignment_without_kept_noise_cannot_be_gone_on_with(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    show(page, [finished(project, kept=False, film=False)], qtbot)
    panel = page.align.panel
    for name in ("align_branch", "align_undo", "align_pause", "align_stricter", "align_play"):
        assert not action(quiet_services, name).isEnabled()
    assert panel.setup.start.text() == "Nothing to go on from"
    assert not panel.setup.run.isEnabled()
    assert "cannot be gone on with" in panel.scrub.kept.text()
    assert not panel.scrub.bar.isVisible()


def test_a_damaged_record_is_told_and_the_rest_stays_usable(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    result = finished(project)
    artifact = project.manifest(result)["align"]["curve"]
    from engine.job import ArtifactRef

    project.store.path(ArtifactRef.from_json(artifact)).write_bytes(b"broken")
    show(page, [result], qtbot)
    panel = page.align.panel
    assert panel.message.text()
    assert panel.explain.rows
    assert panel.read_out.text() == READ_OUT
    assert not action(quiet_services, "align_branch").isEnabled()


def test_the_keys_act_on_the_picture_that_is_meant_also_while_the_tab_is_hidden(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    plain, aligned = add_generated(project), finished(project)
    show(page, [aligned], qtbot)
    page.inspector.setCurrentWidget(page.parameters)
    page.gallery.select([plain])
    settle(page, qtbot)
    for name in ("align_branch", "align_undo", "align_compare", "align_pin"):
        assert not action(quiet_services, name).isEnabled()
    assert action(quiet_services, "align").isEnabled()
    page.gallery.select([aligned])
    settle(page, qtbot)
    settle(page, qtbot)
    assert action(quiet_services, "align_undo").isEnabled()
    action(quiet_services, "align_branch").trigger()
    assert page.inspector.currentWidget() is page.align.panel


# --- several --------------------------------------------------------------------------------------


def test_several_pictures_are_aligned_a_job_each_and_the_best_are_shown(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    results = [add_generated(project, seed) for seed in (1, 2, 3)]
    show(page, results, qtbot)
    panel = page.align.panel
    assert panel.setup.start.text() == "3 pictures, a job each"
    panel.setup.stack.set_terms(REWARDS)
    assert "for each of 3 pictures" in panel.setup.forecast.text()
    qtbot.mouseClick(panel.setup.run, Qt.MouseButton.LeftButton)
    jobs = [r for r in project.jobs() if r.spec.kind == "images.align"]
    assert sorted(record.spec.seed for record in jobs) == [1, 2, 3]
    made = {}
    for record, upto in zip(jobs, (2, 9, 5), strict=True):
        project.set_job_state(record.id, JobState.RUNNING)
        quiet_services.bridge.job_changed.emit(record.id)
        run_steps(quiet_services, record.id, upto=upto)
        made[upto] = end(quiet_services, project, record.id, JobState.SUCCEEDED, colour=10 * upto)
    page.inspector.setCurrentWidget(panel)
    assert panel.batch_text.text() == "3 of 3 pictures aligned"
    assert any("aligned" in text for text in told(quiet_services))
    panel.best.set_value(2)
    qtbot.mouseClick(panel.best_button, Qt.MouseButton.LeftButton)
    assert [tile.key for tile in page.stage.canvas.tiles] == [made[9], made[5]]


# --- taste ---------------------------------------------------------------------------------------


def test_the_users_taste_is_learnt_from_likes(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    results = [add_generated(project, seed, colour=10 * seed) for seed in (1, 2, 3, 4)]
    project.set_liked(results[:3], 1)
    project.set_liked(results[3:], -1)
    show(page, results[:1], qtbot)
    stack = page.align.panel.setup.stack
    stack.set_terms([{"name": "contrast"}])
    assert not stack.cards[0].learn.isVisible()
    stack.set_terms([{"name": "taste"}])
    card = stack.cards[0]
    assert card.taste.text() == "3 liked and 1 disliked in this project."
    qtbot.mouseClick(card.learn, Qt.MouseButton.LeftButton)
    (record,) = (r for r in project.jobs() if r.spec.kind == "images.learn_taste")
    params = tuple(set(record.spec.params[name]) for name in ("liked", "disliked"))
    assert {name: value.sha256 for name, value in record.spec.inputs.items()} == {
        f"picture-{result}": project.result(result).artifact.sha256 for result in results
    }
    assert params == ({f"picture-{r}" for r in results[:3]}, {f"picture-{results[3]}"})
    assert not card.learn.isEnabled()
    quiet_services.bridge.finished.emit("another", {})
    quiet_services.bridge.finished.emit(record.id, {"votes": 4, "accuracy": 0.75})
    assert card.taste.text().startswith("Learnt from 4 votes; 75 %")
    assert card.learn.isEnabled()
    qtbot.mouseClick(card.learn, Qt.MouseButton.LeftButton)
    again = [r.id for r in project.jobs() if r.spec.kind == "images.learn_taste"][-1]
    error = EngineError(ErrorCode.INVALID_INPUT, "1 more vote is needed.", "Like one.")
    quiet_services.bridge.failed.emit(again, error)
    assert "1 more vote" in card.taste.text()


# --- looks ----------------------------------------------------------------------------------------


def test_the_tab_fits_the_inspector_at_its_narrowest(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    show(page, [finished(project, upto=7, red_from=7, ended="red")], qtbot)
    panel = page.align.panel
    panel.setup.stack.set_terms(REWARDS)
    action(quiet_services, "align_pin").trigger()
    assert panel.content.minimumSizeHint().width() <= INSPECTOR_WIDTH - 10
    assert SPACE_M > 0


def test_the_tab_key_goes_down_the_tab(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    show(page, [finished(project, upto=7, red_from=7, ended="red")], qtbot)
    panel = page.align.panel
    panel.setup.stack.set_terms([*REWARDS, {"name": "taste"}])
    for card in panel.setup.stack.cards:
        card.more.setChecked(True)
    qtbot.wait(50)
    stops: list[QWidget] = []
    widget = panel.run_view.banner.buttons[0]
    below = focus_stops(panel.setup.footer)
    while widget not in stops:
        if widget.isVisible() and widget in [*focus_stops(panel.content), *below]:
            stops.append(widget)
        widget = widget.nextInFocusChain()
        if widget is panel.run_view.banner.buttons[0]:
            break
    assert stops.pop() is panel.setup.run
    places = [stop.mapTo(panel.content, stop.rect().center()) for stop in stops]
    # Down the panel; along a row where several stand side by side.
    assert all(later.y() > place.y() - 16 for place, later in pairwise(places))
    assert panel.curves in stops
    assert set(stops) == {w for w in focus_stops(panel.content) if w.isVisible()}


def test_curves_are_saved_as_picture_drawing_and_table(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot, tmp_path: Any
) -> None:
    show(page, [finished(project)], qtbot)
    for suffix, head in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("csv", b"step,total")):
        target = tmp_path / f"curves.{suffix}"
        page.align.panel.save_curves_to(suffix, target)
        settle(page, qtbot)
        assert target.read_bytes().startswith(head)
    assert "Saved curves.csv." in told(quiet_services)


def test_the_curves_follow_the_theme(
    page: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    show(page, [finished(project)], qtbot)
    curves = page.align.panel.curves
    assert curves is not None

    def corner() -> int:
        return curves.grab().toImage().pixelColor(2, 2).lightness()

    dark = corner()
    quiet_services.theme.set_mode("light")
    assert corner() > dark + 100


def test_rewards_that_occur_twice_are_numbered() -> None:
    terms = [{"name": "hue", "weight": 1}, {"name": "contrast"}, {"name": "hue", "weight": -1}]
    assert list(terms_by_key(terms)) == ["hue", "contrast", "hue-2"]
    assert np.sign(terms_by_key(terms)["hue-2"]["weight"]) == -1


def test_controls_know_models_by_name(page: ImagesPage) -> None:
    controls: Controls = page.controls
    assert controls.entry("builtin") is not None
    assert controls.entry("none") is None
