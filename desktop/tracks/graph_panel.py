"""The inspector while ways are edited: all ways, how long one takes, a camera's clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QScrollArea,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from desktop.theme import SPACE_M, SPACE_S
from desktop.tracks.graph_editing import NOTHING, GraphEditing, Port
from desktop.tracks.graph_view import seconds
from desktop.widgets.field_editors import QuietComboBox
from desktop.widgets.parts import button, label, line
from engine.tracks.camera_graph import ENOUGH_TIMES

if TYPE_CHECKING:
    from desktop.theme import Theme
    from desktop.tracks.travel_times import TravelTimes

USUAL = (0.0, 120.0)
"""Seconds that count where nothing is said or learnt; as the job has them."""
DAY = 86_400.0


class GraphPanel(QWidget):
    """See the module.

    Signals
    -------
    export_requested(str)
        Save the histogram as ``png``, ``svg`` or ``csv``.
    """

    export_requested = Signal(str)

    def __init__(self, theme: Theme, editing: GraphEditing) -> None:
        super().__init__()
        self._theme, self._editing = theme, editing
        self.plot: TravelTimes | None = None
        self.list = QListWidget()
        self.list.setAccessibleName("Ways between cameras")
        self.list.setWordWrap(True)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.currentRowChanged.connect(self._row)
        self.detail = QStackedWidget()
        self.nothing = label("", "muted", wrap=True)
        self.nothing.setAlignment(Qt.AlignmentFlag.AlignTop)
        for page in (self.nothing, self._way_page(theme), self._camera_page()):
            self.detail.addWidget(page)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_M, SPACE_M, SPACE_M, SPACE_M)
        layout.setSpacing(SPACE_S)
        layout.addWidget(label("Ways", "heading"))
        layout.addWidget(self.list, 2)
        layout.addLayout(self._adder(theme))
        layout.addWidget(line())
        layout.addWidget(self.detail, 3)
        editing.changed.connect(self.refresh)
        editing.known_changed.connect(self.refresh)
        self.refresh()

    def _adder(self, theme: Theme) -> QFormLayout:
        """A way without the mouse."""
        self.start, self.end = QuietComboBox(), QuietComboBox()
        self.start.setAccessibleName("Where a new way begins")
        self.end.setAccessibleName("Where a new way ends")
        self.add = button("Add", self._add, "", theme.icon("plus"))
        self.add.setToolTip("The same as dragging from one dot to another")
        row = QHBoxLayout()
        row.setSpacing(SPACE_S)
        row.addWidget(self.end, 1)
        row.addWidget(self.add)
        form = QFormLayout()
        form.setSpacing(SPACE_S)
        form.addRow("From", self.start)
        form.addRow("To", row)
        return form

    def _way_page(self, theme: Theme) -> QWidget:
        page = QWidget()
        self.head = label("", "heading", wrap=True)
        self._plot_place = QVBoxLayout()
        self.found = label("", "muted", wrap=True)
        self.learn = QCheckBox("Learn the travel time")
        self.learn.setToolTip("From ways that are confirmed or sure; else the times below count.")
        self.learn.clicked.connect(self._learn)
        self.least, self.most = _seconds("Least seconds"), _seconds("Most seconds")
        for box in (self.least, self.most):
            box.editingFinished.connect(self._typed)
        row = QHBoxLayout()
        row.setSpacing(SPACE_S)
        row.addWidget(self.least, 1)
        row.addWidget(label("to", "muted"))
        row.addWidget(self.most, 1)
        self.remove = button("Take the way away", self._editing.delete, "", theme.icon("trash"))
        layout = QVBoxLayout(page)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_S)
        layout.addWidget(self.head)
        layout.addLayout(self._plot_place)
        layout.addWidget(self.found)
        layout.addWidget(self.learn)
        layout.addLayout(row)
        layout.addWidget(self.remove)
        layout.addStretch(1)
        return _scrolled(page)

    def _camera_page(self) -> QWidget:
        page = QWidget()
        self.camera_head = label("", "heading", wrap=True)
        self.offset = _seconds("Clock: seconds after the beginning of the scene")
        self.offset.setToolTip("When the camera's first frame was taken, after the scene's beginning")
        self.offset.editingFinished.connect(self._clock)
        self.estimate = label("", "muted", wrap=True)
        self.take = button("Take that", self._take)
        self.take.setToolTip("Set the clock to what ways there and back say")
        others = QWidget()
        self._others = QVBoxLayout(others)
        self._others.setContentsMargins(0, 0, 0, 0)
        self._others.setSpacing(SPACE_S)
        self._others.addStretch(1)
        self.overlaps: list[QCheckBox] = []
        form = QFormLayout()
        form.setSpacing(SPACE_S)
        form.addRow("Clock", self.offset)
        layout = QVBoxLayout(page)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_S)
        layout.addWidget(self.camera_head)
        layout.addLayout(form)
        layout.addWidget(self.estimate)
        layout.addWidget(self.take)
        layout.addWidget(label("Sees a part of what these see", "heading"))
        layout.addWidget(_scrolled(others), 1)
        return page

    # --- showing ----------------------------------------------------------------------------------

    def refresh(self) -> None:
        """What is selected, and what is known of it."""
        editing = self._editing
        ways = editing.ways
        self.list.blockSignals(True)
        self.list.clear()
        for way in ways:
            said, learnt = editing.window(*way.cameras), editing.learnt(*way.cameras)
            told = (
                f"{seconds(said)}, as you said"
                if said
                else f"{seconds(learnt)}, learnt"
                if learnt
                else self._seen(way.cameras)
            )
            self.list.addItem(QListWidgetItem(f"{editing.words(way)}\n{told}"))
        self.list.setCurrentRow(ways.index(editing.way) if editing.way in ways else -1)
        self.list.blockSignals(False)
        self._fill_adder()
        if editing.way is not None:
            self.detail.setCurrentIndex(1)
            self._show_way()
        elif editing.camera != NOTHING:
            self.detail.setCurrentIndex(2)
            self._show_camera()
        else:
            self.detail.setCurrentIndex(0)
            self.nothing.setText(
                "Select a way to see how long it takes, or a camera for its clock."
                if editing.cameras
                else ""
            )

    def _seen(self, cameras: tuple[int, int]) -> str:
        times = self._editing.times(*cameras)
        if times is None or not len(times.seconds):
            return "nobody seen on it yet"
        middle = sorted(times.seconds.tolist())[len(times.seconds) // 2]
        return f"about {middle:.3g} s; {int(times.sure.sum())} of {len(times.seconds)} times sure"

    def _fill_adder(self) -> None:
        ports: list[tuple[str, Port]] = []
        for at, camera in enumerate(self._editing.cameras):
            ports += [
                (f"{camera.name} {zone.name}", (at, number))
                for number, zone in enumerate(camera.zones)
                if not zone.ignored
            ]
            ports.append((camera.name, (at, None)))
        texts = [text for text, _ in ports]
        for box in (self.start, self.end):
            if texts != [box.itemText(at) for at in range(box.count())]:
                box.clear()
                for text, port in ports:
                    box.addItem(text, port)
        self.add.setEnabled(len(self._editing.cameras) > 1)

    def _show_way(self) -> None:
        editing, way = self._editing, self._editing.way
        assert way is not None
        said, learnt = editing.window(*way.cameras), editing.learnt(*way.cameras)
        times, window = editing.times(*way.cameras), said or learnt or USUAL
        names = [editing.cameras[at].name for at in way.cameras]
        self.head.setText(f"{names[0]} → {names[1]}")
        if self.plot is None:
            from desktop.tracks.travel_times import TravelTimes

            self.plot = TravelTimes(self._theme)
            self.plot.window_chosen.connect(lambda low, high: editing.set_window((low, high)))
            self.plot.export_requested.connect(self.export_requested)
            self._plot_place.addWidget(self.plot)
        self.plot.show_times(self.head.text(), times, window, said=said is not None)
        count = 0 if times is None else len(times.seconds)
        sure = 0 if times is None else int(times.sure.sum())
        if not count:
            told = "Nobody was seen to go this way yet: link across cameras first."
        elif learnt is not None:
            told = f"{count} went this way, {sure} of them sure: learnt {seconds(learnt)}."
        else:
            told = (
                f"{count} went this way, {sure} of them sure; {ENOUGH_TIMES} sure ones are needed to "
                "learn how long it takes."
            )
        self.found.setText(told)
        self.learn.setChecked(said is None)
        for box, value in ((self.least, window[0]), (self.most, window[1])):
            _show(box, value)
            box.setEnabled(said is not None)

    def _show_camera(self) -> None:
        editing, at = self._editing, self._editing.camera
        camera, clock = editing.cameras[at], editing.clock(at)
        self.camera_head.setText(camera.name)
        _show(self.offset, camera.offset)
        self.take.setEnabled(False)
        if clock is None:
            self.estimate.setText(
                "Not known from the tracks: that needs ways there and back, three or more each, or a "
                "way of which you said how long it takes."
            )
        elif not clock.error:
            self.estimate.setText(
                f"The other clocks are compared with this one, by {clock.times} ways."
            )
        else:
            late = clock.offset - camera.offset
            likely = "this may well be right" if abs(late) <= 2 * clock.error else "this looks wrong"
            self.estimate.setText(
                f"By {clock.times} ways: {clock.offset:+.1f} ± {clock.error:.1f} s; {likely}."
            )
            self.take.setEnabled(True)
        others = [other for other in range(len(editing.cameras)) if other != at]
        while len(self.overlaps) < len(others):
            box = QCheckBox()
            number = len(self.overlaps)
            box.clicked.connect(lambda on, number=number: self._overlap(number, on))
            self._others.insertWidget(len(self.overlaps), box)
            self.overlaps.append(box)
        for number, box in enumerate(self.overlaps):
            box.setVisible(number < len(others))
            if number < len(others):
                other = others[number]
                box.setText(editing.cameras[other].name)
                box.setAccessibleName(f"{box.text()} sees a part of what {camera.name} sees")
                box.setChecked((min(at, other), max(at, other)) in editing.overlaps)

    # --- what was done ------------------------------------------------------------------------------

    def _row(self, row: int) -> None:
        ways = self._editing.ways
        if 0 <= row < len(ways):
            self._editing.select(way=ways[row])

    def _add(self) -> None:
        start, end = self.start.currentData(), self.end.currentData()
        if start is not None and end is not None:
            self._editing.connect_ports(tuple(start), tuple(end))

    def _learn(self, on: bool) -> None:
        way = self._editing.way
        if way is not None:
            usual = self._editing.learnt(*way.cameras) or USUAL
            low, high = (round(edge, 1) for edge in usual)
            self._editing.set_window(None if on else (low, high))

    def _typed(self) -> None:
        way = self._editing.way
        if way is not None and self._editing.window(*way.cameras) is not None:
            self._editing.set_window((self.least.value(), self.most.value()))

    def _clock(self) -> None:
        if self._editing.camera != NOTHING:
            self._editing.set_offset(self._editing.camera, self.offset.value())

    def _take(self) -> None:
        clock = self._editing.clock(self._editing.camera)
        if clock is not None:
            self._editing.set_offset(self._editing.camera, round(clock.offset, 2))

    def _overlap(self, number: int, on: bool) -> None:
        at = self._editing.camera
        self._editing.set_overlap(at, number + (number >= at), on)


def _seconds(name: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(-DAY, DAY)
    box.setDecimals(2)
    box.setSingleStep(0.5)
    box.setSuffix(" s")
    box.setAccessibleName(name)
    box.setKeyboardTracking(False)
    box.setMinimumWidth(72)
    box.lineEdit().setTextMargins(9, 0, 0, 0)
    return box


def _show(box: QDoubleSpinBox, value: float) -> None:
    box.blockSignals(True)
    box.setValue(value)
    box.blockSignals(False)


def _scrolled(page: QWidget) -> QScrollArea:
    page.setProperty("role", "form")
    scroll = QScrollArea(widgetResizable=True)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    scroll.setWidget(page)
    return scroll
