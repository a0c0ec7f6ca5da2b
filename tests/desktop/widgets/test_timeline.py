"""The timeline: its picture beside a slow one, its geometry, the hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from desktop.theme import Theme
from desktop.widgets.timeline import GUTTER, ROW, RULER, Timeline, clock
from desktop.widgets.timeline_segments import Segments, View, pack_lanes, rasterise


def made(count: int, seed: int = 0, rows: int = 12, lanes: int = 2) -> Segments:
    rng = np.random.default_rng(seed)
    starts = rng.uniform(0, 100, count)
    return Segments.of(
        np.arange(count),
        rng.integers(0, rows, count),
        rng.integers(0, lanes, count),
        starts,
        starts + rng.uniform(0, 8, count),
        rng.integers(1, 2**24, count).astype(np.uint32) | 0xFF000000,
        lanes,
    )


@pytest.mark.parametrize("top", [0, 37])
def test_the_picture_is_that_of_one_segment_after_another(top: int) -> None:
    segments = made(300)
    view = View(left=20.0, seconds_a_pixel=0.1, width=400, height=120, row_height=24, top=top)
    picture = rasterise(segments, view)
    first, last = view.rows
    part = segments.of_rows(first, last)
    for lane in range(2):
        for row in range(first, last + 1):
            band = np.zeros(400, np.uint32)
            for at in range(part.start, part.stop):
                if segments.rows[at] == row and segments.lanes[at] == lane:
                    low = (segments.starts[at] - 20) / 0.1
                    high = (segments.ends[at] - 20) / 0.1
                    if high >= 0 and low < 400:
                        a = int(np.floor(np.clip(low, 0, 399)))
                        b = max(a + 1, int(np.ceil(np.clip(high, 0, 400))))
                        band[a:b] = segments.colours[at]
            middle = row * 24 - top + 3 + 9 * lane + 5
            if 0 <= middle < 120:
                np.testing.assert_array_equal(picture[middle], band)


def test_of_very_many_each_pixel_shows_one_that_is_there() -> None:
    segments = made(4000, rows=5)
    view = View(left=-5.0, seconds_a_pixel=0.6, width=200, height=120, row_height=24, top=0)
    picture = rasterise(segments, view)
    latest = 0
    for row in range(5):
        for lane in range(2):
            own = np.flatnonzero((segments.rows == row) & (segments.lanes == lane))
            low = np.floor((segments.starts[own] + 5) / 0.6).astype(int)
            high = np.maximum(np.ceil((segments.ends[own] + 5) / 0.6).astype(int), low + 1)
            for x, colour in enumerate(picture[row * 24 + 3 + 9 * lane + 5].tolist()):
                there = own[(low <= x) & (x < high)]
                assert colour in (segments.colours[there].tolist() or [0]), (row, lane, x)
                latest += bool(len(there)) and colour == segments.colours[there[-1]]
    assert (
        latest
        > 0.8
        * (picture[[row * 24 + 3 + 9 * lane + 5 for row in range(5) for lane in (0, 1)]] > 0).sum()
    )


def test_nothing_and_one_short_segment() -> None:
    view = View(0.0, 1.0, 50, 40, 20, 0)
    assert not rasterise(Segments(), view).any()
    one = Segments.of(
        np.array([7]), np.array([1]), np.array([0]), np.array([10.0]), np.array([10.0]),
        np.array([0xFF112233], np.uint32), 1,
    )  # fmt: skip
    picture = rasterise(one, view)
    assert set(np.unique(picture).tolist()) == {0, 0xFF112233}
    assert np.flatnonzero(picture.any(0)).tolist() == [10]
    assert not picture[:20].any()


def test_density_counts_who_is_there() -> None:
    segments = made(500)
    edges = np.linspace(0, 110, 56)
    slow = [
        int(((segments.starts < high) & (segments.ends > low)).sum())
        for low, high in itertools.pairwise(edges)
    ]
    assert segments.density(edges).tolist() == slow


def test_lanes_keep_apart_what_overlaps() -> None:
    rows, starts = np.zeros(4, np.int64), np.array([0.0, 1.0, 2.0, 5.0])
    ends = np.array([4.0, 3.0, 6.0, 7.0])
    assert pack_lanes(rows, starts, ends, 3).tolist() == [0, 1, 2, 0]
    assert pack_lanes(rows, starts, ends, 2).max() == 1


@pytest.fixture
def timeline(qtbot: QtBot, theme: Theme) -> Timeline:
    made_up = Timeline(theme)
    qtbot.addWidget(made_up)
    made_up.resize(GUTTER + 412, 300)
    made_up.show()
    made_up.set_bounds(0, 100)
    segments = Segments.of(
        np.array([3, 4]), np.array([0, 30]), np.array([0, 0]), np.array([10.0, 50.0]),
        np.array([20.0, 60.0]), np.full(2, 0xFF00FF00, np.uint32), 1,
    )  # fmt: skip
    made_up.set_segments([str(row) for row in range(31)], segments, np.array([[0, 0, 12, 16.0]]))
    return made_up


def test_a_click_chooses_a_segment_and_a_time(timeline: Timeline, qtbot: QtBot) -> None:
    clicked: list[tuple[object, bool]] = []
    timeline.segment_clicked.connect(lambda key, extend: clicked.append((key, extend)))
    y = RULER + 16 + ROW // 2
    place = QPoint(GUTTER + 60, y)
    QTest.mouseClick(timeline, Qt.MouseButton.LeftButton, pos=place)
    assert clicked == [(3, False)]
    assert timeline.time == pytest.approx(15, abs=0.3)
    control = Qt.KeyboardModifier.ControlModifier
    QTest.mouseClick(timeline, Qt.MouseButton.LeftButton, control, place)
    assert clicked[-1] == (3, True)
    assert timeline.segment_at(QPointF(GUTTER + 300, y)) is None
    QTest.mouseClick(timeline, Qt.MouseButton.LeftButton, pos=QPoint(GUTTER + 200, 5))
    assert timeline.time == pytest.approx(50, abs=0.3)


def test_zooming_keeps_what_is_under_the_mouse(timeline: Timeline) -> None:
    timeline.zoom(4, at=30)
    assert timeline._x(30) == pytest.approx(GUTTER + 0.3 * 400, abs=1)
    timeline.zoom(1e9)
    assert timeline._span == pytest.approx(0.2)
    timeline.fit()
    assert (timeline._left, timeline._span) == (0, 100)


def test_rows_come_into_view(timeline: Timeline) -> None:
    timeline.show_row(30)
    timeline.select(frozenset([4]))
    shot = timeline.grab().toImage()
    green = sum(
        shot.pixelColor(x, y).green() > 200 and shot.pixelColor(x, y).red() < 60
        for x in range(GUTTER + 200, GUTTER + 240, 5)
        for y in range(RULER + 16, 300, 3)
    )
    assert green > 0
    for key in (Qt.Key.Key_Plus, Qt.Key.Key_Minus, Qt.Key.Key_PageUp):
        QTest.keyClick(timeline, key)
    timeline.set_markers([1.0, 99.0])
    timeline.set_time(250)
    assert timeline.time == 100


@pytest.mark.parametrize(
    ("seconds", "step", "text"),
    [(0, 1, "0:00"), (65.25, 1, "1:05"), (65.25, 0.1, "1:05.2"), (59.97, 0.1, "1:00.0"),
     (3725, 10, "1:02:05"), (-3.5, 0.1, "-0:03.5"), (1.234, 0.05, "0:01.23")],
)  # fmt: skip
def test_clock(seconds: float, step: float, text: str) -> None:
    assert clock(seconds, step) == text
