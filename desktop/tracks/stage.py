"""The stage: the wall of cameras with its tools, and the timeline with the transport below."""

from __future__ import annotations

from PySide6.QtCore import QElapsedTimer, QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QToolButton, QVBoxLayout, QWidget

from desktop.theme import SPACE_M, SPACE_S, Theme
from desktop.tracks.lanes import lanes
from desktop.tracks.model import TracksModel
from desktop.tracks.wall import LAYOUTS, Wall
from desktop.widgets.elided_label import ElidedLabel
from desktop.widgets.field_editors import QuietComboBox
from desktop.widgets.parts import button, icon_button, label
from desktop.widgets.timeline import Timeline, clock
from engine.tracks.edits import confirmed_identities
from engine.tracks.overview import Span

TICK_MS = 40
LEAST_HEIGHT = 260


class TracksStage(QWidget):
    """Wall and tools.

    Attributes
    ----------
    time_changed
        Seconds on the scene's clock.
    """

    time_changed = Signal(float)

    def __init__(self, theme: Theme, model: TracksModel) -> None:
        super().__init__()
        self._model = model
        self.wall = Wall(theme, model)
        self.time = 0.0
        self._speed = 0.0
        self._timer = QTimer(self, interval=TICK_MS)
        self._timer.timeout.connect(self._tick)
        self._clock = QElapsedTimer()
        self.layout_choice = QuietComboBox()
        self.layout_choice.setAccessibleName("Cameras at once")
        self.layout_choice.setMinimumContentsLength(10)
        for count in LAYOUTS:
            self.layout_choice.addItem("1 camera" if count == 1 else f"{count} cameras", count)
        self.layout_choice.activated.connect(
            lambda _at: self.wall.set_count(self.layout_choice.currentData())
        )
        self.follow = _switch(theme, "crosshair", "Follow the selected identity (F)")
        self.follow.toggled.connect(self._follow)
        self.hide_others = _switch(theme, "eye-slash", "Hide all others (H)")
        self.hide_others.toggled.connect(lambda on: self.wall.set_options(hide_others=on))
        self.zones = _switch(theme, "polygon", "Zones (V)")
        self.zones.toggled.connect(lambda on: self.wall.set_options(zones=on))
        self.draw = _switch(theme, "bounding-box", "Draw, move and resize boxes (B)")
        self.draw.toggled.connect(self._draw)
        self.message = ElidedLabel("muted")
        bar = QHBoxLayout()
        bar.setContentsMargins(SPACE_M, SPACE_S, SPACE_M, SPACE_S)
        bar.setSpacing(SPACE_S)
        for item in (self.layout_choice, self.follow, self.hide_others, self.zones, self.draw):
            bar.addWidget(item)
        bar.addWidget(self.message, 1)
        self.work = button("", lambda: None, "quiet", theme.icon("x"))
        self.work.setToolTip("Going to a frame gets faster with it. Click: do not make it now.")
        self.work.hide()
        bar.addWidget(self.work)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(bar)
        layout.addWidget(self.wall, 1)
        model.opened.connect(self._opened)

    def say(self, text: str, role: str = "muted") -> None:
        """One line: what was done; ``warn`` for what is asked."""
        self.message.setText(text)
        if self.message.property("role") != role:
            self.message.setProperty("role", role)
            self.message.style().unpolish(self.message)
            self.message.style().polish(self.message)

    def show_work(self, text: str) -> None:
        """What goes on beside, and can be stopped; nothing without a text."""
        self.work.setText(text)
        self.work.setVisible(bool(text))

    def set_time(self, time: float) -> None:
        """Move the playhead."""
        first, last = self._model.duration()
        self.time = min(max(time, first), last)
        self.wall.set_time(self.time)
        self.time_changed.emit(self.time)

    def step(self, frames: int) -> None:
        """Some frames of the fastest camera on."""
        scene = self._model.scene
        if scene is not None and scene.cameras:
            rate = max(camera.fps for camera in scene.cameras)
            self.set_time(round(self.time * rate + frames) / rate)

    @property
    def playing(self) -> bool:
        """Whether time goes by."""
        return self._timer.isActive()

    def play(self, speed: float) -> None:
        """Let time go by, ``speed`` times as fast as it was; 0 stops."""
        self._speed = speed
        if speed and self._model.scene is not None:
            self._clock.start()
            self._timer.start()
        else:
            self._timer.stop()

    def toggle_play(self) -> None:
        """Play or pause."""
        self.play(0.0 if self.playing else 1.0)

    def shuttle(self, direction: int) -> None:
        """J and L: faster in a direction with every press."""
        same = self.playing and (self._speed > 0) == (direction > 0)
        self.play(min(max(self._speed * 2, -16.0), 16.0) if same else float(direction))

    def _tick(self) -> None:
        passed = self._clock.restart() / 1000
        _, last = self._model.duration()
        self.set_time(self.time + passed * self._speed)
        if self.time >= last:
            self.play(0.0)

    def _draw(self, on: bool) -> None:
        self.play(0.0)
        self.wall.set_drawing(on)
        self.say(
            "Drag: a new box, or one of the selected tracklet where it has none. Drag the selected "
            "box, or its edges, to move or resize it."
            if on
            else ""
        )

    def _follow(self, on: bool) -> None:
        self.wall.follow = on

    def _opened(self) -> None:
        self.play(0.0)
        first, last = self._model.duration()
        count = len(self.wall.views)
        at = next((n for n in range(len(LAYOUTS)) if LAYOUTS[n] >= count), len(LAYOUTS) - 1)
        self.layout_choice.setCurrentIndex(at)
        self.set_time(self.time if first <= self.time <= last else first)


