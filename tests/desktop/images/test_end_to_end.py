"""The page with the real engine process and a model small enough for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtGui import QUndoStack
from pytestqt.qtbot import QtBot

from desktop.actions import Actions
from desktop.bridge import Bridge, process_executor
from desktop.images.catalogue import Catalogue, read_catalogue
from desktop.images.page import ImagesPage
from desktop.images.rounds import Trace
from desktop.services import Services
from desktop.settings import Settings
from desktop.shell.notifications import Notifications
from desktop.theme import Theme
from desktop.widgets.compare_view import array_from_image
from desktop.widgets.picture_cache import load_picture
from engine.errors import ErrorCode
from engine.images.metadata import read_manifest
from engine.job import JobState
from engine.project import Project
from engine.weights import models_folder
from tests.desktop.support import WAIT_MS

NAME = "tiny-window"


@pytest.fixture(scope="module")
def installed(_own_user_folders: None, repository: Path) -> str:
    """A model in the tests' own models folder, written by a child: this process has no torch."""
    code = (
        "import sys; from pathlib import Path; from tests.engine.images.tiny import write_tiny_model; "
        "write_tiny_model(Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", code, models_folder() / NAME], cwd=repository, check=True)
    return NAME


@pytest.fixture
def live(
    installed: str,
    project: Project,
    settings: Settings,
    actions: Actions,
    theme: Theme,
    notifications: Notifications,
    make_page: Callable[..., ImagesPage],
) -> Iterator[ImagesPage]:
    """A page whose bridge has a real engine process."""
    bridge = Bridge(project, process_executor)
    services = Services(project, bridge, settings, actions, theme, notifications, QUndoStack())
    page = make_page(services, read_catalogue)
    bridge.start()
    page.controls.show_settings(
        {"model": NAME, "prompt": "red heart", "steps": 6, "count": 2, "seed": 9, "preview_every": 1},
        lock_seed=True,
    )
    yield page
    bridge.close()


def wait_until_done(page: ImagesPage, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: not any(job.active for job in page.model.jobs), timeout=3 * WAIT_MS)


@pytest.mark.timeout(300)
def test_what_is_generated_is_shown_kept_and_made_again_bit_for_bit(
    live: ImagesPage, project: Project, qtbot: QtBot
) -> None:
    previews: list[tuple[int, ...]] = []
    live._services.bridge.previewed.connect(lambda _job, image: previews.append(image.shape))
    live.footer.run.click()
    live.footer.run.click()
    wait_until_done(live, qtbot)
    assert [job.state for job in live.model.jobs] == [JobState.SUCCEEDED] * 2
    qtbot.waitUntil(lambda: len(live.gallery.model.ids) == 4, timeout=WAIT_MS)
    assert all(shape == (2, 32, 32, 3) for shape in previews)

    def pixels(result: int) -> np.ndarray:
        return array_from_image(load_picture(live.gallery.model.path(result)))

    newest = list(live.gallery.model.ids)
    assert np.array_equal(pixels(newest[0]), pixels(newest[2]))
    assert not np.array_equal(pixels(newest[0]), pixels(newest[1]))

    # One picture made again from its own settings equals the one made in a batch of two.
    live.gallery.select([newest[0]])
    live.results.again()
    wait_until_done(live, qtbot)
    qtbot.waitUntil(lambda: len(live.gallery.model.ids) == 5, timeout=WAIT_MS)
    assert project.result(live.gallery.model.ids[0]).seed == 10
    assert np.array_equal(pixels(live.gallery.model.ids[0]), pixels(newest[0]))

    # The stored file restores the settings when it is dropped.
    path = live.gallery.model.path(newest[1])
    assert read_manifest(path)["seed"] == 9
    live.controls.show_settings({"prompt": "rocket", "seed": 1}, lock_seed=True)
    live.accept([path])
    qtbot.waitUntil(lambda: not live.background.busy, timeout=WAIT_MS)
    assert live.controls.values()["prompt"] == "red heart"
    assert live.controls.values()["seed"] == 9
    assert live.model.estimate(live.controls.values()) is not None


@pytest.mark.timeout(300)
def test_a_running_job_is_cancelled_and_what_was_finished_stays(live: ImagesPage, qtbot: QtBot) -> None:
    live.controls.show_settings(
        {"count": 200, "batch": 1, "steps": 20, "prompt": "red xyzzy heart"}, lock_seed=True
    )
    live.footer.run.click()
    job = live.model.jobs[0]
    qtbot.waitUntil(lambda: len(job.results) >= 2, timeout=3 * WAIT_MS)
    live.model.cancel(job.id)
    wait_until_done(live, qtbot)
    assert job.state is JobState.CANCELLED
    live.gallery.model.sync()
    assert 2 <= len(live.gallery.model.ids) == len(job.results) < 200
    assert any("xyzzy" in text for text in job.warnings)


