"""State of the Tracks page: the open scene, who is who in one of its results, edits with undo."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QObject, Signal

from desktop.background import Background
from engine.errors import EngineError
from engine.tracks.boxes import NO_TRACK
from engine.tracks.cameras import Camera
from engine.tracks.edits import confirmed_changed
from engine.tracks.overview import FrameIndex, Span, duration, spans
from engine.tracks.scene import DATABASE, Edit, ResultInfo, Scene
from engine.tracks.span_table import SpanTable
from engine.tracks.tracklets import Delta, TrackState

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, eq=False)
class Loaded:
    """A scene and one of its results, read beside the window's thread."""

    scene: Scene
    result: ResultInfo | None
    state: TrackState | None
    index: FrameIndex | None
    spans: SpanTable


def load(scene: Scene, result: int | None) -> Loaded:
    """Read a result (without a number: the newest)."""
    known = scene.results()
    wanted = [info for info in known if result is None or info.id == result]
    if not wanted:
        return Loaded(scene, None, None, None, SpanTable())
    state = scene.state(wanted[-1].id)
    found = SpanTable(spans(state))
    return Loaded(scene, wanted[-1], state, FrameIndex(state), found)


class TracksModel(QObject):
    """See the module.

    Signals
    -------
    opened
        Another scene or result is shown; also after closing.
    changed
        Tracks are others than before.
    selected
        Other tracklets are selected.
    edited(str)
        What an edit, undo or redo did.
    recorded(str)
        The scene has a new edit.
    scene_opened
        Another scene is open; before :attr:`opened`.
    cameras_changed
        Clocks, zones or ways of cameras are others than before.
    asked(str)
        An edit was not made: it changes a confirmed identity. It is made when it comes again.
    """

    opened = Signal()
    changed = Signal()
    selected = Signal()
    edited = Signal(str)
    recorded = Signal(str)
    scene_opened = Signal()
    asked = Signal(str)
    cameras_changed = Signal()

    def __init__(
        self,
        background: Background,
        tell: Callable[[EngineError], object],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._background, self._tell = background, tell
        self._loaded: Loaded | None = None
        self.selection: tuple[int, ...] = ()
        self._asked_about: tuple[str, str] | None = None

    # --- what is open -----------------------------------------------------------------------------

    @property
    def scene(self) -> Scene | None:
        """The open one."""
        return None if self._loaded is None else self._loaded.scene

    @property
    def result(self) -> ResultInfo | None:
        """The one that is shown; None where the scene has none."""
        return None if self._loaded is None else self._loaded.result

    @property
    def state(self) -> TrackState | None:
        """Who is who."""
        return None if self._loaded is None else self._loaded.state

    @property
    def index(self) -> FrameIndex | None:
        """Boxes by frame."""
        return None if self._loaded is None else self._loaded.index

    @property
    def spans(self) -> SpanTable:
        """Of all tracklets."""
        return SpanTable() if self._loaded is None else self._loaded.spans

    def span(self, tracklet: int) -> Span | None:
        """Of one tracklet."""
        return None if self._loaded is None else self._loaded.spans.get(tracklet)

    def duration(self) -> tuple[float, float]:
        """First and last second."""
        scene = self.scene
        return (0.0, 1.0) if scene is None else duration(scene.cameras, scene.detections)

    def open(self, folder: Path) -> None:
        """Open a scene; the one before is closed."""
        folder = folder.parent if folder.name == DATABASE else folder
        self._run(lambda: load(Scene.open(folder), None))

    def open_made(self, make: Callable[[], Scene]) -> None:
        """Open a scene that is made first, beside the window's thread."""
        self._run(lambda: load(make(), None))

    def choose_result(self, result: int | None) -> None:
        """Show another result (None: the newest)."""
        scene = self.scene
        if scene is not None:
            self._run(lambda: load(scene, result))

    def begin_result(self, name: str) -> None:
        """An empty result to draw in, where the scene has none."""
        scene = self.scene
        if scene is None or self.result is not None:
            return
        try:
            scene.add_result(scene.free_name(name), [], [])
            self._came(load(scene, None))
        except EngineError as error:
            self._tell(error)

    def close(self) -> None:
        """Nothing is open; everything was saved before."""
        loaded, self._loaded = self._loaded, None
        self.selection = ()
        if loaded is not None:
            loaded.scene.close()
            self.opened.emit()

    def _run(self, work: Callable[[], Loaded]) -> None:
        self._background.run(work, self._came, self._tell)

    def _came(self, loaded: Loaded) -> None:
        before, self._loaded = self._loaded, loaded
        self.selection = ()
        if before is None or before.scene is not loaded.scene:
            if before is not None:
                before.scene.close()
            self.scene_opened.emit()
        self.opened.emit()

    # --- selection --------------------------------------------------------------------------------

    def select(self, tracklets: Iterable[int]) -> None:
        """Other tracklets; the first is the one that single edits are about."""
        chosen = tuple(dict.fromkeys(t for t in tracklets if self.span(t) is not None))
        if chosen != self.selection:
            self.selection = chosen
            self._asked_about = None
            self.selected.emit()

    def extend(self, tracklet: int) -> None:
        """Add a tracklet to the selection, or take it out."""
        chosen = list(self.selection)
        if tracklet in chosen:
            chosen.remove(tracklet)
        else:
            chosen.append(tracklet)
        self.select(chosen)

    def select_identity(self, identity: int) -> None:
        """All tracklets of an identity."""
        state = self.state
        if state is not None:
            self.select(state.members(identity))

    @property
    def identity(self) -> int | None:
        """Of the first selected tracklet."""
        span = self.span(self.selection[0]) if self.selection else None
        return None if span is None else span.identity

    # --- edits ------------------------------------------------------------------------------------

    def edit(self, kind: str, text: str, make: Callable[[TrackState], Delta]) -> bool:
        """Change tracks: ``make`` says how. False, and told, where it does not fit.

        What changes a confirmed identity is asked about first (:attr:`asked`), and made when it is
        wanted again straight away.
        """
        if self.scene is None or self.result is None or self.state is None:
            return False
        try:
            delta = make(self.state)
            if self._asks(kind, text, confirmed_changed(self.state, delta)):
                return False
            self.scene.edit(self.result.id, kind, delta, text)
        except EngineError as error:
            self._tell(error)
            return False
        self.recorded.emit(text)
        self._renew(delta)
        self.edited.emit(text)
        return True

    def _asks(self, kind: str, text: str, confirmed: Sequence[int]) -> bool:
        again, self._asked_about = self._asked_about == (kind, text), None
        if not confirmed or again:
            return False
        self._asked_about = kind, text
        names = " and ".join(map(str, confirmed[:2])) + (" and more" if len(confirmed) > 2 else "")
        whose = f"Identity {names} is" if len(confirmed) == 1 else f"Identities {names} are"
        self.asked.emit(
            f"{whose} confirmed: nothing was changed. Do it again to change it all the same."
        )
        return True

    def edit_cameras(self, text: str, make: Callable[[Sequence[Camera]], Mapping[int, Camera]]) -> bool:
        """Change cameras: ``make`` says which are others. False, and told, where it does not fit."""
        if self.scene is None:
            return False
        try:
            self.scene.set_cameras(make(self.scene.cameras), text)
        except EngineError as error:
            self._tell(error)
            return False
        self.recorded.emit(text)
        self.cameras_changed.emit()
        self.edited.emit(text)
        return True

    def travel(self, scene: Scene, *, forward: bool) -> bool:
        """Undo or redo; False where the scene is not open any more."""
        if scene is not self.scene:
            return False
        try:
            edit = scene.redo() if forward else scene.undo()
        except EngineError as error:
            self._tell(error)
            return True
        if edit is not None:
            if self.result is not None and edit.result == self.result.id:
                self._renew(scene.change_of(edit))
            if edit.result is None:
                self.cameras_changed.emit()
            self.edited.emit(f"{'Again' if forward else 'Taken back'}: {edit.text or edit.kind}")
        return True

    def log(self) -> Sequence[Edit]:
        """Everything that was done to the scene."""
        return [] if self.scene is None else self.scene.log()

    def _renew(self, delta: Delta) -> None:
        assert self._loaded is not None
        assert self.state is not None
        touched = np.unique(np.concatenate([delta.before, delta.after, delta.tracklets]))
        names = [name for name in touched.tolist() if name != NO_TRACK]
        self._loaded.spans.replace(names, spans(self.state, names))
        before, self.selection = self.selection, tuple(t for t in self.selection if self.span(t))
        self.changed.emit()
        if before != self.selection:
            self.selected.emit()
