"""The Tracks page: open a scene, track it, review who is who on one timeline, correct, export."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtWidgets import QFileDialog, QStackedWidget, QTabWidget, QVBoxLayout, QWidget

from desktop.background import Background
from desktop.services import Page, Services
from desktop.tracks.controls import Controls
from desktop.tracks.crops import CropLoader
from desktop.tracks.editing import Editing
from desktop.tracks.example import make_example
from desktop.tracks.flows import FlowsPanel
from desktop.tracks.graph_editor import GraphEditor
from desktop.tracks.identity_card import IdentityCard
from desktop.tracks.importing import (
    TRACK_SUFFIXES,
    VISITS,
    Comparison,
    compare,
    export_tracks,
    is_scene,
    looks_usable,
    scene_of_tracks,
    scene_of_videos,
    tracks_of,
)
from desktop.tracks.jobs import ASSOCIATE, DETECT, TRACK, TrackJobs
from desktop.tracks.link_arcs import LinkArcs
from desktop.tracks.links import Link, LinksPanel, read_left_out, read_links
from desktop.tracks.model import TracksModel
from desktop.tracks.modes import WAYS, ZONES, Modes
from desktop.tracks.page_actions import WORKSPACE, define_actions
from desktop.tracks.panels import EditsPanel, IdentitiesPanel, MeasuresPanel
from desktop.tracks.proxies import ProxyMaker
from desktop.tracks.relinking import Relinking, RelinkingPanel
from desktop.tracks.review import Review
from desktop.tracks.review_panel import ReviewPanel
from desktop.tracks.stage import TimePanel, TracksStage
from desktop.tracks.undo import SceneUndo
from desktop.tracks.zone_editor import ZoneEditor
from desktop.widgets.page_frame import PageFrame
from desktop.widgets.parts import EmptyState, button
from engine.errors import EngineError
from engine.suffixes import VIDEO_SUFFIXES
from engine.tracks.boxes import NO_TRACK
from engine.tracks.edits import confirmed_identities
from engine.tracks.formats import TrackFile
from engine.tracks.scene import Scene

INSPECTOR_WIDTH = 330
EXPORTS = {
    "CSV (*.csv)": ("csv", ".csv"),
    "MOTChallenge (*.txt)": ("mot", ".txt"),
    "AI City (*.txt)": ("aicity", ".txt"),
    "AI City submission (*.txt)": ("aicity_submission", ".txt"),
    "AI City submission, boxes enlarged (*.txt)": ("aicity_enlarged", ".txt"),
    "CVAT for video (*.xml)": ("cvat", ".xml"),
    "COCO-VID (*.json)": ("coco_vid", ".json"),
    "Visits of cameras (*.csv)": (VISITS, ".csv"),
}


class TracksPage(Page):
    """See the module."""

    workspace = WORKSPACE
    title = "Tracks"
    icon = "path"

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        self._started = False
        self.background = Background(self)
        self.model = TracksModel(self.background, self.tell, self)
        self._undo = SceneUndo(services.undo)
        self._undo.attach(self.model)
        self.jobs = TrackJobs(services.project, services.bridge, self)
        self._build()
        self._connect()
        self._opened()

    def _build(self) -> None:
        theme = self._services.theme
        self.controls = Controls(theme)
        self.stage = TracksStage(theme, self.model)
        self.time = TimePanel(theme, self.model, self.stage)
        self.editing = Editing(self.model, lambda: self.stage.time, self.tell, self.stage.say, self)
        self.review = Review(self.model, self.stage, self.tell, self)
        self.crops = CropLoader(self)
        self.suspicious = ReviewPanel(theme, self.review, self.model, self.time.timeline, self.crops)
        self.identities, self.edits = IdentitiesPanel(), EditsPanel()
        self.card = IdentityCard(theme, self.model, self.crops, self.tell)
        self.identities.add(self.card)
        self.proxies = ProxyMaker(self._services.project.folder / "cache" / "proxies", self)
        self.links, self.measures = LinksPanel(theme), MeasuresPanel(theme)
        self.arcs = LinkArcs(self.model, self.time.timeline, self)
        self.relinking = Relinking(self.model, self.tell, self)
        self.relink = RelinkingPanel(theme, self.relinking, self.model)
        linking = QWidget()
        both = QVBoxLayout(linking)
        both.setContentsMargins(0, 0, 0, 0)
        both.addWidget(self.links, 1)
        both.addWidget(self.relink, 1)
        self.inspector = QTabWidget()
        self.inspector.setDocumentMode(True)
        self.inspector.addTab(self.suspicious, "Review")
        self.inspector.addTab(self.identities, "Who")
        self.inspector.addTab(linking, "Links")
        self.inspector.addTab(self.edits, "Edits")
        self.inspector.addTab(self.measures, "Measures")
        self.flows = FlowsPanel(theme, self.model, self.tell)
        self.inspector.addTab(self.flows, "Flows")
        welcome = EmptyState(
            theme,
            self.icon,
            "Who went where, across cameras",
            "Drop videos, a file of boxes or tracks, or a scene's folder here: follow everybody on one "
            "timeline, correct what the tracker got wrong, measure and export.",
            (
                button("Run the example", self.start_example, "primary"),
                button("Open a scene…", self.ask_scene),
                button("Import files…", self.ask_files),
            ),
            role=WORKSPACE,
        )
        self.centre = QStackedWidget()
        self.zones = ZoneEditor(theme, self.model, self.background, self.tell, self.say)
        self.ways = GraphEditor(theme, self.model, self.background, self.tell, self.say)
        self.modes = Modes(
            (
                ("Wall", "All cameras at the playhead (Shift+W)", self.stage),
                ("Zones", "Where things come in and go out (Shift+V)", self.zones),
                ("Ways", "From camera to camera, and how long that takes (Shift+G)", self.ways),
            )
        )
        self.side = QStackedWidget()
        self.side.setMinimumWidth(INSPECTOR_WIDTH)
        self.side.addWidget(self.inspector)
        self.side.addWidget(self.zones.panel)
        self.side.addWidget(self.ways.panel)
        self.centre.addWidget(welcome)
        self.centre.addWidget(self.modes)
        self.footer = QWidget()
        column = QVBoxLayout(self.footer)
        self.detect_button = button("Detect in the videos", self.detect)
        self.detect_button.setToolTip("Find boxes in the videos, with their appearance, to be tracked")
        column.addWidget(self.detect_button)
        self.run_button = button("Track", self.run_main_action, "primary")
        self.run_button.setToolTip("Link the boxes of this scene with the chosen tracker (Ctrl+Return)")
        column.addWidget(self.run_button)
        self.link_button = button("Link across cameras", self.associate)
        self.link_button.setToolTip("Find the same objects in several cameras by looks, zones and time")
        column.addWidget(self.link_button)
        self.frame = PageFrame(
            self._services,
            WORKSPACE,
            self.controls,
            self.centre,
            self.time,
            self.side,
            self.footer,
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.frame)

    def _connect(self) -> None:
        model, controls, stage, editing = self.model, self.controls, self.stage, self.editing
        controls.open_wanted.connect(self.ask_scene)
        controls.import_wanted.connect(self.ask_files)
        controls.export_wanted.connect(self.ask_export)
        controls.result_chosen.connect(model.choose_result)
        controls.camera_chosen.connect(stage.wall.show_camera)
        controls.camera_chosen.connect(self.zones.show_camera)
        self.modes.changed.connect(self._mode_changed)
        stage.time_changed.connect(self.zones.set_time)
        model.cameras_changed.connect(self._cameras_changed)
        stage.wall.clicked.connect(self._box_clicked)
        self.proxies.made.connect(stage.wall.use_proxy)
        self.proxies.progressed.connect(stage.show_work)
        stage.work.clicked.connect(self.proxies.stop)
        stage.wall.drawn.connect(editing.box_drawn)
        model.opened.connect(self._opened)
        model.changed.connect(self._changed)
        model.selected.connect(self._selected)
        model.edited.connect(self._edited)
        model.asked.connect(lambda text: stage.say(text, "warn"))
        self.identities.chosen.connect(model.select_identity)
        self.identities.filter.textChanged.connect(lambda _text: self._fill_identities())
        self.suspicious.strip.chosen.connect(
            lambda crop: self._go_to(crop.camera, crop.frame, NO_TRACK)
        )
        self.card.place_wanted.connect(lambda crop: self._go_to(crop.camera, crop.frame, NO_TRACK))
        self.links.chosen.connect(self._show_link)
        self.links.judged.connect(self._judge_link)
        self.links.shown.connect(self._show_tracklets)
        self.relink.chosen.connect(self._show_tracklets)
        self.measures.truth_wanted.connect(self.ask_truth)
        self.measures.error_chosen.connect(self._go_to)
        self.jobs.progressed.connect(stage.say)
        self.jobs.tracked.connect(self._tracked)
        self.jobs.detected.connect(self._detected)
        define_actions(self, self._services)

    # --- page protocol ----------------------------------------------------------------------------

    def activate(self) -> None:
        """Open the scene of last time at the first visit."""
        if not self._started:
            self._started = True
            last = str(self._services.project.get("tracks.scene") or "")
            if last and is_scene(Path(last)):
                self.model.open(Path(last))

    def run_main_action(self) -> None:
        """Track the open scene, or ask for one."""
        scene = self.model.scene
        if scene is None:
            self.ask_scene()
            return
        self._submit(TRACK, self.controls.track_params())

    def detect(self) -> None:
        """Find boxes in the scene's videos."""
        self._submit(DETECT, self.controls.detect_params())

    def associate(self) -> None:
        """Find the same objects in several cameras."""
        if self.model.result is not None:
            self._submit(ASSOCIATE, {"result": self.model.result.name})

    def _submit(self, kind: str, params: dict[str, Any]) -> None:
        scene = self.model.scene
        assert scene is not None
        try:
            self.jobs.submit(kind, scene.folder, params)
        except EngineError as error:
            self.tell(error)
            return
        self.stage.say("Waiting for the engine…")

    def can_accept(self, paths: Sequence[Path]) -> bool:
        """Scenes, videos, files of boxes."""
        return any(looks_usable(path) for path in paths)

    def accept(self, paths: Sequence[Path]) -> None:
        """Open a scene, or make one of videos or of a file."""
        usable = [path for path in paths if looks_usable(path)]
        if not usable:
            return
        if is_scene(usable[0]):
            self.model.open(usable[0])
            return
        folder = self._services.project.folder / "scenes"
        videos = [path for path in usable if path.suffix.lower() in VIDEO_SUFFIXES]
        make = partial(scene_of_videos, videos) if videos else partial(scene_of_tracks, usable[0])
        notes: list[str] = []

        def made() -> Scene:
            result = make(folder)
            notes.extend(result.notes)
            return result.scene

        self.stage.say("Reading…")
        self.model.open_made(made)
        # The background works in order: what was noted is complete by then.
        self.background.run(lambda: notes, self._imported, self.tell)

    def start_example(self) -> None:
        """A synthetic crossing with three cameras."""
        self.stage.say("Making the example…")
        self.model.open_made(partial(make_example, self._services.project.folder / "scenes"))

    def ask_scene(self) -> None:
        """Choose a scene's folder."""
        chosen = QFileDialog.getExistingDirectory(self, "Folder of a scene")
        if chosen:
            self.model.open(Path(chosen))

    def ask_files(self) -> None:
        """Choose videos, or a file of boxes."""
        endings = " ".join(f"*{ending}" for ending in sorted(VIDEO_SUFFIXES | TRACK_SUFFIXES))
        names, _ = QFileDialog.getOpenFileNames(
            self, "Videos, or a file of boxes or tracks", "", f"Videos, boxes, tracks ({endings})"
        )
        self.accept([Path(name) for name in names])

    def ask_export(self) -> None:
        """Choose where the tracks go."""
        if self.model.state is None:
            self._services.notifications.post(
                "warning", "There are no tracks to export yet.", hint="Track the scene first."
            )
            return
        name, chosen = QFileDialog.getSaveFileName(
            self, "Export tracks", "tracks.csv", ";;".join(EXPORTS)
        )
        if name:
            format, suffix = EXPORTS.get(chosen, EXPORTS["CSV (*.csv)"])
            self.export_to(Path(name) if Path(name).suffix else Path(name + suffix), format)

    def export_to(self, path: Path, format: str) -> None:
        """Write the tracks, edits included; ids are identities."""
        own = self._own_tracks()
        self.background.run(
            lambda: export_tracks(own(), path, format), partial(self._exported, path), self.tell
        )

    def _own_tracks(self) -> Callable[[], TrackFile]:
        """Makes the file of the tracks as they are now, beside the window's thread."""
        scene, state = self.model.scene, self.model.state
        assert scene is not None
        assert state is not None
        return partial(tracks_of, scene.cameras, scene.class_names, state.copy())

    def ask_truth(self) -> None:
        """Choose the true tracks."""
        if self.model.state is None:
            return
        name, _ = QFileDialog.getOpenFileName(
            self, "File of true tracks", "", "Tracks (*.txt *.json *.xml *.csv)"
        )
        if name:
            self.compare_with(Path(name))

    def compare_with(self, path: Path) -> None:
        """Measure the tracks."""
        own = self._own_tracks()
        self.measures.text.setText("Comparing…")
        self.background.run(lambda: compare(own(), path), self._compared, self.tell)

    def tell(self, error: EngineError) -> None:
        """Say what went wrong."""
        self.say("")
        self._services.notifications.tell(error)

    def say(self, text: str, role: str = "muted") -> None:
        """One line on the side of the stage that is in sight."""
        if self.modes.current == ZONES:
            self.zones.say(text)
        elif self.modes.current == WAYS:
            self.ways.say(text)
        else:
            self.stage.say(text, role)

    # --- what happens -----------------------------------------------------------------------------

    def _opened(self) -> None:
        scene, result = self.model.scene, self.model.result
        if scene is None:
            self.crops.open(None)
            self.proxies.open(None)
        else:
            self.crops.open(scene.folder, scene.cameras)
            self.proxies.open(scene.folder, scene.cameras)
        self.centre.setCurrentIndex(0 if scene is None else 1)
        self.time.setVisible(scene is not None and self.modes.current != WAYS)
        self.controls.show_scene(scene, result)
        videos = scene is not None and any(camera.video for camera in scene.cameras)
        boxes = scene is not None and bool((scene.detections.tracks == NO_TRACK).any())
        self.detect_button.setVisible(videos)
        self.detect_button.setEnabled(scene is not None and not len(scene.detections))
        self.run_button.setEnabled(boxes)
        several = scene is not None and len(scene.cameras) > 1
        self.link_button.setVisible(several)
        self.link_button.setEnabled(result is not None)
        self.relink.setVisible(several and result is not None)
        self._links_came([])
        if result is not None:
            self.background.run(
                partial(read_links, self._services.project, result), self._links_came, self.tell
            )
            self.background.run(
                partial(read_left_out, self._services.project, result),
                self.links.show_left_out,
                self.tell,
            )
        if scene is not None and result is None:
            self.stage.say("Not tracked yet." if boxes else "No boxes yet: detect, or import a file.")
        elif scene is None:
            self.stage.say("")
        if scene is not None:
            self._services.project.put("tracks.scene", str(scene.folder))
        self._changed()
        self._selected()
        self.edits.fill(self.model.log())

    def _changed(self) -> None:
        self._fill_identities()
        self.measures.forget()

    def _fill_identities(self) -> None:
        scene, state = self.model.scene, self.model.state
        confirmed = frozenset([] if state is None else confirmed_identities(state))
        self.identities.fill(self.model.spans, () if scene is None else scene.cameras, confirmed)

    def _selected(self) -> None:
        identity, state, scene = self.model.identity, self.model.state, self.model.scene
        if identity is None or state is None or scene is None:
            self.identities.show_selection(None, (), ())
            return
        members = (self.model.span(name) for name in state.members(identity))
        own = [span for span in members if span is not None]
        self.identities.show_selection(identity, own, scene.cameras)

    def draw_zone(self) -> None:
        """Begin a zone of the camera that is shown, or stop drawing it."""
        if self.model.scene is not None:
            self.modes.show_side(ZONES)
            self.zones.draw()

    def _mode_changed(self, side: int) -> None:
        self.stage.play(0.0)
        self.side.setCurrentIndex(side)
        self.time.setVisible(side != WAYS and self.model.scene is not None)
        if side == ZONES:
            self.zones.activate()
        elif side == WAYS:
            self.ways.activate()

    def _cameras_changed(self) -> None:
        scene = self.model.scene
        assert scene is not None
        self.controls.show_cameras(scene.cameras)

    def _edited(self, text: str) -> None:
        self.say(f"{text}.")
        self.edits.fill(self.model.log())

    def _box_clicked(self, tracklet: int | None, extend: bool) -> None:
        if tracklet is None:
            self.model.select([])
        elif extend:
            self.model.extend(tracklet)
        else:
            self.model.select([tracklet])

    def go_to_end(self, *, first: bool) -> None:
        """Move the playhead to the first or last frame of the selected tracklet."""
        chosen = [self.model.span(name) for name in self.model.selection[:1]]
        scene = self.model.scene
        for span in chosen:
            if span is not None and scene is not None:
                camera = scene.cameras[span.camera]
                self.stage.set_time(camera.offset + (span.first if first else span.last) / camera.fps)

    def _go_to(self, camera: int, frame: int, identity: int) -> None:
        scene, state = self.model.scene, self.model.state
        if scene is None or state is None:
            return
        self.stage.wall.show_camera(camera)
        self.stage.set_time(scene.cameras[camera].offset + frame / scene.cameras[camera].fps)
        if identity != NO_TRACK and identity in state.identities:
            own = [name for name in state.members(identity) if state.camera_of(name) == camera]
            self.model.select(own)

    def _links_came(self, links: list[Link]) -> None:
        self.links.show_links(links)
        self.ways.use_links(links)
        self.arcs.use_links(links)

    def _show_link(self, first: int, second: int, time: float) -> None:
        self._show_tracklets([first, second], time)

    def _show_tracklets(self, tracklets: Sequence[int], time: float) -> None:
        for tracklet in reversed(tracklets):
            span = self.model.span(tracklet)
            if span is not None:
                self.stage.wall.show_camera(span.camera)
        self.model.select(tracklets)
        self.stage.set_time(time)

    def _judge_link(self, first: int, second: int, right: bool) -> None:
        if self.editing.judge(first, second, right):
            self.links.mark(right)

    def _tracked(self, folder: str, result: int, text: str) -> None:
        self.stage.say(text)
        if self.model.scene is not None and str(self.model.scene.folder.resolve()) == folder:
            self.model.choose_result(result)

    def _detected(self, folder: str, text: str) -> None:
        self.stage.say(text)
        if self.model.scene is not None and str(self.model.scene.folder.resolve()) == folder:
            self.model.open(Path(folder))

    def _imported(self, notes: list[str]) -> None:
        if notes:
            post = self._services.notifications.post
            post(
                "info",
                notes[0] if len(notes) == 1 else f"{len(notes)} notes on the import.",
                "\n".join(notes),
            )

    def _exported(self, path: Path, notes: list[str]) -> None:
        self._services.notifications.post(
            "success", f"Saved {path.name}.", "\n".join(notes), " ".join(notes)
        )

    def _compared(self, found: Comparison) -> None:
        self.measures.show_figures(found.figures, found.errors)
        self.stage.say(f"{found.count:,} errors.")
