"""The zones of one camera while they are edited: what is selected, drawn or dragged; no widgets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QObject, Signal

from engine.errors import EngineError, invalid_input
from engine.tracks import network_edits as say
from engine.tracks.cameras import Camera, Point, Zone
from engine.tracks.zone_shapes import clipped, moved, shape_problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from desktop.tracks.model import TracksModel

NOTHING = -1
UNKNOWN_SIZE = 1920.0, 1080.0


class ZoneEditing(QObject):
    """See the module. Every edit is one of the scene's, with undo; what does not fit is told.

    Signals
    -------
    changed
        Zones, or what is selected, drawn or dragged.
    shown
        Another camera is edited, or none.

    Attributes
    ----------
    camera
        Position of the camera; :data:`NOTHING` for none.
    zone, corner
        Numbers of what is selected; :data:`NOTHING`.
    draft
        Corners of the zone that is being drawn; ``None`` while none is.
    trial
        Outline of the selected zone while it is dragged.
    """

    changed = Signal()
    shown = Signal()

    def __init__(
        self, model: TracksModel, tell: Callable[[EngineError], object], parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._model, self._tell = model, tell
        self.camera = self.zone = self.corner = NOTHING
        self.draft: list[Point] | None = None
        self.trial: tuple[Point, ...] | None = None
        self.picture: tuple[float, float] | None = None
        """Size of the video's frames, where the camera does not say it."""
        model.opened.connect(self._opened)
        model.cameras_changed.connect(self._renew)

    # --- looking ----------------------------------------------------------------------------------

    @property
    def cameras(self) -> Sequence[Camera]:
        """Of the open scene."""
        scene = self._model.scene
        return () if scene is None else scene.cameras

    @property
    def shown_camera(self) -> Camera | None:
        """The one that is edited, as it would be if the mouse were let go."""
        if not 0 <= self.camera < len(self.cameras):
            return None
        camera = self.cameras[self.camera]
        if self.trial is None or not 0 <= self.zone < len(camera.zones):
            return camera
        zones = list(camera.zones)
        zones[self.zone] = replace(zones[self.zone], polygon=self.trial)
        return camera.with_zones(tuple(zones))

    @property
    def size(self) -> tuple[float, float]:
        """Of the camera's pictures."""
        return UNKNOWN_SIZE if self.shown_camera is None else self.size_of(self.camera)

    def size_of(self, at: int) -> tuple[float, float]:
        """Of the pictures of any camera; without any, all of its boxes are within."""
        camera, scene = self.cameras[at], self._model.scene
        if camera.width and camera.height:
            return float(camera.width), float(camera.height)
        if self.picture is not None and at == self.camera:
            return self.picture
        assert scene is not None
        boxes = scene.detections
        own = boxes.xywh[boxes.cameras == at]
        right, bottom = (own[:, :2] + own[:, 2:]).max(axis=0) if len(own) else (0.0, 0.0)
        return max(UNKNOWN_SIZE[0], float(right)), max(UNKNOWN_SIZE[1], float(bottom))

    @property
    def selected(self) -> Zone | None:
        """The selected zone."""
        camera = self.shown_camera
        there = camera is not None and 0 <= self.zone < len(camera.zones)
        return camera.zones[self.zone] if there and camera is not None else None

    def problem(self) -> str:
        """What is wrong with the outline that is drawn or dragged."""
        if self.trial is not None:
            return shape_problem(self.trial, *self.size)
        if self.draft is not None and len(self.draft) > 2:
            return shape_problem(self.draft, *self.size)
        return ""

    # --- choosing ---------------------------------------------------------------------------------

    def show(self, camera: int) -> None:
        """Edit another camera's zones."""
        if camera != self.camera and 0 <= camera < len(self.cameras):
            self.camera, self.zone, self.corner = camera, NOTHING, NOTHING
            self.draft = self.trial = self.picture = None
            self.shown.emit()
            self.changed.emit()

    def select(self, zone: int, corner: int = NOTHING) -> None:
        """Select a zone, and perhaps one of its corners."""
        if (zone, corner) != (self.zone, self.corner):
            self.zone, self.corner = zone, corner
            self.changed.emit()

    def step_corner(self, by: int) -> None:
        """Select the next corner, or the one before."""
        zone = self.selected
        if zone is not None:
            start = self.corner if self.corner != NOTHING else (0 if by < 0 else -1)
            self.select(self.zone, (start + by) % len(zone.polygon))

    # --- drawing ----------------------------------------------------------------------------------

    def begin(self) -> None:
        """Draw a new zone, corner after corner."""
        if self.shown_camera is not None:
            self.draft, self.zone, self.corner = [], NOTHING, NOTHING
            self.changed.emit()

    def add(self, point: Point) -> None:
        """The next corner of what is drawn."""
        if self.draft is not None:
            (corner,) = clipped([point], *self.size)
            if not self.draft or math.dist(corner, self.draft[-1]) >= 1:
                self.draft.append(_round(corner))
                self.changed.emit()

    def back(self) -> None:
        """Take the last corner back."""
        if self.draft:
            self.draft.pop()
            self.changed.emit()

    def cancel(self) -> bool:
        """Draw, or drag, nothing any more; False where nothing was."""
        busy = self.draft is not None or self.trial is not None
        self.draft = self.trial = None
        if busy:
            self.changed.emit()
        return busy

    def finish(self) -> bool:
        """Close what is drawn: it is a zone. False, and told, where it cannot be one."""
        camera, draft = self.shown_camera, self.draft
        if camera is None or draft is None:
            return False
        if problem := shape_problem(draft, *self.size):
            self._tell(invalid_input(f"{problem} The zone was not made.", _HINT))
            return False
        name = say.free_zone_name(camera)
        zone = Zone(name, tuple(draft))
        self.draft = None
        done = self._edit(
            f"{name} of {camera.name} drawn",
            lambda cameras: {self.camera: cameras[self.camera].with_zones((*camera.zones, zone))},
        )
        if done:
            self.select(len(camera.zones))
        self.changed.emit()
        return done

    # --- dragging ---------------------------------------------------------------------------------

    def drag_corner(self, point: Point) -> None:
        """Move the selected corner for a trial."""
        zone = self.selected
        if zone is not None and self.corner != NOTHING:
            width, height = self.size
            corners = list(zone.polygon)
            x, y = min(max(point[0], 0.0), width), min(max(point[1], 0.0), height)
            corners[self.corner] = _round((x, y))
            self.trial = tuple(corners)
            self.changed.emit()

    def drag_zone(self, start: Sequence[Point], across: float, down: float) -> None:
        """Move the selected zone, from where it was, for a trial."""
        if self.selected is not None:
            self.trial = tuple(map(_round, moved(start, across, down, *self.size)))
            self.changed.emit()

    def insert(self, side: int, point: Point) -> None:
        """A new corner on a side of the selected zone, for a trial; it is selected."""
        zone = self.selected
        if zone is not None:
            corners = [*zone.polygon[: side + 1], _round(point), *zone.polygon[side + 1 :]]
            self.trial, self.corner = tuple(corners), side + 1
            self.changed.emit()

    def split_side(self) -> None:
        """A new corner in the middle of the side after the selected corner, or the first."""
        zone = self.selected
        if zone is not None:
            at = max(self.corner, 0)
            one, other = zone.polygon[at], zone.polygon[(at + 1) % len(zone.polygon)]
            self.insert(at, ((one[0] + other[0]) / 2, (one[1] + other[1]) / 2))
            self.let_go()

    def let_go(self) -> bool:
        """The trial is what the zone is; False, told and as before, where it cannot be."""
        trial, self.trial = self.trial, None
        zone = self.selected
        if trial is None or zone is None or trial == zone.polygon:
            self.changed.emit()
            return False
        return self._reshape(trial, f"{zone.name} reshaped")

    def nudge(self, across: float, down: float) -> None:
        """Move the selected corner, or the whole zone, by pixels."""
        zone = self.selected
        if zone is None:
            return
        if self.corner == NOTHING:
            self.drag_zone(zone.polygon, across, down)
        else:
            x, y = zone.polygon[self.corner]
            self.drag_corner((x + across, y + down))
        self.let_go()

    def delete(self) -> None:
        """Delete the selected corner, or without one the zone."""
        zone = self.selected
        if zone is None:
            return
        if self.corner != NOTHING:
            corners = zone.polygon[: self.corner] + zone.polygon[self.corner + 1 :]
            self.corner = NOTHING
            self._reshape(corners, f"Corner of {zone.name} deleted")
            return
        number, self.zone = self.zone, NOTHING
        self._edit(f"{zone.name} deleted", lambda c: say.without_zone(c, self.camera, number))

    def _reshape(self, polygon: Sequence[Point], text: str) -> bool:
        zone = self.selected
        assert zone is not None
        if problem := shape_problem(polygon, *self.size):
            self._tell(invalid_input(f"{problem} {zone.name} is as it was.", _HINT))
            self.corner = NOTHING if self.corner >= len(zone.polygon) else self.corner
            self.changed.emit()
            return False
        return self._replace(replace(zone, polygon=tuple(polygon)), text)

    # --- what zones are -----------------------------------------------------------------------------

    def rename(self, name: str) -> None:
        """Call the selected zone something else."""
        zone, name = self.selected, name.strip()
        if zone is not None and name and name != zone.name:
            self._replace(replace(zone, name=name), f"{zone.name} is called {name}")

    def lead(self, to: str, into: str = "") -> None:
        """Objects reach a camera through the selected zone (and a zone of it); an exit without one."""
        zone = self.selected
        if zone is None or (zone.leads_to, zone.leads_into, zone.ignored) == (to, into, False):
            return
        names = [camera.name for camera in self.cameras]
        text = f"{zone.name} leads to {to}" if to else f"{zone.name} is an exit"
        text += f", {into}" if into else ""
        before = zone.leads_to
        gone = {} if before in names else {"leads_to": "", "leads_into": ""}
        told = replace(zone, ignored=False, **gone)
        plain = say.with_zone(self.cameras, self.camera, self.zone, told)
        if not to:
            if before in names:
                cameras = [plain.get(at, camera) for at, camera in enumerate(self.cameras)]
                plain = say.without_way(cameras, self.camera, names.index(before), self.zone)
            self._edit(text, lambda _cameras: plain)
            return
        other = names.index(to)
        zones = [zone.name for zone in self.cameras[other].zones]
        arrives = zones.index(into) if into in zones else None
        cameras = [plain.get(at, camera) for at, camera in enumerate(self.cameras)]
        start, end = (self.camera, self.zone), (other, arrives)
        self._edit(text, lambda _cameras: say.with_way(cameras, start, end))

    def ignore(self) -> None:
        """Boxes in the selected zone say nothing."""
        zone = self.selected
        if zone is not None and not zone.ignored:
            dull = replace(zone, ignored=True, leads_to="", leads_into="")
            self._replace(dull, f"{zone.name} is ignored")

    def reorder(self, by: int) -> None:
        """Try the selected zone earlier or later than its neighbour: the first that contains counts."""
        camera, to = self.shown_camera, self.zone + by
        if camera is None or self.selected is None or not 0 <= to < len(camera.zones):
            return
        zones = list(camera.zones)
        zones[self.zone], zones[to] = zones[to], zones[self.zone]
        name = self.selected.name
        self.zone = to
        self._edit(
            f"{name} is zone {to + 1}", lambda cameras: {self.camera: camera.with_zones(tuple(zones))}
        )

    def copy_to(self, target: int) -> None:
        """Give another camera these zones."""
        one, other = self.cameras[self.camera].name, self.cameras[target].name
        self._edit(
            f"Zones of {one} copied to {other}",
            lambda cameras: say.copied_zones(cameras, self.camera, target),
        )

    def add_zones(self, zones: Mapping[int, Sequence[Zone]], text: str) -> bool:
        """Further zones of some cameras, where there is none yet; False where none is left over."""
        changed: dict[int, Camera] = {}
        for at, wanted in zones.items():
            camera = self.cameras[at]
            for zone in wanted:
                middle = np.array([zone.polygon], np.float64).mean(axis=1)
                if camera.zone_of(middle)[0] < 0:
                    named = replace(zone, name=say.free_zone_name(camera, zone.name))
                    camera = camera.with_zones((*camera.zones, named))
            if camera.zones != self.cameras[at].zones:
                changed[at] = camera
        return bool(changed) and self._model.edit_cameras(text, lambda _cameras: changed)

    def put(self, zones: Mapping[int, tuple[Zone, ...]], text: str) -> bool:
        """Zones of a file instead of those of some cameras."""
        return self._edit(
            text, lambda cameras: {at: cameras[at].with_zones(own) for at, own in zones.items()}
        )

    def _replace(self, zone: Zone, text: str) -> bool:
        return self._edit(text, lambda cameras: say.with_zone(cameras, self.camera, self.zone, zone))

    def _edit(self, text: str, make: Callable[[Sequence[Camera]], Mapping[int, Camera]]) -> bool:
        name = "" if self.shown_camera is None else f"{self.shown_camera.name}: "
        done = self._model.edit_cameras(f"{name}{text}", make)
        if not done:
            self.changed.emit()
        return done

    # --- what happens elsewhere ---------------------------------------------------------------------

    def _opened(self) -> None:
        self.camera = min(max(self.camera, 0), len(self.cameras) - 1)
        self.zone = self.corner = NOTHING
        self.draft = self.trial = self.picture = None
        self.shown.emit()
        self.changed.emit()

    def _renew(self) -> None:
        self.trial = None
        zone = self.selected
        if zone is None:
            self.zone = self.corner = NOTHING
        elif self.corner >= len(zone.polygon):
            self.corner = NOTHING
        self.changed.emit()


_HINT = "Move its corners, or draw it anew; Esc stops drawing."


def _round(point: Point) -> Point:
    """To a tenth of a pixel."""
    return (float(np.round(point[0], 1)), float(np.round(point[1], 1)))
