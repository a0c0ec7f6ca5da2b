"""One reward of the stack: which way, how much, how far, and its settings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from desktop.images.align_rewards import TASTE, RewardEntry
from desktop.images.reward_fields import REFERENCE, PictureEditor, options_form
from desktop.theme import SPACE_S, SPACE_XS, Theme, tabular
from desktop.widgets.field_editors import QuietComboBox, QuietSlider
from desktop.widgets.parameter_form import ParameterForm
from desktop.widgets.parts import button, icon_button, label
from engine.errors import EngineError

WEIGHT_STEPS = 20
"""Positions of the slider for a weight of 1."""
LARGEST_WEIGHT = 5.0
NO_GRADIENT = "No gradient: improved by comparing trial pictures, which takes more of them."
ROOM = 25.0
"""How far beyond 0 and 100 the bar reaches."""


class PositionBar(QWidget):
    """Where a reward is in its usual range: a tick for the start, a dot for now."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._start: float | None = None
        self._now: float | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Place in the usual range")
        theme.changed.connect(self.update)

    def show_places(self, start: float | None, now: float | None) -> None:
        """Places as 0..100; ``None`` for unknown."""
        self._start, self._now = start, now
        self.setAccessibleDescription(places_text(start, now))
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(120, 16)

    def _x(self, place: float, rect: QRectF) -> float:
        share = (min(100 + ROOM, max(-ROOM, place)) + ROOM) / (100 + 2 * ROOM)
        return rect.left() + share * rect.width()

    def paintEvent(self, event: QPaintEvent) -> None:
        tokens = self._theme.tokens
        rect = QRectF(self.rect()).adjusted(6, 0, -6, 0)
        middle = rect.center().y()
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(tokens.border))
            painter.drawRoundedRect(QRectF(rect.left(), middle - 1, rect.width(), 2), 1, 1)
            low, high = self._x(0, rect), self._x(100, rect)
            painter.setBrush(QColor(tokens.muted))
            painter.drawRoundedRect(QRectF(low, middle - 2, high - low, 4), 2, 2)
            if self._start is not None:
                painter.setBrush(QColor(tokens.text))
                painter.drawRect(QRectF(self._x(self._start, rect) - 1, middle - 6, 2, 12))
            if self._now is not None:
                painter.setBrush(QColor(self._theme.accent("images")))
                painter.setPen(QColor(tokens.surface))
                painter.drawEllipse(QRectF(self._x(self._now, rect) - 5, middle - 5, 10, 10))


def places_text(start: float | None, now: float | None) -> str:
    """Two places in the usual range, to read."""
    if now is None or math.isnan(now):
        return "Not measured yet"
    if start is None or math.isnan(start):
        return f"At {now:.0f} of 100"
    return f"From {start:.0f} to {now:.0f} of 100"


