"""The page with everything but a running engine: the bridge's signals are emitted by the tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication, QImage
from pytestqt.qtbot import QtBot

from desktop.images.catalogue import Catalogue
from desktop.images.page import SETTINGS_KEY, ImagesPage
from desktop.services import Services
from desktop.widgets.compare_view import CompareMode
from desktop.widgets.image_canvas import TileState
from engine.errors import EngineError, ErrorCode
from engine.images.metadata import read_manifest, write_png
from engine.job import JobSpec, JobState
from engine.project import Project, ResultFilter
from tests.desktop.images.conftest import AddResult, spec
from tests.desktop.support import WAIT_MS

MakePage = Callable[..., ImagesPage]


def texts(services: Services, level: str) -> list[str]:
    return [notice.text for notice in services.notifications.notices if notice.level == level]


def last_spec(project: Project) -> JobSpec:
    return project.jobs()[-1].spec


@pytest.fixture
def filled(
    project: Project,
    quiet_services: Services,
    catalogue: Catalogue,
    add_result: AddResult,
    make_page: MakePage,
) -> ImagesPage:
    """A page over a project with four pictures of one finished job."""
    job = project.add_job(spec(seed=20, prompt="red heart", count=4, steps=12))
    project.set_job_state(job, JobState.RUNNING)
    for index in range(4):
        add_result(job, index, 50 * index + 20)
    metrics = {"seconds": 9.6, "model_evaluations": 96}
    project.set_job_state(job, JobState.SUCCEEDED, metrics=metrics)
    return make_page(quiet_services, lambda: catalogue)


# --- before anything was made ---------------------------------------------------------------------


def test_an_empty_page_explains_itself_and_runs_its_example(page: ImagesPage, project: Project) -> None:
    assert page.stage.empty
    assert page.run_example.isEnabled()
    page.run_example.click()
    made = last_spec(project)
    assert (made.params["prompt"], made.params["count"], made.seed) == ("red heart", 4, 7)
    assert not page.stage.empty


def test_without_a_model_the_page_says_what_is_missing(
    quiet_services: Services, catalogue: Catalogue, make_page: MakePage, project: Project
) -> None:
    page = make_page(quiet_services, lambda: Catalogue(catalogue.schema))
    assert "No image model is installed" in page.controls.problem.text.text()
    assert page.controls.problem.isVisible()
    assert not page.footer.run.isEnabled()
    assert not page.run_example.isEnabled()
    page.run_main_action()
    assert project.jobs() == []
    assert "No image model is installed" in texts(quiet_services, "error")[0]


def test_a_model_that_cannot_be_read_is_named(
    quiet_services: Services, catalogue: Catalogue, make_page: MakePage
) -> None:
    problem = EngineError(ErrorCode.BAD_FILE, "The model x cannot be used.", "Install it again.")
    page = make_page(quiet_services, lambda: Catalogue(catalogue.schema, catalogue.models, (problem,)))
    assert page.controls.problem.text.text() == "The model x cannot be used."
    assert page.footer.run.isEnabled()


def test_without_the_built_in_model_the_first_other_one_is_chosen(
    quiet_services: Services, catalogue: Catalogue, make_page: MakePage
) -> None:
    page = make_page(quiet_services, lambda: Catalogue(catalogue.schema, catalogue.models[1:]))
    assert page.controls.values()["model"] == "classes"
    assert page.footer.run.isEnabled()


def test_models_that_were_added_are_found_without_losing_what_was_entered(
    quiet_services: Services, catalogue: Catalogue, make_page: MakePage, qtbot: QtBot
) -> None:
    installed = [catalogue.models[0]]
    page = make_page(quiet_services, lambda: Catalogue(catalogue.schema, tuple(installed)))
    page.controls.show_settings({"prompt": "dog face", "steps": 8, "seed": 4}, lock_seed=True)
    before = page.controls.values()
    installed.append(catalogue.models[1])
    quiet_services.actions.action("images.models").trigger()
    qtbot.waitUntil(lambda: not page.background.busy, timeout=WAIT_MS)
    assert page.controls.values() == before
    page.controls.show_settings({"model": "classes"}, lock_seed=False)
    assert page.controls.values()["model"] == "classes"


def test_the_zoom_of_the_shown_picture_is_told(filled: ImagesPage, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: filled.stage.zoom.text() != "", timeout=WAIT_MS)
    filled.stage.one_button.click()
    assert filled.stage.zoom.text() == "100 %"


def test_nothing_is_run_before_the_form_is_there(
    quiet_services: Services, catalogue: Catalogue, qtbot: QtBot, project: Project
) -> None:
    page = ImagesPage(quiet_services, lambda: catalogue)
    qtbot.addWidget(page)
    page.run_main_action()
    assert project.jobs() == []


# --- generating -----------------------------------------------------------------------------------


def test_generate_queues_what_the_form_says(page: ImagesPage, project: Project) -> None:
    page.controls.show_settings(
        {
            "prompt": "rocket",
            "count": 2,
            "steps": 9,
            "seed": 33,
            "sampler": {"name": "heun", "spacing": "leading"},
        },
        lock_seed=True,
    )
    page.footer.run.click()
    made = last_spec(project)
    assert made == spec(
        seed=33, prompt="rocket", count=2, steps=9, sampler={"name": "heun", "spacing": "leading"}
    )
    assert project.get(SETTINGS_KEY)["prompt"] == "rocket"


def test_an_open_seed_is_new_for_every_run_a_locked_one_stays(
    page: ImagesPage, project: Project
) -> None:
    for _ in range(3):
        page.run_main_action()
    seeds = [job.spec.seed for job in project.jobs()]
    assert len(set(seeds)) == 3
    assert page.controls.seed.value() == seeds[-1]
    page.controls.seed.set_locked(True)
    page.run_main_action()
    page.run_main_action()
    assert [job.spec.seed for job in project.jobs()][3:] == [seeds[-1]] * 2
    assert page.model.waiting == 5


@pytest.mark.parametrize(
    ("field", "text"), [("steps", "0"), ("steps", "1000000"), ("count", "many"), ("guidance", "-1")]
)
def test_wrong_values_are_marked_and_not_sent(
    page: ImagesPage, project: Project, field: str, text: str
) -> None:
    editor = page.controls.form.editor(field)  # type: ignore[union-attr]
    editor.box.lineEdit().setText(text)  # type: ignore[attr-defined]
    page.run_main_action()
    assert project.jobs() == []
    assert page.footer.estimate.text() == "Correct the marked field"
    assert page.focusWidget() is editor.box  # type: ignore[attr-defined]


def test_seed_text_is_marked_and_not_sent(page: ImagesPage, project: Project, qtbot: QtBot) -> None:
    page.controls.seed.line.clear()
    qtbot.keyClicks(page.controls.seed.line, "lucky")
    page.run_main_action()
    assert project.jobs() == []
    assert page.controls.seed.line.text() == "lucky"
    assert "“lucky”" in page.controls.form.errors()["seed"]  # type: ignore[union-attr]


def test_the_last_settings_come_back_with_the_page(
    page: ImagesPage, quiet_services: Services, catalogue: Catalogue, make_page: MakePage
) -> None:
    page.controls.show_settings({"prompt": "dog face", "steps": 17}, lock_seed=False)
    page.run_main_action()
    again = make_page(quiet_services, lambda: catalogue)
    assert again.controls.values()["prompt"] == "dog face"
    assert again.controls.values()["steps"] == 17


def test_the_time_is_estimated_from_the_last_job(filled: ImagesPage) -> None:
    filled.controls.show_settings({"count": 2, "steps": 30, "guidance": 1.0}, lock_seed=False)
    assert filled.footer.estimate.text() == "About 6 s"


def test_the_class_list_follows_the_model(page: ImagesPage) -> None:
    def offered() -> list[str]:
        box = page.controls.class_editor.box
        return [box.itemText(row) for row in range(box.count())]

    assert offered() == ["From the prompt", "animals", "hearts", "vehicles"]
    page.controls.show_settings({"model": "classes"}, lock_seed=False)
    assert offered() == ["Any", "0", "1"]


# --- a job on the stage ---------------------------------------------------------------------------


def test_a_job_is_watched_from_preview_to_result(
    page: ImagesPage, quiet_services: Services, project: Project, add_result: AddResult, qtbot: QtBot
) -> None:
    bridge = quiet_services.bridge
    page.controls.show_settings({"prompt": "rocket", "count": 2, "seed": 3}, lock_seed=True)
    page.run_main_action()
    job = page.model.jobs[0]
    assert [tile.state for tile in page.stage.canvas.tiles] == [TileState.WAITING] * 2

    project.set_job_state(job.id, JobState.RUNNING)
    bridge.job_changed.emit(job.id)
    bridge.progressed.emit(job.id, 20.0, 60.0, "Step 10 of 30")
    bridge.previewed.emit(job.id, np.full((2, 16, 16, 3), 77, np.uint8))
    tiles = page.stage.canvas.tiles
    assert [tile.state for tile in tiles] == [TileState.PREVIEW] * 2
    assert tiles[0].image is not None
    assert tiles[0].image.pixelColor(3, 3).red() == 77
    assert page.stage.canvas._progress == pytest.approx(1 / 3)
    assert "Step 10 of 30" in page.stage.canvas._status

    result = add_result(job.id, 0, 140)
    bridge.result_added.emit(result, job.id)
    assert [tile.state for tile in page.stage.canvas.tiles] == [TileState.DONE, TileState.PREVIEW]

    second = add_result(job.id, 1, 150)
    bridge.result_added.emit(second, job.id)
    project.set_job_state(job.id, JobState.SUCCEEDED, metrics={"seconds": 3.0})
    bridge.finished.emit(job.id, {})
    assert page.stage.canvas._progress is None
    assert page.gallery.selected() == [second, result]

    def shown() -> list[int]:
        images = [tile.image for tile in page.stage.canvas.tiles]
        return [image.pixelColor(3, 3).red() for image in images if image is not None]

    qtbot.waitUntil(lambda: shown() == [140, 150], timeout=WAIT_MS)


def test_the_next_job_is_followed_when_the_first_ends(
    page: ImagesPage, quiet_services: Services, project: Project
) -> None:
    bridge = quiet_services.bridge
    for prompt in ("rocket", "dog face"):
        page.controls.show_settings({"prompt": prompt}, lock_seed=False)
        page.run_main_action()
    second, first = page.model.jobs
    project.set_job_state(first.id, JobState.RUNNING)
    bridge.job_changed.emit(first.id)
    assert page.stage.title.text() == "rocket"
    project.set_job_state(first.id, JobState.CANCELLED)
    bridge.cancelled.emit(first.id)
    project.set_job_state(second.id, JobState.RUNNING)
    bridge.job_changed.emit(second.id)
    assert page.stage.title.text() == "dog face"


def test_a_click_on_the_selected_result_leaves_the_running_job(
    filled: ImagesPage, quiet_services: Services, project: Project, qtbot: QtBot
) -> None:
    filled.gallery.select([filled.gallery.model.ids[1]])
    filled.results.again()
    assert filled.stage.canvas.tiles[0].key is None
    at = filled.gallery.view.visualRect(filled.gallery.model.index(1)).center()
    qtbot.mouseClick(filled.gallery.view.viewport(), Qt.MouseButton.LeftButton, pos=at)
    assert filled.stage.canvas.tiles[0].key == filled.gallery.model.ids[1]


def test_looking_at_results_is_not_disturbed_and_a_button_leads_back(
    filled: ImagesPage, quiet_services: Services, project: Project
) -> None:
    bridge = quiet_services.bridge
    filled.controls.show_settings({"prompt": "rocket", "count": 1}, lock_seed=False)
    filled.run_main_action()
    job = filled.model.jobs[0]
    project.set_job_state(job.id, JobState.RUNNING)
    bridge.job_changed.emit(job.id)
    filled.gallery.select([filled.gallery.model.ids[1]])
    bridge.progressed.emit(job.id, 1.0, 3.0, "Step 1 of 3")
    assert filled.stage.title.text() == "red heart"
    assert filled.stage.live_button.isVisible()
    filled.stage.live_button.click()
    assert filled.stage.title.text() == "rocket"
    assert not filled.stage.live_button.isVisible()


def test_a_large_job_shows_the_part_that_is_being_made(
    page: ImagesPage, quiet_services: Services, project: Project, add_result: AddResult
) -> None:
    page.controls.show_settings({"count": 500}, lock_seed=False)
    page.run_main_action()
    job = page.model.jobs[0]
    assert len(page.stage.canvas.tiles) == 36
    assert page.stage.note.text() == "1 to 36 of 500"
    for index in range(40):
        quiet_services.bridge.result_added.emit(add_result(job.id, index, index), job.id)
    assert page.stage.note.text() == "6 to 41 of 500"


def test_a_failed_job_says_why_on_the_stage(
    page: ImagesPage, quiet_services: Services, project: Project
) -> None:
    page.run_main_action()
    job = page.model.jobs[0]
    project.set_job_state(job.id, JobState.RUNNING)
    quiet_services.bridge.job_changed.emit(job.id)
    error = EngineError(ErrorCode.OUT_OF_MEMORY, "The memory is full.", "Use a smaller batch.")
    project.set_job_state(job.id, JobState.FAILED, error=error)
    quiet_services.bridge.failed.emit(job.id, error)
    assert page.stage.note.text() == "The memory is full."


# --- results --------------------------------------------------------------------------------------


def test_the_inspector_shows_everything_that_made_the_picture(
    filled: ImagesPage, project: Project
) -> None:
    from PySide6.QtWidgets import QLabel

    filled.gallery.select([filled.gallery.model.ids[2]])
    shown = [label.text() for label in filled.parameters.findChildren(QLabel)]
    for expected in ("red heart", "21", "12", "ddim", "16 × 16 px"):
        assert expected in shown


def test_warnings_of_the_manifest_are_shown_first(
    page: ImagesPage, project: Project, add_result: AddResult
) -> None:
    from PySide6.QtWidgets import QLabel

    job = project.add_job(spec())
    result = add_result(job, warnings=["'xyzzy' has no effect."])
    page.gallery.model.sync()
    page.gallery.select([result])
    shown = [label.text() for label in page.parameters.findChildren(QLabel) if label.text()]
    assert shown[0] == "'xyzzy' has no effect."


@pytest.mark.parametrize(
    ("key", "field", "value"),
    [(Qt.Key.Key_S, "starred", True), (Qt.Key.Key_L, "liked", 1), (Qt.Key.Key_D, "liked", -1)],
)
def test_rating_keys_toggle_and_can_be_undone(
    filled: ImagesPage,
    quiet_services: Services,
    project: Project,
    qtbot: QtBot,
    key: Qt.Key,
    field: str,
    value: object,
) -> None:
    filled.activateWindow()
    qtbot.waitUntil(filled.isActiveWindow, timeout=WAIT_MS)
    chosen = filled.gallery.model.ids[1:3]
    filled.gallery.select(chosen)
    filled.gallery.view.setFocus()
    before = getattr(project.result(chosen[0]), field)
    qtbot.keyClick(filled.gallery.view, key)
    assert [getattr(project.result(result), field) for result in chosen] == [value] * 2
    assert filled.gallery.model.record(chosen[0]) == project.result(chosen[0])
    qtbot.keyClick(filled.gallery.view, key)
    assert [getattr(project.result(result), field) for result in chosen] == [before] * 2
    quiet_services.undo.undo()
    assert [getattr(project.result(result), field) for result in chosen] == [value] * 2


def test_letters_typed_into_a_field_are_text_not_commands(
    filled: ImagesPage, project: Project, qtbot: QtBot
) -> None:
    filled.activateWindow()
    qtbot.waitUntil(filled.isActiveWindow, timeout=WAIT_MS)
    before = [project.result(result) for result in project.result_ids()]
    filled.controls.prompt.set_value("")
    for field in (filled.controls.prompt.text, filled.gallery.search):
        field.setFocus()
        qtbot.waitUntil(field.hasFocus, timeout=WAIT_MS)
        qtbot.keyClicks(field, "sldcf1")
    assert filled.controls.prompt.value() == filled.gallery.search.text() == "sldcf1"
    assert [project.result(record.id) for record in before] == before
    assert not filled.stage.comparing


def test_removing_is_undone_by_the_message_and_by_the_stack(
    filled: ImagesPage, quiet_services: Services, project: Project
) -> None:
    ids = list(filled.gallery.model.ids)
    filled.gallery.select(ids[:2])
    filled.results.remove()
    assert filled.gallery.model.ids == ids[2:]
    notice = quiet_services.notifications.notices[0]
    assert notice.text == "2 pictures removed from the gallery; the files are kept."
    notice.actions[0][1]()
    assert filled.gallery.model.ids == ids
    quiet_services.undo.redo()
    assert filled.gallery.model.ids == ids[2:]


def test_removing_everything_leaves_an_explained_page(filled: ImagesPage) -> None:
    filled.gallery.select(filled.gallery.model.ids)
    filled.results.remove()
    assert filled.stage.empty
    assert filled.gallery.count.text() == "No results yet"


def test_run_again_and_vary_seed_queue_jobs(filled: ImagesPage, project: Project) -> None:
    filled.gallery.select([filled.gallery.model.ids[0]])
    filled.results.again()
    assert last_spec(project) == spec(seed=23, prompt="red heart", count=1, steps=12)
    filled.results.vary()
    varied = last_spec(project)
    assert varied.params == spec(prompt="red heart", count=4, steps=12).params
    assert varied.seed not in range(20, 24)


def test_use_settings_fills_the_form_and_can_be_taken_back(
    filled: ImagesPage, quiet_services: Services
) -> None:
    filled.controls.show_settings({"prompt": "dog face", "steps": 40}, lock_seed=False)
    filled.gallery.select([filled.gallery.model.ids[0]])
    filled.results.use()
    values = filled.controls.values()
    assert (values["prompt"], values["steps"], values["seed"]) == ("red heart", 12, 23)
    assert filled.controls.seed.locked
    quiet_services.notifications.notices[0].actions[0][1]()
    assert filled.controls.values()["prompt"] == "dog face"
    assert filled.controls.values()["steps"] == 40
    assert not filled.controls.seed.locked


def test_actions_are_enabled_by_what_is_selected(filled: ImagesPage) -> None:
    def enabled(name: str) -> bool:
        return filled.results.action(name).isEnabled()

    filled.gallery.select([])
    assert not any(enabled(name) for name in ("again", "use", "compare", "star", "save"))
    filled.gallery.select(filled.gallery.model.ids[:1])
    assert enabled("use")
    assert not enabled("compare")
    filled.gallery.select(filled.gallery.model.ids[:2])
    assert enabled("compare")
    assert not enabled("use")


def test_two_results_are_compared_in_three_ways(filled: ImagesPage, qtbot: QtBot) -> None:
    ids = filled.gallery.model.ids
    filled.gallery.select(ids[:2])
    filled.results.compare()
    qtbot.waitUntil(lambda: filled.stage.comparing, timeout=WAIT_MS)
    for mode in CompareMode:
        filled.stage.mode_buttons[mode].click()
        assert filled.stage.compare.mode is mode
        filled.stage.grab()
    assert filled.stage.info.text() == (
        "RMS 0.39, PSNR 14.2 dB; mean difference 50.00, largest 50 of 255, shown 4 times. "
        "RMS is of pixels in [-1, 1], from 8-bit pixels."
    )
    filled.stage.leave_compare()
    assert not filled.stage.comparing
    assert len(filled.stage.canvas.tiles) == 2


def test_a_comparison_stays_when_new_results_come(
    filled: ImagesPage, project: Project, add_result: AddResult, qtbot: QtBot
) -> None:
    filled.gallery.select(filled.gallery.model.ids[1:3])
    filled.results.compare()
    qtbot.waitUntil(lambda: filled.stage.comparing, timeout=WAIT_MS)
    add_result(project.add_job(spec()))
    filled.gallery.model.sync()
    assert len(filled.gallery.model.ids) == 5
    assert filled.stage.comparing


def test_comparing_with_a_lost_file_is_said(
    filled: ImagesPage, project: Project, quiet_services: Services, qtbot: QtBot
) -> None:
    ids = filled.gallery.model.ids
    project.store.path(project.result(ids[3]).artifact).unlink()
    filled.gallery.select([ids[0], ids[3]])
    filled.results.compare()
    qtbot.waitUntil(lambda: bool(texts(quiet_services, "error")), timeout=WAIT_MS)
    assert "cannot be read" in texts(quiet_services, "error")[0]
    assert not filled.stage.comparing


def test_clicking_a_tile_selects_its_result_and_keeps_the_stage(
    filled: ImagesPage, qtbot: QtBot
) -> None:
    ids = filled.gallery.model.ids
    filled.gallery.select(ids[:3])
    at = filled.stage.canvas.cell_rect(1).center().toPoint()
    qtbot.mouseClick(filled.stage.canvas, Qt.MouseButton.LeftButton, pos=at)
    assert filled.gallery.selected() == [ids[1]]
    assert len(filled.stage.canvas.tiles) == 3


def test_picture_and_settings_are_copied(filled: ImagesPage, project: Project) -> None:
    result = filled.gallery.model.ids[0]
    filled.gallery.select([result])
    filled.results.copy_settings()
    clipboard = QGuiApplication.clipboard()
    assert JobSpec.from_json(json.loads(clipboard.text())).params["prompt"] == "red heart"
    filled.results.copy_image()
    image = clipboard.image()
    assert isinstance(image, QImage)
    assert image.pixelColor(2, 2).red() == 170


def test_copies_are_saved_beside_the_window(
    filled: ImagesPage, quiet_services: Services, tmp_path: Path, qtbot: QtBot
) -> None:
    ids = list(filled.gallery.model.ids)
    filled.results.save_to(ids[:1], tmp_path / "one.png")
    folder = tmp_path / "many"
    folder.mkdir()
    filled.results.save_to(ids, folder)
    filled.results.save_to(ids, tmp_path / "not there")
    qtbot.waitUntil(lambda: not filled.background.busy, timeout=WAIT_MS)
    assert read_manifest(tmp_path / "one.png")["seed"] == 23
    assert len(list(folder.iterdir())) == 4
    assert texts(quiet_services, "success") == ["Saved 4 pictures in many.", "Saved one.png."]
    assert len(texts(quiet_services, "error")) == 1


def test_the_history_shows_jobs_and_opens_their_pictures(filled: ImagesPage) -> None:
    view = filled.history.view
    index = view.model().index(0, 0)
    assert index.data(Qt.ItemDataRole.DisplayRole) == "red heart"
    assert "Finished in 10 s" in index.data(Qt.ItemDataRole.AccessibleTextRole)
    filled.gallery.select([])
    filled.inspector.setCurrentWidget(filled.history)
    view.setCurrentIndex(index)
    view.clicked.emit(index)
    assert [tile.key for tile in filled.stage.canvas.tiles] == filled.gallery.model.ids[::-1]
    assert filled.history.rerun.isEnabled()
    assert not filled.history.cancel.isEnabled()
    filled.history.grab()
    filled.history.rerun.click()
    assert filled.model.waiting == 1


def test_a_waiting_job_is_cancelled_from_the_history(
    page: ImagesPage, quiet_services: Services, project: Project
) -> None:
    page.run_main_action()
    page.history.view.setCurrentIndex(page.history.view.model().index(0, 0))
    asked: list[str] = []
    page.history.cancel_requested.connect(asked.append)
    assert page.history.cancel.isEnabled()
    page.history.cancel.click()
    assert asked == [page.model.jobs[0].id]


# --- drag and drop --------------------------------------------------------------------------------


def test_a_dropped_picture_of_ours_restores_its_settings(
    page: ImagesPage, quiet_services: Services, tmp_path: Path, qtbot: QtBot
) -> None:
    path = tmp_path / "ours.png"
    manifest = {"spec": spec(seed=40, prompt="dog face", count=3, steps=21).to_json(), "seed": 41}
    path.write_bytes(write_png(np.zeros((8, 8, 3), np.uint8), manifest))
    assert page.can_accept([path])
    page.accept([path])
    qtbot.waitUntil(lambda: not page.background.busy, timeout=WAIT_MS)
    values = page.controls.values()
    assert (values["prompt"], values["steps"], values["seed"], values["count"]) == (
        "dog face",
        21,
        41,
        1,
    )
    assert page.controls.seed.locked
    assert texts(quiet_services, "success") == ["ours.png: its settings are in the form now."]


@pytest.mark.parametrize("kind", ["foreign", "broken"])
def test_a_dropped_picture_without_settings_says_so_and_changes_nothing(
    page: ImagesPage, quiet_services: Services, tmp_path: Path, qtbot: QtBot, kind: str
) -> None:
    path = tmp_path / "photo.png"
    if kind == "foreign":
        QImage(8, 8, QImage.Format.Format_RGB32).save(str(path))
    else:
        path.write_text("this is text")
    page.controls.show_settings({"prompt": "keep me"}, lock_seed=False)
    before = page.controls.values()
    page.accept([path])
    qtbot.waitUntil(lambda: not page.background.busy, timeout=WAIT_MS)
    assert page.controls.values() == before
    said = texts(quiet_services, "error")[0]
    assert ("carries no Triptych settings" if kind == "foreign" else "cannot be read") in said


def test_text_files_are_not_for_this_page(page: ImagesPage, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    assert not page.can_accept([path])


def test_a_dropped_picture_restores_how_much_was_computed(
    page: ImagesPage, project: Project, tmp_path: Path, qtbot: QtBot
) -> None:
    path = tmp_path / "less.png"
    told = replace(page.controls.entry("builtin"), dynamic="told", compute=(0.35, 0.98))  # type: ignore[type-var]
    known = page.controls._catalogue
    assert known is not None
    page.controls.set_catalogue(Catalogue(known.schema, (told, known.models[1])))
    less = spec(prompt="rocket", compute=0.5, economy=0.5)
    path.write_bytes(write_png(np.zeros((8, 8, 3), np.uint8), {"spec": less.to_json()}))
    page.accept([path])
    qtbot.waitUntil(lambda: not page.background.busy, timeout=WAIT_MS)
    assert page.controls.compute.text.text() == "50 %"
    page.run_main_action()
    sent = project.jobs()[0].spec.params
    assert (sent["compute"], sent["economy"]) == (0.5, 0.5)
    # A model that always computes everything is sent nothing else.
    page.controls.choose_model("classes")
    assert (page.controls.compute.slider.value(), page.controls.compute.text.text()) == (0, "100 %")
    assert page.controls.compute.slider.minimum() == -1
    page.run_main_action()
    sent = next(job.spec.params for job in project.jobs() if job.spec.params["model"] == "classes")
    assert (sent["compute"], sent["economy"]) == (None, 0.0)


def test_a_file_dropped_while_the_form_is_made_is_not_lost(
    quiet_services: Services, catalogue: Catalogue, tmp_path: Path, qtbot: QtBot
) -> None:
    path = tmp_path / "early.png"
    manifest = {"spec": spec(prompt="rocket").to_json()}
    path.write_bytes(write_png(np.zeros((8, 8, 3), np.uint8), manifest))
    page = ImagesPage(quiet_services, lambda: catalogue)
    qtbot.addWidget(page)
    page.activate()
    page.accept([path])
    qtbot.waitUntil(lambda: not page.background.busy, timeout=WAIT_MS)
    assert page.controls.values()["prompt"] == "rocket"


def test_settings_for_a_model_that_is_not_there_are_marked(
    page: ImagesPage, tmp_path: Path, qtbot: QtBot
) -> None:
    path = tmp_path / "other.png"
    manifest = {"spec": spec(prompt="rocket", model="elsewhere").to_json()}
    path.write_bytes(write_png(np.zeros((8, 8, 3), np.uint8), manifest))
    page.accept([path])
    qtbot.waitUntil(lambda: not page.background.busy, timeout=WAIT_MS)
    assert "'elsewhere' is not available" in page.controls.form.errors()["model"]  # type: ignore[union-attr]


# --- keyboard, look, accessibility ----------------------------------------------------------------


def test_every_control_has_an_accessible_name(filled: ImagesPage) -> None:
    from PySide6.QtWidgets import QAbstractButton, QAbstractItemView, QComboBox, QLineEdit

    nameless = [
        repr(widget)
        for kind in (QAbstractButton, QComboBox, QAbstractItemView, QLineEdit)
        for widget in filled.findChildren(kind)
        if widget.isVisible()
        and widget.focusPolicy() & Qt.FocusPolicy.TabFocus
        and not (widget.accessibleName() or (isinstance(widget, QAbstractButton) and widget.text()))
        and widget.objectName() != "qt_spinbox_lineedit"
    ]
    assert nameless == []


def test_tab_reaches_prompt_form_button_and_gallery(filled: ImagesPage, qtbot: QtBot) -> None:
    filled.activateWindow()
    filled.controls.prompt.text.setFocus()
    qtbot.waitUntil(filled.controls.prompt.text.hasFocus, timeout=WAIT_MS)
    reached = []
    for _ in range(80):
        filled.focusNextChild()
        widget = filled.focusWidget()
        reached.append(widget)
        if widget is filled.controls.prompt.text:
            break
    for wanted in (filled.footer.run, filled.gallery.view, filled.gallery.search, filled.stage.canvas):
        assert wanted in reached


def test_both_themes_can_be_switched_while_the_page_is_shown(
    filled: ImagesPage, quiet_services: Services
) -> None:
    dark = filled.grab().toImage()
    quiet_services.theme.set_mode("light")
    light = filled.grab().toImage()
    at = QPoint(filled.stage.mapTo(filled, QPoint(4, 60)))
    assert dark.pixelColor(at).lightness() < 60 < 180 < light.pixelColor(at).lightness()


def test_a_page_that_is_gone_hears_nothing_more(
    quiet_services: Services, catalogue: Catalogue, qtbot: QtBot, project: Project
) -> None:
    page = ImagesPage(quiet_services, lambda: catalogue)
    page.activate()
    qtbot.waitUntil(lambda: not page.background.busy, timeout=WAIT_MS)
    quiet_services.actions.detach(["images"])
    with qtbot.waitSignal(page.destroyed):
        page.deleteLater()
    # What is left connected to a deleted widget raises here, and pytest-qt reports it.
    quiet_services.theme.set_mode("light")
    quiet_services.bridge.submit(spec())
    for name in ("again", "star", "remove"):
        quiet_services.actions.action(f"images.{name}").trigger()


def test_the_page_over_many_results_shows_the_newest(filled: ImagesPage, project: Project) -> None:
    assert filled.gallery.selected() == [project.result_ids(ResultFilter())[0]]
    assert filled.stage.title.text() == "red heart"
