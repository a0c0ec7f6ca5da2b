"""Review: suspicious events of a result are looked for beside the window, gone to, mended."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QApplication, QLineEdit

from desktop.actions import Actions
from desktop.background import Background
from desktop.tracks.model import TracksModel
from desktop.tracks.stage import TracksStage
from engine.errors import EngineError
from engine.tracks import edits
from engine.tracks.cameras import Camera
from engine.tracks.events import WAYS, Event, fingerprint, suspicious_events
from engine.tracks.tracklets import Delta, TrackState

MOST = 500
"""Events that are listed."""

MENDS = {
    "swap": "Exchanged from frame {frame} on",
    "lost": "{0} goes on as {1}",
    "together": "{0} has an identity of its own",
    "double": "{0} deleted: a double",
    "jump": "{0} split at frame {frame}",
    "size": "{0} split at frame {frame}",
    "look": "{0} split at frame {frame}",
    "glimpse": "{0} deleted: a single box",
    "doubt": "{0}, and what follows, parted from {1}",
    "time": "{0}, and what follows, parted from {1}",
    "against": "{0}, and what follows, parted from {1}",
    "missing": "{1} is {0} at the next camera",
}
"""What accepting an event does; the other kinds need a person."""


class Review(QObject):
    """See the module.

    Signals
    -------
    found
        Other events.
    moved
        Another event is the current one, or none.
    """

    found = Signal()
    moved = Signal()

    def __init__(
        self,
        model: TracksModel,
        stage: TracksStage,
        tell: Callable[[EngineError], object],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._model, self._stage, self._tell = model, stage, tell
        self._background = Background(self)
        self._busy = self._stale = False
        self.events: list[Event] = []
        self.at = -1
        """The current one; -1 for none."""
        model.opened.connect(self._opened)
        model.changed.connect(self._look)
        model.cameras_changed.connect(self._look)

    @property
    def busy(self) -> bool:
        """Whether events are being looked for."""
        return self._busy

    @property
    def event(self) -> Event | None:
        """The current one."""
        return self.events[self.at] if 0 <= self.at < len(self.events) else None

    # --- looking ----------------------------------------------------------------------------------

    def _opened(self) -> None:
        self.events, self.at = [], -1
        self.found.emit()
        self._look()

    def _look(self) -> None:
        """Anew; while that is going on, once more afterwards."""
        self._stale = True
        state, scene = self._model.state, self._model.scene
        if self._busy or state is None or scene is None:
            return
        self._busy, self._stale = True, False
        still, cameras = state.copy(), scene.cameras
        self._background.run(
            lambda: suspicious_events(still, cameras, MOST),
            lambda events: self._came(state, events),
            self._failed,
        )

    def _came(self, state: TrackState, events: list[Event]) -> None:
        self._busy = False
        if state is self._model.state:
            before = self.event
            self.events = events
            keys = [event.key for event in events]
            if before is None or before.key not in keys:
                # It was mended: the next one has its place.
                self.at = min(self.at, len(events)) - 1 if self.at >= 0 else -1
            else:
                self.at = keys.index(before.key)
            self.found.emit()
        if self._stale:
            self._look()

    def _failed(self, error: EngineError) -> None:
        self._busy = False
        self._tell(error)

    # --- going ------------------------------------------------------------------------------------

    def step(self, by: int) -> None:
        """The next event, or the one before."""
        if self.events:
            self.go(min(max(self.at + by, 0), len(self.events) - 1))

    def go(self, at: int) -> None:
        """Show an event: its camera, its frame, its tracklets selected."""
        scene = self._model.scene
        if scene is None or not 0 <= at < len(self.events):
            return
        self.at = at
        event = self.events[at]
        camera = scene.cameras[event.camera]
        self._stage.play(0.0)
        for name in reversed(event.tracklets):
            span = self._model.span(name)
            if span is not None:
                self._stage.wall.show_camera(span.camera)
        self._stage.set_time(camera.offset + event.frame / camera.fps)
        self._model.select(event.tracklets)
        self._stage.say(f"{self.words(event)}.")
        self.moved.emit()

    def words(self, event: Event) -> str:
        """Its reason, with the names of identities."""
        names = []
        for tracklet in event.tracklets:
            span = self._model.span(tracklet)
            names.append(tracklet if span is None else span.identity)
        if len(set(names)) < len(names):
            return event.reason(
                [
                    f"{tracklet} (of {name})"
                    for tracklet, name in zip(event.tracklets, names, strict=True)
                ]
            )
        return event.reason(names)

    # --- deciding ---------------------------------------------------------------------------------

    def accept(self) -> None:
        """Mend what the current event is about."""
        event, scene = self.event, self._model.scene
        if event is None or scene is None or isinstance(QApplication.focusWidget(), QLineEdit):
            return
        if event.kind not in MENDS:
            self._stage.say(
                "There is nothing to accept here: look, and correct by hand, or X: it is right."
            )
            return
        text = MENDS[event.kind].format(*event.tracklets, frame=event.frame)
        self._model.edit(event.kind, text, lambda state: mend(state, event, scene.cameras))

    def reject(self) -> None:
        """Say that the current event is right as it is."""
        event = self.event
        if event is None:
            return
        self._model.edit(
            "check",
            f"Looked at, and right: {self.words(event)}",
            lambda state: edits.check(state, event.key, fingerprint(state, event.tracklets)),
        )


def mend(state: TrackState, event: Event, cameras: Sequence[Camera]) -> Delta:
    """The edit that an event suggests."""
    first = event.tracklets[0]
    if event.kind == "missing":
        return edits.join_identities(state, *(state.identity_of(name) for name in event.tracklets))
    if event.kind in WAYS:
        own = state.members(state.identity_of(first))
        begins = {name: _begin(state, name, cameras) for name in own}
        return edits.reassign(state, [name for name in own if begins[name] >= begins[first]], None)
    if event.kind == "swap":
        return edits.swap(state, *event.tracklets, event.frame)
    if event.kind == "lost":
        return edits.merge_tracklets(state, *event.tracklets)
    if event.kind == "together":
        return edits.reassign(state, [first], None)
    if event.kind in ("double", "glimpse"):
        return edits.delete(state, first)
    return edits.split(state, first, event.frame)


def _begin(state: TrackState, tracklet: int, cameras: Sequence[Camera]) -> float:
    """Seconds on the scene's clock."""
    first = state.boxes_at(state.rows_of(tracklet)[:1])
    return float(cameras[int(first.cameras[0])].seconds(first.frames)[0])


def define(actions: Actions, workspace: str, review: Review) -> None:
    """Its rows in the table of actions."""
    for name, title, key, icon, do in (
        ("next_event", "Next suspicious event", "N", "arrow-down", lambda: review.step(1)),
        ("previous_event", "Suspicious event before", "P", "arrow-up", lambda: review.step(-1)),
        ("accept_event", "Mend the event", "Return", "check", review.accept),
        ("reject_event", "The event is right as it is", "X", "x", review.reject),
    ):
        actions.define(f"{workspace}.{name}", title, key, icon, workspace=workspace)
        actions.connect(f"{workspace}.{name}", do)