@pytest.mark.timeout(300)
def test_the_page_lives_on_when_the_engine_is_killed_at_work(
    live: ImagesPage, project: Project, qtbot: QtBot
) -> None:
    bridge = live._services.bridge
    live.controls.show_settings({"count": 200, "batch": 1, "steps": 20}, lock_seed=True)
    live.footer.run.click()
    first = live.model.jobs[0]
    live.controls.show_settings({"count": 1, "steps": 4}, lock_seed=True)
    live.footer.run.click()
    second = live.model.jobs[0]
    qtbot.waitUntil(lambda: len(first.results) >= 1, timeout=3 * WAIT_MS)
    os.kill(bridge.engine["pid"], signal.SIGKILL)
    wait_until_done(live, qtbot)
    assert (first.state, second.state) == (JobState.FAILED, JobState.SUCCEEDED)
    assert first.error is not None
    assert first.error.code is ErrorCode.ENGINE_DIED
    assert first.status() == first.error.message
    # What was finished before is there, and the page shows what came after.
    assert set(project.result_ids()) == {*first.results, *second.results}
    live.gallery.model.sync()
    assert live.gallery.selected() == second.results


@pytest.mark.timeout(300)
def test_a_picture_is_sampled_in_parallel_compared_and_varied(
    live: ImagesPage, project: Project, qtbot: QtBot
) -> None:
    """The Sampling tab with the real engine: what it reads is what the engine writes."""
    panel = live.sampling.panel
    live.inspector.setCurrentWidget(panel)
    parallel = {"name": "parataa", "keep_trajectory": True}
    live.controls.show_settings({"steps": 10, "count": 1, "sampler": parallel}, lock_seed=True)
    live.footer.run.click()
    wait_until_done(live, qtbot)
    job = live.model.jobs[0]
    assert job.state is JobState.SUCCEEDED
    seen = live.sampling.rounds.rounds(job.id, 0)
    assert seen is not None

    about = project.manifest(job.results[0])["parallel"]
    qtbot.waitUntil(lambda: panel.map is not None and panel.map.shape[0] > 0, timeout=WAIT_MS)
    assert panel.map is not None
    assert panel.map.shape == (about["rounds"], 10)
    assert panel.figures.rows[1] == ("Rounds", str(about["rounds"]), "10")
    assert panel.figures.rows[2] == ("Evaluations", str(about["evaluations"]), "10")
    trace = live.sampling.rounds.trace(about)
    assert isinstance(trace, Trace)
    assert np.array_equal(trace.rounds.residuals, seen.residuals, equal_nan=True)
    assert trace.rounds.finished.tolist() == seen.finished.tolist() == about["finished_per_round"]
    assert "MiB" in panel.trajectory.text()

    panel.compare.click()
    qtbot.waitUntil(lambda: live.stage.comparing, timeout=3 * WAIT_MS)
    assert len(panel.figures.rows) == 6
    comparison = live.sampling.sequential.jobs.comparison(project.result(job.results[0]))
    assert comparison is not None
    assert comparison.agreement.rms < 0.02
    assert comparison.other.evaluations == 10
    assert comparison.other.seconds is not None

    live.stage.leave_compare()
    panel.vary.prompt.setText("rocket")
    panel.vary.slider.setValue(4)
    panel.vary.run.click()
    wait_until_done(live, qtbot)
    varied = live.model.jobs[0]
    assert varied.state is JobState.SUCCEEDED
    assert project.manifest(varied.results[0])["parallel"]["finished_per_round"][0] < 4
    assert "its last 4 steps" in panel.message.text()


@pytest.mark.timeout(300)
def test_a_parallel_run_is_cancelled_marked_and_gone_on_with(
    live: ImagesPage, project: Project, qtbot: QtBot
) -> None:
    live.inspector.setCurrentWidget(live.sampling.panel)
    # One step a round, so that there is time to cancel.
    slow = {"name": "parataa", "order": 1, "window": 1, "method": "picard"}
    live.controls.show_settings({"steps": 300, "count": 1, "sampler": slow}, lock_seed=True)
    live.footer.run.click()
    job = live.model.jobs[0]

    def under_way() -> bool:
        rounds = live.sampling.rounds.rounds(job.id, 0)
        return rounds is not None and rounds.count >= 3

    qtbot.waitUntil(under_way, timeout=3 * WAIT_MS)
    live.model.cancel(job.id)
    wait_until_done(live, qtbot)
    assert job.state is JobState.CANCELLED
    assert len(job.results) == 1
    stopped = project.manifest(job.results[0])
    about = stopped["parallel"]
    assert (about["stopped"], about["converged"]) == ("cancelled", False)
    done = about["steps"] - about["finished"]
    assert live.stage.canvas.tiles[0].mark == f"Not converged · {done} of 300 steps"

    panel = live.sampling.panel
    qtbot.waitUntil(panel.solve_rest.isVisible, timeout=WAIT_MS)
    panel.solve_rest.click()
    wait_until_done(live, qtbot)
    rest = live.model.jobs[0]
    assert rest.state is JobState.SUCCEEDED
    whole = project.manifest(rest.results[0])["parallel"]
    assert whole["converged"]
    assert whole["rounds"] == about["rounds"] + len(whole["finished_per_round"])


def test_the_installed_model_is_offered_with_its_words(installed: str) -> None:
    catalogue: Catalogue = read_catalogue()
    entry = catalogue.model(installed)
    assert entry is not None
    assert entry.class_names == ("hearts", "animals", "vehicles")
    assert entry.vocabulary is not None
    assert entry.vocabulary.complete("hea") == ("red heart", "blue heart")
