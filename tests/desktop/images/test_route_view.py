"""What a dynamic model computed, in the Sampling tab: read from files, drawn, asked for at 100 %."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from safetensors.numpy import save

from desktop.images import twins
from desktop.images.catalogue import Catalogue
from desktop.images.page import ImagesPage
from desktop.images.routes import read_routes
from desktop.services import Services
from engine.errors import EngineError
from engine.job import JobState
from engine.project import Project
from tests.desktop.images.parallel import add_picture, spec
from tests.desktop.support import WAIT_MS

MakePage = Callable[..., ImagesPage]
STEPS, BLOCKS, SIDE = 4, 3, 5


def route_file() -> bytes:
    """Open tokens grow from none to all; an odd number of them, so that bits are padded."""
    tokens = np.zeros((STEPS, BLOCKS, SIDE * SIDE), np.uint8)
    for step in range(STEPS):
        tokens[step, :, : step * SIDE * SIDE // (STEPS - 1)] = 1
    tensors: dict[str, Any] = {
        "timesteps": np.array([900, 600, 300, 0], np.float32),
        "heads": np.full((STEPS, BLOCKS), 2, np.uint16),
        "groups": np.tile(np.array([2, 4, 8], np.uint16), (STEPS, 1)),
        "tokens": np.packbits(tokens, axis=2),
        "shares": np.array([0.3, 0.4, 0.5, 0.6], np.float32),
    }
    return save(tensors, {"num_heads": "4", "groups": "8", "side": str(SIDE)})


LESS = {"share": 0.5, "economy": 0.0, "macs": 9.7e9, "static_macs": 19.1e9, "ratio": 0.508,
        "block_ratio": 0.499}  # fmt: skip
ALL = {"share": None, "economy": 0.0, "macs": 19.1e9, "static_macs": 19.1e9, "ratio": 1.0,
       "block_ratio": 1.0, "routes": None}  # fmt: skip


def add_run(project: Project, job: str, about: dict[str, Any], seconds: float, colour: int) -> int:
    """The picture of a job, as the engine adds it."""
    sampling = {"steps": STEPS, "evaluations": STEPS, "seconds": seconds, "pictures": 1}
    return add_picture(project, job, colour, "cpu", 0, compute=about, sampling=sampling)


def add_dynamic(project: Project, data: bytes | None = None, job: str = "") -> int:
    """A finished picture that was made with less arithmetic."""
    job = job or project.add_job(spec(compute=0.5))
    project.set_job_state(job, JobState.RUNNING)
    kept = project.store.put(data or route_file(), "application/x-triptych-routes", {})
    result = add_run(project, job, {**LESS, "routes": kept.to_json()}, 1.25, 100)
    project.set_job_state(job, JobState.SUCCEEDED, metrics={"seconds": 2.5})
    return result


def show(page: ImagesPage, result: int, qtbot: QtBot) -> None:
    page.inspector.setCurrentWidget(page.sampling.panel)
    page.gallery.model.sync()
    page.gallery.select([result])
    qtbot.waitUntil(lambda: not page.background.busy, timeout=WAIT_MS)


def test_a_file_is_read_as_it_was_written(project: Project) -> None:
    result = add_dynamic(project)
    manifest = project.manifest(result)
    routes = read_routes(project, manifest["compute"], project.result(result).artifact)
    assert routes.tokens.shape == (STEPS, BLOCKS, SIDE, SIDE)
    assert routes.tokens.mean((1, 2, 3)).tolist() == pytest.approx([0, 8 / 25, 16 / 25, 1])
    assert routes.groups[0].tolist() == [0.25, 0.5, 1.0]
    assert (routes.heads == 0.5).all()
    assert not routes.picture.isNull()
    broken = add_dynamic(project, b"no safetensors at all")
    with pytest.raises(EngineError, match="damaged"):
        read_routes(project, project.manifest(broken)["compute"], project.result(result).artifact)


def test_the_tab_shows_what_was_computed(
    qtbot: QtBot,
    project: Project,
    quiet_services: Services,
    make_page: MakePage,
    catalogue: Catalogue,
) -> None:
    result = add_dynamic(project)
    page = make_page(quiet_services, lambda: catalogue)
    show(page, result, qtbot)
    view = page.sampling.panel.routes
    assert view.isVisible()
    assert view.figures.text() == "51 % · 9.7 of 19.1 GMAC · 1.25 s"
    view.slider.setValue(1)
    assert "Step 2 of 4: 40 %" in view.step.text()
    assert "32 % of the places" in view.step.text()
    view.groups.chosen.emit(3)
    assert "Step 4 of 4" in view.step.text()
    view.block.set_value(2)
    assert "100 % of the places" in view.step.text()
    assert not view.grab().isNull()


def test_a_damaged_record_is_said(
    qtbot: QtBot,
    project: Project,
    quiet_services: Services,
    make_page: MakePage,
    catalogue: Catalogue,
) -> None:
    result = add_dynamic(project, b"no safetensors at all")
    page = make_page(quiet_services, lambda: catalogue)
    show(page, result, qtbot)
    view = page.sampling.panel.routes
    assert "damaged" in view.note.text()
    assert not view._maps.isVisible()


def test_the_twin_computes_everything(project: Project) -> None:
    manifest = project.manifest(add_dynamic(project))
    assert twins.computes_less(manifest)
    twin = twins.complete_twin(manifest)
    assert (twin.params["compute"], twin.params["economy"]) == (None, 0.0)
    assert twin.seed == manifest["seed"]
    fixed = {**manifest, "compute": {**manifest["compute"], "share": None}}
    assert twins.complete_twin(fixed).params["compute"] == 1.0
    complete = {**manifest, "compute": {**manifest["compute"], "share": 1.0, "block_ratio": 1.0}}
    assert not twins.computes_less(complete)
    with pytest.raises(EngineError, match="all of the network's arithmetic"):
        twins.complete_twin(complete)


@pytest.fixture
def page(make_page: MakePage, quiet_services: Services, catalogue: Catalogue) -> ImagesPage:
    return make_page(quiet_services, lambda: catalogue)


def ask(page: ImagesPage, services: Services, qtbot: QtBot) -> str:
    """Ask for the comparison of the picture on the stage; the job that makes its twin."""
    before = len(page.model.jobs)
    services.actions.action("images.compute_all").trigger()
    qtbot.waitUntil(lambda: len(page.model.jobs) > before, timeout=WAIT_MS)
    return page.model.jobs[0].id


def finish(project: Project, services: Services, job: str, *, running: bool = False) -> int:
    """Let the twin's job run to its end."""
    if not running:
        project.set_job_state(job, JobState.RUNNING)
        services.bridge.job_changed.emit(job)
    twin = add_run(project, job, ALL, 2.0, 200)
    services.bridge.result_added.emit(twin, job)
    project.set_job_state(job, JobState.SUCCEEDED, metrics={"seconds": 2.5})
    services.bridge.finished.emit(job, {})
    return twin


