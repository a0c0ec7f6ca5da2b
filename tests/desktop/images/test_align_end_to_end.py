"""The Align tab with the real engine process and a model small enough for tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QUndoStack
from pytestqt.qtbot import QtBot

from desktop.actions import Actions
from desktop.bridge import Bridge, process_executor
from desktop.images.catalogue import read_catalogue
from desktop.images.page import ImagesPage
from desktop.services import Services
from desktop.settings import Settings
from desktop.shell.notifications import Notifications
from desktop.theme import Theme
from desktop.widgets.compare_view import array_from_image
from desktop.widgets.picture_cache import load_picture
from engine.job import JobState
from engine.project import Project
from engine.weights import models_folder
from tests.desktop.support import WAIT_MS

NAME = "tiny-align"
STEPS = 4


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
    qtbot: QtBot,
) -> Iterator[ImagesPage]:
    """A page with one generated picture on the stage, and the Align tab before it."""
    bridge = Bridge(project, process_executor)
    services = Services(project, bridge, settings, actions, theme, notifications, QUndoStack())
    page = make_page(services, read_catalogue)
    bridge.start()
    sampler = {"name": "ddim", "eta": 1.0}
    page.controls.show_settings(
        {"model": NAME, "prompt": "red heart", "steps": 6, "count": 1, "seed": 9, "sampler": sampler},
        lock_seed=True,
    )
    page.run_main_action()
    done(page, qtbot)
    page.inspector.setCurrentWidget(page.align.panel)
    done(page, qtbot)
    setup = page.align.panel.setup
    setup.stack.set_terms([{"name": "brightness", "options": {"ceiling": False}}])
    assert setup.form is not None
    setup.form.set_values(
        {"steps": STEPS, "store_every": 1, "stop_at_red": False, "check_density": False}
    )
    setup.set_guard("off")
    yield page
    bridge.close()


def done(page: ImagesPage, qtbot: QtBot) -> None:
    """Wait until neither engine nor window have anything to do."""
    qtbot.waitUntil(
        lambda: not any(job.active for job in page.model.jobs) and not page.background.busy,
        timeout=3 * WAIT_MS,
    )
    qtbot.waitUntil(lambda: not page.background.busy, timeout=WAIT_MS)


def pixels(project: Project, result: int) -> np.ndarray:
    return array_from_image(load_picture(project.store.path(project.result(result).artifact)))


def succeeded(page: ImagesPage) -> None:
    job = page.model.jobs[0]
    assert job.state is JobState.SUCCEEDED, job.error


@pytest.mark.timeout(300)
def test_a_picture_is_aligned_looked_at_step_by_step_undone_and_branched(
    live: ImagesPage, project: Project, qtbot: QtBot
) -> None:
    (start,) = live.gallery.model.ids
    panel, results = live.align.panel, live.align.results
    qtbot.mouseClick(panel.setup.run, Qt.MouseButton.LeftButton)
    done(live, qtbot)
    succeeded(live)
    aligned = live.gallery.model.ids[0]
    assert live.showing.subject is not None
    assert live.showing.subject.result == aligned
    assert project.result(aligned).kind == "images.align"

    # Every step was measured, and its picture kept; the first is the picture that was aligned.
    assert results.steps is not None
    assert [point.step for point in results.steps.points] == list(range(STEPS + 1))
    totals = [point.total for point in results.steps.points]
    assert max(totals) > totals[0]
    assert panel.curves is not None
    assert [number for number, _ in panel.scrub._film] == list(range(STEPS + 1))
    first = panel.scrub.picture(0)
    assert first is not None
    assert np.array_equal(array_from_image(first), pixels(project, start))
    assert live.align.runs.start_of(project.result(aligned)) == start
    rows = {row[0]: row for row in panel.explain.rows}
    assert rows["• Brightness"][3] == "better"
    assert len(rows) > 8

    # Undo makes the picture of a step exactly.
    panel.scrub.go_to(2)
    frame = panel.scrub.picture(2)
    assert frame is not None
    assert results.start_step == 2
    live.align._services.actions.action("images.align_undo").trigger()
    done(live, qtbot)
    succeeded(live)
    undone = live.gallery.model.ids[0]
    assert undone != aligned
    assert np.array_equal(pixels(project, undone), array_from_image(frame))

    # A branch goes on from there with other rewards.
    panel.setup.stack.set_terms([{"name": "contrast", "weight": -1.0}])
    qtbot.mouseClick(panel.setup.run, Qt.MouseButton.LeftButton)
    done(live, qtbot)
    succeeded(live)
    assert results.steps is not None
    assert results.steps.names == ["contrast"]
    branched = panel.scrub.picture(0)
    assert branched is not None
    assert np.array_equal(array_from_image(branched), array_from_image(frame))


@pytest.mark.timeout(300)
def test_a_paused_alignment_goes_on_to_the_same_curve(
    live: ImagesPage, project: Project, qtbot: QtBot
) -> None:
    panel = live.align.panel
    assert panel.setup.form is not None
    panel.setup.form.set_values({"steps": 40})
    qtbot.mouseClick(panel.setup.run, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(
        lambda: (
            live.align.job is not None
            and (steps := live.align.steps.steps(live.align.job.id)) is not None
            and len(steps.points) >= 3
        ),
        timeout=3 * WAIT_MS,
    )
    live.align._services.actions.action("images.align_pause").trigger()
    done(live, qtbot)
    assert live.model.jobs[0].state is JobState.CANCELLED
    held = live.align.results.steps
    assert held is not None
    assert 2 <= len(held.points) < 41
    assert panel.run_view.state.text() == "Paused"
    live.align._services.actions.action("images.align_pause").trigger()
    done(live, qtbot)
    succeeded(live)
    whole = live.align.results.steps
    assert whole is not None
    assert [point.step for point in whole.points] == list(range(41))
    assert [p.total for p in whole.points[: len(held.points)]] == [p.total for p in held.points]


@pytest.mark.timeout(300)
def test_without_a_guard_the_noise_turns_red_and_the_window_says_so(
    live: ImagesPage, project: Project, qtbot: QtBot
) -> None:
    panel = live.align.panel
    assert panel.setup.form is not None
    panel.setup.form.set_values({"steps": 60, "lr": 0.3, "stop_at_red": True})
    qtbot.mouseClick(panel.setup.run, Qt.MouseButton.LeftButton)
    done(live, qtbot)
    succeeded(live)
    assert panel.run_view.state.text() == "Stopped: the noise no longer looked random"
    assert panel.run_view.banner.isVisible()
    live.align._services.actions.action("images.align_back").trigger()
    steps = live.align.results.steps
    assert steps is not None
    assert live.align.results.point.status == "green"


@pytest.mark.timeout(300)
def test_a_reward_that_cannot_work_is_told_and_nothing_is_lost(
    live: ImagesPage, project: Project, qtbot: QtBot, tmp_path: Path
) -> None:
    panel = live.align.panel
    panel.setup.stack.set_terms([{"name": "onnx", "options": {"file": str(tmp_path / "none.onnx")}}])
    before = list(live.gallery.model.ids)
    qtbot.mouseClick(panel.setup.run, Qt.MouseButton.LeftButton)
    done(live, qtbot)
    job = live.model.jobs[0]
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert "none.onnx" in f"{job.error}"
    assert list(live.gallery.model.ids) == before


@pytest.mark.timeout(300)
def test_a_taste_is_learnt_from_likes_and_followed(
    live: ImagesPage, project: Project, qtbot: QtBot
) -> None:
    live.controls.show_settings({"count": 4, "seed": 20}, lock_seed=True)
    live.run_main_action()
    done(live, qtbot)
    made = list(live.gallery.model.ids)[:4]
    project.set_liked(made[:2], 1)
    project.set_liked(made[2:], -1)
    live.gallery.select([made[2]])
    stack = live.align.panel.setup.stack
    stack.set_terms([{"name": "taste"}])
    card = stack.cards[0]
    assert card.taste.text() == "2 liked and 2 disliked in this project."
    qtbot.mouseClick(card.learn, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: card.taste.text().startswith("Learnt from 4 votes"), timeout=3 * WAIT_MS)
    qtbot.mouseClick(live.align.panel.setup.run, Qt.MouseButton.LeftButton)
    done(live, qtbot)
    succeeded(live)
    assert live.align.results.steps is not None
    assert live.align.results.steps.names == ["taste"]
