"""Editors of single values, chosen by JSON schema; the rows of a :class:`ParameterForm`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QValidator, QWheelEvent
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QSlider,
    QWidget,
)

Schema = Mapping[str, Any]
AUTO = "Auto"


class FieldEditor(QWidget):
    """Edits one value.

    Signals
    -------
    changed
        The value, or whether it is valid, may have changed.
    """

    changed = Signal()
    wide = False
    """Whether the editor takes the full width, under its label."""
    resettable = True
    """Whether "back to the default" means anything for this value."""

    def value(self) -> Any:
        """The value; meaningful only while :meth:`error` is empty."""
        raise NotImplementedError

    def set_value(self, value: Any) -> None:
        """Show a value; one that cannot be shown becomes an error, never another value."""
        raise NotImplementedError

    def error(self) -> str:
        """What is wrong with what was entered, for the user; empty when nothing is."""
        return ""

    def _fill(self, *widgets: QWidget) -> None:
        """Lay widgets out in a row; the first takes the room, the focus and the name."""
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for index, widget in enumerate(widgets):
            layout.addWidget(widget, 1 if index == 0 else 0)
        self.setFocusProxy(widgets[0])


class TextEditor(FieldEditor):
    """One line of text; with ``nullable``, empty text means ``None``."""

    def __init__(self, schema: Schema, title: str, *, nullable: bool = False) -> None:
        super().__init__()
        self._nullable = nullable
        self._limit = schema.get("maxLength")
        self._title = title
        self.line = QLineEdit()
        self.line.setAccessibleName(title)
        self.line.textChanged.connect(lambda: self.changed.emit())
        self._fill(self.line)

    def value(self) -> str | None:
        text = self.line.text()
        return None if self._nullable and not text.strip() else text

    def set_value(self, value: Any) -> None:
        self.line.setText("" if value is None else str(value))

    def error(self) -> str:
        length = len(self.line.text())
        if self._limit is not None and length > self._limit:
            return f"{self._title} has {length} characters; at most {self._limit} are allowed."
        return ""


class NumberBox(QAbstractSpinBox):
    """A spin box that lets anything be typed, so that what is wrong can be said.

    Qt's own swallow or clamp keys that lead out of range, which looks like a broken keyboard.
    """

    def __init__(self, step: float, whole: bool) -> None:
        super().__init__()
        self._step = step
        self._whole = whole
        self.lineEdit().setMaxLength(40)
        self.lineEdit().setTextMargins(9, 0, 0, 0)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def number(self) -> float | int | None:
        """What is typed, as a finite number; ``None`` when it is none."""
        text = self.lineEdit().text().strip().replace(",", ".")
        try:
            value = int(text) if self._whole else float(text)
        except ValueError:
            return None
        return value if math.isfinite(value) else None

    def set_number(self, value: float | int) -> None:
        """Show a number without needless digits."""
        self.lineEdit().setText(str(value) if self._whole else f"{float(value):.10g}")

    limits: tuple[float, float] = (-math.inf, math.inf)

    def sizeHint(self) -> QSize:
        # As high as a line of text in the same form.
        return QSize(super().sizeHint().width(), self.lineEdit().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        return QSize(super().minimumSizeHint().width(), self.sizeHint().height())

    def stepBy(self, steps: int) -> None:
        number = self.number()
        if number is None:
            return
        low, high = self.limits
        moved = min(high, max(low, number + steps * self._step))
        self.set_number(int(moved) if self._whole else round(moved, 10))
        self.selectAll()

    def stepEnabled(self) -> QAbstractSpinBox.StepEnabledFlag:
        number = self.number()
        flags = QAbstractSpinBox.StepEnabledFlag.StepNone
        if number is not None and number < self.limits[1]:
            flags |= QAbstractSpinBox.StepEnabledFlag.StepUpEnabled
        if number is not None and number > self.limits[0]:
            flags |= QAbstractSpinBox.StepEnabledFlag.StepDownEnabled
        return flags

    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        return QValidator.State.Acceptable, text, position

    def wheelEvent(self, event: QWheelEvent) -> None:
        # Scrolling the form must not change values on the way.
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


class NumberEditor(FieldEditor):
    """A whole or real number with limits; with ``nullable``, empty text means ``None``.

    Empty reads "Auto": what the engine is told nothing about, it chooses itself.
    """

    def __init__(self, schema: Schema, title: str, *, nullable: bool = False) -> None:
        super().__init__()
        self._title = title
        self._nullable = nullable
        self._whole = schema.get("type") == "integer"
        self._multiple = schema.get("multipleOf")
        self._low = float(schema.get("minimum", schema.get("exclusiveMinimum", -math.inf)))
        self._high = float(schema.get("maximum", schema.get("exclusiveMaximum", math.inf)))
        self._open_low = "exclusiveMinimum" in schema
        self._open_high = "exclusiveMaximum" in schema
        self.box = NumberBox(self._step(schema.get("default")), self._whole)
        self.box.limits = (self._low, self._high)
        self.box.setAccessibleName(title)
        if nullable:
            self.box.lineEdit().setPlaceholderText(AUTO)
        self.box.lineEdit().textChanged.connect(lambda: self.changed.emit())
        self._fill(self.box)

    def _step(self, default: Any) -> float:
        if self._multiple:
            return float(self._multiple)
        reach = self._high - self._low
        if self._whole:
            return 1
        step = 0.05 if reach <= 1 else 0.5 if reach <= 100 else 1.0
        # A value far below its limit is changed by as little as it is itself.
        return min(step, abs(default)) if default else step

    def value(self) -> float | int | None:
        return self.box.number()

    def set_value(self, value: Any) -> None:
        if isinstance(value, int | float) and not isinstance(value, bool):
            # 2.5 steps shown as 2 would be another value: keep it, as an error.
            exact = not self._whole or float(value).is_integer()
            self.box.set_number(int(value) if self._whole and exact else value)
            if not exact:
                self.box.lineEdit().setText(str(value))
        else:
            self.box.lineEdit().setText("" if value is None else str(value))

    def error(self) -> str:
        if self._nullable and not self.box.lineEdit().text().strip():
            return ""
        number = self.box.number()
        fits = number is not None and (
            (self._low < number if self._open_low else self._low <= number)
            and (number < self._high if self._open_high else number <= self._high)
        )
        if fits and number is not None and self._multiple:
            parts = number / self._multiple
            fits = math.isclose(parts, round(parts), rel_tol=0, abs_tol=1e-9)
        return "" if fits else f"{self._title} must be {self._wanted()}."

    def _wanted(self) -> str:
        noun = "a whole number" if self._whole else "a number"
        if self._multiple:
            noun = f"a multiple of {self._multiple:g}"
        low, high = f"{self._low:.15g}", f"{self._high:.15g}"
        if math.isfinite(self._low) and math.isfinite(self._high):
            between = "between" if self._open_low or self._open_high else "from"
            return f"{noun} {between} {low} {'and' if between == 'between' else 'to'} {high}"
        if math.isfinite(self._low):
            return f"{noun} {'above' if self._open_low else 'of at least'} {low}"
        if math.isfinite(self._high):
            return f"{noun} {'below' if self._open_high else 'of at most'} {high}"
        return noun


class SwitchEditor(FieldEditor):
    """On or off."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.box = QCheckBox()
        self.box.setAccessibleName(title)
        self.box.toggled.connect(lambda: self.changed.emit())
        self._fill(self.box)

    def value(self) -> bool:
        return self.box.isChecked()

    def set_value(self, value: Any) -> None:
        self.box.setChecked(bool(value))


