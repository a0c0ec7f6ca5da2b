"""Opens a project on a thread of its own, together with the imports that the pages need.

Neither SQLite's recovery nor importing numpy and pydantic may hold up the window.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QThread

from engine.errors import EngineError, ErrorCode

if TYPE_CHECKING:
    from engine.project import Project

log = logging.getLogger("triptych.window")

# Imported here so that the first use in the window's thread finds them loaded.
PRELOADED = (
    "desktop.bridge",
    "desktop.services",
    "desktop.shell.job_events",
    "engine.executors.process",
    "engine.scheduler",
    "psutil",
)
# Likewise, once the engine is warm: what a first visit to another page would wait for.
PRELOADED_LATER = (
    "desktop.images.page",
    "desktop.bodies.page",
    "desktop.tracks.page",
    "desktop.adapt.page",
    "desktop.widgets.stacked_plot",
    "desktop.widgets.gl_painter",
)


def load(modules: Sequence[str]) -> None:
    """Import modules; one that is broken is logged, and reported by whoever needs it."""
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception:
            log.exception("%s could not be imported", module)


class ProjectOpener(QThread):
    """One attempt to open or make the project in ``folder``; read the outcome after ``finished``.

    Attributes
    ----------
    project
        What was opened, or None.
    error
        Why not, or None.
    """

    def __init__(self, folder: Path, preload: tuple[str, ...], parent: QObject) -> None:
        super().__init__(parent)
        self.setObjectName("project opener")
        self.folder = folder
        self.project: Project | None = None
        self.error: EngineError | None = None
        self._preload = (*PRELOADED, *preload)

    def run(self) -> None:
        """The thread."""
        try:
            from engine.project import Project

            self.project = Project.open_or_create(self.folder)
        except EngineError as error:
            self.error = error
        except Exception as error:
            log.exception("the project %s could not be opened", self.folder)
            self.error = EngineError(
                ErrorCode.INTERNAL,
                f"The project {self.folder} could not be opened; nothing was changed.",
                f"The log has the details ({type(error).__name__}: {error}).",
            )
        load(self._preload)