def test_the_twin_of_a_run_that_was_followed_is_shown_beside_it(
    qtbot: QtBot, project: Project, quiet_services: Services, page: ImagesPage
) -> None:
    bridge = quiet_services.bridge
    page.inspector.setCurrentWidget(page.sampling.panel)
    job = bridge.submit(spec(compute=0.5))
    page.showing.follow(job)
    result = add_dynamic(project, job=job)
    bridge.result_added.emit(result, job)
    bridge.finished.emit(job, {})
    qtbot.waitUntil(lambda: not page.background.busy, timeout=WAIT_MS)
    view = page.sampling.panel.routes
    assert view.complete.isVisible()

    other = ask(page, quiet_services, qtbot)
    assert view.complete_note.text() == "Run at 100 %: waiting in the queue"
    assert not view.complete.isEnabled()
    twin = finish(project, quiet_services, other)
    assert page.stage.canvas.tiles[0].key == result, "the stage stays with the picture"
    qtbot.waitUntil(lambda: page.stage.comparing, timeout=WAIT_MS)
    assert page.showing._comparing == (result, twin)
    assert page.stage.compare._names == ("Less computed", "100 %")
    assert view.table.rows[:3] == [
        ("", "This one", "100 %"),
        ("GMAC", "9.7", "19.1"),
        ("Seconds", "1.25", "2.00"),
    ]
    assert view.complete_note.text() == "Measured here: computing less was 1.6 times as fast."
    page.stage.leave_compare()
    jobs = len(project.jobs())
    quiet_services.actions.action("images.compute_all").trigger()
    qtbot.waitUntil(lambda: page.stage.comparing, timeout=WAIT_MS)
    assert len(project.jobs()) == jobs, "what was made is shown again"
    qtbot.waitUntil(lambda: not page.background.busy, timeout=WAIT_MS)


