"""Waiting for the poser."""

from __future__ import annotations

from pytestqt.qtbot import QtBot

from desktop.bodies.page import BodiesPage
from tests.desktop.support import WAIT_MS

SECONDS = max(WAIT_MS, 60_000)


def settled(qtbot: QtBot, page: BodiesPage) -> None:
    """All bodies are there and nobody waits for the poser."""

    def done() -> bool:
        ready = bool(page.people.figures) and all(
            figure.body is not None for figure in page.people.figures
        )
        return ready and not page.poser.busy and not page.background.busy

    qtbot.waitUntil(done, timeout=SECONDS)
