"""What every page is given, and what every page is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QWidget

if TYPE_CHECKING:
    from PySide6.QtGui import QUndoStack

    from desktop.actions import Actions
    from desktop.bridge import Bridge
    from desktop.settings import Settings
    from desktop.shell.notifications import Notifications
    from desktop.theme import Theme
    from engine.project import Project


class ModelNews(QObject):
    """Tells whoever lists the models of this computer to look again.

    Attributes
    ----------
    changed
        Models were added, removed or changed.
    """

    changed = Signal()


@dataclass(frozen=True)
class Services:
    """The application's parts, handed to pages instead of being looked up.

    ``notifications.post(level, text, details, hint, actions)`` tells the user something;
    ``bridge.submit(spec)`` asks the engine; ``undo`` is the project's one history of changes;
    ``models.changed`` tells that other models are installed than before.
    """

    project: Project
    bridge: Bridge
    settings: Settings
    actions: Actions
    theme: Theme
    notifications: Notifications
    undo: QUndoStack
    models: ModelNews = field(default_factory=ModelNews)


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

    def use_model(self, name: str) -> None:
        """Choose an installed model for the next job."""

    def can_accept(self, paths: Sequence[Path]) -> bool:
        """Whether :meth:`accept` can do something with these dropped files."""
        return False

    def accept(self, paths: Sequence[Path]) -> None:
        """Take dropped files."""
