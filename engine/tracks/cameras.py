"""Cameras of a scene: their clocks, pictures, zones and neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import invalid_input

Point = tuple[float, float]


@dataclass(frozen=True)
class Zone:
    """A part of a camera's picture, such as the arm of a crossing.

    Attributes
    ----------
    name
        Unique in its camera.
    polygon
        At least three corners, pixels.
    leads_to
        Name of the camera that objects reach through it; empty where none is: it is an exit.
    leads_into
        Name of that camera's zone in which they arrive; empty where nobody said.
    ignored
        Boxes in it say nothing about who is where: a screen, a reflection, a car park.
    """

    name: str
    polygon: tuple[Point, ...]
    leads_to: str = ""
    leads_into: str = ""
    ignored: bool = False

    def __post_init__(self) -> None:
        flat = [value for point in self.polygon for value in point]
        if len(self.polygon) < 3 or not all(math.isfinite(value) for value in flat):
            raise invalid_input(
                f"The zone {self.name!r} was not made: it needs three corners or more.",
                "Click at least three different points.",
            )

    def contains(self, points: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Which of the points ``(N, 2)`` lie inside (even-odd rule); ``(N,)``."""
        x, y = np.asarray(points, np.float64).T
        corners = np.asarray(self.polygon, np.float64)
        inside = np.zeros(len(x), bool)
        for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            if y1 == y2:
                continue
            crosses = (y < y1) != (y < y2)
            inside ^= crosses & (x < x1 + (y - y1) / (y2 - y1) * (x2 - x1))
        return inside


@dataclass(frozen=True)
class Window:
    """How long the way to another camera takes, as somebody said; seconds between the two sights.

    Attributes
    ----------
    to
        Name of that camera.
    least, most
        Seconds; negative where both see one place.
    """

    to: str
    least: float
    most: float


@dataclass(frozen=True)
class Camera:
    """One camera.

    Attributes
    ----------
    name
        Unique in its scene.
    offset
        Seconds after the scene's beginning at which its frame 0 was taken.
    fps
        Frames a second.
    width, height
        Pixels; 0 where unknown.
    frames
        Length of its video; 0 where unknown.
    video
        Path of its video, relative to the scene's folder or absolute; empty without one.
    zones
        In the order in which they are tried: a point belongs to the first that contains it.
    neighbours
        Names of the cameras that objects reach next.
    overlaps
        Names of cameras that see a part of what it sees.
    windows
        Of ways to other cameras; those without one are learnt.
    place
        Where it is drawn among the cameras, any unit; ``None`` where nobody put it anywhere.
    """

    name: str
    offset: float = 0.0
    fps: float = 10.0
    width: int = 0
    height: int = 0
    frames: int = 0
    video: str = ""
    zones: tuple[Zone, ...] = ()
    neighbours: tuple[str, ...] = ()
    overlaps: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()
    place: Point | None = None

    def __post_init__(self) -> None:
        problem = ""
        if not self.name.strip():
            problem = "a camera needs a name"
        elif not (math.isfinite(self.fps) and self.fps > 0):
            problem = f"{self.fps} frames a second are not possible"
        elif not math.isfinite(self.offset):
            problem = f"a clock cannot be {self.offset} seconds off"
        elif min(self.width, self.height, self.frames) < 0:
            problem = "sizes and lengths cannot be negative"
        elif len({zone.name for zone in self.zones}) < len(self.zones):
            problem = "two of its zones have one name"
        elif any(
            not (math.isfinite(w.least) and math.isfinite(w.most) and w.least < w.most)
            for w in self.windows
        ):
            problem = "a way needs a longest time that is longer than its shortest"
        if problem:
            raise invalid_input(f"Camera {self.name!r}: {problem}. Nothing was changed.")

    def seconds(self, frames: NDArray[np.int64]) -> NDArray[np.float64]:
        """Times of frames on the scene's common clock."""
        return self.offset + np.asarray(frames) / self.fps

    def zone_of(self, points: NDArray[np.floating]) -> NDArray[np.int64]:
        """``(N,)`` position of the first zone that contains each point ``(N, 2)``; -1 for none."""
        found = np.full(len(points), -1, np.int64)
        for number, zone in reversed(list(enumerate(self.zones))):
            found[zone.contains(points)] = number
        return found

    def ignores(self, points: NDArray[np.floating]) -> NDArray[np.bool_]:
        """``(N,)`` which points ``(N, 2)`` lie in a zone that is ignored."""
        ignored = np.array([zone.ignored for zone in self.zones] + [False])
        return ignored[self.zone_of(points)]

    def window_to(self, name: str) -> Window | None:
        """How long the way to a camera takes, where somebody said that."""
        return next((window for window in self.windows if window.to == name), None)

    def with_zones(self, zones: tuple[Zone, ...]) -> Camera:
        """The same camera with other zones."""
        return replace(self, zones=tuple(zones))

    def to_json(self) -> dict[str, Any]:
        """Plain dictionary; the inverse of :meth:`from_json`."""
        zones = [
            {
                "name": zone.name,
                "polygon": [list(point) for point in zone.polygon],
                "leads_to": zone.leads_to,
                "leads_into": zone.leads_into,
                "ignored": zone.ignored,
            }
            for zone in self.zones
        ]
        return {
            "name": self.name, "offset": self.offset, "fps": self.fps, "width": self.width,
            "height": self.height, "frames": self.frames, "video": self.video, "zones": zones,
            "neighbours": list(self.neighbours), "overlaps": list(self.overlaps),
            "windows": [[window.to, window.least, window.most] for window in self.windows],
            "place": None if self.place is None else list(self.place),
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Camera:
        """Rebuild from :meth:`to_json`; a Python error (``KeyError``, ...) where it is not one."""
        zones = tuple(
            Zone(
                str(zone["name"]),
                tuple((float(x), float(y)) for x, y in zone["polygon"]),
                str(zone.get("leads_to", "")),
                str(zone.get("leads_into", "")),
                bool(zone.get("ignored", False)),
            )
            for zone in data.get("zones", ())
        )
        windows = tuple(
            Window(str(to), float(least), float(most)) for to, least, most in data.get("windows", ())
        )
        place = data.get("place")
        return cls(
            str(data["name"]), float(data.get("offset", 0)), float(data.get("fps", 10)),
            int(data.get("width", 0)), int(data.get("height", 0)), int(data.get("frames", 0)),
            str(data.get("video", "")), zones, tuple(map(str, data.get("neighbours", ()))),
            tuple(map(str, data.get("overlaps", ()))), windows,
            None if place is None else (float(place[0]), float(place[1])),
        )  # fmt: skip
