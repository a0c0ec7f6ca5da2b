"""The figures of a run beside those of its twin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QLabel, QProgressBar, QVBoxLayout, QWidget

from desktop.theme import SPACE_M, SPACE_S, SPACE_XS, tabular
from desktop.widgets.compare_view import Agreement
from desktop.widgets.parts import label

CPU_NOTE = (
    "On this machine a batch costs as much as its parts: rounds, not seconds, are what is saved here."
)
PIXEL_NOTE = "RMS is of pixels in [-1, 1], from 8-bit pixels."
UNKNOWN = "?"


@dataclass(frozen=True)
class Figures:
    """What a run took; ``None`` where nobody has measured it.

    Attributes
    ----------
    evaluations
        Of the network, for this picture; both branches of guidance are one.
    seconds
        Of all ``pictures`` that were made together.
    macs
        Multiply-accumulates, counted.
    """

    rounds: int
    evaluations: int | None = None
    seconds: float | None = None
    pictures: int = 1
    macs: float | None = None


@dataclass(frozen=True)
class Comparison:
    """A picture and its twin, both measured.

    Attributes
    ----------
    twin
        Result id of the twin.
    mine, other
        What the picture took, and what its twin did.
    """

    twin: int
    mine: Figures
    other: Figures
    agreement: Agreement

    def verdict(self, way: str) -> str:
        """Whether this ``way`` was faster here, as measured; nothing where that cannot be said."""
        mine, other = self.mine, self.other
        if not mine.seconds or not other.seconds or mine.pictures != other.pictures:
            return ""
        ratio = other.seconds / mine.seconds
        if ratio >= 1.05:
            return f"Measured here: {way} was {ratio:.1f} times as fast."
        if ratio <= 0.95:
            return f"Measured here: {way} took {1 / ratio:.1f} times as long."
        return "Measured here: both took equally long."


class FigureTable(QWidget):
    """Rows of a name and two figures; the first row names the columns."""

    def __init__(self) -> None:
        super().__init__()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(SPACE_M)
        self._grid.setVerticalSpacing(SPACE_XS)
        self._grid.setColumnStretch(0, 1)
        self._cells: list[QLabel] = []

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The table's texts."""
        texts = [cell.text() for cell in self._cells]
        return [tuple(texts[at : at + 3]) for at in range(0, len(texts), 3)]

    def show_rows(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """Show these and no others."""
        while len(self._cells) > 3 * len(rows):
            cell = self._cells.pop()
            self._grid.removeWidget(cell)
            cell.deleteLater()
        right = Qt.AlignmentFlag.AlignRight
        while len(self._cells) < 3 * len(rows):
            row, column = divmod(len(self._cells), 3)
            cell = label("", "muted" if row == 0 or column == 0 else "")
            cell.setFont(tabular(cell.font()))
            if column == 0:
                self._grid.addWidget(cell, row, column)
            else:
                self._grid.addWidget(cell, row, column, right)
            self._cells.append(cell)
        for cell, text in zip(self._cells, (text for row in rows for text in row), strict=True):
            cell.setText(text)


class RunFigures(QWidget):
    """State, bar of converged steps, and a table of both ways of sampling."""

    def __init__(self) -> None:
        super().__init__()
        self.state = label("", "heading", wrap=True)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Converged steps")
        self.steps = label("", "muted", wrap=True)
        self.steps.setFont(tabular(self.steps.font()))
        self.note = label("", "muted", wrap=True)
        self.table = FigureTable()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_S)
        for widget in (self.state, self.bar, self.steps, self.table, self.note):
            layout.addWidget(widget)

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The table's texts."""
        return self.table.rows

    def show_state(self, state: str, converged: int, steps: int) -> None:
        """How far it is, or how it ended."""
        self.state.setText(state)
        self.bar.setRange(0, max(1, steps))
        self.bar.setValue(converged)
        self.steps.setText(f"{converged} of {steps} steps converged")
        self.bar.setAccessibleDescription(self.steps.text())

    def show_table(
        self,
        parallel: Figures,
        sequential: Figures,
        close: Agreement | None = None,
        note: str = "",
    ) -> None:
        """Show both runs' figures, and how close their pictures are once that is known."""
        rows: list[tuple[str, str, str]] = [
            ("", "Parallel", "Sequential"),
            ("Rounds", f"{parallel.rounds:,}", f"{sequential.rounds:,}"),
            ("Evaluations", _number(parallel.evaluations), _number(sequential.evaluations)),
            ("Seconds", seconds_text(parallel.seconds), seconds_text(sequential.seconds)),
        ]
        if close is not None:
            rows += [("RMS", close.rms_text, ""), ("PSNR", close.psnr_text, "")]
            note = f"{note} {PIXEL_NOTE}".strip()
        if parallel.pictures > 1:
            together = f"The seconds in parallel are those of {parallel.pictures} pictures together."
            note = f"{together} {note}".strip()
        self.table.show_rows(rows)
        self.note.setText(note)
        self.note.setVisible(bool(note))


def _number(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"


def macs_text(value: float | None) -> str:
    """Billions of multiply-accumulates, or that nobody knows."""
    return UNKNOWN if value is None else f"{value / 1e9:,.1f}"


def seconds_text(value: float | None) -> str:
    """Seconds of a run, or that nobody knows."""
    return UNKNOWN if value is None else f"{value:.2f}" if value < 10 else f"{value:.1f}"
