"""The inspector's list of suspicious events."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from desktop.theme import SPACE_M, SPACE_S, Theme
from desktop.tracks.crop_strip import CropStrip
from desktop.tracks.crops import CropLoader
from desktop.tracks.model import TracksModel
from desktop.tracks.review import MENDS, MOST, Review
from desktop.widgets.parts import button, label
from desktop.widgets.timeline import Timeline, clock
from engine.tracks.crops import crops_around
from engine.tracks.events import Event

TITLES = {
    "swap": "Exchanged",
    "lost": "Lost and found",
    "together": "At two places",
    "double": "Double",
    "jump": "Leap",
    "size": "Size",
    "look": "Another look",
    "born": "Out of nowhere",
    "died": "Into nowhere",
    "glimpse": "A single box",
    "doubt": "Doubtful link",
    "time": "Odd travel time",
    "against": "Against the zones",
    "missing": "Missing at a camera",
}


class ReviewPanel(QWidget):
    """Events, those most worth looking at first, and what can be done about the current one."""

    def __init__(
        self,
        theme: Theme,
        review: Review,
        model: TracksModel,
        timeline: Timeline,
        loader: CropLoader,
    ) -> None:
        super().__init__()
        self._review, self._model, self._timeline = review, model, timeline
        self.strip = CropStrip(theme, loader)
        self.strip.setAccessibleName("Pictures of what the event is about")
        self.count = label("", "muted", wrap=True)
        self.list = QListWidget()
        self.list.setAccessibleName("Suspicious events")
        self.list.setWordWrap(True)
        self.list.setSpacing(2)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.currentRowChanged.connect(self._row)
        self.accept = button("Mend", review.accept, "primary")
        self.accept.setToolTip("Do what the event suggests (Return)")
        self.reject = button("It is right", review.reject)
        self.reject.setToolTip("Not to be shown again unless its tracks change (X)")
        row = QHBoxLayout()
        row.setSpacing(SPACE_S)
        row.addWidget(self.accept, 1)
        row.addWidget(self.reject, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_M, SPACE_M, SPACE_M, SPACE_M)
        layout.setSpacing(SPACE_S)
        layout.addWidget(self.count)
        layout.addWidget(self.list, 1)
        layout.addWidget(self.strip)
        layout.addLayout(row)
        review.found.connect(self._fill)
        review.moved.connect(self._moved)
        self._fill()

    def _fill(self) -> None:
        events, scene = self._review.events, self._model.scene
        self.list.blockSignals(True)
        self.list.clear()
        times = []
        for event in events if scene is not None else ():
            camera = scene.cameras[event.camera]
            times.append(camera.offset + event.frame / camera.fps)
            text = (
                f"{TITLES[event.kind]} · {camera.name}, {clock(times[-1])}\n{self._review.words(event)}"
            )
            item = QListWidgetItem(text)
            item.setToolTip(f"Wrong with {event.chance:.0%}; {event.boxes} boxes would be right")
            self.list.addItem(item)
        self.list.blockSignals(False)
        self._timeline.set_markers(times)
        worth = sum(event.score for event in events)
        gain = f"about {worth:,.0f} boxes" if round(worth) > 1 else "about one box"
        many = f"{MOST} or more" if len(events) == MOST else str(len(events))
        self.count.setText(
            f"To look at: {many}; to put right: {gain}. Next: N, before: P."
            if events
            else "Nothing looks suspicious."
            if self._model.state is not None
            else "Suspicious places of tracks are listed here."
        )
        self._moved()

    def _moved(self) -> None:
        event = self._review.event
        self._compare(event)
        self.list.blockSignals(True)
        self.list.setCurrentRow(self._review.at if event is not None else -1)
        self.list.blockSignals(False)
        self.accept.setEnabled(event is not None and event.kind in MENDS)
        self.reject.setEnabled(event is not None)

    def _compare(self, event: Event | None) -> None:
        """One after the other, those whom the event is about."""
        state, scene = self._model.state, self._model.scene
        if event is None or state is None or scene is None:
            self.strip.show_crops([], ())
        else:
            camera = scene.cameras[event.camera]
            time = camera.offset + event.frame / camera.fps
            self.strip.show_crops(
                crops_around(state, scene.cameras, event.tracklets, time), scene.cameras
            )
        self.strip.setVisible(event is not None)

    def _row(self, row: int) -> None:
        self._review.go(row)
