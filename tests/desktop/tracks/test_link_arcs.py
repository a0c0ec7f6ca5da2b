"""Arcs of the selected identity on the timeline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PySide6.QtGui import QImage
from pytestqt.qtbot import QtBot

from desktop.tracks.page import TracksPage
from desktop.widgets.timeline_arcs import Arc
from tests.desktop.tracks.support import settled
from tests.desktop.tracks.test_relinking import opened


def pixels(page: TracksPage) -> np.ndarray:
    image = page.time.timeline.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    return np.array(image.constBits()).reshape(image.height(), image.width(), 4).copy()


def test_ways_of_the_selected_identity(
    qtbot: QtBot, make: Callable[[], TracksPage], tmp_path: Path
) -> None:
    page = opened(qtbot, make, tmp_path / "scene")
    assert page.arcs.arcs == []
    page.model.select([3])
    assert page.arcs.arcs == [Arc(3, 4, "4.1 s"), Arc(4, 5, "34.1 s")]
    page.arcs.use_links([{"tracklets": [4, 5], "unsure": ["an unusual time"]}])
    assert page.arcs.arcs[1] == Arc(4, 5, "34.1 s; an unusual time", True)
    settled(qtbot, page)
    with_arcs = pixels(page)
    page.time.timeline.set_arcs(())
    assert (with_arcs != pixels(page)).any(), "they are drawn"
    page.model.select([5])
    page.editing.separate()
    assert page.arcs.arcs == []
