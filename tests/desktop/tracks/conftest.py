"""The page with the real engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from PySide6.QtGui import QUndoStack
from pytestqt.qtbot import QtBot

from desktop.actions import Actions
from desktop.bridge import Bridge, process_executor
from desktop.services import Services
from desktop.settings import Settings
from desktop.shell.notifications import Notifications
from desktop.theme import Theme
from desktop.tracks.page import TracksPage
from engine.project import Project


@pytest.fixture
def make(
    qtbot: QtBot,
    project: Project,
    settings: Settings,
    actions: Actions,
    theme: Theme,
    notifications: Notifications,
) -> Iterator[Callable[[], TracksPage]]:
    """Opens pages on one project, one after another."""
    bridge = Bridge(project, process_executor)
    bridge.start()
    pages: list[TracksPage] = []

    def page() -> TracksPage:
        for before in pages:
            before.model.close()
        services = Services(project, bridge, settings, actions, theme, notifications, QUndoStack())
        made = TracksPage(services)
        made.resize(1200, 760)
        qtbot.addWidget(made)
        actions.attach("tracks", made)
        made.show()
        made.activate()
        pages.append(made)
        return made

    yield page
    for one in pages:
        one.stage.play(0.0)
        one.model.close()
    bridge.close()
