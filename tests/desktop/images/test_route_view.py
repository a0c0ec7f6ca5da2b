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


def add_dynamic(project: Project, data: bytes | None = None) -> int:
    """A finished picture that was made with less arithmetic."""
    job = project.add_job(spec(compute=0.5))
    project.set_job_state(job, JobState.RUNNING)
    kept = project.store.put(data or route_file(), "application/x-triptych-routes", {})
    about = {"share": 0.5, "economy": 0.0, "macs": 9.7e9, "static_macs": 19.1e9, "ratio": 0.508,
             "block_ratio": 0.499, "routes": kept.to_json()}  # fmt: skip
    sampling = {"steps": STEPS, "evaluations": STEPS, "seconds": 1.25, "pictures": 1}
    result = add_picture(project, job, 100, "cpu", 0, compute=about, sampling=sampling)
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
    assert "Step 2 of 4: 40%" in view.step.text()
    assert "32% of the places" in view.step.text()
    view.groups.chosen.emit(3)
    assert "Step 4 of 4" in view.step.text()
    view.block.set_value(2)
    assert "100% of the places" in view.step.text()
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


def test_the_twin_is_shown_beside_it_when_it_is_there(
    qtbot: QtBot,
    project: Project,
    quiet_services: Services,
    make_page: MakePage,
    catalogue: Catalogue,
) -> None:
    result = add_dynamic(project)
    page = make_page(quiet_services, lambda: catalogue)
    show(page, result, qtbot)
    action = quiet_services.actions.action("images.compute_all")
    assert action.isEnabled()
    action.trigger()
    qtbot.waitUntil(lambda: bool(page.sampling.jobs._completing), timeout=WAIT_MS)
    (job,) = page.sampling.jobs._completing
    whole = {"share": None, "economy": 0.0, "macs": 1e9, "static_macs": 1e9, "routes": None}
    project.set_job_state(job, JobState.RUNNING)
    twin = add_picture(project, job, 200, "cpu", 0, compute=whole)
    project.set_job_state(job, JobState.SUCCEEDED, metrics={"seconds": 2.5})
    page.sampling.jobs.completed.emit(result, twin)
    qtbot.waitUntil(lambda: page.showing._comparing == (result, twin), timeout=WAIT_MS)
