"""What the tests of the Tracks page share besides the fixture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QKeyEvent, QKeySequence
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from desktop.tracks.page import TracksPage
from engine.tracks.boxes import Boxes
from engine.tracks.cameras import Camera
from engine.tracks.formats import TrackFile, write_tracks
from tests.desktop.support import WAIT_MS

SECONDS = max(WAIT_MS, 60_000)
SWAP_FROM = 30


def settled(qtbot: QtBot, page: TracksPage) -> None:
    parts = (page.background, page.stage.wall, page.review, page.card)
    qtbot.waitUntil(lambda: not any(part.busy for part in parts), timeout=SECONDS)


def walk(swapped: bool) -> Boxes:
    """Two walkers for 60 frames; a tracker exchanged them from frame 30 on."""
    frames = np.tile(np.arange(60), 2)
    who = np.repeat([1, 2], 60)
    x = np.where(who == 1, 10 + 8 * frames, 490 - 8 * frames)
    xywh = np.stack([x, np.where(who == 1, 50, 260), np.full(120, 60), np.full(120, 150)], axis=1)
    named = np.where(swapped & (frames >= SWAP_FROM), 3 - who, who)
    return Boxes.of(frames, xywh, tracks=named)


def write(path: Path, boxes: Boxes) -> Path:
    write_tracks(TrackFile(boxes, (Camera(path.stem, fps=10),)), path, "mot")
    return path


def key(page: QWidget, name: str) -> None:
    """What a key does; not every display gives the window the focus that a real one needs."""
    wanted = QKeySequence(name)
    (action,) = (action for action in page.actions() if action.shortcut() == wanted)
    assert action.isEnabled()
    action.trigger()


def opened(qtbot: QtBot, make: Callable[[], TracksPage], folder: Path | None = None) -> TracksPage:
    """A page that shows the scene in ``folder``, or the one that it had before."""
    page = make()
    if folder is not None:
        page.accept([folder])
    qtbot.waitUntil(lambda: page.model.scene is not None, timeout=SECONDS)
    settled(qtbot, page)
    return page


def press(view: QWidget, *keys: Qt.Key, held: Qt.KeyboardModifier | None = None) -> None:
    """Keys that a view takes before the page's shortcuts."""
    for name in keys:
        modifiers = held or Qt.KeyboardModifier.NoModifier
        override = QKeyEvent(QEvent.Type.ShortcutOverride, name, modifiers)
        override.setAccepted(False)
        QApplication.sendEvent(view, override)
        assert override.isAccepted(), f"{name} is the page's"
        QApplication.sendEvent(view, QKeyEvent(QEvent.Type.KeyPress, name, modifiers))
