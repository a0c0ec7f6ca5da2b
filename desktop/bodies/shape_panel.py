"""The inspector's Shape tab: every part of the body longer or wider, by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from desktop.bodies.panels import INCH, words
from desktop.theme import SPACE_M, SPACE_S, Theme
from desktop.widgets.field_editors import QuietSlider
from desktop.widgets.parts import button, icon_button, label

KINDS = {"width": "Widths", "length": "Lengths"}
ORDER = (
    "head", "neck", "left_collar", "right_collar", "chest", "waist", "abdomen", "pelvis",
    "left_upper_arm", "right_upper_arm", "left_forearm", "right_forearm", "left_wrist", "right_wrist",
    "left_thigh", "right_thigh", "left_shin", "right_shin", "left_ankle", "right_ankle",
)  # fmt: skip
RANGE = (0.55, 1.7)
"""Of the mean adult's size, from end to end of a slider."""

_STEP = 10_000
"""Of a slider, to a metre."""


def other_side(part: str) -> str | None:
    """The same part of the other side; ``None`` in the middle."""
    for side, other in (("left_", "right_"), ("right_", "left_")):
        if part.startswith(side):
            return other + part.removeprefix(side)
    return None


class PartRow:
    """One part: name, slider, number, lock."""

    def __init__(self, part: str, panel: ShapePanel, theme: Theme) -> None:
        self.part, self._panel = part, panel
        title = words(part)
        self.name = label(title)
        self.slider = QuietSlider(Qt.Orientation.Horizontal)
        self.slider.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.slider.setAccessibleName(title)
        self.slider.setMinimumWidth(48)
        self.number = QDoubleSpinBox()
        self.number.setAccessibleName(f"{title}, number")
        self.number.setDecimals(1)
        self.number.setKeyboardTracking(False)
        self.number.setFixedWidth(70)
        self.lock: QToolButton = icon_button(theme.icon("lock-simple-open"), f"Lock: {title}")
        self.lock.setCheckable(True)
        self.lock.setToolTip("Keeps its size while other parts change")
        self.lock.toggled.connect(
            lambda on: self.lock.setIcon(theme.icon("lock-simple" if on else "lock-simple-open"))
        )
        self.lock.clicked.connect(lambda on: panel.set_lock(part, on))
        self.slider.valueChanged.connect(self._slid)
        self.slider.sliderReleased.connect(panel.release)
        self.number.valueChanged.connect(self._typed)

    def show_size(self, size: float, low: float, high: float, factor: float) -> None:
        """A size in metres, without telling anybody."""
        for editor in (self.slider, self.number):
            editor.blockSignals(True)
        self.slider.setRange(round(_STEP * low), round(_STEP * high))
        self.slider.setPageStep(max(1, round(_STEP * (high - low) / 20)))
        self.slider.setValue(round(_STEP * size))
        self.number.setRange(low * factor, high * factor)
        self.number.setValue(size * factor)
        for editor in (self.slider, self.number):
            editor.blockSignals(False)

    def _slid(self, value: int) -> None:
        self._panel.change(self.part, value / _STEP, self.slider.isSliderDown())

    def _typed(self, value: float) -> None:
        self._panel.change(self.part, value / self._panel.factor, False)