class RewardCard(QFrame):
    """A card; see the module.

    Signals
    -------
    changed
        Direction, weight or a setting.
    removed
        The user does not want this reward.
    learn_requested
        The user's taste shall be learnt; only of that reward.
    laid_out
        It has more to edit than before.
    """

    changed = Signal()
    removed = Signal()
    learn_requested = Signal()
    laid_out = Signal()

    def __init__(self, theme: Theme, entry: RewardEntry) -> None:
        super().__init__()
        self.entry = entry
        self.setProperty("role", "card")
        self.direction = QuietComboBox()
        self.direction.addItem(entry.title, 1.0)
        self.direction.addItem(entry.less, -1.0)
        self.direction.setAccessibleName("More or less")
        self.direction.setToolTip(entry.description)
        self.direction.currentIndexChanged.connect(self._tell)
        self.remove = icon_button(theme.icon("x", "muted"), f"Remove {entry.title}", self.removed.emit)
        self.slider = QuietSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, round(LARGEST_WEIGHT * WEIGHT_STEPS))
        self.slider.setSingleStep(1)
        self.slider.setPageStep(WEIGHT_STEPS // 2)
        self.slider.setAccessibleName(f"Weight of {entry.title}")
        self.slider.setToolTip("How much it counts beside the other rewards; 0 only shows it")
        self.slider.valueChanged.connect(self._weight_moved)
        self.weight_text = label("")
        self.weight_text.setFont(tabular(self.weight_text.font()))
        self.bar = PositionBar(theme)
        self.place = label(places_text(None, None), "muted")
        self.place.setFont(tabular(self.place.font()))
        self.note = label("", "muted", wrap=True)
        self.problem = label("", "bad", wrap=True)
        self._form: ParameterForm | None = None
        self._options: dict[str, Any] = {}
        self._exact: float | None = None
        self._lay_out()
        self.set_term({"name": entry.name, "weight": 1.0})
        self.show_places(None, None)

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.setSpacing(SPACE_XS)
        top.addWidget(self.direction, 1)
        top.addWidget(self.remove)
        rows = QGridLayout()
        rows.setHorizontalSpacing(SPACE_S)
        rows.setVerticalSpacing(SPACE_XS)
        rows.setColumnStretch(1, 1)
        weight = label("Weight", "muted")
        weight.setBuddy(self.slider)
        rows.addWidget(weight, 0, 0)
        rows.addWidget(self.slider, 0, 1)
        rows.addWidget(self.weight_text, 0, 2)
        layout = self._column = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_S, SPACE_S, SPACE_S, SPACE_S)
        layout.setSpacing(SPACE_XS)
        layout.addLayout(top)
        layout.addLayout(rows)
        layout.addWidget(self.bar)
        layout.addWidget(self.place)
        layout.addWidget(self.note)
        layout.addWidget(self.problem)
        entry = self.entry
        notes = [entry.note] if entry.note else []
        if not entry.differentiable:
            notes.insert(0, NO_GRADIENT)
        self.note.setText(" ".join(notes))
        self.note.setVisible(bool(notes))
        self.problem.setText(entry.obstacle)
        self.problem.setVisible(bool(entry.obstacle))
        self.taste = label("", "muted", wrap=True)
        self.learn = button("Learn from my likes", self.learn_requested.emit)
        for widget in (self.taste, self.learn):
            layout.addWidget(widget)
            widget.setVisible(entry.name == TASTE)
        if (entry.schema or {}).get("properties"):
            self.more = QToolButton()
            self.more.setText("Settings")
            self.more.setAccessibleName(f"Settings of {entry.title}")
            self.more.setCheckable(True)
            self.more.setAutoRaise(True)
            self.more.setArrowType(Qt.ArrowType.RightArrow)
            self.more.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
            self.more.toggled.connect(self._fold)
            layout.addWidget(self.more)
            if REFERENCE in (entry.schema or {})["properties"]:
                self.more.setChecked(True)

    def _fold(self, shown: bool) -> None:
        form = self.form
        self.more.setArrowType(Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow)
        if form is not None:
            form.setVisible(shown)

    @property
    def form(self) -> ParameterForm | None:
        """The form of the settings, made when it is first wanted; ``None`` when there are none."""
        if self._form is None:
            self._form = options_form(self.entry.schema or {})
            if self._form is not None:
                self._form.set_values(self._options)
                self._form.hide()
                self._form.changed.connect(self._options_changed)
                self._column.addWidget(self._form)
                self.laid_out.emit()
        return self._form

    # --- values -----------------------------------------------------------------------------------

    @property
    def weight(self) -> float:
        """Signed: negative wants less."""
        size = self.slider.value() / WEIGHT_STEPS if self._exact is None else self._exact
        return float(self.direction.currentData()) * size

    def term(self) -> dict[str, Any]:
        """Name, signed weight and settings, as the engine takes them.

        Raises
        ------
        EngineError
            ``invalid_input`` naming the setting that is not valid.
        """
        options = self._options if self._form is None else self._form.values()
        return {"name": self.entry.name, "weight": self.weight, "options": dict(options)}

    @property
    def picture(self) -> PictureEditor | None:
        """Where the picture to resemble is chosen, for rewards that have one."""
        if self._form is None or REFERENCE not in self._form.names:
            return None
        return cast(PictureEditor, self._form.editor(REFERENCE))

    def error(self) -> str:
        """What is wrong with the settings, or why the reward cannot be used."""
        if self.entry.obstacle:
            return self.entry.obstacle
        if self._form is None:
            return ""
        try:
            self._form.values()
        except EngineError as error:
            return error.message
        return ""

    def set_term(self, term: Mapping[str, Any]) -> None:
        """Show a reward as the engine has it."""
        weight = float(term.get("weight", 1.0))
        self.blockSignals(True)
        self.direction.setCurrentIndex(0 if weight >= 0 else 1)
        self.slider.setValue(min(self.slider.maximum(), round(abs(weight) * WEIGHT_STEPS)))
        # A weight between the slider's positions, or beyond them, stays what it is until it is moved.
        self._exact = abs(weight)
        self._options = dict(term.get("options") or {})
        if self._form is not None:
            self._form.set_values(self._options)
        self.blockSignals(False)
        self._show_weight()

    def show_taste(self, text: str, *, busy: bool) -> None:
        """Say what the taste was learnt from."""
        self.taste.setText(text)
        self.learn.setEnabled(not busy)

    def show_places(self, start: float | None, now: float | None) -> None:
        """Show where the reward was at the start and is now, as 0..100."""
        self.bar.show_places(start, now)
        self.place.setText(places_text(start, now))
        self.bar.setVisible(now is not None)
        self.place.setVisible(now is not None)

    def _weight_moved(self) -> None:
        self._exact = None
        self._tell()

    def _options_changed(self) -> None:
        if self.error():
            self.more.setChecked(True)
        self.changed.emit()

    def _tell(self) -> None:
        self._show_weight()
        self.changed.emit()

    def _show_weight(self) -> None:
        self.weight_text.setText(f"× {abs(self.weight):.2f}")
        self.slider.setAccessibleDescription(f"{abs(self.weight):.2f}, {self.direction.currentText()}")
