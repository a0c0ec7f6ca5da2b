"""Sets the application up, opens projects, and ends both in order."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QApplication, QFileDialog

from desktop.actions import Actions
from desktop.background import Background
from desktop.evidence import Evidence, Hooks, default_folder, unexpected_ends
from desktop.settings import Settings
from desktop.shell.main_window import PAGES, MainWindow
from desktop.shell.notifications import Notifications
from desktop.theme import Mode, Theme

if TYPE_CHECKING:
    from desktop.opener import ProjectOpener
    from desktop.services import Services
    from desktop.signals import SignalListener
    from engine.project import Project

log = logging.getLogger("triptych.window")


def default_project() -> Path:
    """The project that is opened when none is named."""
    return Path.home() / "Triptych" / "Default"


class Application(QObject):
    """Everything between ``main`` and the window.

    Parameters
    ----------
    app
        The QApplication.
    project
        Folder to open; None: the one of last time, or the default.
    theme
        Overrides the setting for this run.
    page
        Page to begin with; None: the one of last time.

    Attributes
    ----------
    usable
        A project is open and its page can be used.
    refused
        The project could not be opened; the window says why.
    """

    usable = Signal()
    refused = Signal()

    def __init__(
        self,
        app: QApplication,
        project: Path | None = None,
        theme: Mode | None = None,
        page: str | None = None,
    ) -> None:
        super().__init__(app)
        self._app = app
        self._background = Background(self)
        self._opener: ProjectOpener | None = None
        self._closed = False
        self._leaving: Services | None = None
        self._unasked = False
        self._signals: SignalListener | None = None
        self.services: Services | None = None
        self.evidence = Evidence(default_folder())
        self.evidence.begin()
        self.settings = Settings(parent=self)
        if page is not None:
            self.settings.set("page", page)
        self.theme = Theme(theme or self.settings.get("theme"), self)
        self.theme.apply(app)
        self.actions = Actions(self.theme, self.settings, self)
        self.notifications = Notifications(self)
        self.hooks = Hooks(self.evidence, self._tell_failure)
        self.hooks.install()
        self.window = MainWindow(
            self.settings, self.theme, self.actions, self.notifications, self.evidence.folder
        )
        self._folder = project or self._last_project()
        self.window.start_page.say("Opening the project…", self._folder)
        self.window.painted.connect(self._begin)
        self.window.closing.connect(self.close)
        self.window.may_close = self._may_close
        self.settings.changed.connect(self._on_setting)
        connect = self.actions.connect
        connect("project.open", self._choose_project)
        connect("project.reveal", self._reveal_project)
        connect("job.cancel", self._escape)
        connect("queue.pause", self._toggle_queue)

    def show(self) -> None:
        """Show the window; the rest begins when it is painted."""
        self.window.show()

    # --- start ------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self.hooks.window_shown = True
        from desktop.shell.log_view import LogStore
        from desktop.signals import listen

        self.window.log_store = LogStore(self)
        self.window.log_store.start()
        self._signals = listen(self._close_unasked, self)
        self.open_project(self._folder)
        QTimer.singleShot(0, self, self._report_unexpected_end)

    def open_project(self, folder: Path) -> None:
        """Open another project; the open one is closed first, without holding up the window."""
        if self._opener is not None or self._leaving is not None or self._closed:
            return
        self._folder = folder
        if self.services is None:
            self._start_opener()
            return
        self._leaving, self.services = self.services, None
        self.window.detach()
        self.window.start_page.say("Closing the project…", self._leaving.project.folder)
        self._leaving.bridge.closed.connect(self._on_left)
        self._leaving.bridge.stop()

    def _on_left(self) -> None:
        self._release_left()
        if not self._closed:
            self._start_opener()

    def _release_left(self) -> None:
        leaving, self._leaving = self._leaving, None
        if leaving is not None:
            self._release(leaving)

    def _load_pages(self) -> None:
        from desktop.opener import PRELOADED_LATER, load

        self._background.run(lambda: load(PRELOADED_LATER), lambda _: None, self.notifications.tell)

    def _start_opener(self) -> None:
        from desktop.opener import ProjectOpener

        self.window.start_page.say("Opening the project…", self._folder)
        self._opener = ProjectOpener(self._folder, self._preload(), self)
        self._opener.finished.connect(self._on_opened)
        self._opener.start()

    def _preload(self) -> tuple[str, ...]:
        known = PAGES.get(self.window.page)
        return (known[0],) if known else ()

    def _on_opened(self) -> None:
        opener, self._opener = self._opener, None
        if opener is None:
            return
        opener.wait()
        opener.deleteLater()
        if self._closed:
            if opener.project is not None:
                opener.project.close()
            return
        if opener.project is None:
            assert opener.error is not None
            log.warning("no project is open: %s", opener.error)
            self.window.status.detach()
            self.window.start_page.explain(
                opener.error, lambda: self.open_project(opener.folder), self._choose_project
            )
            self.refused.emit()
            return
        self._use(opener.project)

    def _use(self, project: Project) -> None:
        from PySide6.QtGui import QUndoStack

        from desktop.bridge import Bridge
        from desktop.services import Services
        from desktop.shell.job_events import JobEvents

        bridge = Bridge(project, parent=self)
        bridge.set_preview_rate(self.settings.get("preview_hz"))
        bridge.logged.connect(_log_engine_line)
        bridge.engine_ready.connect(self._load_pages)
        self.services = Services(
            project,
            bridge,
            self.settings,
            self.actions,
            self.theme,
            self.notifications,
            QUndoStack(self),
        )
        self.settings.set("project_folder", str(project.folder))
        self._jobs = JobEvents(self.services, self.window.banners, lambda: self.window.page, self)
        # First the page, then the engine: its start takes the processor for seconds.
        self.window.attach(self.services)
        self._jobs.offer_interrupted()
        bridge.start()
        QTimer.singleShot(0, self, self.usable.emit)

    # --- end --------------------------------------------------------------------------------------

    def _release(self, services: Services) -> None:
        """Close a project whose pages are gone: engine first, database last."""
        services.bridge.close()
        services.undo.clear()
        services.undo.deleteLater()
        services.bridge.deleteLater()
        self._jobs.deleteLater()
        services.project.close()

    def _may_close(self) -> bool:
        if self.services is None or self._unasked or self._app.isSavingSession():
            return True
        return self._jobs.may_close(self._close_unasked)

    def _close_unasked(self) -> None:
        self._unasked = True
        self.window.close()

    def close(self) -> None:
        """End everything; the event loop ends after this. May be called twice."""
        if self._closed:
            return
        self._closed = True
        if self._opener is not None:
            self._opener.wait()
            self._on_opened()
        self._release_left()
        services, self.services = self.services, None
        if services is not None:
            self.window.detach()
            self._release(services)
        self.settings.flush()
        if self.window.log_store is not None:
            self.window.log_store.stop()
        if self._signals is not None:
            self._signals.stop()
        self.hooks.remove()
        self.evidence.end()
        self._app.quit()

    # --- what actions do --------------------------------------------------------------------------

    def _escape(self) -> None:
        if not self.window.close_floating() and self.services is not None:
            self._jobs.cancel_running()

    def _toggle_queue(self) -> None:
        if self.services is not None:
            bridge = self.services.bridge
            (bridge.resume if bridge.paused else bridge.pause)()

    def _choose_project(self) -> None:
        chosen = QFileDialog.getExistingDirectory(
            self.window,
            "Choose a project's folder, or an empty one for a new project",
            str(self._folder),
        )
        if chosen:
            self.open_project(Path(chosen))

    def _reveal_project(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._folder)))

    def _on_setting(self, name: str) -> None:
        if name == "theme":
            self.theme.set_mode(self.settings.get("theme"))
        elif name == "preview_hz" and self.services is not None:
            self.services.bridge.set_preview_rate(self.settings.get("preview_hz"))

    def _last_project(self) -> Path:
        last = self.settings.get("project_folder")
        return Path(last) if last and Path(last).is_dir() else default_project()

    # --- evidence ---------------------------------------------------------------------------------

    def _report_unexpected_end(self) -> None:
        ends = unexpected_ends(self.evidence.folder)
        if not ends:
            return
        last = ends[0]
        copy = f"{last.log_file}\n\n{last.crash}"
        self.notifications.post(
            "warning",
            f"Triptych ended unexpectedly last time. {last.reason}",
            copy,
            f"Results finished before are kept. Log: {last.log_file}",
            [("Copy log path", lambda: QGuiApplication.clipboard().setText(str(last.log_file)))],
        )

    def _tell_failure(self, text: str, details: str) -> None:
        self.notifications.post(
            "error",
            text,
            details,
            "Jobs and results are safe. If the window behaves oddly, restart Triptych; the details "
            "help whoever repairs this.",
        )


def _log_engine_line(level: str, text: str) -> None:
    logging.getLogger("triptych.engine").log(logging.getLevelNamesMapping().get(level, 20), "%s", text)
