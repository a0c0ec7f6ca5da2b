"""The width lab's work: opens it with the selected person, has the photo changed, saves it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QFileDialog, QStackedWidget

from desktop.bodies.figures import camera_json, person_json
from desktop.bodies.lab_view import LabView
from desktop.bodies.people import People
from desktop.bodies.poser import PoserClient
from desktop.bodies.stage import BodiesStage
from desktop.services import Services
from desktop.widgets.compare_view import array_from_image
from desktop.widgets.image_canvas import image_from_array
from engine.errors import EngineError

SIDE = 1000
"""Pixels of the longer side while the hand moves; what is saved has the photo's own size."""


class WidthLab(QObject):
    """See the module."""

    def __init__(
        self,
        services: Services,
        people: People,
        poser: PoserClient,
        centre: QStackedWidget,
        back: BodiesStage,
    ) -> None:
        super().__init__(centre)
        self._services, self._people, self._poser = services, people, poser
        self._centre, self._back = centre, back
        self.view = LabView(services.theme)
        self.ratios: np.ndarray | None = None
        self._names: list[str] = []
        self._about: dict[str, Any] = {}
        self._photo, self._small = QImage(), QImage()
        centre.addWidget(self.view)
        self.view.moved.connect(self._order)
        self.view.closed.connect(lambda: centre.setCurrentWidget(back))
        self.view.save_wanted.connect(self._ask_save)
        actions = services.actions
        actions.define(
            "bodies.lab", "Width lab: the selected person wider or slimmer", "L",
            "arrows-out-line-horizontal",
            workspace="bodies",
        )  # fmt: skip
        actions.connect("bodies.lab", self.open)
        back.lab_wanted.connect(self.open)

    def open(self) -> None:
        """With the selected person of the photo that is shown."""
        people = self._people
        opened = people.opened
        if opened is None or opened.photo is None or people.selected < 0:
            self._tell("The width lab changes people in photos.", "Open a photo and select somebody.")
            return
        shown = people.figures[people.selected].shown
        person = shown.person
        if person.mask is None:
            self._tell(
                "There is no outline of this person, so the photo cannot be changed.",
                "Recover the photo with BlazePose, which finds outlines.",
            )
            return
        self._photo, small = opened.photo, opened.photo
        if max(small.width(), small.height()) > SIDE:
            smooth = Qt.TransformationMode.SmoothTransformation
            small = small.scaled(SIDE, SIDE, Qt.AspectRatioMode.KeepAspectRatio, smooth)
        self._small = small
        self._about = {
            "person": person_json(person),
            "keypoints": person.keypoints,
            "mask": person.mask.values,
            "mask_to_image": person.mask.to_image,
            "camera": camera_json(people.camera),
            "joints": shown.joints,
            "shape": shown.shape,
        }
        self._names = []
        self.view.take_back()
        self.view.say("The background behind the person is filled in…")
        self.view.show_pictures(small, small)
        self._centre.setCurrentWidget(self.view)
        request = {"do": "lab_open", "pixels": array_from_image(small), **self._about}
        self._poser.ask(request, self._opened, self._failed, "lab open")

    def _opened(self, answer: dict[str, Any]) -> None:
        self._names = list(answer["names"])
        self.view.say(
            "Clothes and background stay. The line in the picture wipes between before and after."
        )
        self._order()

    def _order(self) -> None:
        if self._names:
            request = {"do": "lab_widen", "factors": self.view.factors(self._names)}
            self._poser.ask(request, self._came, self._failed, "lab")

    def _came(self, answer: dict[str, Any]) -> None:
        self.ratios = answer["ratios"]
        self.view.show_pictures(self._small, image_from_array(answer["pixels"]))

    def _failed(self, error: EngineError) -> None:
        self._services.notifications.tell(error)
        self._centre.setCurrentWidget(self._back)

    def _tell(self, what: str, hint: str) -> None:
        self._services.notifications.post("warning", what, hint=hint)

    def _ask_save(self) -> None:
        start = f"{self._people.picture.stem}-wide.png"
        name, _ = QFileDialog.getSaveFileName(self.view, "Save with labels", start, "PNG (*.png)")
        if name:
            self.save_to(Path(name))

    def save_to(self, path: Path) -> None:
        """The picture as PNG; its mask, keypoints and widths beside it."""
        if not self._names:
            return
        request = {
            "do": "lab_save",
            "pixels": array_from_image(self._photo),
            "factors": self.view.factors(self._names),
            "path": str(path.with_suffix(".png")),
            **self._about,
        }
        self._poser.ask(request, self._saved, self._services.notifications.tell)

    def _saved(self, answer: dict[str, Any]) -> None:
        first = Path(answer["files"][0])
        told = f"Saved {first.name}, its mask and its labels in {first.parent}."
        self._services.notifications.post("success", told)