def test_progress_of_the_twin_is_told_without_reading_the_manifest_again(
    qtbot: QtBot,
    project: Project,
    quiet_services: Services,
    page: ImagesPage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    show(page, add_dynamic(project), qtbot)
    job = ask(page, quiet_services, qtbot)
    project.set_job_state(job, JobState.RUNNING)
    quiet_services.bridge.job_changed.emit(job)
    read: list[int] = []
    manifest = project.manifest

    def watched(result: int) -> dict[str, Any]:
        read.append(result)
        return manifest(result)

    monkeypatch.setattr(project, "manifest", watched)
    note = page.sampling.panel.routes.complete_note
    for step in (1, 2, 3):
        quiet_services.bridge.progressed.emit(job, float(step), 4.0, f"Step {step} of 4")
        assert f"step {step} of 4" in note.text()
    assert read == []
    finish(project, quiet_services, job, running=True)
    qtbot.waitUntil(lambda: page.stage.comparing and not page.background.busy, timeout=WAIT_MS)


def test_a_twin_that_comes_while_the_user_is_elsewhere_is_told(
    qtbot: QtBot, project: Project, quiet_services: Services, page: ImagesPage
) -> None:
    result, elsewhere = add_dynamic(project), add_dynamic(project)
    show(page, result, qtbot)
    job = ask(page, quiet_services, qtbot)
    page.gallery.select([elsewhere])
    twin = finish(project, quiet_services, job)
    notifications = quiet_services.notifications
    qtbot.waitUntil(lambda: bool(notifications.notices), timeout=WAIT_MS)
    (notice,) = notifications.notices
    assert notice.text == "The comparison with the picture at 100 % is there."
    assert not page.stage.comparing
    notice.actions[0][1]()
    qtbot.waitUntil(lambda: page.showing._comparing == (result, twin), timeout=WAIT_MS)
    qtbot.waitUntil(lambda: not page.background.busy, timeout=WAIT_MS)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_twin_that_does_not_come_is_said(
    qtbot: QtBot, project: Project, quiet_services: Services, page: ImagesPage, elsewhere: bool
) -> None:
    result, other = add_dynamic(project), add_dynamic(project)
    show(page, result, qtbot)
    job = ask(page, quiet_services, qtbot)
    if elsewhere:
        page.gallery.select([other])
    project.set_job_state(job, JobState.RUNNING)
    quiet_services.bridge.job_changed.emit(job)
    project.set_job_state(job, JobState.CANCELLED)
    quiet_services.bridge.cancelled.emit(job)
    said = "Run at 100 % gave nothing to compare: cancelled; 0 of 1 kept"
    told = [notice.text for notice in quiet_services.notifications.notices]
    assert told == ([said] if elsewhere else [])
    if not elsewhere:
        assert page.sampling.panel.routes.complete_note.text() == said
        assert page.sampling.panel.routes.complete.isEnabled()
    qtbot.waitUntil(lambda: not page.background.busy, timeout=WAIT_MS)
