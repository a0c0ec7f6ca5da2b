"""The window: rail, pages, drawer, status bar and what floats over them.

It is painted before anything heavy is imported. Pages are made when they are first shown.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QByteArray, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QMainWindow, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from desktop.actions import Actions
from desktop.settings import Settings
from desktop.shell.banners import Banners
from desktop.shell.message_views import MessageCentre, Toasts
from desktop.shell.notifications import Notifications
from desktop.shell.rail import TOOLS, WORKSPACES, Rail
from desktop.shell.start_page import StartPage
from desktop.shell.status_bar import StatusBar
from desktop.theme import Mode, Theme

if TYPE_CHECKING:
    from desktop.services import Page, Services
    from desktop.shell.command_palette import CommandPalette
    from desktop.shell.keys import KeysOverlay
    from desktop.shell.log_view import LogStore, LogView

log = logging.getLogger("triptych.window")

PAGES = {
    "images": ("desktop.images.page", "ImagesPage"),
    "bodies": ("desktop.bodies.page", "BodiesPage"),
    "tracks": ("desktop.tracks.page", "TracksPage"),
    "adapt": ("desktop.adapt.page", "AdaptPage"),
}
SMALLEST = (960, 600)
FIRST_SIZE = (1280, 800)


class MainWindow(QMainWindow):
    """The frame around the pages.

    Attributes
    ----------
    painted
        Emitted once, after the first paint.
    closing
        The user closes the window; it is hidden already.
    """

    painted = Signal()
    closing = Signal()

    def __init__(
        self,
        settings: Settings,
        theme: Theme,
        actions: Actions,
        notifications: Notifications,
        log_folder: Path,
    ) -> None:
        super().__init__()
        self.setWindowTitle("Triptych")
        self.setMinimumSize(*SMALLEST)
        self.setAcceptDrops(True)
        self._settings, self._theme, self._actions = settings, theme, actions
        self._notifications, self._log_folder = notifications, log_folder
        self._services: Services | None = None
        self._pages: dict[str, Page] = {}
        self._page = ""
        self._was_painted = False
        self._palette: CommandPalette | None = None
        self._keys: KeysOverlay | None = None
        self._log_view: LogView | None = None
        self.log_store: LogStore | None = None
        self.may_close: Callable[[], bool] = lambda: True
        """Asked before the window closes; it says itself why not."""
        self._build()
        self._connect_actions()
        self._restore_geometry()

    def _build(self) -> None:
        self.rail = Rail(self._theme, self._actions)
        self.banners = Banners(self._theme)
        self.start_page = StartPage(self._theme)
        self._stack = QStackedWidget()
        self._stack.addWidget(self.start_page)
        self._drawer = QSplitter(Qt.Orientation.Vertical, childrenCollapsible=False)
        self._drawer.setHandleWidth(1)
        self._drawer.addWidget(self._stack)
        self.status = StatusBar(self._theme, self._actions, self._notifications)

        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.banners)
        column.addWidget(self._drawer, 1)
        centre = QWidget()
        across = QHBoxLayout()
        across.setContentsMargins(0, 0, 0, 0)
        across.setSpacing(0)
        across.addWidget(self.rail)
        across.addWidget(body, 1)
        down = QVBoxLayout(centre)
        down.setContentsMargins(0, 0, 0, 0)
        down.setSpacing(0)
        down.addLayout(across, 1)
        down.addWidget(self.status)
        self.setCentralWidget(centre)

        self.message_centre = MessageCentre(body, self._theme, self._notifications)
        self.toasts = Toasts(body, self._theme, self._notifications)
        self.message_centre.closed.connect(lambda: setattr(self.toasts, "muted", False))
        self._body = body
        self.rail.chosen.connect(self.show_page)
        self._page = self._settings.get("page")
        if self._page not in (*WORKSPACES, *TOOLS):
            self._page = "images"
        self.rail.select(self._page)

    def _connect_actions(self) -> None:
        connect = self._actions.connect
        for name in (*WORKSPACES, *TOOLS):
            connect(f"page.{name}", partial(self.show_page, name))
        connect("page.run", self._run_page)
        connect("palette.open", self._open_palette)
        connect("help.keys", self._open_keys)
        connect("view.messages", self._toggle_messages)
        connect("view.log", self.toggle_log)
        connect("view.inspector", self._toggle_inspector)
        connect("view.theme", self._toggle_theme)
        connect("app.quit", self.close)
        self._actions.attach(None, self)

    # --- project ----------------------------------------------------------------------------------

    @property
    def page(self) -> str:
        """Name of the current page."""
        return self._page

    def current(self) -> Page | None:
        """The page that is shown, when a project is open."""
        return self._pages.get(self._page)

    def attach(self, services: Services) -> None:
        """A project is open: show its pages."""
        self._services = services
        self.setWindowTitle(f"{services.project.folder.name} – Triptych")
        self.status.attach(services)
        undo, action = services.undo, self._actions.action
        for id, stack_signal, do in (
            ("edit.undo", undo.canUndoChanged, undo.undo),
            ("edit.redo", undo.canRedoChanged, undo.redo),
        ):
            stack_signal.connect(action(id).setEnabled)
            self._actions.connect(id, do)
            action(id).setEnabled(False)
        self.show_page(self._page)

    def detach(self) -> None:
        """The project closes: remove its pages."""
        self._services = None
        self.setWindowTitle("Triptych")
        self._stack.setCurrentWidget(self.start_page)
        self.status.detach()
        self.banners.clear()
        self._actions.detach(self._pages)
        for page in self._pages.values():
            self._stack.removeWidget(page)
            page.deleteLater()
        self._pages.clear()

    # --- pages ------------------------------------------------------------------------------------

    def show_page(self, name: str) -> None:
        """Switch to a page."""
        self._page = name
        self.rail.select(name)
        self._settings.set("page", name)
        if self._services is None:
            return
        page = self.page_widget(name)
        self._stack.setCurrentWidget(page)
        page.activate()

    def page_widget(self, name: str) -> Page:
        """The page called ``name``, made now if it was never shown."""
        assert self._services is not None
        if name not in self._pages:
            page = self._make_page(name, self._services)
            page.setAccessibleName(page.title)
            self._pages[name] = page
            self._stack.addWidget(page)
            self._actions.attach(name, page)
        return self._pages[name]

    def _make_page(self, name: str, services: Services) -> Page:
        if name == "queue":
            from desktop.shell.job_queue import JobQueuePage

            return JobQueuePage(services, self.banners)
        if name == "models":
            from desktop.shell.models_page import ModelsPage

            models = ModelsPage(services)
            models.use_wanted.connect(self._use_model)
            return models
        if name == "settings":
            from desktop.shell.preferences import PreferencesPage

            return PreferencesPage(services, self._log_folder)
        module, kind = PAGES[name]
        try:
            page: Page = getattr(importlib.import_module(module), kind)(services)
        except Exception:
            # One broken page must not take the others along.
            log.exception("the page %s could not be made", name)
            from desktop.widgets.unbuilt_page import BrokenPage

            return BrokenPage(services, name)
        return page

    def _use_model(self, workspace: str, name: str) -> None:
        self.show_page(workspace)
        self.page_widget(workspace).use_model(name)

    def _run_page(self) -> None:
        page = self.current()
        if page is not None:
            page.run_main_action()

    def _toggle_inspector(self) -> None:
        from desktop.widgets.page_frame import PageFrame

        page = self.current()
        frame = page.findChild(PageFrame) if page is not None else None
        if frame is not None:
            frame.toggle_inspector()

    def _toggle_theme(self) -> None:
        mode: Mode = "light" if self._theme.dark else "dark"
        self._settings.set("theme", mode)
        self._theme.set_mode(mode)  # also when the setting said so already and --theme overrode it

    # --- what floats ------------------------------------------------------------------------------

    def close_floating(self) -> bool:
        """Close what floats over the page; whether there was anything."""
        for overlay in (self._palette, self._keys, self.message_centre):
            if overlay is not None and overlay.isVisible():
                overlay.close_overlay()
                return True
        return False

    def _open_palette(self) -> None:
        if self._palette is None:
            from desktop.shell.command_palette import CommandPalette

            self._palette = CommandPalette(self._body, self._theme, self._actions)
        self._palette.open_for(self._page)

    def _open_keys(self) -> None:
        if self._keys is None:
            from desktop.shell.keys import KeysOverlay

            self._keys = KeysOverlay(self._body, self._theme, self._actions)
        self._keys.open_for(self._page, self._page.capitalize())

    def _toggle_messages(self) -> None:
        self.toasts.dismiss_all()
        self.toasts.muted = self.message_centre.isHidden()
        self.message_centre.toggle()

    def toggle_log(self) -> None:
        """Open or close the log's drawer."""
        if self.log_store is None:
            return
        if self._log_view is None:
            from desktop.shell.log_view import LogView

            self._log_view = LogView(self._theme, self.log_store)
            self._log_view.closed.connect(self.toggle_log)
            self._log_view.hide()
            self._drawer.addWidget(self._log_view)
            self._drawer.setSizes([700, 220])
            self._drawer.setStretchFactor(0, 1)
        self._log_view.setVisible(self._log_view.isHidden())

    # --- files dropped ----------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Files are welcome once a project is open."""
        if self._services is not None and any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Give the files to a page; see :meth:`take_files`."""
        self.take_files([Path(u.toLocalFile()) for u in event.mimeData().urls() if u.isLocalFile()])
        event.acceptProposedAction()

    def take_files(self, paths: Sequence[Path]) -> None:
        """Give files to the current page if it accepts them, else to the first that does."""
        if self._services is None or not paths:
            return
        for name in dict.fromkeys((self._page, *WORKSPACES, "models")):
            page = self.page_widget(name)
            if page.can_accept(paths):
                if name != self._page:
                    self.show_page(name)
                page.accept(paths)
                return
        what = paths[0].name if len(paths) == 1 else f"these {len(paths)} files"
        self._notifications.post(
            "warning",
            f"No workspace of this version can use {what}; nothing was changed.",
            hint="Images takes pictures that Triptych made, and restores their settings; Models takes "
            "files and folders of models.",
        )

    # --- window -----------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Tell once that the window is there."""
        super().paintEvent(event)
        if not self._was_painted:
            self._was_painted = True
            QTimer.singleShot(0, self, self.painted.emit)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Remember the place and let the application tidy up, out of sight."""
        if not self.may_close():
            event.ignore()
            return
        geometry = bytes(self.saveGeometry().toBase64().data()).decode()
        self._settings.set_state("geometry", geometry)
        event.accept()
        self.hide()
        self.closing.emit()

    def _restore_geometry(self) -> None:
        saved = self._settings.state("geometry")
        self.resize(*FIRST_SIZE)
        if isinstance(saved, str):
            self.restoreGeometry(QByteArray.fromBase64(saved.encode()))
