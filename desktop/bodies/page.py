"""The Bodies page: drop a photo, see everybody in it as a 3D body, correct, measure, export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtCore import QPointF
from PySide6.QtGui import QColor, QImage, QUndoCommand
from PySide6.QtWidgets import QFileDialog, QStackedWidget, QTabWidget, QVBoxLayout, QWidget

from desktop.background import Background
from desktop.bodies.controls import Controls
from desktop.bodies.figures import (
    COMPARED,
    Figure,
    camera_json,
    colour_of,
    export_request,
    heat,
    pose_request,
    rgb,
    solve_request,
    solved,
)  # fmt: skip
from desktop.bodies.model import BodiesModel
from desktop.bodies.panels import ExportPanel, MeasurePanel, PosePanel, words
from desktop.bodies.photo_view import Skeleton2D
from desktop.bodies.poser import PoserClient
from desktop.bodies.reading import Opened, open_result, read_frame
from desktop.bodies.stage import BodiesStage
from desktop.services import Page, Services
from desktop.widgets.orbit import FOV
from desktop.widgets.page_frame import PageFrame
from desktop.widgets.parts import EmptyState, button
from desktop.widgets.ray_painter import CastOrder
from desktop.widgets.scene3d import Body3D
from engine.bodies.joints import JOINT_NAMES, PARENTS
from engine.bodies.keypoints.person import SEEN
from engine.errors import EngineError

WORKSPACE = "bodies"
PHOTOS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
EXAMPLE = Path(__file__).resolve().parents[2] / "resources" / "samples" / "bodies" / "two.jpg"
OVERLAY_WIDTH = 900
STILL_SIDE = 2000


class _Correction(QUndoCommand):
    """Keypoints of one person, and back."""

    def __init__(self, page: BodiesPage, key: str, before: Any, after: Any) -> None:
        super().__init__("correct a keypoint")
        self._page, self._key, self._before, self._after = page, key, before, after
        self._result = page.result

    def redo(self) -> None:
        """The new ones."""
        self._page.apply_edit(self._result, self._key, self._after)

    def undo(self) -> None:
        """Those of before."""
        self._page.apply_edit(self._result, self._key, self._before)


class BodiesPage(Page):
    """See the module."""

    workspace = WORKSPACE
    title = "Bodies"
    icon = "person"

    def __init__(self, services: Services, use_gl: bool | None = None) -> None:
        super().__init__()
        self._services = services
        self._started = False
        self.background = Background(self)
        self.model = BodiesModel(services.project, services.bridge, self)
        self.poser = PoserClient(self)
        self.opened: Opened | None = None
        self.result: int | None = None
        self.figures: list[Figure] = []
        self.current = -1
        self._frame = 0
        self._faces: np.ndarray | None = None
        self._compared: Body3D | None = None
        self._dragged_from: Any = None
        self._unframed = True
        self._build(use_gl)
        self._connect()

    def _build(self, use_gl: bool | None) -> None:
        theme = self._services.theme
        self.controls = Controls(theme)
        self.stage = BodiesStage(theme, self._cast, use_gl)
        self.stage.mesh.parents = PARENTS
        self.pose, self.measures, self.export = PosePanel(), MeasurePanel(theme), ExportPanel(theme)
        self.inspector = QTabWidget()
        self.inspector.setDocumentMode(True)
        for panel, name in ((self.pose, "Pose"), (self.measures, "Measure"), (self.export, "Export")):
            self.inspector.addTab(panel, name)
        welcome = EmptyState(
            theme,
            self.icon,
            "People in photos, as bodies",
            "Drop a photo or a video here: everybody in it becomes a posed 3D body that you can "
            "correct by hand, measure and export.",
            (
                button("Run the example", self.start_example, "primary"),
                button("Add photos…", self.ask_files),
            ),
            role=WORKSPACE,
        )
        self.centre = QStackedWidget()
        self.centre.addWidget(welcome)
        self.centre.addWidget(self.stage)
        self.footer = QWidget()
        column = QVBoxLayout(self.footer)
        self.run_button = button("Recover bodies", self.run_main_action, "primary")
        self.run_button.setToolTip(
            "Look for people in this photo anew, with these settings (Ctrl+Return)"
        )
        column.addWidget(self.run_button)
        self.frame = PageFrame(
            self._services, WORKSPACE, self.controls, self.centre, None, self.inspector, self.footer
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.frame)

    def _connect(self) -> None:
        controls, photo, model = self.controls, self.stage.photo, self.model
        controls.add_wanted.connect(self.ask_files)
        controls.chosen.connect(self.show_job)
        controls.person_chosen.connect(self.choose_person)
        controls.changed.connect(self._settings_changed)
        model.changed.connect(lambda: controls.show_jobs(model.jobs))
        model.updated.connect(self._job_updated)
        model.recovered.connect(self._job_recovered)
        photo.dragged.connect(self._dragged)
        photo.dropped.connect(self._dropped)
        photo.toggled.connect(self._toggled)
        photo.person_clicked.connect(self.choose_person)
        self.stage.overlay_wanted.connect(self._order_overlay)
        self.stage.compare_wanted.connect(self._compare)
        self.stage.frame_wanted.connect(self.show_frame)
        self.stage.mesh.clicked.connect(self._picked)
        self.pose.joint_chosen.connect(lambda j: self.stage.mesh.mark(j if j >= 0 else None))
        self.export.export_wanted.connect(self._ask_export)
        self.export.still_wanted.connect(self._ask_still)
        self.export.turntable_wanted.connect(self._ask_turntable)
        self.poser.restarted.connect(self._repose)
        actions = self._services.actions
        mesh = self.stage.mesh
        for name, title, key, icon, do in (
            ("add", "Add photos or videos", "Ctrl+Shift+O", "plus", self.ask_files),
            ("wire", "Wireframe", "W", "polygon", self.stage.wire.click),
            ("skeleton", "Skeleton", "K", "person-simple", self.stage.bones.click),
            ("frame", "Frame the bodies", "F", "frame-corners", mesh.frame),
            ("front", "From the front", "1", "number-square-one", lambda: mesh.look_from("front")),
            ("side", "From the side", "3", "number-square-three", lambda: mesh.look_from("side")),
            ("top", "From above", "7", "number-square-seven", lambda: mesh.look_from("top")),
            (
                "reset",
                "Take back this person's corrections",
                "",
                "arrow-counter-clockwise",
                self._reset,
            ),
        ):
            actions.define(f"{WORKSPACE}.{name}", title, key, icon, workspace=WORKSPACE)
            actions.connect(f"{WORKSPACE}.{name}", do)

    # --- page protocol ----------------------------------------------------------------------------

    def activate(self) -> None:
        """Read the history at the first visit."""
        if not self._started:
            self._started = True
            self.model.load_history()
            done = [job for job in self.model.jobs if job.result is not None]
            if done:
                self.controls.select(done[-1].id)

    def run_main_action(self) -> None:
        """Recover the photo anew, or ask for one."""
        job = self.model.job(self.controls.current)
        if job is None:
            self.ask_files()
        else:
            self.accept([job.path])

    def can_accept(self, paths: Sequence[Path]) -> bool:
        """Photos and videos."""
        return any(path.suffix.lower() in (*PHOTOS, *VIDEOS) for path in paths)

    def accept(self, paths: Sequence[Path]) -> None:
        """Recover the people of photos and videos."""
        job = ""
        for path in paths:
            if path.suffix.lower() in (*PHOTOS, *VIDEOS):
                try:
                    job = self.model.submit(path, self.controls.params())
                except EngineError as error:
                    self.tell(error)
                    return
        if job:
            self.controls.select(job)

    def start_example(self) -> None:
        """The picture that ships."""
        self.accept([EXAMPLE])

    def ask_files(self) -> None:
        """Choose photos and videos."""
        endings = " ".join(f"*{ending}" for ending in (*PHOTOS, *VIDEOS))
        names, _ = QFileDialog.getOpenFileNames(
            self, "Photos and videos", "", f"Photos and videos ({endings})"
        )
        self.accept([Path(name) for name in names])

    def tell(self, error: EngineError) -> None:
        """Say what went wrong."""
        self._services.notifications.post("error", error.message, error.detail, error.hint)

    # --- jobs -------------------------------------------------------------------------------------

    def show_job(self, id: str) -> None:
        """Show a photo with its people, or how far it is."""
        job = self.model.job(id)
        if job is None:
            return
        self.centre.setCurrentWidget(self.stage)
        if job.result is None:
            self._clear()
            self.stage.say(job.status())
            return
        result = job.result
        self.background.run(
            lambda: open_result(self._services.project, result),
            partial(self._opened, result),
            self.tell,
        )

    def _job_updated(self, id: str) -> None:
        job = self.model.job(id)
        if job is None:
            return
        self.controls.update_job(job)
        if id == self.controls.current and job.result is None:
            self.stage.say(job.status())
            if job.preview is not None:
                pixels = np.ascontiguousarray(job.preview)
                height, width = pixels.shape[:2]
                image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
                self.stage.photo.show_photo(image.copy(), (width, height))

    def _job_recovered(self, id: str) -> None:
        if id == self.controls.current or not self.controls.current:
            self.controls.select(id)
            self.show_job(id)

    def _opened(self, result: int, opened: Opened) -> None:
        self._clear()
        self.opened, self.result = opened, result
        self.stage.say("")
        self.stage.set_frames(len(opened.recoveries), opened.fps)
        if self._faces is None:
            self.poser.ask({"do": "load"}, self._loaded, self.tell)
        self.show_frame(0)

    def _loaded(self, answer: dict[str, Any]) -> None:
        self._faces = answer["faces"]
        self._parts = answer["parts"]

    def _clear(self) -> None:
        self.opened, self.result, self.figures, self.current = None, None, [], -1
        self._compared = None
        self._unframed = True
        self.stage.clear()
        self._show_people()

    # --- people -----------------------------------------------------------------------------------

    def show_frame(self, index: int) -> None:
        """The people of a frame; of a photo there is one."""
        if self.opened is None or not 0 <= index < len(self.opened.recoveries):
            return
        self._frame = index
        recovery = self.opened.recoveries[index]
        edits = {} if self.result is None else self.model.edits(self.result)
        self.figures = [Figure(person, person) for person in recovery.people]
        self.current = min(max(self.current, 0), len(self.figures) - 1)
        if self.opened.photo is not None:
            self.stage.photo.show_photo(self.opened.photo, (recovery.width, recovery.height))
        else:
            self.background.run(
                partial(read_frame, Path(recovery.picture), recovery.frame or 0),
                partial(self._frame_read, index),
                self.tell,
            )
        for at, figure in enumerate(self.figures):
            edit = edits.get(self._edit_key(at))
            if edit is None:
                done = partial(self._posed, at, index)
                self.poser.ask(pose_request(at, figure.recovered), done, self.tell, f"pose {at}")
            else:
                self.figures[at] = figure.with_keypoints(np.array(edit, np.float64))
                self._solve(at)
        self._show_people()

    def _frame_read(self, index: int, image: QImage) -> None:
        if self.opened is not None and index == self._frame:
            recovery = self.opened.recoveries[index]
            self.stage.photo.show_photo(image, (recovery.width, recovery.height))

    def _edit_key(self, at: int) -> str:
        return f"{self._frame}:{at}"

    def _posed(self, at: int, frame: int, answer: dict[str, Any]) -> None:
        if frame != self._frame or at >= len(self.figures) or self._faces is None:
            return
        colours = rgb(colour_of(at))
        body = Body3D(at, answer["vertices"], answer["normals"], self._faces, colours, answer["joints"])
        self.figures[at] = replace(self.figures[at], body=body)
        self._show_bodies()

    def _solve(self, at: int, method: str | None = None) -> None:
        """Have a person's body follow its keypoints."""
        assert self.opened is not None
        figure, frame = self.figures[at], self._frame
        person = figure.recovered.person
        request = solve_request(
            at,
            person,
            self._camera(),
            method or figure.recovered.method,
            self.controls.known_height_cm,
        )

        def done(answer: dict[str, Any]) -> None:
            if frame == self._frame and at < len(self.figures):
                now = self.figures[at].recovered.person
                self.figures[at] = replace(self.figures[at], recovered=solved(now, answer))
                self._posed(at, frame, answer)
                if at == self.current:
                    self._show_current()

        self.poser.ask(request, done, self.tell, f"solve {at}")

    def _camera(self) -> Any:
        assert self.opened is not None
        camera = self.opened.recoveries[self._frame].camera
        focal = self.controls.focal.value()
        return replace(camera, focal=focal, source="user") if focal > 0 else camera

    def _settings_changed(self) -> None:
        """Solve everybody anew with another method, height or focal length."""
        if self.opened is not None:
            for at in range(len(self.figures)):
                self._solve(at, self.controls.method.currentData())

    def choose_person(self, at: int) -> None:
        """Select a person."""
        if 0 <= at < len(self.figures) and at != self.current:
            self.current = at
            self._show_people()

    def _show_people(self) -> None:
        lines = []
        for at, figure in enumerate(self.figures):
            name = figure.recovered.person.identity
            marks = ", corrected" if self._edited(at) else ""
            lines.append(f"Person {at + 1 if name is None else name}{marks}")
        self.controls.show_people(lines, self.current)
        self._show_current()

    def _edited(self, at: int) -> bool:
        return self.result is not None and self._edit_key(at) in self.model.edits(self.result)

    def _show_skeletons(self) -> None:
        people = [figure.recovered.person for figure in self.figures]
        skeletons = [
            Skeleton2D(person.keypoints, person.layout, QColor(colour_of(at)))
            for at, person in enumerate(people)
        ]
        self.stage.photo.show_people(skeletons, self.current)

    def _show_current(self) -> None:
        self._show_skeletons()
        if not 0 <= self.current < len(self.figures):
            self.pose.show_person("Nobody is selected.", (), None)
            self.measures.show_measures(None)
            return
        shown = self.figures[self.current].recovered
        seen = int((shown.person.confidence >= SEEN).sum())
        about = (
            f"{seen} of {len(shown.person.confidence)} keypoints are seen; the body meets them within "
            f"{shown.error_px:.1f} px ({100 * shown.error_share:.1f} % of the height)."
        )
        self.pose.show_person(about, shown.notes, shown.rotations)
        self.poser.ask(
            {"do": "measure", "shape": shown.shape}, self.measures.show_measures, self.tell, "measure"
        )

    def _show_bodies(self) -> None:
        bodies = [figure.body for figure in self.figures if figure.body is not None]
        if self._compared is not None:
            bodies.append(self._compared)
        self.stage.mesh.show_bodies(bodies)
        if self._unframed and len(bodies) >= len(self.figures):
            self._unframed = False
            self.stage.mesh.frame()
        self._order_overlay()

    def _order_overlay(self) -> None:
        if self.opened is None or not self.figures:
            return
        request = {
            "do": "overlay",
            "camera": camera_json(self._camera()),
            "width": min(OVERLAY_WIDTH, self.opened.recoveries[self._frame].width),
            "bodies": self._coloured(),
        }

        def done(answer: dict[str, Any]) -> None:
            if self.opened is not None:
                self.stage.photo.show_overlay(_image(answer["pixels"]))

        self.poser.ask(request, done, self.tell, "overlay")

    def _coloured(self) -> list[dict[str, Any]]:
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
        self._solve(at, "ik")

    def _dropped(self, at: int, keypoint: int) -> None:
        before, self._dragged_from = self._dragged_from, None
        if before is not None:
            self._push(at, before, self.figures[at].recovered.person.keypoints.tolist())

    def _toggled(self, at: int, keypoint: int) -> None:
        keypoints = self.figures[at].recovered.person.keypoints
        after = keypoints.copy()
        after[keypoint, 2] = 0.0 if keypoints[keypoint, 2] >= SEEN else 1.0
        self._push(at, keypoints.tolist(), after.tolist())

    def _push(self, at: int, before: Any, after: Any) -> None:
        known = self._edited(at)
        self._services.undo.push(
            _Correction(self, self._edit_key(at), before if known else None, after)
        )

    def apply_edit(self, result: int | None, key: str, keypoints: Any) -> None:
        """Keep a person's keypoints (None: as found) and let the body follow."""
        if result is None:
            return
        self.model.set_edit(result, key, keypoints)
        frame, at = (int(part) for part in key.split(":"))
        if result != self.result or frame != self._frame or at >= len(self.figures):
            return
        figure = self.figures[at]
        method = self.controls.method.currentData() if keypoints is not None else figure.original.method
        points = (
            figure.original.person.keypoints if keypoints is None else np.array(keypoints, np.float64)
        )
        self.figures[at] = figure.with_keypoints(points)
        self._show_people()
        self._solve(at, method)

    def _reset(self) -> None:
        if 0 <= self.current < len(self.figures) and self._edited(self.current):
            now = self.figures[self.current].recovered.person.keypoints.tolist()
            command = _Correction(self, self._edit_key(self.current), now, None)
            self._services.undo.push(command)

    # --- 3D ---------------------------------------------------------------------------------------

    def _view(self, width: int, height: int) -> dict[str, Any]:
        camera = self.stage.mesh.camera
        return {
            "eye": [float(value) for value in camera.eye],
            "target": list(camera.target),
            "fov": FOV,
            "width": width,
            "height": height,
        }

    def _cast(self, order: CastOrder, done: Any) -> None:
        request: dict[str, Any] = {
            "do": "cast",
            "eye": list(order.eye),
            "target": list(order.target),
            "fov": order.fov,
            "width": order.width,
            "height": order.height,
            "wireframe": order.scene.wireframe,
            "bodies": [],
        }
        for body in order.scene.bodies:
            about: dict[str, Any] = {"key": body.key, "ghost": body.ghost}
            if body.colours.ndim == 1:
                about["colour"] = body.colours.tolist()
            else:
                request[f"colours_{body.key}"] = body.colours
            request["bodies"].append(about)
        self.poser.ask(request, lambda answer: done(answer["pixels"]), self.tell, "cast")

    def _picked(self, point: QPointF) -> None:
        mesh = self.stage.mesh
        request = {"do": "pick", **self._view(mesh.width(), mesh.height())}
        request |= {"keys": list(range(len(self.figures))), "x": point.x(), "y": point.y()}
        self.poser.ask(request, self._pick_came, self.tell, "pick")

    def _pick_came(self, answer: dict[str, Any]) -> None:
        if not answer:
            self.stage.caption("")
            return
        self.choose_person(int(answer["key"]))
        joint = int(answer["joint"])
        self.pose.choose(joint)
        self.stage.caption(
            f"Person {answer['key'] + 1} · {words(JOINT_NAMES[joint])} · vertex {answer['vertex']}"
        )

    def _compare(self, method: str) -> None:
        """Lay the body of another method beside that of the selected person."""
        at = self.current
        self._compared = None
        self.stage.show_legend(None)
        if not method or self.opened is None or not 0 <= at < len(self.figures):
            self._repose()
            return
        frame = self._frame
        person = self.figures[at].recovered.person
        request = solve_request(COMPARED, person, self._camera(), method, self.controls.known_height_cm)

        def other(answer: dict[str, Any]) -> None:
            if frame != self._frame or self._faces is None or self.figures[at].body is None:
                return
            grey = np.array([150, 150, 150], np.uint8)
            self._compared = Body3D(
                COMPARED, answer["vertices"], answer["normals"], self._faces, grey, None, ghost=True
            )
            offset = answer["translation"] * -1 + self.figures[at].recovered.translation
            self.poser.ask(
                {"do": "distance", "first": at, "second": COMPARED, "offset": offset.tolist()},
                apart,
                self.tell,
            )

        def apart(answer: dict[str, Any]) -> None:
            body = self.figures[at].body
            if frame == self._frame and body is not None:
                self.figures[at] = replace(
                    self.figures[at], body=replace(body, colours=heat(answer["mm"]))
                )
                self.stage.show_legend(float(answer["mm"].mean()))
                self._show_bodies()

        self.poser.ask(request, other, self.tell, "compare")

    # --- files ------------------------------------------------------------------------------------

    def _ask_export(self, formats: list[str]) -> None:
        if self.opened is None or not self.figures:
            self._nothing()
            return
        folder = QFileDialog.getExistingDirectory(self, "Folder for the export")
        if folder:
            self.export_to(Path(folder), formats)

    def export_to(self, folder: Path, formats: list[str]) -> None:
        """Write everybody of this frame."""
        assert self.opened is not None
        recovery = self.opened.recoveries[self._frame]
        people = [figure.recovered for figure in self.figures]
        stem = Path(recovery.picture).stem
        request = export_request(people, self._camera(), recovery.picture, str(folder), stem, formats)
        self.poser.ask(request, self._written, self.tell)

    def _written(self, answer: dict[str, Any]) -> None:
        files = [Path(name) for name in answer["files"]]
        told = files[0].name if len(files) == 1 else f"{len(files)} files"
        self._services.notifications.post("success", f"Saved {told} in {files[0].parent}.")

    def _nothing(self) -> None:
        self._services.notifications.post(
            "warning", "There is no body to save yet.", hint="Drop a photo with people first."
        )

    def _ask_still(self) -> None:
        if not self.figures:
            self._nothing()
            return
        name, _ = QFileDialog.getSaveFileName(
            self, "Picture of the 3D view", "bodies.png", "PNG (*.png)"
        )
        if name:
            self.save_still(Path(name))

    def save_still(self, path: Path) -> None:
        """Cast the view at full size and write it."""
        mesh = self.stage.mesh
        scale = STILL_SIDE / max(mesh.width(), mesh.height(), 1)
        view = self._view(round(mesh.width() * scale), round(mesh.height() * scale))
        bodies = self._coloured()

        def done(answer: dict[str, Any]) -> None:
            if _image(answer["pixels"]).save(str(path)):
                self._written({"files": [str(path)]})
            else:
                self._services.notifications.post("error", f"{path} could not be written.")

        self.poser.ask({"do": "cast", **view, "bodies": bodies, "samples": 3}, done, self.tell)

    def _ask_turntable(self) -> None:
        if not self.figures:
            self._nothing()
            return
        name, _ = QFileDialog.getSaveFileName(self, "Turntable film", "turntable.mp4", "MP4 (*.mp4)")
        if name:
            ground = QColor(self._services.theme.tokens.sunken)
            request = {
                "do": "turntable",
                **self._view(720, 720),
                "frames": 90,
                "path": name,
                "background": [ground.red(), ground.green(), ground.blue()],
                "bodies": self._coloured(),
            }
            self.poser.ask(request, self._written, self.tell)


def _image(pixels: np.ndarray) -> QImage:
    height, width = pixels.shape[:2]
    image = QImage(pixels.tobytes(), width, height, 4 * width, QImage.Format.Format_RGBA8888)
    return image.copy()
