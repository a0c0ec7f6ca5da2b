"""Installing an optional part of Triptych: what it is for, the exact command, its output, its end."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtGui import QFontDatabase
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPlainTextEdit, QProgressBar, QVBoxLayout

from desktop.background import Background
from desktop.shell.model_desk import Meter, ModelDesk, Offer
from desktop.shell.slow_work import SlowWork
from desktop.theme import SPACE_M, SPACE_S, Theme
from desktop.widgets.parts import button, label
from engine.errors import EngineError, ErrorCode

LINES_KEPT = 2000


class InstallingExtra(QFrame):
    """Runs nothing before the user has seen the command and pressed the button.

    Attributes
    ----------
    installed
        Name of an extra that is there now.
    """

    installed = Signal(str)

    def __init__(self, theme: Theme, desk: ModelDesk) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self._desk = desk
        self._name = ""
        self.work = SlowWork(self)
        self.work.said.connect(self._show_line)
        self._looking = Background(self)
        self.heading = label("", "heading")
        self.purpose = label("", wrap=True)
        self.command = QPlainTextEdit(readOnly=True)
        self.command.setAccessibleName("Command that installs it")
        self.output = QPlainTextEdit(readOnly=True)
        self.output.setAccessibleName("Output of the installation")
        self.output.setMaximumBlockCount(LINES_KEPT)
        self.output.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        fixed = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
        for text, lines in ((self.command, 6), (self.output, 8)):
            text.setFont(fixed)
            text.setTabChangesFocus(True)
            text.setFixedHeight(text.fontMetrics().lineSpacing() * lines + 16)
        self.bar = QProgressBar(minimum=0, maximum=0, textVisible=False)
        self.bar.setAccessibleName("Installing")
        self.result = label("", wrap=True, selectable=True)
        self.hint = label("", "muted", wrap=True, selectable=True)
        self.start = button(
            "Install", self.install, "primary", theme.icon("download-simple", "on_accent")
        )
        self.stop = button("Cancel", self._cancel)
        row = QHBoxLayout()
        row.setSpacing(SPACE_S)
        row.addWidget(self.start)
        row.addWidget(self.stop)
        row.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_M, SPACE_M, SPACE_M, SPACE_M)
        layout.setSpacing(SPACE_S)
        for part in (self.heading, self.purpose, self.command, self.output, self.bar, self.result):
            layout.addWidget(part)
        layout.addWidget(self.hint)
        layout.addLayout(row)
        self.hide()

    def offer(self, name: str) -> None:
        """Offer an extra; while one is being installed, that stays in view."""
        if self.work.busy or name == self._name:
            self.show()
            return
        self._name = name
        desk = self._desk
        self._looking.run(lambda: desk.offer(name), self._describe, self._cannot_describe)

    def withdraw(self) -> None:
        """Nothing is missing; an installation that runs stays in view."""
        if not self.work.busy:
            self._name = ""
            self.hide()

    def _describe(self, offer: Offer) -> None:
        if offer.name != self._name:
            return
        self.heading.setText(f"Install {offer.name}")
        self.setAccessibleName(self.heading.text())
        self.purpose.setText(
            f"It is needed for {offer.purpose}. Install runs this command, which downloads from the "
            "internet:"
        )
        self.command.setPlainText(offer.command)
        self.output.clear()
        self._show_state(working=False)
        self._say("", "")
        self.output.hide()
        self.show()

    def _cannot_describe(self, error: EngineError) -> None:
        self.heading.setText(f"Install {self._name}")
        self._show_state(working=False)
        self.start.setEnabled(False)
        self._say(error.message, error.hint, "bad")
        self.show()

    def install(self) -> None:
        """Run the command that is shown."""
        if self.work.busy or not self._name:
            return
        name = self._name
        self.output.clear()
        self._say("", "")
        self._show_state(working=True)

        desk = self._desk

        def work(meter: Meter) -> str:
            desk.install(name, meter.lines.append, meter)
            return name

        self.work.start(work, self._done, self._failed)

    def _cancel(self) -> None:
        self.stop.setEnabled(False)
        self.work.cancel()

    def _done(self, name: str) -> None:
        self._show_state(working=False)
        self.start.hide()
        self._say(f"{name} is installed. Models that need it can be used at once.", "", "good")
        self.installed.emit(name)

    def _failed(self, error: EngineError) -> None:
        self._show_state(working=False)
        if error.code is ErrorCode.CANCELLED:
            self._say("Installing was cancelled.", "Install runs the command again.")
            return
        self._say(error.message, error.hint, "bad")

    def _show_state(self, *, working: bool) -> None:
        self.start.setVisible(not working)
        self.start.setEnabled(True)
        self.stop.setVisible(working)
        self.stop.setEnabled(True)
        self.bar.setVisible(working)
        self.output.setVisible(working or not self.output.document().isEmpty())
        if working:
            self.stop.setFocus()

    def _say(self, text: str, hint: str, role: str = "") -> None:
        self.result.setText(text)
        self.result.setProperty("role", role)
        self.result.style().unpolish(self.result)
        self.result.style().polish(self.result)
        self.result.setVisible(bool(text))
        self.hint.setText(hint)
        self.hint.setVisible(bool(hint))

    def _show_line(self, line: str) -> None:
        self.output.appendPlainText(line.rstrip("\n"))
