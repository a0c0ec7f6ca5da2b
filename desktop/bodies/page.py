"""The Bodies page: drop a photo, see everybody in it as a 3D body, correct, measure, export."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QPointF
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QFileDialog, QStackedWidget, QTabWidget, QVBoxLayout, QWidget

from desktop.background import Background
from desktop.bodies.controls import THUMBNAIL, Controls
from desktop.bodies.hiding import Hiding
from desktop.bodies.lab import WidthLab
from desktop.bodies.model import BodiesModel
from desktop.bodies.panels import ExportPanel, MeasurePanel, PosePanel, words
from desktop.bodies.people import Parts, People
from desktop.bodies.poser import PoserClient
from desktop.bodies.reading import Opened, open_result, thumbnail
from desktop.bodies.saving import Saving, view_of
from desktop.bodies.shape_panel import ShapePanel
from desktop.bodies.shaping import Shaping
from desktop.bodies.stage import BodiesStage
from desktop.services import Page, Services
from desktop.widgets.image_canvas import image_from_array
from desktop.widgets.page_frame import PageFrame
from desktop.widgets.parts import EmptyState, button
from desktop.widgets.ray_painter import CastOrder
from engine.bodies.joints import JOINT_NAMES, PARENTS
from engine.errors import EngineError
from engine.suffixes import PHOTO_SUFFIXES, VIDEO_SUFFIXES

WORKSPACE = "bodies"
ACCEPTED = PHOTO_SUFFIXES | VIDEO_SUFFIXES
EXAMPLE = Path(__file__).resolve().parents[2] / "resources" / "samples" / "bodies" / "two.jpg"


class BodiesPage(Page):
    """See the module."""

    workspace = WORKSPACE
    title = "Bodies"
    icon = "person"

    def __init__(self, services: Services, use_gl: bool | None = None) -> None:
        super().__init__()
        self._services = services
        self._started = False
        self._thumbnail_ordered = False
        self.background = Background(self)
        self.model = BodiesModel(services.project, services.bridge, self)
        self.poser = PoserClient(self)
        self._build(use_gl)
        self._connect()

    def _build(self, use_gl: bool | None) -> None:
        theme = self._services.theme
        self.controls = Controls(theme)
        self.stage = BodiesStage(theme, self._cast, use_gl)
        self.stage.mesh.parents = PARENTS
        self.pose, self.measures, self.export = (
            PosePanel(theme),
            MeasurePanel(theme),
            ExportPanel(theme),
        )
        parts = Parts(
            self.model, self.poser, self.background, self.controls, self.stage,
            self.pose, self.measures, self._services.undo, self.tell,
        )  # fmt: skip
        self.people = People(parts, self)
        self.shape = ShapePanel(theme)
        self.shaping = Shaping(self.people, parts, self.shape, self)
        self.hiding = Hiding(self.people, parts, self._services.actions, self)
        self.measures.unit.currentTextChanged.connect(self.shape.set_unit)
        mesh = self.stage.mesh
        self.saving = Saving(self._services, self.people, mesh, self.poser, self.export, self)
        self.inspector = QTabWidget()
        self.inspector.setDocumentMode(True)
        for panel, name in (
            (self.pose, "Pose"),
            (self.shape, "Shape"),
            (self.measures, "Measure"),
            (self.export, "Export"),
        ):
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
        self.lab = WidthLab(self._services, self.people, self.poser, self.centre, self.stage)
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
        controls, model = self.controls, self.model
        controls.add_wanted.connect(self.ask_files)
        controls.chosen.connect(self.show_job)
        model.changed.connect(self._jobs_changed)
        model.updated.connect(self._job_updated)
        model.recovered.connect(self._job_recovered)
        self.stage.mesh.clicked.connect(self._picked)
        self.pose.joint_chosen.connect(lambda j: self.stage.mesh.mark(j if j >= 0 else None))
        actions = self._services.actions
        mesh, people = self.stage.mesh, self.people
        for name, title, key, icon, do in (
            ("add", "Add photos or videos", "Ctrl+Shift+O", "plus", self.ask_files),
            ("wire", "Wireframe", "W", "polygon", self.stage.wire.click),
            ("skeleton", "Skeleton", "K", "person-simple", self.stage.bones.click),
            ("frame", "Frame the bodies", "F", "frame-corners", mesh.frame),
            ("front", "From the front", "1", "number-square-one", lambda: mesh.look_from("front")),
            ("side", "From the side", "3", "number-square-three", lambda: mesh.look_from("side")),
            ("top", "From above", "7", "number-square-seven", lambda: mesh.look_from("top")),
            ("reset", "Take back the corrections", "", "arrow-counter-clockwise", people.take_back),
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
        return any(path.suffix.lower() in ACCEPTED for path in paths)

    def accept(self, paths: Sequence[Path]) -> None:
        """Recover the people of photos and videos."""
        job = ""
        for path in paths:
            if path.suffix.lower() in ACCEPTED:
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
        endings = " ".join(f"*{ending}" for ending in sorted(ACCEPTED))
        names, _ = QFileDialog.getOpenFileNames(
            self, "Photos and videos", "", f"Photos and videos ({endings})"
        )
        self.accept([Path(name) for name in names])

    def tell(self, error: EngineError) -> None:
        """Say what went wrong."""
        self._services.notifications.tell(error)

    # --- jobs -------------------------------------------------------------------------------------

    def show_job(self, id: str) -> None:
        """Show a photo with its people, or how far it is."""
        job = self.model.job(id)
        if job is None:
            return
        self.centre.setCurrentWidget(self.stage)
        if job.result is None:
            self.people.clear()
            self.stage.say(job.status())
            return
        result = job.result
        self.background.run(
            lambda: open_result(self._services.project, result),
            partial(self._opened, result),
            self.tell,
        )

    def _jobs_changed(self) -> None:
        self.controls.show_jobs(self.model.jobs)
        self._next_thumbnail()

    def _next_thumbnail(self) -> None:
        """The newest that is missing; one at a time, so that nothing else waits for them."""
        missing = (
            job
            for job in reversed(self.model.jobs)
            if job.result is not None and not self.controls.has_thumbnail(job.id)
        )
        job = next(missing, None)
        if job is None or self._thumbnail_ordered:
            return
        assert job.result is not None
        self._thumbnail_ordered = True
        side = round(THUMBNAIL * self.devicePixelRatioF())
        self.background.run(
            partial(thumbnail, self._services.project, job.result, job.path, side),
            partial(self._thumbnail_came, job.id),
            self.tell,
        )

    def _thumbnail_came(self, id: str, image: QImage) -> None:
        self._thumbnail_ordered = False
        self.controls.show_thumbnail(id, image)
        self._next_thumbnail()

    def _job_updated(self, id: str) -> None:
        job = self.model.job(id)
        if job is None:
            return
        self.controls.update_job(job)
        if id == self.controls.current and job.result is None:
            self.stage.say(job.status())
            if job.preview is not None:
                image = image_from_array(job.preview)
                self.stage.show_photo(image, (image.width(), image.height()))

    def _job_recovered(self, id: str) -> None:
        self._next_thumbnail()
        if id == self.controls.current or not self.controls.current:
            self.controls.select(id)
            self.show_job(id)

    def _opened(self, result: int, opened: Opened) -> None:
        self.stage.say("")
        self.export.set_frames(len(opened.recoveries))
        self.people.show(result, opened)

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
        request = {"do": "pick", **view_of(mesh, mesh.width(), mesh.height())}
        request |= {"keys": list(range(len(self.people.figures))), "x": point.x(), "y": point.y()}
        self.poser.ask(request, self._pick_came, self.tell, "pick")

    def _pick_came(self, answer: dict[str, Any]) -> None:
        if not answer:
            self.stage.caption("")
            return
        self.people.choose(int(answer["key"]))
        joint = int(answer["joint"])
        self.pose.choose(joint)
        self.stage.caption(
            f"Person {answer['key'] + 1} · {words(JOINT_NAMES[joint])} · vertex {answer['vertex']}"
        )