class QuietComboBox(QComboBox):
    """A combo box that leaves the wheel to the form it is in, and takes no width for long items."""

    def __init__(self) -> None:
        super().__init__()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(6)

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()


class QuietSlider(QSlider):
    """A slider that leaves the wheel to the form or panel it is in."""

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()


class ChoiceEditor(FieldEditor):
    """One of a list of ``(value, label)``."""

    def __init__(self, choices: Sequence[tuple[Any, str]], title: str) -> None:
        super().__init__()
        self._title = title
        self._missing: Any = None
        self.box = QuietComboBox()
        self.box.setAccessibleName(title)
        self.set_choices(choices)
        self.box.currentIndexChanged.connect(self._chosen)
        self._fill(self.box)

    def set_choices(self, choices: Sequence[tuple[Any, str]]) -> None:
        """Replace the list; the current value stays if it is still there, else is an error."""
        current = self._missing if self._missing is not None else self.value()
        had_any = self.box.count() > 0 or self._missing is not None
        self.box.blockSignals(True)
        self.box.clear()
        for value, label in choices:
            self.box.addItem(label, value)
        self.box.blockSignals(False)
        if had_any:
            self.set_value(current)

    def _chosen(self, index: int) -> None:
        if index >= 0:
            self._missing = None
        self.changed.emit()

    def value(self) -> Any:
        return self.box.currentData()

    def set_value(self, value: Any) -> None:
        values = [self.box.itemData(row) for row in range(self.box.count())]
        found = values.index(value) if value in values else -1
        self._missing = value if found < 0 else None
        if found == self.box.currentIndex():
            self.changed.emit()
        self.box.setCurrentIndex(found)

    def error(self) -> str:
        if not self.box.count():
            return f"No {self._title.lower()} is available."
        if self._missing is not None:
            return f"{self._title}: {self._missing!r} is not available here; choose one from the list."
        return "" if self.box.currentIndex() >= 0 else f"Choose a {self._title.lower()}."
