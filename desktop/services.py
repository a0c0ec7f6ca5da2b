"""What every page is given, and what every page is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QWidget

if TYPE_CHECKING:
    from PySide6.QtGui import QUndoStack

    from desktop.actions import Actions
    from desktop.bridge import Bridge
    from desktop.settings import Settings
    from desktop.shell.notifications import Notifications
    from desktop.theme import Theme
    from engine.project import Project


@dataclass(frozen=True)
class Services:
    """The application's parts, handed to pages instead of being looked up.

    ``notifications.post(level, text, details, hint, actions)`` tells the user something;
    ``bridge.submit(spec)`` asks the engine; ``undo`` is the project's one history of changes.
    """

    project: Project
    bridge: Bridge
    settings: Settings
    actions: Actions
    theme: Theme
    notifications: Notifications
    undo: QUndoStack


class Page(QWidget):
    """A workspace: one entry of the rail.

    Attributes
    ----------
    workspace
        Its id: ``images``, ``bodies``, ``tracks``, ``adapt``.
    title
        Shown in the rail.
    icon
        Phosphor name.
    """

    workspace: str = ""
    title: str = ""
    icon: str = ""

    def activate(self) -> None:
        """The page was switched to: put the keyboard where work starts."""

    def run_main_action(self) -> None:
        """Do what Ctrl+Return promises."""

    def can_accept(self, paths: Sequence[Path]) -> bool:
        """Whether :meth:`accept` can do something with these dropped files."""
        return False

    def accept(self, paths: Sequence[Path]) -> None:
        """Take dropped files."""
