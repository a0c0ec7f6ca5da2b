"""The ways between cameras while they are edited: what is selected, what is known of it; no widgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from desktop.tracks.graph_layout import places
from engine.tracks import network_edits as say
from engine.tracks.cameras import Camera, Point

if TYPE_CHECKING:
    from collections.abc import Callable

    from desktop.background import Background
    from desktop.tracks.model import TracksModel
    from engine.errors import EngineError
    from engine.tracks.tracklets import TrackState
    from engine.tracks.way_times import Clock, WayTimes

NOTHING = -1
Port = tuple[int, int | None]
"""A camera, and one of its zones or the camera as a whole."""
Pairs = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Way:
    """From a zone of a camera, or the camera as a whole, to another camera, perhaps a zone of it."""

    start: Port
    end: Port

    @property
    def cameras(self) -> tuple[int, int]:
        """The two."""
        return self.start[0], self.end[0]


@dataclass(frozen=True)
class Known:
    """What tracks tell of ways and clocks."""

    times: Mapping[tuple[int, int], WayTimes]
    clocks: Sequence[Clock | None]
    learnt: Mapping[tuple[int, int], tuple[float, float]]
    """Windows, where enough times are sure."""


def ways_between(cameras: Sequence[Camera]) -> list[Way]:
    """All ways that zones and neighbours say; a neighbour that a zone leads to is not told twice."""
    names = {camera.name: at for at, camera in enumerate(cameras)}
    found = []
    for at, camera in enumerate(cameras):
        reached = set()
        for number, zone in enumerate(camera.zones):
            to = names.get(zone.leads_to, at)
            if to != at:
                zones = [other.name for other in cameras[to].zones]
                into = zones.index(zone.leads_into) if zone.leads_into in zones else None
                found.append(Way((at, number), (to, into)))
                reached.add(to)
        for name in camera.neighbours:
            to = names.get(name, at)
            if to != at and to not in reached:
                found.append(Way((at, None), (to, None)))
    return found


class GraphEditing(QObject):
    """See the module. Every edit is one of the scene's, with undo; what does not fit is told.

    Signals
    -------
    changed
        Cameras, ways, or what is selected.
    known_changed
        What tracks tell of them.

    Attributes
    ----------
    camera, way
        What is selected: a position or :data:`NOTHING`, a way or ``None``; at most one of the two.
    both
        Whether a new way is made back as well.
    known
        See :class:`Known`; ``None`` where nobody has looked yet, or there are no tracks.
    """

    changed = Signal()
    known_changed = Signal()

    def __init__(
        self,
        model: TracksModel,
        background: Background,
        tell: Callable[[EngineError], object],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._model, self._background, self._tell = model, background, tell
        self.camera, self.way = NOTHING, None
        self.both = True
        self.known: Known | None = None
        self.confident: Pairs = ()
        """Links of which the association was sure: pairs of tracklets."""
        self._moving: tuple[int, Point] | None = None
        self._places: list[Point] = []
        self._looking = False
        self._version = 0
        self._scene: object = None
        model.opened.connect(self._opened)
        model.cameras_changed.connect(self._renew)
        model.changed.connect(self._forget)

    # --- looking ----------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether times are being looked for."""
        return self._looking

    @property
    def cameras(self) -> Sequence[Camera]:
        """Of the open scene."""
        scene = self._model.scene
        return () if scene is None else scene.cameras

    @property
    def ways(self) -> list[Way]:
        """All of them."""
        return ways_between(self.cameras)

    @property
    def overlaps(self) -> list[tuple[int, int]]:
        """Pairs of cameras that see one place."""
        names = {camera.name: at for at, camera in enumerate(self.cameras)}
        pairs = {
            (min(at, names[name]), max(at, names[name]))
            for at, camera in enumerate(self.cameras)
            for name in camera.overlaps
            if name in names
        }
        return sorted(pairs)

    def place(self, camera: int) -> Point:
        """Where a camera is drawn."""
        if self._moving is not None and self._moving[0] == camera:
            return self._moving[1]
        return self._places[camera]

    def words(self, way: Way) -> str:
        """From where to where."""
        return f"{self._port(way.start)} → {self._port(way.end)}"

    def _port(self, port: Port) -> str:
        camera = self.cameras[port[0]]
        return camera.name if port[1] is None else f"{camera.name} {camera.zones[port[1]].name}"

    def window(self, one: int, other: int) -> tuple[float, float] | None:
        """What somebody said that a way takes."""
        window = self.cameras[one].window_to(self.cameras[other].name)
        return None if window is None else (window.least, window.most)

    def learnt(self, one: int, other: int) -> tuple[float, float] | None:
        """What is learnt of it; ``None`` where too little is known."""
        return None if self.known is None else self.known.learnt.get((one, other))

    def times(self, one: int, other: int) -> WayTimes | None:
        """How long it took."""
        return None if self.known is None else self.known.times.get((one, other))

    def clock(self, camera: int) -> Clock | None:
        """What the camera's clock should be."""
        clocks = () if self.known is None else self.known.clocks
        return clocks[camera] if camera < len(clocks) else None

    # --- choosing ---------------------------------------------------------------------------------

    def select(self, camera: int = NOTHING, way: Way | None = None) -> None:
        """Select a camera, a way, or nothing."""
        if (camera, way) != (self.camera, self.way):
            self.camera, self.way = camera, way
            self.changed.emit()

    # --- editing ----------------------------------------------------------------------------------

    def connect_ports(self, start: Port, end: Port) -> bool:
        """A way from one to the other; with :attr:`both` back as well, where that is free."""
        cameras = list(self.cameras)
        way = Way(start, end)

        def make(_cameras: Sequence[Camera]) -> Mapping[int, Camera]:
            changed = dict(say.with_way(cameras, start, end))
            if self.both and self._can_return(way):
                after = [changed.get(at, camera) for at, camera in enumerate(cameras)]
                changed |= say.with_way(after, end, start)
            return changed

        if start[0] == end[0]:
            self._tell_same()
            return False
        done = self._model.edit_cameras(f"Way {self.words(way)}", make)
        if done:
            self.select(way=next((w for w in self.ways if w == way), None))
        return done

    def _tell_same(self) -> None:
        from engine.errors import invalid_input

        self._tell(invalid_input("A way leads to another camera; nothing was changed."))

    def _can_return(self, way: Way) -> bool:
        """Whether the other side is free to lead back."""
        (one, _), (other, arrives) = way.start, way.end
        if arrives is None:
            return way.start[1] is None and self.cameras[one].name not in self.cameras[other].neighbours
        zone = self.cameras[other].zones[arrives]
        return not zone.ignored and not zone.leads_to

    def delete(self) -> None:
        """Take the selected way away."""
        way = self.way
        if way is None:
            return
        text = f"No way {self.words(way)} any more"
        self.select()
        (one, zone), other = way.start, way.end[0]
        self._model.edit_cameras(text, lambda cameras: say.without_way(cameras, one, other, zone))

    def set_window(self, window: tuple[float, float] | None) -> None:
        """How long the selected way takes; ``None``: that is learnt."""
        if self.way is None or window == self.window(*self.way.cameras):
            return
        one, other = self.way.cameras
        names = f"{self.cameras[one].name} → {self.cameras[other].name}"
        told = "is learnt" if window is None else f"takes {window[0]:g} to {window[1]:g} s"
        done = self._model.edit_cameras(
            f"{names} {told}", lambda cameras: say.with_window(cameras, one, other, window)
        )
        if not done:
            self.changed.emit()

    def set_overlap(self, one: int, other: int, on: bool) -> None:
        """Whether two cameras see one place."""
        names = f"{self.cameras[one].name} and {self.cameras[other].name}"
        self._model.edit_cameras(
            f"{names} {'see' if on else 'do not see'} one place",
            lambda cameras: say.with_overlap(cameras, one, other, on),
        )

    def set_offset(self, camera: int, seconds: float) -> None:
        """When a camera's frame 0 was taken."""
        if seconds != self.cameras[camera].offset:
            self._model.edit_cameras(
                f"Clock of {self.cameras[camera].name} set to {seconds:+g} s",
                lambda cameras: say.with_offset(cameras, camera, seconds),
            )

    def move(self, camera: int, x: float, y: float) -> None:
        """Put a camera somewhere else for a trial."""
        self._moving = camera, (x, y)
        self.changed.emit()

    def let_go(self) -> None:
        """It stays there."""
        moving, self._moving = self._moving, None
        if moving is not None and moving[1] != self._places[moving[0]]:
            camera, (x, y) = moving
            name = self.cameras[camera].name
            self._model.edit_cameras(
                f"{name} put elsewhere", lambda cameras: say.with_place(cameras, camera, x, y)
            )

    # --- what tracks tell ---------------------------------------------------------------------------

    def look(self) -> None:
        """Find out how long ways took, beside the window's thread; nothing where that is known."""
        state = self._model.state
        if state is None or self.known is not None or self._looking:
            return
        self._looking = True
        work = partial(_look, state.copy(), tuple(self.cameras), tuple(self.confident))
        self._background.run(work, partial(self._came, self._version), self._lost)

    def _came(self, version: int, known: Known) -> None:
        self._looking = False
        if version == self._version:
            self.known = known
            self.known_changed.emit()
            self.changed.emit()
        else:
            self.look()

    def _lost(self, error: EngineError) -> None:
        self._looking = False
        self._tell(error)

    def use_links(self, confident: Pairs) -> None:
        """Links of which the association was sure."""
        self.confident = tuple(confident)
        self._forget()

    def _forget(self) -> None:
        self.known = None
        self._version += 1
        self.known_changed.emit()

    def _opened(self) -> None:
        self._moving = None
        if self._model.scene is not self._scene:  # else only another result is shown
            self._scene, self.camera, self.way = self._model.scene, NOTHING, None
        self._renew()

    def _renew(self) -> None:
        self._places = places(self.cameras)
        if self.way is not None and self.way not in self.ways:
            self.way = None
        if self.camera >= len(self.cameras):
            self.camera = NOTHING
        self._forget()
        self.changed.emit()


def _look(state: TrackState, cameras: tuple[Camera, ...], confident: Pairs) -> Known:
    from engine.tracks.way_times import clocks, learnt_window, way_times, zone_times

    times = way_times(state, cameras, confident)
    learnt = {way: learnt_window(cameras, times, *way) for way in times}
    return Known(
        times,
        clocks(cameras, zone_times(state, cameras)),
        {way: window for way, window in learnt.items() if window is not None},
    )
