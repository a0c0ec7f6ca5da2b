"""The selected identity: its pictures over time in all cameras, and who else it could be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from desktop.background import Background
from desktop.theme import SPACE_S, Theme
from desktop.tracks.crop_strip import CropStrip, picture_of
from desktop.tracks.crops import CropLoader
from desktop.tracks.model import TracksModel
from desktop.widgets.parts import label
from engine.errors import EngineError
from engine.tracks import edits
from engine.tracks.alternatives import Alternative, Alternatives
from engine.tracks.cameras import Camera
from engine.tracks.crops import Crop, crops_of
from engine.tracks.tracklets import TrackState

PICTURES = 12
ALTERNATIVES = 5
THUMB = QSize(48, 48)
WAIT_MS = 120
"""Of a selection that rests, so that walking through a list asks for nothing."""


@dataclass(frozen=True)
class Found:
    """What is shown of a selection.

    Attributes
    ----------
    selection
        The tracklets that it is about.
    crops
        Of all tracklets of their identity.
    others
        Who else they could be, each with a crop.
    """

    selection: tuple[int, ...] = ()
    crops: list[Crop] = field(default_factory=list)
    others: list[tuple[Alternative, Crop]] = field(default_factory=list)


class _Looker:
    """Looks through one still state, beside the window's thread."""

    def __init__(self, state: TrackState, cameras: Sequence[Camera]) -> None:
        self._state, self._cameras = state, tuple(cameras)
        self._alternatives: Alternatives | None = None

    def look(self, selection: tuple[int, ...]) -> Found:
        state, cameras = self._state, self._cameras
        if self._alternatives is None:
            self._alternatives = Alternatives(state, cameras)
        members = state.members(state.identity_of(selection[0]))
        others = [
            (other, crops_of(state, cameras, [other.tracklet], 1)[0])
            for other in self._alternatives.of(selection, ALTERNATIVES)
        ]
        return Found(selection, crops_of(state, cameras, members, PICTURES), others)


class IdentityCard(QWidget):
    """See the module.

    Attributes
    ----------
    place_wanted
        A :class:`~engine.tracks.crops.Crop` that somebody wants to see where it was taken.
    """

    place_wanted = Signal(object)

    def __init__(
        self,
        theme: Theme,
        model: TracksModel,
        loader: CropLoader,
        tell: Callable[[EngineError], object],
    ) -> None:
        super().__init__()
        self._theme, self._model, self._loader, self._tell = theme, model, loader, tell
        self._background = Background(self)
        self._looker: _Looker | None = None
        self._timer = QTimer(self, interval=WAIT_MS, singleShot=True)
        self._timer.timeout.connect(self._look)
        self.found = Found()
        self.strip = CropStrip(theme, loader)
        self.note = label("", "muted", wrap=True)
        self.heading = label("", "muted", wrap=True)
        self.others = QListWidget()
        self.others.setAccessibleName("Who else it could be")
        self.others.setWordWrap(True)
        self.others.setIconSize(THUMB)
        self.others.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_S)
        for widget in (self.strip, self.note, self.heading, self.others):
            layout.addWidget(widget, 1 if widget is self.others else 0)
        self.strip.chosen.connect(self.place_wanted)
        self.others.itemClicked.connect(self._show_place)
        self.others.itemDoubleClicked.connect(lambda item: self.take(self.others.row(item) + 1))
        loader.ready.connect(self._ready)
        theme.changed.connect(self._draw)
        model.opened.connect(self._changed)
        model.changed.connect(self._changed)
        model.selected.connect(self._selected)
        self._show(Found())

    @property
    def busy(self) -> bool:
        """Whether something is looked for."""
        return self._timer.isActive() or self._background.busy or self._loader.busy

    def take(self, number: int) -> None:
        """Say that the selected tracklets are the alternative with a number from 1."""
        selection = self._model.selection
        if self.found.selection != selection or not 0 < number <= len(self.found.others):
            return
        other, state = self.found.others[number - 1][0], self._model.state
        assert state is not None
        whole = set(state.members(state.identity_of(selection[0]))) <= set(selection)
        own = state.identity_of(selection[0])
        what = f"Identity {own}" if whole else f"Tracklet {', '.join(map(str, selection))}"
        self._model.edit(
            "reassign",
            f"{what} is identity {other.identity}",
            lambda state: edits.reassign(state, selection, other.identity),
        )

    # --- looking ----------------------------------------------------------------------------------

    def _changed(self) -> None:
        self._looker = None
        self._selected()

    def _selected(self) -> None:
        if self._model.selection:
            self._timer.start()
        else:
            self._timer.stop()
            self._show(Found())

    def _look(self) -> None:
        state, scene, selection = self._model.state, self._model.scene, self._model.selection
        if state is None or scene is None or not selection:
            return
        if self._looker is None:
            self._looker = _Looker(state.copy(), scene.cameras)
        looker = self._looker
        self._background.run(lambda: looker.look(selection), self._came, self._tell)

    def _came(self, found: Found) -> None:
        if found.selection == self._model.selection:
            self._show(found)

    # --- showing ----------------------------------------------------------------------------------

    def _show(self, found: Found) -> None:
        self.found = found
        scene = self._model.scene
        cameras = () if scene is None else scene.cameras
        self.setVisible(bool(found.selection))
        self.strip.show_crops(found.crops, cameras)
        self._loader.request([crop for _, crop in found.others])
        self.others.clear()
        for number, (other, crop) in enumerate(found.others, 1):
            item = QListWidgetItem(f"{number}:  identity {other.identity}\n{other.reason}")
            item.setData(Qt.ItemDataRole.UserRole, crop)
            item.setToolTip(
                f"{other.reason}\nClick: see it there. Double-click, or {number}: it is this one."
            )
            self.others.addItem(item)
        self.heading.setText(
            "Who else it could be: keys 1 to 5 take one."
            if found.others
            else "Nobody else fits by time and place."
        )
        self._draw()

    def _ready(self, crop: Crop) -> None:
        if crop in self.found.crops or any(crop == other for _, other in self.found.others):
            self._draw()

    def _draw(self) -> None:
        scene = self._model.scene
        if scene is None:
            return
        for at in range(self.others.count()):
            item = self.others.item(at)
            crop: Crop = item.data(Qt.ItemDataRole.UserRole)
            image, camera = self._loader.image(crop), scene.cameras[crop.camera]
            pixmap = picture_of(crop, camera, image, self._theme, THUMB, self.devicePixelRatioF())
            item.setIcon(QIcon(pixmap))
        lacking = sorted({why for crop in self.found.crops if (why := self._loader.why_not(crop))})
        told = {"no video": "No video: boxes only, where they are in the camera's picture."}
        self.note.setText("\n".join(told.get(why, why) for why in lacking))
        self.note.setVisible(bool(lacking))

    def _show_place(self, item: QListWidgetItem) -> None:
        self.place_wanted.emit(item.data(Qt.ItemDataRole.UserRole))