class ShapePanel(QWidget):
    """See the module.

    Attributes
    ----------
    moved
        Kind, and sizes in metres by part, while the hand is still on it.
    kept
        The hand let go: what was moved last stays.
    reset_wanted, ghost_wanted
        The shape as it was recovered; the mean adult beside it, or not.
    """

    moved = Signal(str, dict)
    kept = Signal()
    reset_wanted = Signal()
    ghost_wanted = Signal(bool)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._sizes: dict[str, dict[str, float]] = {}
        self._usual: dict[str, dict[str, float]] = {}
        self._locks: set[tuple[str, str]] = set()
        self._unit = "cm"
        self._held: str | None = None
        self.summary = label("Nobody is selected.", "muted", wrap=True)
        self.kind = QComboBox()
        self.kind.setAccessibleName("What the sliders change")
        for name, title in KINDS.items():
            self.kind.addItem(f"{title}, {self._unit}", name)
        self.kind.currentIndexChanged.connect(lambda _index: self._show())
        self.linked = QCheckBox("Left and right together")
        self.linked.setChecked(True)
        self.linked.toggled.connect(lambda _on: self._show())
        self.ghost = QCheckBox("Mean adult beside it")
        self.ghost.toggled.connect(self.ghost_wanted)
        self.reset = button(
            "As recovered", self.reset_wanted.emit, "quiet", theme.icon("arrow-u-up-left")
        )
        self.rows = {part: PartRow(part, self, theme) for part in ORDER}
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, SPACE_S, 0)
        grid.setVerticalSpacing(2)
        grid.setColumnStretch(1, 1)
        for at, row in enumerate(self.rows.values()):
            for column, item in enumerate((row.name, row.slider, row.number, row.lock)):
                grid.addWidget(item, at, column)
        self._list = QWidget()
        holder = QVBoxLayout(self._list)
        holder.setContentsMargins(0, 0, 0, 0)
        holder.addLayout(grid)
        holder.addStretch()
        scroll = QScrollArea()
        scroll.setWidget(self._list)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        top = QHBoxLayout()
        top.addWidget(self.kind)
        top.addStretch()
        top.addWidget(self.reset)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_M, SPACE_M, SPACE_M, SPACE_M)
        layout.setSpacing(SPACE_S)
        layout.addWidget(self.summary)
        layout.addLayout(top)
        layout.addWidget(self.linked)
        layout.addWidget(self.ghost)
        layout.addWidget(scroll, 1)
        self.show_nobody()

    @property
    def factor(self) -> float:
        """Of the unit: what a metre is."""
        return 100.0 if self._unit == "cm" else 1 / INCH

    @property
    def locked(self) -> list[tuple[str, str]]:
        """Kind and part of what has to stay."""
        return sorted(self._locks)

    def set_lock(self, part: str, on: bool) -> None:
        """Keep a part's size, or let it go."""
        kind = str(self.kind.currentData())
        mate = other_side(part)
        parts = [part] if mate is None or not self.linked.isChecked() else [part, mate]
        for name in parts:
            (self._locks.add if on else self._locks.discard)((kind, name))

    def set_unit(self, unit: str) -> None:
        """Centimetres or inches."""
        self._unit = unit
        for at, title in enumerate(KINDS.values()):
            self.kind.setItemText(at, f"{title}, {unit}")
        self._show()

    def show_nobody(self) -> None:
        """Nothing to change."""
        self._sizes = {}
        self._locks.clear()
        self.summary.setText("Nobody is selected.")
        self.setEnabled(False)

    def show_parts(self, names: Sequence[str], answer: Mapping[str, Any], by_hand: bool) -> None:
        """Sizes of the selected person, as the poser gives them; of the mean adult where they come."""
        for kind in KINDS:
            own = answer[f"{kind}s"]
            self._sizes[kind] = dict(zip(names, (float(size) for size in own), strict=True))
            if f"mean_{kind}s" in answer:
                mean = answer[f"mean_{kind}s"]
                self._usual[kind] = dict(zip(names, (float(size) for size in mean), strict=True))
        self.summary.setText(
            "Shaped by hand; kept with the photo."
            if by_hand
            else "As recovered. Widths are mean distances of the skin from the bone."
        )
        self.reset.setEnabled(by_hand)
        self.setEnabled(True)
        self._show()

    def change(self, part: str, size: float, held: bool) -> None:
        """What the hand does to a row."""
        kind = str(self.kind.currentData())
        if not self._sizes:
            return
        self._held = part if held else None
        sizes = {part: size}
        mate = other_side(part)
        if mate is not None and self.linked.isChecked():
            sizes[mate] = size
        self._sizes[kind].update(sizes)
        self.moved.emit(kind, sizes)
        if held:
            self._show()
        else:
            self.release()

    def release(self) -> None:
        """The hand let go."""
        self._held = None
        self.kept.emit()

    def _show(self) -> None:
        kind = str(self.kind.currentData())
        together = self.linked.isChecked()
        for part, row in self.rows.items():
            shown = not (together and part.startswith("right_"))
            for item in (row.name, row.slider, row.number, row.lock):
                item.setVisible(shown)
            title = part.removeprefix("left_") if together else part
            row.name.setText(words(title))
            row.lock.setChecked((kind, part) in self._locks)
            if kind in self._sizes and kind in self._usual:
                low, high = (share * self._usual[kind][part] for share in RANGE)
                if part != self._held:
                    row.show_size(self._sizes[kind][part], low, high, self.factor)
                else:
                    row.number.blockSignals(True)
                    row.number.setValue(self._sizes[kind][part] * self.factor)
                    row.number.blockSignals(False)
