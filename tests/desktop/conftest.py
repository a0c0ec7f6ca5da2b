"""Fixtures of the window's tests. A test that leaves a thread, a timer or a window behind fails."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QThread, QTimer
from PySide6.QtGui import QUndoStack
from PySide6.QtWidgets import QApplication
from shiboken6 import isValid

from desktop.actions import Actions
from desktop.bridge import Bridge
from desktop.services import Services
from desktop.settings import Settings
from desktop.shell.notifications import Notifications
from desktop.theme import Theme
from engine.executors.inline import InlineExecutor
from engine.executors.process import ProcessExecutor
from tests.desktop.support import MakeBridge
from tests.engine.executors.watching import PLUGIN

if TYPE_CHECKING:
    from engine.project import Project


def _living() -> set[str]:
    """Running threads, active timers and top-level widgets, described."""
    found = {f"window {widget!r}" for widget in QApplication.topLevelWidgets() if isValid(widget)}
    for item in gc.get_objects():
        # By type: `isinstance` asks objects for `__class__`, and some of torch's answer with a warning.
        kind = type(item)
        if issubclass(kind, QThread) and isValid(item) and item.isRunning():
            if not item.isMainThread():
                found.add(f"thread {item!r}")
        elif issubclass(kind, QTimer) and isValid(item) and item.isActive():
            found.add(f"timer {item!r} of {item.parent()!r}")
    return found


@pytest.fixture(autouse=True)
def no_leaks(qapp: QApplication) -> Iterator[None]:
    """Fail a test that leaks a QThread, an active QTimer or a top-level widget."""
    # What was there before this test need not be looked through after it: torch and the libraries
    # around it alone are a million objects.
    gc.collect()
    gc.freeze()
    before = _living()
    yield
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gc.collect()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    leaked = _living() - before
    assert not leaked, f"left behind: {sorted(leaked)}"


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Settings in a temporary file."""
    result = Settings(tmp_path / "settings.json")
    yield result
    result.flush()


@pytest.fixture
def theme(qapp: QApplication) -> Iterator[Theme]:
    """The dark theme, applied; the application looks as before afterwards."""
    result = Theme("dark")
    result.apply(qapp)
    yield result
    result.set_mode("system")
    qapp.setStyleSheet("")


@pytest.fixture
def actions(theme: Theme, settings: Settings) -> Actions:
    """The table of actions."""
    return Actions(theme, settings)


@pytest.fixture
def notifications() -> Notifications:
    """An empty list of messages."""
    return Notifications()


@pytest.fixture
def make_bridge(project: Project) -> Iterator[MakeBridge]:
    """Start bridges over the test project; ``place`` is ``process`` or ``inline``."""
    made: list[Bridge] = []

    def make(place: str = "process", *, start: bool = True, **options: object) -> Bridge:
        def executor(opened: Project) -> InlineExecutor | ProcessExecutor:
            if place == "inline":
                return InlineExecutor(opened.store, plugins=[PLUGIN])
            result = ProcessExecutor(opened.store.root, plugins=[PLUGIN], warm=False, **options)
            result.start()
            return result

        bridge = Bridge(project, executor)
        made.append(bridge)
        if start:
            bridge.start()
        return bridge

    yield make
    for bridge in made:
        bridge.close()


@pytest.fixture
def bridge(make_bridge: MakeBridge) -> Bridge:
    """A started bridge whose jobs run in this process."""
    return make_bridge("inline")


@pytest.fixture
def services(
    project: Project,
    bridge: Bridge,
    settings: Settings,
    actions: Actions,
    theme: Theme,
    notifications: Notifications,
) -> Services:
    """Everything a page is given."""
    return Services(project, bridge, settings, actions, theme, notifications, QUndoStack())
