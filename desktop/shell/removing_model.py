"""Removing models, so that each can be brought back until the window closes."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtGui import QUndoCommand
from PySide6.QtWidgets import QFrame, QHBoxLayout
from shiboken6 import isValid

from desktop.background import Background
from desktop.services import Services
from desktop.shell.model_desk import ModelDesk
from desktop.shell.model_facts import InstalledModel, size_text
from desktop.theme import SPACE_M, SPACE_S
from desktop.widgets.icon_label import IconLabel
from desktop.widgets.parts import button, icon_button, label
from engine.errors import EngineError


class RemovedModels(QFrame):
    """Says what was removed last, with Undo; Ctrl+Z does the same.

    Removed files are set aside inside the models' folder, so removing and bringing back are a rename
    each. They are deleted when the project closes, or at once when the user needs the room.

    Attributes
    ----------
    shown
        It appeared or went.
    """

    shown = Signal()

    def __init__(self, services: Services, desk: ModelDesk, background: Background) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self._services, self._desk, self._background = services, desk, background
        self._last: RemoveModel | None = None
        theme = services.theme
        self.text = label("", wrap=True)
        self.undo = button("Undo", self._undo_last, "", theme.icon("arrow-u-up-left"))
        self.delete = button("Delete its files now", self._delete_now)
        row = QHBoxLayout(self)
        row.setContentsMargins(SPACE_M, SPACE_S, SPACE_S, SPACE_S)
        row.setSpacing(SPACE_S)
        row.addWidget(IconLabel(theme.icon("trash", "muted")))
        row.addWidget(self.text, 1)
        row.addWidget(self.undo)
        row.addWidget(self.delete)
        row.addWidget(icon_button(theme.icon("x", "muted"), "Close this message", self.hide))
        self.hide()
        self._aside: list[Path] = []
        aside = self._aside
        # When the page goes its project closes, and nobody can undo any more.
        self.destroyed.connect(lambda: _delete_all(desk, aside))

    def setVisible(self, visible: bool) -> None:
        """Also tell the page, which makes room."""
        super().setVisible(visible)
        self.shown.emit()

    def remove(self, model: InstalledModel) -> None:
        """Remove a model; the command on the undo stack brings it back."""
        self._services.undo.push(RemoveModel(self, self._services, self._desk, model))

    # --- told by the commands ---------------------------------------------------------------------

    def show_removed(self, command: RemoveModel, folder: Path) -> None:
        """A model was removed, or removed again."""
        self._aside.append(folder)
        self._last = command
        info = command.model.info
        if info is not None and info.in_place:
            text = f"{command.model.title} is no longer listed. Its files stay where they are."
        else:
            size = f" ({size_text(info.size)})" if info else ""
            text = (
                f"{command.model.title} was removed. Its copy{size} is kept until the project closes; "
                "the file it was added from is not touched."
            )
        self.text.setText(text)
        self.setAccessibleName(text)
        self.delete.setVisible(info is None or not info.in_place)
        self.show()

    def show_back(self, command: RemoveModel, folder: Path) -> None:
        """A model was brought back."""
        self._aside.remove(folder)
        self.forget(command)

    def forget(self, command: RemoveModel) -> None:
        """There is nothing to undo any more about a removal."""
        if command is self._last:
            self._last = None
            self.hide()

    def _undo_last(self) -> None:
        undo, last = self._services.undo, self._last
        if last is None:
            return
        if undo.canUndo() and undo.command(undo.index() - 1) is last:
            undo.undo()
        else:
            # Something else was done since; that is not what this button is about.
            last.bring_back()

    def _delete_now(self) -> None:
        last = self._last
        if last is None or last.folder is None:
            return
        folder, self._last = last.folder, None
        last.gone = True
        self._aside.remove(folder)
        self.hide()
        desk = self._desk
        self._background.run(lambda: desk.delete(folder), lambda _none: None, self._tell)

    def _tell(self, error: EngineError) -> None:
        self._services.notifications.tell(error)


class RemoveModel(QUndoCommand):
    """Takes a model out of the list, and puts it back."""

    def __init__(
        self, panel: RemovedModels, services: Services, desk: ModelDesk, model: InstalledModel
    ) -> None:
        super().__init__(f"remove the model {model.title}")
        self.model = model
        self.folder: Path | None = None
        """Where its files wait."""
        self.gone = False
        """Whether the user had them deleted."""
        self._panel, self._services, self._desk = panel, services, desk

    def redo(self) -> None:
        """Remove it."""
        try:
            self.folder = self._desk.set_aside(self.model.name)
        except EngineError as error:
            self._give_up(error)
            return
        if isValid(self._panel):
            self._panel.show_removed(self, self.folder)
        self._services.models.changed.emit()

    def undo(self) -> None:
        """Bring it back, unless that was done already or its files were deleted."""
        if self.gone:
            self._services.notifications.post(
                "warning",
                f"{self.model.title} cannot be brought back, because its files were deleted.",
                hint="Add it again from where it came.",
            )
        if self.gone or self.folder is None:
            self.setObsolete(True)
            return
        self.bring_back()

    def bring_back(self) -> None:
        """Put its files back into their place."""
        assert self.folder is not None, "it was removed"
        try:
            self._desk.put_back(self.folder)
        except EngineError as error:
            self._give_up(error)
            return
        if isValid(self._panel):
            self._panel.show_back(self, self.folder)
        self.folder = None
        self._services.models.changed.emit()

    def _give_up(self, error: EngineError) -> None:
        self.setObsolete(True)
        if isValid(self._panel):
            self._panel.forget(self)
        self._services.notifications.tell(error)


def _delete_all(desk: ModelDesk, folders: Iterable[Path]) -> None:
    """Delete on a thread that the end of the program waits for: gigabytes take a moment."""
    waiting = list(folders)
    if waiting:
        threading.Thread(target=lambda: [desk.delete(folder) for folder in waiting]).start()
