"""The Bodies page with the real engine and the real poser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtGui import QUndoStack
from pytestqt.qtbot import QtBot

from desktop.actions import Actions
from desktop.bodies.page import BodiesPage
from desktop.bridge import Bridge, process_executor
from desktop.services import Services
from desktop.settings import Settings
from desktop.shell.notifications import Notifications
from desktop.theme import Theme
from engine.project import Project


@pytest.fixture
def page(
    qtbot: QtBot,
    project: Project,
    settings: Settings,
    actions: Actions,
    theme: Theme,
    notifications: Notifications,
) -> Iterator[BodiesPage]:
    bridge = Bridge(project, process_executor)
    bridge.start()
    services = Services(project, bridge, settings, actions, theme, notifications, QUndoStack())
    made = BodiesPage(services, use_gl=False)
    made.resize(1200, 700)
    qtbot.addWidget(made)
    made.show()
    made.activate()
    yield made
    made.poser.close()
    made.stage.stop()
    bridge.close()
