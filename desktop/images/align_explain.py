"""What an alignment changed: the difference of the pictures, and every reward before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import QGridLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from desktop.theme import SPACE_S, SPACE_XS, Theme, tabular
from desktop.widgets.compare_view import agreement, difference
from desktop.widgets.pan_zoom import draw_picture
from desktop.widgets.parts import label

GAIN = 2.0
LEAST_CHANGE = 2.0
"""Of 100: less is no change that anybody would see."""
PICTURE_HEIGHT = 132
COLUMNS = 4


@dataclass(frozen=True)
class RewardChange:
    """A reward before and after.

    Attributes
    ----------
    title
        The user's words.
    before, after
        0..100 in the usual range, or as they are where that is not known.
    of_100
        Whether they are 0..100.
    wanted
        1 when more of it was asked for, -1 when less, 0 when nobody asked.
    """

    title: str
    before: float
    after: float
    of_100: bool = True
    wanted: int = 0

    @property
    def words(self) -> str:
        """What became of it."""
        gap = self.after - self.before
        if self.of_100 and abs(gap) < LEAST_CHANGE:
            return "same"
        if gap == 0:
            return "same"
        if self.wanted:
            return "better" if gap * self.wanted > 0 else "worse"
        return "more" if gap > 0 else "less"

    def text(self, value: float) -> str:
        """One of the two values, to read."""
        return f"{value:.0f}" if self.of_100 else f"{value:.3g}"


def ordered(changes: Sequence[RewardChange]) -> list[RewardChange]:
    """What was asked for first, then what changed most."""
    return sorted(
        changes, key=lambda c: (not c.wanted, not c.of_100, -abs(c.after - c.before), c.title)
    )


def traded_text(changes: Sequence[RewardChange]) -> str:
    """One sentence on what else changed."""
    others = [c for c in ordered(changes) if not c.wanted and c.of_100 and c.words != "same"]
    if not others:
        return "Nothing else changed much."
    named = [f"{c.title.lower()} {c.after - c.before:+.0f}" for c in others[:3]]
    more = f", and {len(others) - 3} more" if len(others) > 3 else ""
    return f"Changed without being asked for: {', '.join(named)}{more}."


class DifferencePicture(QWidget):
    """The difference of two pictures, amplified."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._image: QImage | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Difference from the start")

    def sizeHint(self) -> QSize:
        return QSize(180, PICTURE_HEIGHT)

    def show_pictures(self, start: QImage, result: QImage) -> str:
        """Show how far two pictures are apart; returns that in words."""
        if start.size() != result.size():
            start = start.scaled(
                result.size(),
                Qt.AspectRatioMode.IgnoreAspectRatio,
                Qt.TransformationMode.SmoothTransformation,
            )
        self._image, mean, largest = difference(start, result, GAIN)
        close = agreement(start, result)
        text = f"Difference from the start, shown {GAIN:g} times: mean {mean:.1f}, largest {largest} "
        text += f"of 255 (RMS {close.rms_text} in [-1, 1])."
        self.setAccessibleDescription(text)
        self.update()
        return text

    def paintEvent(self, event: QPaintEvent) -> None:
        with QPainter(self) as painter:
            painter.fillRect(self.rect(), QColor(self._theme.tokens.sunken))
            if self._image is None:
                return
            size = self._image.size().scaled(self.size(), Qt.AspectRatioMode.KeepAspectRatio)
            rect = QRectF(0, 0, size.width(), size.height())
            rect.moveCenter(QRectF(self.rect()).center())
            draw_picture(painter, rect, self._image, smooth_always=True)


class AlignExplain(QWidget):
    """Difference, table and sentences."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.picture = DifferencePicture(theme)
        self.picture_text = label("", "muted", wrap=True)
        self.traded = label("", wrap=True)
        self.scale = label(
            "0 to 100 is the usual range of the model's own pictures.", "muted", wrap=True
        )
        self.indicators = label("", "muted", wrap=True)
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(SPACE_S)
        self._grid.setVerticalSpacing(SPACE_XS)
        self._grid.setColumnStretch(0, 1)
        self._cells: list[QLabel] = []
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_S)
        layout.addWidget(self.picture)
        layout.addWidget(self.picture_text)
        layout.addLayout(self._grid)
        for widget in (self.scale, self.traded, self.indicators):
            layout.addWidget(widget)
        self.show_pictures(None, None)

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The table's texts."""
        texts = [cell.text() for cell in self._cells]
        return [tuple(texts[at : at + COLUMNS]) for at in range(0, len(texts), COLUMNS)]

    def show_pictures(self, start: QImage | None, result: QImage | None) -> None:
        """Show the difference; nothing while one of the two is not there."""
        there = start is not None and result is not None
        if start is not None and result is not None:
            self.picture_text.setText(self.picture.show_pictures(start, result))
        self.picture.setVisible(there)
        self.picture_text.setVisible(there)

    def show_changes(self, changes: Sequence[RewardChange], indicators: str) -> None:
        """Show the table, and what the indicators say of the result."""
        rows = [("", "Before", "After", "")]
        rows += [
            (("• " if c.wanted else "") + c.title, c.text(c.before), c.text(c.after), c.words)
            for c in ordered(changes)
        ]
        self._fill(rows)
        self.traded.setText(traded_text(changes))
        self.indicators.setText(indicators)
        for widget in (self.scale, self.traded):
            widget.setVisible(bool(changes))
        self.indicators.setVisible(bool(indicators))

    def _fill(self, rows: Sequence[tuple[str, str, str, str]]) -> None:
        while len(self._cells) > COLUMNS * len(rows):
            cell = self._cells.pop()
            self._grid.removeWidget(cell)
            cell.deleteLater()
        while len(self._cells) < COLUMNS * len(rows):
            row, column = divmod(len(self._cells), COLUMNS)
            cell = label("", "muted" if row == 0 or column == 3 else "", wrap=column == 0)
            cell.setFont(tabular(cell.font()))
            side = Qt.AlignmentFlag.AlignRight if column in (1, 2) else Qt.AlignmentFlag.AlignLeft
            self._grid.addWidget(cell, row, column, side if column else Qt.AlignmentFlag(0))
            self._cells.append(cell)
        for at, texts in enumerate(rows):
            cells = self._cells[COLUMNS * at : COLUMNS * (at + 1)]
            for cell, text in zip(cells, texts, strict=True):
                cell.setText(text)
            if at:
                cells[0].setAccessibleName(
                    f"{texts[0].removeprefix('• ')}: {texts[1]} to {texts[2]}, {texts[3]}"
                )
