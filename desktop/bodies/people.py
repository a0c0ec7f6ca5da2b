"""The people of the photo that is shown: their bodies follow keypoints, settings and corrections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QColor, QImage, QUndoStack

from desktop.background import Background
from desktop.bodies.controls import Controls
from desktop.bodies.figures import (
    COMPARED,
    Figure,
    camera_json,
    colour_of,
    ghost_body,
    heat,
    part_colours,
    pose_request,
    rgb,
    solve_request,
    solved,
    strokes_of,
)  # fmt: skip
from desktop.bodies.model import BodiesModel
from desktop.bodies.panels import MeasurePanel, PosePanel
from desktop.bodies.person_edit import PersonEdit
from desktop.bodies.photo_view import Skeleton2D
from desktop.bodies.poser import PoserClient
from desktop.bodies.reading import Opened
from desktop.bodies.stage import BodiesStage
from desktop.widgets.image_canvas import image_from_array
from desktop.widgets.scene3d import Body3D
from desktop.widgets.video_frames import FrameReader
from engine.bodies.keypoints.person import SEEN
from engine.bodies.occlusion import Stroke
from engine.bodies.record import Camera
from engine.errors import EngineError

OVERLAY_WIDTH = 900


@dataclass(frozen=True)
class Parts:
    """What the people are shown with, and by whom they are posed."""

    model: BodiesModel
    poser: PoserClient
    background: Background
    controls: Controls
    stage: BodiesStage
    pose: PosePanel
    measures: MeasurePanel
    undo: QUndoStack
    tell: Callable[[EngineError], object]


class People(QObject):
    """See the module.

    Attributes
    ----------
    opened, result
        The photo or video that is shown, and its number in the project.
    figures, current
        Everybody in it, and who is selected.
    shape_shown
        The selected person is another, or has another shape.
    updated
        The selected person is another, or was recovered anew.
    """

    shape_shown = Signal()
    updated = Signal()

    def __init__(self, parts: Parts, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._parts = parts
        self.opened: Opened | None = None
        self.result: int | None = None
        self.figures: list[Figure] = []
        self.current = -1
        self._frame = 0
        self._reader = FrameReader()
        self._measured: np.ndarray | None = None
        self._faces: np.ndarray | None = None
        self._part_of = np.zeros(0, np.uint8)
        self._compared: Body3D | None = None
        self.ghost: Body3D | None = None
        self._dragged_from: Any = None
        self._unframed = True
        photo, stage = parts.stage.photo, parts.stage
        parts.controls.person_chosen.connect(self.choose)
        parts.controls.changed.connect(self._settings_changed)
        photo.dragged.connect(self._dragged)
        photo.dropped.connect(self._dropped)
        photo.toggled.connect(self.toggle)
        photo.person_clicked.connect(self.choose)
        stage.compare_wanted.connect(self._compare)
        stage.frame_wanted.connect(self.show_frame)
        stage.parts.toggled.connect(lambda _on: self._recolour())
        parts.poser.restarted.connect(self._repose)

    @property
    def camera(self) -> Camera:
        """Of the frame that is shown, with the user's focal length where there is one."""
        assert self.opened is not None
        camera = self.opened.recoveries[self._frame].camera
        focal = self._parts.controls.focal.value()
        return replace(camera, focal=focal, source="user") if focal > 0 else camera

    @property
    def selected(self) -> int:
        """Who is selected; -1 for nobody."""
        return self.current if 0 <= self.current < len(self.figures) else -1

    @property
    def edits(self) -> dict[str, Any]:
        """Corrected keypoints by ``"FRAME:PERSON"``, of all frames."""
        return {} if self.result is None else self._parts.model.edits(self.result)

    @property
    def shapes(self) -> dict[str, Any]:
        """Shapes by hand by ``"FRAME:PERSON"``, of all frames."""
        return {} if self.result is None else self._parts.model.shapes(self.result)

    @property
    def paintings(self) -> dict[str, Any]:
        """What is painted as hidden by ``"FRAME:PERSON"``, of all frames."""
        return {} if self.result is None else self._parts.model.paintings(self.result)

    @property
    def height(self) -> float | None:
        """Metres, where the user knows it."""
        known = self._parts.controls.known_height_cm
        return None if known is None else known / 100

    @property
    def picture(self) -> Path:
        """The file that is shown."""
        assert self.opened is not None
        return Path(self.opened.recoveries[self._frame].picture)

    def show(self, result: int, opened: Opened) -> None:
        """Another photo or video."""
        self.clear()
        self.opened, self.result = opened, result
        self._parts.stage.set_frames(len(opened.recoveries), opened.fps)
        if self._faces is None:
            self._parts.poser.ask({"do": "load"}, self._loaded, self._parts.tell)
        self.show_frame(0)

    def clear(self) -> None:
        """Nobody."""
        self.opened, self.result, self.figures, self.current = None, None, [], -1
        self._compared = None
        self._unframed = True
        self._parts.stage.clear()
        self._parts.background.run(self._reader.close, lambda _: None, self._parts.tell)
        self._show_people()

    def _loaded(self, answer: dict[str, Any]) -> None:
        self._faces, self._part_of = answer["faces"], answer["parts"]

    def show_frame(self, index: int) -> None:
        """The people of a frame; of a photo there is one."""
        if self.opened is None or not 0 <= index < len(self.opened.recoveries):
            return
        self._frame = index
        self._compared = None
        recovery = self.opened.recoveries[index]
        edits = self.edits
        self.figures = [Figure(person, person) for person in recovery.people]
        self.current = min(max(self.current, 0), len(self.figures) - 1)
        if self.opened.photo is not None:
            self._parts.stage.show_photo(self.opened.photo, (recovery.width, recovery.height))
        else:
            self._parts.background.run(
                partial(self._reader.read, Path(recovery.picture), recovery.frame or 0),
                partial(self._frame_read, index),
                self._parts.tell,
            )
        for at, figure in enumerate(self.figures):
            edit = edits.get(self.edit_key(at))
            painted = self.paintings.get(self.edit_key(at))
            if edit is not None:
                figure = figure.with_keypoints(np.array(edit, np.float64))
            self.figures[at] = replace(figure, painted=strokes_of(painted))
            if painted is not None:
                self.solve(at, str(painted["method"]))
            elif edit is not None or self.shape_by_hand(at) is not None:
                self.solve(at)
            else:
                self._pose_as_found(at)
        self._show_people()

    def _frame_read(self, index: int, image: QImage) -> None:
        if self.opened is not None and index == self._frame:
            recovery = self.opened.recoveries[index]
            self._parts.stage.show_photo(image, (recovery.width, recovery.height))

    def edit_key(self, at: int) -> str:
        """A person of this frame among the corrections."""
        return f"{self._frame}:{at}"

    def _place_of(self, result: int | None, key: str) -> int:
        """Which of the figures that are shown an edit is of; -1 for none of them."""
        frame, at = (int(part) for part in key.split(":"))
        shown = result == self.result and frame == self._frame and at < len(self.figures)
        return at if shown else -1

    def _pose_as_found(self, at: int) -> None:
        request, done = (
            pose_request(at, self.figures[at].original),
            partial(self._posed, at, self._frame),
        )
        self._parts.poser.ask(request, done, self._parts.tell, f"pose {at}")

    def _posed(self, at: int, frame: int, answer: dict[str, Any]) -> None:
        if frame != self._frame or at >= len(self.figures) or self._faces is None:
            return
        body = Body3D(
            at,
            answer["vertices"],
            answer["normals"],
            self._faces,
            self._colours(at),
            answer["joints"],
        )
        self.figures[at] = replace(self.figures[at], body=body)
        self._show_bodies()

    def solve(self, at: int, method: str | None = None) -> None:
        """Have a person's body follow its keypoints."""
        assert self.opened is not None
        figure, frame = self.figures[at], self._frame
        request = solve_request(
            at,
            figure.seen,
            self.camera,
            method or figure.recovered.method,
            self.height,
            self.shape_by_hand(at),
        )

        def done(answer: dict[str, Any]) -> None:
            if frame == self._frame and at < len(self.figures):
                now = self.figures[at].recovered.person
                self.figures[at] = replace(self.figures[at], recovered=solved(now, answer))
                self._posed(at, frame, answer)
                if at == self.current:
                    self._show_current()

        self._parts.poser.ask(request, done, self._parts.tell, f"solve {at}")

    def _settings_changed(self) -> None:
        """Solve everybody anew with another method, height or focal length."""
        if self.opened is not None:
            for at in range(len(self.figures)):
                self.solve(at, self._parts.controls.method.currentData())

    def show_painting(self, at: int, strokes: tuple[Stroke, ...]) -> None:
        """What is painted as hidden of a person, not kept yet."""
        self.figures[at] = replace(self.figures[at], painted=strokes)
        self._show_skeletons()

    def apply_painting(self, result: int | None, key: str, kept: Any) -> None:
        """Keep what is painted (None: nothing) and let the pose follow."""
        if result is None:
            return
        self._parts.model.set_painting(result, key, kept)
        at = self._place_of(result, key)
        if at >= 0:
            self.figures[at] = replace(self.figures[at], painted=strokes_of(kept))
            self._show_people()
            self.solve(at)

    def show_shape(self, at: int, answer: dict[str, Any]) -> None:
        """A person with another shape in the same pose, not kept yet."""
        recovered = replace(self.figures[at].recovered, shape=answer["shape"], joints=answer["joints"])
        self.figures[at] = replace(self.figures[at], recovered=recovered)
        self._posed(at, self._frame, answer)

    def apply_shape(self, result: int | None, key: str, shape: Any) -> None:
        """Keep a shape by hand (None: as found) and let the pose follow."""
        if result is None:
            return
        self._parts.model.set_shape(result, key, shape)
        at = self._place_of(result, key)
        if at >= 0:
            self._measured = None
            self._show_people()
            if shape is None and not self._edited(at) and not self.figures[at].painted:
                self.figures[at] = replace(self.figures[at], recovered=self.figures[at].original)
                self._pose_as_found(at)
                self._show_current()
            else:
                self.solve(at)

    def show_ghost(self, body: Body3D | None) -> None:
        """The mean adult beside the selected person's body, or nothing."""
        self.ghost = body
        self._show_bodies()

    @property
    def faces(self) -> np.ndarray | None:
        """Of the bodies, once the poser told."""
        return self._faces

    def choose(self, at: int) -> None:
        """Select a person."""
        if 0 <= at < len(self.figures) and at != self.current:
            self.current = at
            self._show_people()

    def _show_people(self) -> None:
        lines = []
        for at, figure in enumerate(self.figures):
            name = figure.recovered.person.identity
            marks = ", corrected" if self._edited(at) else ""
            marks += ", shaped" if self.shape_by_hand(at) is not None else ""
            marks += ", partly hidden" if figure.painted else ""
            lines.append(f"Person {at + 1 if name is None else name}{marks}")
        self._parts.controls.show_people(lines, self.current)
        self._show_current()

    def _edited(self, at: int) -> bool:
        return self.edit_key(at) in self.edits

    def shape_by_hand(self, at: int) -> list[float] | None:
        """The shape numbers that the hand gave a person of this frame."""
        if self.result is None:
            return None
        found: list[float] | None = self._parts.model.shapes(self.result).get(self.edit_key(at))
        return found

    def _show_skeletons(self) -> None:
        people = [(figure.seen, figure.painted) for figure in self.figures]
        skeletons = [
            Skeleton2D(person.keypoints, person.layout, QColor(colour_of(at)), painted)
            for at, (person, painted) in enumerate(people)
        ]
        self._parts.stage.photo.show_people(skeletons, self.current)

    def _show_current(self) -> None:
        self._show_skeletons()
        self.updated.emit()
        if self.selected < 0:
            self._parts.pose.show_person("Nobody is selected.", (), None)
            self._parts.measures.show_measures(None)
            self._measured = None
            self.shape_shown.emit()
            return
        shown = self.figures[self.current].shown
        seen = int((shown.person.confidence >= SEEN).sum())
        about = (
            f"{seen} of {len(shown.person.confidence)} keypoints are seen; the body meets them within "
            f"{shown.error_px:.1f} px ({100 * shown.error_share:.1f} % of the height)."
        )
        self._parts.pose.show_person(about, shown.notes, shown.rotations, shown.doubt, shown.guessed)
        if self._measured is not None and np.array_equal(self._measured, shown.shape):
            return
        self._measured = shown.shape
        self.shape_shown.emit()
        self._parts.poser.ask(
            {"do": "measure", "shape": shown.shape},
            self._parts.measures.show_measures,
            self._parts.tell,
            "measure",
        )

    def _show_bodies(self) -> None:
        bodies = [figure.body for figure in self.figures if figure.body is not None]
        bodies += [body for body in (self._compared, self.ghost) if body is not None]
        self._parts.stage.mesh.show_bodies(bodies)
        if self._unframed and len(bodies) >= len(self.figures):
            self._unframed = False
            self._parts.stage.mesh.frame()
        self._order_overlay()

    def _order_overlay(self) -> None:
        if self.opened is None or not self.figures:
            return
        request = {
            "do": "overlay",
            "camera": camera_json(self.camera),
            "width": min(OVERLAY_WIDTH, self.opened.recoveries[self._frame].width),
            "bodies": self.coloured(),
        }

        def done(answer: dict[str, Any]) -> None:
            if self.opened is not None:
                self._parts.stage.photo.show_overlay(image_from_array(answer["pixels"]))

        self._parts.poser.ask(request, done, self._parts.tell, "overlay")

    def _colours(self, at: int) -> np.ndarray:
        parts = self._parts.stage.parts.isChecked()
        return part_colours(self._part_of) if parts else rgb(colour_of(at))

    def _recolour(self) -> None:
        self.figures = [
            figure
            if figure.body is None
            else replace(figure, body=replace(figure.body, colours=self._colours(at)))
            for at, figure in enumerate(self.figures)
        ]
        self._show_bodies()

    def coloured(self) -> list[dict[str, Any]]:
        """Everybody in their own colour, as the poser takes it."""
        return [{"key": at, "colour": rgb(colour_of(at)).tolist()} for at in range(len(self.figures))]

    def _repose(self) -> None:
        if self.opened is not None:
            self.show_frame(self._frame)

    # --- hand -------------------------------------------------------------------------------------

    def _dragged(self, at: int, keypoint: int, x: float, y: float) -> None:
        keypoints = self.figures[at].recovered.person.keypoints.copy()
        if self._dragged_from is None:
            self._dragged_from = keypoints.tolist()
        keypoints[keypoint] = [x, y, 1.0]
        self.figures[at] = self.figures[at].with_keypoints(keypoints)
        self._show_skeletons()
        # At once while the hand moves; with the person's own method when it lets go.
        self.solve(at, "ik")

    def _dropped(self, at: int, keypoint: int) -> None:
        before, self._dragged_from = self._dragged_from, None
        if before is not None:
            self._push(at, before, self.figures[at].recovered.person.keypoints.tolist())

    def toggle(self, at: int, keypoint: int) -> None:
        """Say that a keypoint is hidden, or seen again."""
        keypoints = self.figures[at].recovered.person.keypoints
        after = keypoints.copy()
        after[keypoint, 2] = 0.0 if keypoints[keypoint, 2] >= SEEN else 1.0
        self._push(at, keypoints.tolist(), after.tolist())

    def _push(self, at: int, before: Any, after: Any) -> None:
        self._correct(at, before if self._edited(at) else None, after)

    def _correct(self, at: int, before: Any, after: Any) -> None:
        key = self.edit_key(at)
        command = PersonEdit("correct a keypoint", self.apply_edit, self.result, key, before, after)
        self._parts.undo.push(command)

    def apply_edit(self, result: int | None, key: str, keypoints: Any) -> None:
        """Keep a person's keypoints (None: as found) and let the body follow."""
        if result is None:
            return
        self._parts.model.set_edit(result, key, keypoints)
        at = self._place_of(result, key)
        if at < 0:
            return
        figure = self.figures[at]
        method = (
            self._parts.controls.method.currentData()
            if keypoints is not None
            else figure.original.method
        )
        points = (
            figure.original.person.keypoints if keypoints is None else np.array(keypoints, np.float64)
        )
        self.figures[at] = figure.with_keypoints(points)
        self._show_people()
        self.solve(at, method)

    def take_back(self) -> None:
        """Forget the corrections of the selected person."""
        at = self.selected
        if at >= 0 and self._edited(at):
            self._correct(at, self.figures[at].recovered.person.keypoints.tolist(), None)

    def _compare(self, method: str) -> None:
        """Lay the body of another method beside that of the selected person."""
        at = self.selected
        self._compared = None
        self._parts.stage.show_legend(None)
        if not method or self.opened is None or at < 0:
            self._repose()
            return
        frame = self._frame
        request = solve_request(COMPARED, self.figures[at].seen, self.camera, method, self.height)

        def other(answer: dict[str, Any]) -> None:
            if frame != self._frame or self._faces is None or self.figures[at].body is None:
                return
            self._compared = ghost_body(COMPARED, answer, self._faces)
            offset = answer["translation"] * -1 + self.figures[at].recovered.translation
            self._parts.poser.ask(
                {"do": "distance", "first": at, "second": COMPARED, "offset": offset.tolist()},
                apart,
                self._parts.tell,
            )

        def apart(answer: dict[str, Any]) -> None:
            body = self.figures[at].body
            if frame == self._frame and body is not None:
                self.figures[at] = replace(
                    self.figures[at], body=replace(body, colours=heat(answer["mm"]))
                )
                self._parts.stage.show_legend(float(answer["mm"].mean()))
                self._show_bodies()

        self._parts.poser.ask(request, other, self._parts.tell, "compare")
