"""Origins, destinations and travel times in the inspector; copied as CSV."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from desktop.tracks.page import TracksPage
from tests.desktop.tracks.support import SECONDS
from tests.desktop.tracks.test_relinking import opened


def test_flows_are_counted_follow_edits_and_are_copied(
    qtbot: QtBot, make: Callable[[], TracksPage], tmp_path: Path
) -> None:
    page = opened(qtbot, make, tmp_path / "scene")
    panel = page.flows
    assert panel.shown is None, "not before it is looked at"
    page.inspector.setCurrentWidget(panel)
    qtbot.waitUntil(lambda: panel.shown is not None and not panel.busy, timeout=SECONDS)
    assert panel.shown.heads == ("From \\ To", "a", "a/east", "b")
    assert panel.shown.rows == (
        ("a", "0", "2", "0"),
        ("a/east", "0", "0", "0"),
        ("b", "0", "0", "1"),
    )
    panel.choice.setCurrentIndex(1)
    assert panel.shown.rows == (
        ("a", "b", "1", "4.1", "4.1", "4.1"),
        ("b", "a", "1", "34.1", "34.1", "34.1"),
    )
    page.model.select([1, 2])
    page.editing.merge()
    qtbot.waitUntil(lambda: not panel.busy, timeout=SECONDS)
    assert panel.table.item(0, 2).text() == "2"
    panel.copy.click()
    assert QGuiApplication.clipboard().text().splitlines()[:2] == [
        "From,To,Times,5 %,Median,95 %",
        "a,b,2,4.1,4.1,4.1",
    ]