class TimePanel(QWidget):
    """The timeline and the buttons that move the playhead."""

    def __init__(self, theme: Theme, model: TracksModel, stage: TracksStage) -> None:
        super().__init__()
        self._model, self._stage = model, stage
        self._icons = theme.icon("play"), theme.icon("pause")
        self.timeline = Timeline(theme)
        self.timeline.describe = self._describe
        self.by = QuietComboBox()
        self.by.setAccessibleName("Rows of the timeline")
        self.by.setMinimumContentsLength(12)
        self.by.addItem("By identity", "identity")
        self.by.addItem("By camera", "camera")
        self.by.currentIndexChanged.connect(lambda _at: self.refresh())
        self.play = icon_button(self._icons[0], "Play or pause (Space)", stage.toggle_play)
        self.where = label("0:00.0", "")
        self.where.setMinimumWidth(84)
        bar = QHBoxLayout()
        bar.setContentsMargins(SPACE_M, SPACE_S, SPACE_M, SPACE_S)
        bar.setSpacing(SPACE_S)
        for icon, name, do in (
            ("caret-left", "A frame back (,)", lambda: stage.step(-1)),
            ("caret-right", "A frame on (.)", lambda: stage.step(1)),
        ):
            bar.addWidget(icon_button(theme.icon(icon), name, do))
        bar.insertWidget(1, self.play)
        bar.addWidget(self.where)
        bar.addStretch(1)
        bar.addWidget(self.by)
        for icon, name, do in (
            ("magnifying-glass-minus", "Show more time (-)", lambda: self.timeline.zoom(1 / 1.5)),
            ("magnifying-glass-plus", "Show less time (+)", lambda: self.timeline.zoom(1.5)),
            ("arrows-out-line-horizontal", "Show everything (A)", self.timeline.fit),
        ):
            bar.addWidget(icon_button(theme.icon(icon), name, do))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(bar)
        layout.addWidget(self.timeline, 1)
        self.timeline.time_chosen.connect(stage.set_time)
        self.timeline.segment_clicked.connect(self._clicked)
        stage.time_changed.connect(self._moved)
        model.opened.connect(self._opened)
        model.changed.connect(self.refresh)
        model.cameras_changed.connect(self._cameras_changed)
        model.selected.connect(self._selected)
        self._rows: dict[int, int] = {}
        self._bounds = (0.0, 1.0)
        self.setMinimumHeight(LEAST_HEIGHT)

    def refresh(self) -> None:
        """Segments anew."""
        scene, state = self._model.scene, self._model.state
        cameras = () if scene is None else scene.cameras
        confirmed = [] if state is None else confirmed_identities(state)
        names = {identity: f"✓ {identity}" for identity in confirmed}
        made = lanes(self._model.spans, cameras, self.by.currentData(), names)
        self._rows = dict(made.row_of)
        self.timeline.set_segments(made.labels, made.segments, made.gaps)
        self.timeline.select(frozenset(self._model.selection))

    def _opened(self) -> None:
        self._bounds = self._model.duration()
        self.timeline.set_bounds(*self._bounds)
        self.refresh()

    def _cameras_changed(self) -> None:
        if self._bounds != self._model.duration():
            self._opened()
        else:
            self.refresh()

    def _selected(self) -> None:
        self.timeline.select(frozenset(self._model.selection))
        identity = self._model.identity
        if identity is not None and self.by.currentData() == "identity":
            self.timeline.show_row(self._rows.get(identity, 0))

    def _moved(self, time: float) -> None:
        self.timeline.set_time(time)
        self.where.setText(clock(time))
        self.play.setIcon(self._icons[self._stage.playing])

    def _clicked(self, tracklet: int, extend: bool) -> None:
        if extend:
            self._model.extend(tracklet)
        else:
            self._model.select([tracklet])

    def _describe(self, tracklet: int) -> str:
        span, scene = self._model.span(tracklet), self._model.scene
        return "" if span is None or scene is None else _facts(span, scene.cameras[span.camera].name)


def _facts(span: Span, camera: str) -> str:
    return (
        f"Identity {span.identity}, tracklet {span.tracklet}\n{camera}, frames {span.first} to "
        f"{span.last}, {span.boxes} boxes, score {span.score:.2f}"
    )


def _switch(theme: Theme, icon: str, name: str) -> QToolButton:
    result = icon_button(theme.icon(icon), name)
    result.setCheckable(True)
    return result
