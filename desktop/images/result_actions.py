"""What can be done with selected results: the page's rows in the table of actions.

Here users are asked (where to save); what is done then is in ``desktop.commands``,
``desktop.images.files`` and ``desktop.images.specs``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QMimeData, QObject, QUrl, Signal
from PySide6.QtGui import QAction, QDesktopServices, QGuiApplication, QImage
from PySide6.QtWidgets import QFileDialog, QWidget

from desktop.background import Background
from desktop.commands import RateResults, RemoveResults, StarResults, pictures
from desktop.images import files, specs
from desktop.images.model import ImagesModel
from desktop.services import Services
from desktop.widgets.gallery_model import export_name
from engine.errors import EngineError
from engine.job import JobSpec

log = logging.getLogger("triptych.images")

WORKSPACE = "images"
ONE, ANY, TWO = "one", "any", "two"
# id, title, shortcut, icon, how many results it needs, tip
ROWS: tuple[tuple[str, str, str, str, str, str], ...] = (
    ("again", "Run again", "Ctrl+R", "arrows-clockwise", ANY, "Make the same pictures again"),
    ("vary", "Vary seed", "Ctrl+Shift+R", "shuffle", ANY, "Same settings, another seed"),
    ("use", "Use settings", "Ctrl+U", "sliders-horizontal", ONE, "Put them into the form"),
    ("star", "Star", "S", "star", ANY, "Star the selected pictures, or take their star"),
    ("like", "Like", "L", "thumbs-up", ANY, "Like the selected pictures, or take it back"),
    ("dislike", "Dislike", "D", "thumbs-down", ANY, "Dislike the selected pictures, or take it back"),
    ("compare", "Compare", "C", "columns", TWO, "Compare two selected pictures"),
    ("copy_image", "Copy image", "Ctrl+C", "copy", ONE, "Copy the picture"),
    ("copy_settings", "Copy settings", "Ctrl+Shift+C", "clipboard-text", ONE, "Copy the job as JSON"),
    ("save", "Save as…", "Ctrl+S", "floppy-disk", ANY, "Save copies that carry their settings"),
    ("reveal", "Show file", "", "folder-open", ONE, "Open the folder the file is in"),
    ("remove", "Remove", "Del", "trash", ANY, "Remove from the gallery; Ctrl+Z brings back"),
)
MENU = (
    "again", "vary", "vary_step", "use", "", "star", "like", "dislike", "",
    "compare", "compare_sequential", "sample_parallel", "",
    "copy_image", "copy_settings", "save", "reveal", "", "remove",
)  # fmt: skip


class ResultActions(QObject):
    """The actions, acting on whatever ``targets`` returns.

    Signals
    -------
    compare_requested(int, int)
        The older and the newer of two results.
    settings_wanted(object)
        Put the settings of this manifest into the form.
    results_changed(list)
        Ratings or removals of these ids changed.
    submitted(str)
        A job was queued.
    """

    compare_requested = Signal(int, int)
    settings_wanted = Signal(object)
    results_changed = Signal(list)
    submitted = Signal(str)

    def __init__(
        self,
        services: Services,
        model: ImagesModel,
        background: Background,
        targets: Callable[[], Sequence[int]],
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self._services, self._model, self._targets = services, model, targets
        self._background = background
        self._window = parent
        for name, title, shortcut, icon, _, tip in ROWS:
            services.actions.define(
                f"{WORKSPACE}.{name}", title, shortcut, icon, workspace=WORKSPACE, tip=tip
            )
            services.actions.connect(f"{WORKSPACE}.{name}", self._guarded(getattr(self, name)))

    def _guarded(self, do: Callable[[], None]) -> Callable[[], None]:
        """Nothing without a target, and every error told."""

        def run() -> None:
            if not self._targets():
                return
            try:
                do()
            except EngineError as error:
                self.tell(error)

        return run

    def action(self, name: str) -> QAction:
        """The action of a row."""
        return self._services.actions.action(f"{WORKSPACE}.{name}")

    def menu(self) -> list[QAction | None]:
        """What the context menu offers."""
        return [self.action(name) if name else None for name in MENU]

    def enable(self, count: int) -> None:
        """Enable what can be done with so many results."""
        for name, _, _, _, needs, _ in ROWS:
            fits = {ONE: count == 1, TWO: count == 2, ANY: count > 0}[needs]
            self.action(name).setEnabled(fits)

    # --- jobs -------------------------------------------------------------------------------------

    def again(self) -> None:
        """Make each selected picture again."""
        self._submit([specs.again(self._manifest(result)) for result in reversed(self._targets())])

    def vary(self) -> None:
        """Run the job of each selected picture with another seed."""
        self._submit([specs.varied(self._manifest(result)) for result in reversed(self._targets())])

    def _submit(self, jobs: Sequence[JobSpec]) -> None:
        for spec in jobs:
            self.submitted.emit(self._model.submit(spec).id)

    def use(self) -> None:
        """Put the settings of the selected picture into the form."""
        self.settings_wanted.emit(self._manifest(self._targets()[0]))

    # --- ratings ----------------------------------------------------------------------------------

    def star(self) -> None:
        """Star the selected results; if all are, take the stars."""
        chosen = list(self._targets())
        project = self._services.project
        starred = not all(project.result(result).starred for result in chosen)
        self._push(StarResults(project, chosen, starred, self.results_changed.emit))

    def like(self) -> None:
        """Like the selected results; if all are liked, take it back."""
        self._rate(1)

    def dislike(self) -> None:
        """Dislike the selected results; if all are disliked, take it back."""
        self._rate(-1)

    def _rate(self, liked: int) -> None:
        chosen = list(self._targets())
        project = self._services.project
        already = all(project.result(result).liked == liked for result in chosen)
        self._push(RateResults(project, chosen, 0 if already else liked, self.results_changed.emit))

    def remove(self) -> None:
        """Take the selected results out of the gallery."""
        chosen = list(self._targets())
        self._push(RemoveResults(self._services.project, chosen, self.results_changed.emit))
        undo = self._services.undo
        self._services.notifications.post(
            "info",
            f"{pictures(len(chosen))} removed from the gallery; the files are kept.",
            actions=[("Undo", undo.undo)],
        )

    def _push(self, command: Any) -> None:
        self._services.undo.push(command)

    # --- out --------------------------------------------------------------------------------------

    def compare(self) -> None:
        """Compare the two selected results."""
        newer, older = self._targets()
        self.compare_requested.emit(older, newer)

    def copy_image(self) -> None:
        """Put the picture on the clipboard, as pixels and as a file with its settings."""
        path = self._path(self._targets()[0])
        image = QImage(str(path))
        if image.isNull():
            self._services.project.store.read(self._record(self._targets()[0]).artifact)
        data = QMimeData()
        data.setImageData(image)
        data.setUrls([QUrl.fromLocalFile(str(path))])
        QGuiApplication.clipboard().setMimeData(data)
        self._services.notifications.post("info", "Picture copied.")

    def copy_settings(self) -> None:
        """Put the picture's job on the clipboard, as JSON."""
        QGuiApplication.clipboard().setText(files.settings_text(self._manifest(self._targets()[0])))
        self._services.notifications.post("info", "Settings copied as a job that Triptych can run.")

    def save(self) -> None:
        """Ask where to, then save copies."""
        chosen = list(self._targets())
        if len(chosen) == 1:
            name, _ = QFileDialog.getSaveFileName(
                self._window, "Save a copy", export_name(self._record(chosen[0])), "PNG (*.png)"
            )
            if name:
                self.save_to(chosen, Path(name))
            return
        folder = QFileDialog.getExistingDirectory(self._window, f"Save {pictures(len(chosen))} to")
        if folder:
            self.save_to(chosen, Path(folder))

    def save_to(self, chosen: Sequence[int], target: Path) -> None:
        """Save copies: one to a file, several into a folder."""
        project = self._services.project

        def work() -> list[Path]:
            if len(chosen) == 1 and not target.is_dir():
                return [files.save_copy(project, chosen[0], target)]
            return files.save_copies(project, chosen, target)

        self._background.run(work, self._saved, self.tell)

    def _saved(self, paths: list[Path]) -> None:
        where = (
            paths[0].name if len(paths) == 1 else f"{pictures(len(paths))} in {paths[0].parent.name}"
        )
        folder = QUrl.fromLocalFile(str(paths[0].parent))
        self._services.notifications.post(
            "success",
            f"Saved {where}.",
            actions=[("Show folder", lambda: QDesktopServices.openUrl(folder))],
        )

    def reveal(self) -> None:
        """Open the folder of the selected result's file."""
        folder = self._path(self._targets()[0]).parent
        if not QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder))):
            self._services.notifications.post(
                "warning", f"The file is in {folder}.", hint="No file manager answered."
            )

    # --- helpers ----------------------------------------------------------------------------------

    def tell(self, error: EngineError) -> None:
        """Tell the user about an error."""
        self._services.notifications.tell(error)

    def _record(self, result: int) -> Any:
        return self._services.project.result(result)

    def _manifest(self, result: int) -> dict[str, Any]:
        return self._services.project.manifest(result)

    def _path(self, result: int) -> Path:
        return self._services.project.store.path(self._record(result).artifact)
