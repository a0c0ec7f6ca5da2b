"""Bodies in files: export, a picture of the 3D view, a turntable film."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QFileDialog

from desktop.bodies.figures import export_request
from desktop.bodies.panels import ExportPanel
from desktop.bodies.people import People
from desktop.bodies.poser import PoserClient
from desktop.services import Services
from desktop.widgets.image_canvas import image_from_array
from desktop.widgets.mesh_view import MeshView
from desktop.widgets.orbit import FOV
from engine.errors import EngineError

STILL_SIDE = 2000
FILM_SIDE, FILM_FRAMES = 720, 90


def view_of(mesh: MeshView, width: int, height: int) -> dict[str, Any]:
    """How a 3D view looks, as the poser takes it."""
    camera = mesh.camera
    return {
        "eye": [float(value) for value in camera.eye],
        "target": list(camera.target),
        "fov": FOV,
        "width": width,
        "height": height,
    }


class Saving(QObject):
    """Asks where to, has it written, and says so."""

    def __init__(
        self,
        services: Services,
        people: People,
        mesh: MeshView,
        poser: PoserClient,
        panel: ExportPanel,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._services, self._people, self._mesh = services, people, mesh
        self._poser, self._panel = poser, panel
        panel.export_wanted.connect(self._ask_export)
        panel.still_wanted.connect(self._ask_still)
        panel.turntable_wanted.connect(self._ask_turntable)

    def tell(self, error: EngineError) -> None:
        """Say what went wrong."""
        self._services.notifications.tell(error)

    def _ask_export(self, formats: Sequence[str]) -> None:
        if not self._people.figures:
            self._nothing()
            return
        folder = QFileDialog.getExistingDirectory(self._panel, "Folder for the export")
        if folder:
            self.export_to(Path(folder), formats)

    def export_to(self, folder: Path, formats: Sequence[str]) -> None:
        """Write everybody, of this frame or (where the panel says so) of all."""
        if self._panel.all_frames.isChecked():
            self._poser.ask(self._all_frames(folder, formats), self._written, self.tell)
            return
        people = [figure.shown for figure in self._people.figures]
        picture = self._people.picture
        request = export_request(
            people, self._people.camera, str(picture), str(folder), picture.stem, formats
        )
        self._poser.ask(request, self._written, self.tell)

    def _all_frames(self, folder: Path, formats: Sequence[str]) -> dict[str, Any]:
        people, project = self._people, self._services.project
        assert people.result is not None
        assert people.opened is not None
        return {
            "do": "export_all",
            "path": str(project.store.path(project.result(people.result).artifact)),
            "edits": people.edits,
            "shapes": people.shapes,
            "paintings": people.paintings,
            "height": people.height,
            "folder": str(folder),
            "stem": people.picture.stem,
            "formats": list(formats),
            "fps": people.opened.fps,
        }

    def _written(self, answer: dict[str, Any]) -> None:
        files = [Path(name) for name in answer["files"]]
        told = files[0].name if len(files) == 1 else f"{len(files)} files"
        self._services.notifications.post("success", f"Saved {told} in {files[0].parent}.")

    def _nothing(self) -> None:
        self._services.notifications.post(
            "warning", "There is no body to save yet.", hint="Drop a photo with people first."
        )

    def _ask_still(self) -> None:
        if not self._people.figures:
            self._nothing()
            return
        name, _ = QFileDialog.getSaveFileName(
            self._panel, "Picture of the 3D view", "bodies.png", "PNG (*.png)"
        )
        if name:
            self.save_still(Path(name))

    def save_still(self, path: Path) -> None:
        """Render the view at full size, by a graphics driver or else by rays, and write it."""
        mesh = self._mesh
        scale = STILL_SIDE / max(mesh.width(), mesh.height(), 1)
        view = view_of(self._mesh, round(mesh.width() * scale), round(mesh.height() * scale))
        bodies = self._people.coloured()

        def done(answer: dict[str, Any]) -> None:
            if image_from_array(answer["pixels"]).save(str(path)):
                self._written({"files": [str(path)]})
            else:
                self._services.notifications.post("error", f"{path} could not be written.")

        self._poser.ask({"do": "still", **view, "bodies": bodies}, done, self.tell)

    def _ask_turntable(self) -> None:
        if not self._people.figures:
            self._nothing()
            return
        name, _ = QFileDialog.getSaveFileName(
            self._panel, "Turntable film", "turntable.mp4", "MP4 (*.mp4)"
        )
        if name:
            ground = QColor(self._services.theme.tokens.sunken)
            request = {
                "do": "turntable",
                **view_of(self._mesh, FILM_SIDE, FILM_SIDE),
                "frames": FILM_FRAMES,
                "path": name,
                "background": [ground.red(), ground.green(), ground.blue()],
                "bodies": self._people.coloured(),
            }
            self._poser.ask(request, self._written, self.tell)
