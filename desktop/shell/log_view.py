"""The log: everything window and engine wrote, filtered by level."""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtGui import QColor, QFontDatabase, QGuiApplication, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QPlainTextEdit, QVBoxLayout, QWidget

from desktop.theme import SPACE_M, SPACE_S, SPACE_XS, Theme
from desktop.widgets.parts import button, icon_button, label

KEPT = 5000
BATCH_MS = 100
LEVELS = (("Everything", logging.DEBUG), ("Information", logging.INFO), ("Warnings", logging.WARNING),
          ("Errors", logging.ERROR))  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One line of the log."""

    time: float
    level: int
    topic: str
    text: str

    def __str__(self) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(self.time))
        return f"{clock}  {logging.getLevelName(self.level):<8} {self.topic:<14} {self.text}"


class LogStore(QObject):
    """The last 5000 lines of the loggers ``triptych.*``; lines may come from any thread.

    Attributes
    ----------
    arrived
        New lines, in order, batched; emitted in the window's thread.
    """

    arrived = Signal(list)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._lines: deque[Line] = deque(maxlen=KEPT)
        self._new: deque[Line] = deque(maxlen=KEPT)
        self._handler = _Handler(self._new)
        self._timer = QTimer(self, interval=BATCH_MS)
        self._timer.timeout.connect(self._collect)

    @property
    def lines(self) -> list[Line]:
        """Oldest first."""
        self._collect()
        return list(self._lines)

    def start(self) -> None:
        """Take lines from now on."""
        logging.getLogger("triptych").addHandler(self._handler)
        self._timer.start()

    def stop(self) -> None:
        """Take no more lines."""
        logging.getLogger("triptych").removeHandler(self._handler)
        self._timer.stop()

    def _collect(self) -> None:
        new = []
        while self._new:
            new.append(self._new.popleft())
        if new:
            self._lines.extend(new)
            self.arrived.emit(new)


class _Handler(logging.Handler):
    """Only fills a deque, which any thread may do: no QObject is touched outside the window's."""

    def __init__(self, lines: deque[Line]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        topic = record.name.removeprefix("triptych.")
        self._lines.append(Line(record.created, record.levelno, topic, text))


class LogView(QWidget):
    """The lines of a store, as a drawer at the bottom of the window.

    Attributes
    ----------
    closed
        The cross was pressed.
    """

    closed = Signal()

    def __init__(self, theme: Theme, store: LogStore) -> None:
        super().__init__()
        self.setAccessibleName("Log")
        self._theme, self._store = theme, store
        self._level = QComboBox()
        self._level.setAccessibleName("Least level shown")
        for title, level in LEVELS:
            self._level.addItem(title, level)
        self._level.setCurrentIndex(1)
        self._find = QLineEdit(placeholderText="Filter", clearButtonEnabled=True)
        self._find.setAccessibleName("Filter the log")
        self._find.setMaximumWidth(240)
        self._text = QPlainTextEdit(readOnly=True, maximumBlockCount=KEPT)
        self._text.setProperty("role", "plain")
        self._text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self._text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        head = QHBoxLayout()
        head.setContentsMargins(SPACE_M, SPACE_XS, SPACE_XS, 0)
        head.setSpacing(SPACE_S)
        head.addWidget(label("Log", "heading"))
        head.addWidget(self._level)
        head.addWidget(self._find)
        head.addStretch()
        head.addWidget(button("Copy all", self.copy, "quiet", theme.icon("copy")))
        head.addWidget(icon_button(theme.icon("x", "muted"), "Close the log", self.closed.emit))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_XS)
        layout.addLayout(head)
        layout.addWidget(self._text, 1)
        self._level.currentIndexChanged.connect(self._refill)
        self._find.textChanged.connect(self._refill)
        store.arrived.connect(self._append)
        theme.changed.connect(self._refill)
        self._refill()

    @property
    def shown(self) -> str:
        """The text that is shown."""
        return self._text.toPlainText()

    def set_level(self, level: int) -> None:
        """Show lines of this level and above."""
        self._level.setCurrentIndex(self._level.findData(level))

    def set_filter(self, text: str) -> None:
        """Show lines with this text."""
        self._find.setText(text)

    def copy(self) -> None:
        """Copy what is shown."""
        QGuiApplication.clipboard().setText(self.shown)

    def _passes(self, line: Line) -> bool:
        wanted = self._find.text().casefold()
        return line.level >= self._level.currentData() and wanted in str(line).casefold()

    def _refill(self) -> None:
        lines = self._store.lines  # first: lines that are only now collected are announced too
        self._text.clear()
        self._append(lines)

    def _append(self, lines: list[Line]) -> None:
        passing = [line for line in lines if self._passes(line)]
        if not passing:
            return
        bar = self._text.verticalScrollBar()
        at_end = bar.value() >= bar.maximum() - 2
        cursor = QTextCursor(self._text.document())
        cursor.movePosition(QTextCursor.MoveOperation.End)
        cursor.beginEditBlock()
        for line in passing:
            form = QTextCharFormat()
            form.setForeground(QColor(self._ink(line.level)))
            if not self._text.document().isEmpty():
                cursor.insertBlock()
            cursor.insertText(str(line), form)
        cursor.endEditBlock()
        if at_end:
            bar.setValue(bar.maximum())

    def _ink(self, level: int) -> str:
        tokens = self._theme.tokens
        if level >= logging.ERROR:
            return tokens.bad
        if level >= logging.WARNING:
            return tokens.warn
        return tokens.text if level >= logging.INFO else tokens.muted
