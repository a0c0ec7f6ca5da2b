"""What linking across cameras again would change: looked for after every edit, made when wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import (
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from desktop.background import Background
from desktop.theme import SPACE_M, SPACE_S, Theme
from desktop.tracks.model import TracksModel
from desktop.widgets.parts import button, label
from desktop.widgets.timeline import clock
from engine.errors import EngineError
from engine.tracks.association import AssociateOptions
from engine.tracks.cameras import Camera
from engine.tracks.overview import Span
from engine.tracks.reassociation import Reassociation
from engine.tracks.regrouping import Change, applying, changes
from engine.tracks.scene import ResultInfo, Scene

KINDS = {"merged": "merged", "split": "split", "regrouped": "shared out anew"}
MOST_NAMES = 4


def options_of(result: ResultInfo) -> AssociateOptions:
    """The settings that a result was linked with."""
    given = result.about.get("options") if "associated" in result.about else None
    return AssociateOptions.model_validate(given) if isinstance(given, dict) else AssociateOptions()


def key_of(change: Change) -> object:
    """What makes it the same change after another edit."""
    return frozenset(change.before.values()), frozenset(change.after)


class Relinking(QObject):
    """Looks beside the window's thread; what was computed of a scene is kept between edits.

    Signals
    -------
    found
        Other changes, or it is being looked for, or not any more.
    """

    found = Signal()

    def __init__(
        self, model: TracksModel, tell: Callable[[EngineError], object], parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._model, self._tell = model, tell
        self._background = Background(self)
        self._scene: Scene | None = None
        self._again: Reassociation | None = None
        self._stale = False
        self.on = self.busy = False
        """Whether it is wanted; whether it is being looked for."""
        self.changes: list[Change] = []
        self.discarded: set[object] = set()
        """Keys of changes that are not wanted."""
        model.opened.connect(self.stop)
        model.changed.connect(self._look)

    def start(self) -> None:
        """Look, and again after every edit."""
        self.on = True
        self._look()

    def stop(self) -> None:
        """Forget it."""
        self.on = False
        self.changes, self.discarded = [], set()
        self.found.emit()

    def want(self, change: Change, wanted: bool) -> None:
        """Whether a change is to be made."""
        (self.discarded.discard if wanted else self.discarded.add)(key_of(change))
        self.found.emit()

    @property
    def wanted(self) -> list[Change]:
        """Changes that are to be made."""
        return [change for change in self.changes if key_of(change) not in self.discarded]

    def apply(self) -> bool:
        """Make the changes that are wanted, as one edit."""
        wanted = self.wanted
        many = "1 change" if len(wanted) == 1 else f"{len(wanted):,} changes"
        text = f"Linked again: {many} of identities"
        return self._model.edit("reassociate", text, lambda state: applying(state, wanted))

    def _look(self) -> None:
        state, scene, result = self._model.state, self._model.scene, self._model.result
        self._stale = self.on
        if not self.on or self.busy or state is None or scene is None or result is None:
            return
        self.busy, self._stale = True, False
        options, again = options_of(result), self._again
        if (
            again is None
            or self._scene is not scene
            or (again.cameras, again.options) != (scene.cameras, options)
        ):
            again = Reassociation(scene.detections, scene.cameras, options)
            self._scene, self._again = scene, again
        still = state.copy()
        self._background.run(
            lambda: changes(still, again.run(still).identities),
            lambda found: self._came(found, state is self._model.state),
            self._failed,
        )
        self.found.emit()

    def _came(self, found: list[Change], current: bool) -> None:
        self.busy = False
        if self._stale:
            self._look()
        elif self.on and current:
            self.changes = found
        self.found.emit()

    def _failed(self, error: EngineError) -> None:
        self.busy = False
        self.stop()
        self._tell(error)


class RelinkingPanel(QWidget):
    """The changes, counted; each to go to, to be made or not.

    Attributes
    ----------
    chosen
        ``(tracklets, seconds)`` of a change, to be shown.
    """

    chosen = Signal(object, float)

    def __init__(self, theme: Theme, relinking: Relinking, model: TracksModel) -> None:
        super().__init__()
        self._relinking, self._model = relinking, model
        self._shown: list[Change] = []
        self.begin = button("What would linking again change?", relinking.start)
        self.begin.setToolTip("With what you confirmed and judged; nothing is changed")
        self.text = label("", "muted", wrap=True)
        self.list = QListWidget()
        self.list.setAccessibleName("What would change")
        self.list.setWordWrap(True)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.currentRowChanged.connect(self._row)
        self.list.itemChanged.connect(self._ticked)
        self.apply = button("Apply", relinking.apply, "primary", theme.icon("check"))
        self.apply.setToolTip("Make the ticked changes; one undo takes all back")
        self.discard = button("Discard", relinking.stop, "", theme.icon("x"))
        self.discard.setToolTip("Change nothing")
        row = QHBoxLayout()
        row.setSpacing(SPACE_S)
        row.addWidget(self.apply, 1)
        row.addWidget(self.discard, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_M, 0, SPACE_M, SPACE_M)
        layout.setSpacing(SPACE_S)
        layout.addWidget(self.text)
        layout.addWidget(self.list, 1)
        layout.addLayout(row)
        layout.addWidget(self.begin)
        relinking.found.connect(self._fill)
        self._fill()

    def _fill(self) -> None:
        relinking, scene = self._relinking, self._model.scene
        on = relinking.on
        tall = QSizePolicy.Policy.Expanding if on else QSizePolicy.Policy.Maximum
        self.setSizePolicy(QSizePolicy.Policy.Preferred, tall)
        for widget in (self.text, self.list, self.apply, self.discard):
            widget.setVisible(on)
        self.begin.setVisible(not on)
        self.begin.setEnabled(self._model.state is not None and not relinking.busy)
        if scene is not None and self._shown is not relinking.changes:
            self._shown = relinking.changes
            self.list.blockSignals(True)
            self.list.clear()
            for change in self._shown:
                item = QListWidgetItem(self._words(change, scene.cameras))
                item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
                wanted = key_of(change) not in relinking.discarded
                item.setCheckState(Qt.CheckState.Checked if wanted else Qt.CheckState.Unchecked)
                self.list.addItem(item)
            self.list.blockSignals(False)
        self.text.setText(self._count())
        wanted = len(relinking.wanted)
        self.apply.setText(f"Apply {wanted:,}")
        self.apply.setEnabled(on and wanted > 0 and not relinking.busy)

    def _count(self) -> str:
        if self._relinking.busy:
            return "Looking at what would change…"
        found = self._relinking.changes
        if not found:
            return "Linking again would change nothing."
        kinds = [change.kind for change in found]
        told = [f"{kinds.count(kind):,} {word}" for kind, word in KINDS.items() if kind in kinds]
        return f"Identities: {', '.join(told)}. Untick what is not to be changed."

    def _words(self, change: Change, cameras: Sequence[Camera]) -> str:
        names = ", ".join(cameras[at].name for at in sorted({s.camera for s in self._spans(change)}))
        olds = [str(name) for name in change.before]
        who = ", ".join(olds[:MOST_NAMES]) + (" and more" if len(olds) > MOST_NAMES else "")
        what = {
            "merged": f"{who} become one",
            "split": f"{who} falls into {len(change.after)} parts",
            "regrouped": f"{who} are shared out anew, {len(change.after)} parts",
        }[change.kind]
        return f"{what}\n{clock(self._moment(change, cameras))} · {names}"

    def _spans(self, change: Change) -> list[Span]:
        found = (self._model.span(name) for name in change.tracklets)
        return [span for span in found if span is not None]

    def _moment(self, change: Change, cameras: Sequence[Camera]) -> float:
        """When the second of its tracklets begins: where it is decided."""
        begins = sorted(
            cameras[span.camera].offset + span.first / cameras[span.camera].fps
            for span in self._spans(change)
        )
        return begins[min(1, len(begins) - 1)] if begins else 0.0

    def _row(self, row: int) -> None:
        scene = self._model.scene
        if scene is not None and 0 <= row < len(self._shown):
            change = self._shown[row]
            self.chosen.emit(change.tracklets, self._moment(change, scene.cameras))

    def _ticked(self, item: QListWidgetItem) -> None:
        change = self._shown[self.list.row(item)]
        self._relinking.want(change, item.checkState() == Qt.CheckState.Checked)
