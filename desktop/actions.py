"""One table of everything the user can do.

Menus, command palette, shortcut list and toolbars are generated from it, so that an action has one
title, one icon, one shortcut and one enabled state wherever it appears.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QAction, QKeySequence

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from desktop.settings import Settings
    from desktop.theme import Theme

log = logging.getLogger("triptych.actions")


@dataclass(frozen=True)
class Definition:
    """A row of the table. ``workspace`` is None for actions that work everywhere."""

    id: str
    title: str
    shortcut: str = ""
    icon: str = ""
    workspace: str | None = None
    tip: str = ""


STANDARD = (
    Definition("page.images", "Images", "Ctrl+1", "image", tip="Generate and compare pictures"),
    Definition("page.bodies", "Bodies", "Ctrl+2", "person", tip="People in photos, as 3D bodies"),
    Definition("page.tracks", "Tracks", "Ctrl+3", "path", tip="Who went where, across cameras"),
    Definition("page.adapt", "Adapt", "Ctrl+4", "graduation-cap", tip="Teach the other three"),
    Definition("page.models", "Models", "Ctrl+6", "cube", tip="Installed models; add your own"),
    Definition("page.queue", "Queue", "Ctrl+5", "stack", tip="All jobs of this project"),
    Definition("page.settings", "Settings", "Ctrl+,", "gear-six", tip="Theme, device, project, keys"),
    Definition("page.run", "Run", "Ctrl+Return", "play", tip="The main action of this page"),
    Definition("job.cancel", "Cancel the running job", "Esc", "x-circle"),
    Definition("job.cancel_all", "Cancel all jobs", "", "x-square"),
    Definition("queue.pause", "Pause or resume the queue", "", "pause"),
    Definition("edit.undo", "Undo", "Ctrl+Z", "arrow-u-up-left"),
    Definition("edit.redo", "Redo", "Ctrl+Shift+Z", "arrow-u-up-right"),
    Definition("palette.open", "Find an action", "Ctrl+K", "magnifying-glass"),
    Definition("help.keys", "Keys of this page", "F1", "keyboard"),
    Definition("view.inspector", "Show or hide the inspector", "Ctrl+I", "columns"),
    Definition("view.messages", "Messages", "Ctrl+M", "bell"),
    Definition("view.log", "Log", "Ctrl+L", "terminal"),
    Definition("view.theme", "Switch between light and dark", "Ctrl+Shift+L", "circle-half"),
    Definition("project.open", "Open another project folder", "Ctrl+O", "folder-open"),
    Definition("project.reveal", "Show the project's folder", "", "folder"),
    Definition("app.quit", "Quit", "Ctrl+Q", "sign-out"),
)


class Actions(QObject):
    """The table and its QActions.

    Actions of a workspace belong to that workspace's page (see :meth:`attach`), so their shortcuts
    work only while the page is visible, and two pages may use the same key.

    Attributes
    ----------
    defined
        Id of an action that was added.
    changed
        Id of an action whose shortcut was changed.
    """

    defined = Signal(str)
    changed = Signal(str)

    def __init__(self, theme: Theme, settings: Settings, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._settings = settings
        self._table: dict[str, Definition] = {}
        self._actions: dict[str, QAction] = {}
        self._handlers: dict[str, Callable[[], object]] = {}
        self._owners: dict[str | None, QWidget] = {}
        for row in STANDARD:
            self._add(row)

    def define(
        self,
        id: str,
        title: str,
        shortcut: str = "",
        icon: str = "",
        workspace: str | None = None,
        tip: str = "",
    ) -> QAction:
        """Add a row and return its action. Defining an id again (a page rebuilt) keeps the first."""
        if id not in self._table:
            self._add(Definition(id, title, shortcut, icon, workspace, tip))
        return self._actions[id]

    def connect(self, id: str, handler: Callable[[], object]) -> None:  # type: ignore[override]
        """Say what an action does; a later handler replaces the earlier."""
        if id not in self._table:
            raise KeyError(f"no action is called {id!r}")
        self._handlers[id] = handler

    def action(self, id: str) -> QAction:
        """The QAction of an id, for buttons and menus."""
        return self._actions[id]

    def all(self, workspace: str | None = None) -> list[Definition]:
        """All rows, or those that work on ``workspace``: the global ones and its own."""
        rows = self._table.values()
        if workspace is None:
            return list(rows)
        return [row for row in rows if row.workspace in (None, workspace)]

    def attach(self, workspace: str | None, widget: QWidget) -> None:
        """Let the shortcuts of ``workspace`` work while ``widget`` is visible."""
        self._owners[workspace] = widget
        widget.addActions(
            [self._actions[r.id] for r in self._table.values() if r.workspace == workspace]
        )

    def detach(self, workspaces: Iterable[str | None]) -> None:
        """Forget owners and handlers of workspaces whose pages are about to go."""
        for workspace in workspaces:
            self._owners.pop(workspace, None)
            for row in self._table.values():
                if row.workspace == workspace:
                    self._handlers.pop(row.id, None)

    def shortcut(self, id: str) -> str:
        """The shortcut in use: the user's own, else the default."""
        return str(self._settings.get("shortcuts").get(id, self._table[id].shortcut))

    def set_shortcut(self, id: str, shortcut: str) -> None:
        """Use another shortcut from now on; the default's own text restores the default."""
        own = dict(self._settings.get("shortcuts"))
        own.pop(id, None)
        if shortcut != self._table[id].shortcut:
            own[id] = shortcut
        self._settings.set("shortcuts", own)
        self._show_shortcut(self._table[id])
        self.changed.emit(id)

    def conflict(self, id: str, shortcut: str) -> Definition | None:
        """The action that already answers to ``shortcut`` where ``id`` works, if any."""
        mine = self._table[id]
        wanted = QKeySequence(shortcut).toString()
        for row in self._table.values():
            together = row.workspace is None or mine.workspace in (None, row.workspace)
            if row.id != id and wanted and together:
                taken = QKeySequence(self.shortcut(row.id)).toString()
                if taken == wanted:
                    return row
        return None

    def _add(self, row: Definition) -> None:
        action = QAction(row.title, self)
        action.setObjectName(row.id)
        if row.icon:
            action.setIcon(self._theme.icon(row.icon))
        action.triggered.connect(lambda _checked=False, id=row.id: self._run(id))
        self._table[row.id] = row
        self._actions[row.id] = action
        self._show_shortcut(row)
        owner = self._owners.get(row.workspace)
        if owner is not None:
            owner.addAction(action)
        self.defined.emit(row.id)

    def _show_shortcut(self, row: Definition) -> None:
        action = self._actions[row.id]
        sequence = QKeySequence(self.shortcut(row.id))
        action.setShortcut(sequence)
        keys = sequence.toString(QKeySequence.SequenceFormat.NativeText)
        tip = row.tip or row.title
        action.setToolTip(f"{tip} ({keys})" if keys else tip)

    def _run(self, id: str) -> None:
        handler = self._handlers.get(id)
        if handler is None:
            log.info("the action %s has nothing to do here", id)
            return
        handler()
