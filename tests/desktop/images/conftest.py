"""A page over the test project, with a small vocabulary and no engine unless a test asks for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PySide6.QtGui import QUndoStack
from pytestqt.qtbot import QtBot

from desktop.actions import Actions
from desktop.bridge import Bridge
from desktop.images.catalogue import Catalogue, ModelEntry
from desktop.images.page import ImagesPage
from desktop.images.specs import build_spec, params_schema, with_seed
from desktop.services import Services
from desktop.settings import Settings
from desktop.shell.notifications import Notifications
from desktop.theme import Theme
from engine.images.metadata import write_png
from engine.images.params import GenerateParams
from engine.images.vocabulary import Vocabulary
from engine.job import JobSpec
from engine.project import Project
from tests.desktop.support import WAIT_MS, MakeBridge

AddResult = Callable[..., int]


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return Vocabulary.from_captions(
        ["red heart", "blue heart", "dog face", "rocket"],
        [["love"], ["love"], ["puppy", "puppy"], []],
        [0, 0, 1, 2],
        ["hearts", "animals", "vehicles"],
    )


@pytest.fixture
def catalogue(vocabulary: Vocabulary) -> Catalogue:
    """One model that knows words, one that knows classes only."""
    return Catalogue(
        with_seed(params_schema()),
        (
            ModelEntry("builtin", "Built-in", vocabulary, vocabulary.class_names),
            ModelEntry("classes", "Classes only", None, ("0", "1")),
        ),
    )


def spec(seed: int = 5, **params: Any) -> JobSpec:
    """A complete job."""
    return build_spec({**GenerateParams().model_dump(), **params, "seed": seed})


@pytest.fixture
def add_result(project: Project) -> AddResult:
    """Add a finished picture as the engine would."""

    def add(job: str, index: int = 0, colour: int = 100, **details: Any) -> int:
        made = project.job(job).spec
        manifest = {
            "format": "triptych-manifest",
            "version": 1,
            "job": job,
            "name": f"image-{index + 1:04d}",
            "spec": made.to_json(),
            "prompt": made.params.get("prompt", ""),
            "seed": made.seed + index,
            "model": made.params.get("model", ""),
            "width": 16,
            "height": 16,
            "warnings": [],
            **details,
        }
        data = write_png(np.full((16, 16, 3), colour, np.uint8), manifest)
        artifact = project.store.put(data, "image/png", manifest)
        return project.add_result(job, manifest["name"], artifact, manifest).id

    return add


@pytest.fixture
def quiet_bridge(make_bridge: MakeBridge) -> Bridge:
    """A bridge whose worker does not run: tests emit its signals themselves."""
    return make_bridge("inline", start=False)


@pytest.fixture
def quiet_services(
    project: Project,
    quiet_bridge: Bridge,
    settings: Settings,
    actions: Actions,
    theme: Theme,
    notifications: Notifications,
) -> Services:
    return Services(project, quiet_bridge, settings, actions, theme, notifications, QUndoStack())


@pytest.fixture
def make_page(qtbot: QtBot) -> Callable[..., ImagesPage]:
    """Show a page and wait until its models are read."""

    def make(services: Services, read: Callable[[], Catalogue]) -> ImagesPage:
        page = ImagesPage(services, read)
        qtbot.addWidget(page)
        services.actions.attach("images", page)
        page.resize(1200, 760)
        page.show()
        page.activate()
        qtbot.waitUntil(lambda: not page.background.busy, timeout=WAIT_MS)
        return page

    return make


@pytest.fixture
def page(
    quiet_services: Services, catalogue: Catalogue, make_page: Callable[..., ImagesPage]
) -> ImagesPage:
    """A page that is ready, over an empty project."""
    return make_page(quiet_services, lambda: catalogue)
