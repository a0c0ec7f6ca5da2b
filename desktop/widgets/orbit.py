"""The camera of a 3D view: orbits round a point, y-up, as Blender's views do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

FOV = 30.0
"""Vertical field of view, degrees: long enough that bodies keep their proportions."""

DEGREES_PER_PIXEL = 0.4
NEAREST, FARTHEST = 0.05, 200.0
STEEPEST = 89.0
MARGIN = 1.06
"""Room around what is framed."""
PRESETS = {"front": (0.0, 0.0), "side": (90.0, 0.0), "top": (0.0, STEEPEST), "back": (180.0, 0.0)}
"""Azimuth and elevation in degrees, by the name of the view."""


@dataclass(frozen=True, eq=False)
class OrbitCamera:
    """Looks at a target from a distance; immutable.

    Attributes
    ----------
    target
        ``(3,)`` metres.
    distance
        Metres.
    azimuth, elevation
        Degrees; at 0 and 0 it looks along -z, at the front of a body that faces +z. Azimuth grows
        towards +x, elevation upwards.
    """

    target: tuple[float, float, float] = (0.0, 0.0, 0.0)
    distance: float = 4.0
    azimuth: float = 20.0
    elevation: float = 8.0

    @property
    def backward(self) -> NDArray[np.float64]:
        """Unit vector from the target to the eye."""
        a, e = np.radians([self.azimuth, self.elevation])
        return np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])

    @property
    def eye(self) -> NDArray[np.float64]:
        """Where it is, ``(3,)``."""
        return np.asarray(np.array(self.target) + self.distance * self.backward)

    def axes(self) -> Matrix:
        """Rows: right, up and backward in the world."""
        backward = self.backward
        right = np.cross([0.0, 1.0, 0.0], backward)
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(backward, right), backward])

    def turned(self, dx: float, dy: float) -> OrbitCamera:
        """After a drag by pixels: the body follows the hand."""
        elevation = self.elevation + dy * DEGREES_PER_PIXEL
        azimuth = (self.azimuth - dx * DEGREES_PER_PIXEL + 180) % 360 - 180
        return self._with(azimuth=azimuth, elevation=min(STEEPEST, max(-STEEPEST, elevation)))

    def moved(self, dx: float, dy: float, height: int) -> OrbitCamera:
        """After a pan by pixels in a view of ``height`` pixels: the target's plane follows the hand."""
        metres = 2 * self.distance * np.tan(np.radians(FOV) / 2) / max(1, height)
        right, up, _ = self.axes()
        target = np.array(self.target) + metres * (dy * up - dx * right)
        return self._with(target=(float(target[0]), float(target[1]), float(target[2])))

    def zoomed(self, factor: float) -> OrbitCamera:
        """Nearer by a factor."""
        return self._with(distance=min(FARTHEST, max(NEAREST, self.distance / factor)))

    def preset(self, name: str) -> OrbitCamera:
        """A view of :data:`PRESETS`, of the same target from the same distance."""
        azimuth, elevation = PRESETS[name]
        return self._with(azimuth=azimuth, elevation=elevation)

    def framing(
        self, low: NDArray[np.floating], high: NDArray[np.floating], aspect: float
    ) -> OrbitCamera:
        """The same direction, with a box ``(3,), (3,)`` filling the view."""
        middle = (np.asarray(low, np.float64) + high) / 2
        half = np.maximum((np.asarray(high, np.float64) - low) / 2, 0.05)
        signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, 8).T
        x, y, z = self.axes() @ (signs * half).T
        tangent = np.tan(np.radians(FOV) / 2)
        needed = z + np.maximum(np.abs(x) / (tangent * aspect), np.abs(y) / tangent)
        target = (float(middle[0]), float(middle[1]), float(middle[2]))
        return self._with(target=target, distance=MARGIN * float(needed.max()))

    def view(self) -> Matrix:
        """From the world to the eye, ``(4, 4)``: x right, y up, z backward (OpenGL)."""
        result = np.eye(4)
        result[:3, :3] = self.axes()
        result[:3, 3] = -result[:3, :3] @ self.eye
        return result

    def projection(self, aspect: float) -> Matrix:
        """OpenGL's clip coordinates, ``(4, 4)``."""
        near, far = self.distance * 0.02, self.distance * 20 + 20
        tangent = np.tan(np.radians(FOV) / 2)
        depth = near - far
        return np.array(
            [
                [1 / (tangent * aspect), 0, 0, 0],
                [0, 1 / tangent, 0, 0],
                [0, 0, (near + far) / depth, 2 * near * far / depth],
                [0, 0, -1, 0],
            ]
        )

    def project(self, points: NDArray[np.floating], width: float, height: float) -> NDArray[np.float64]:
        """Positions ``(N, 2)`` in a view of that size; not a number behind the camera."""
        seen = np.asarray(points, np.float64) @ self.axes().T - self.axes() @ self.eye
        focal = height / 2 / np.tan(np.radians(FOV) / 2)
        depth = np.where(-seen[:, 2] > 1e-3, -seen[:, 2], np.nan)
        x = width / 2 + focal * seen[:, 0] / depth
        y = height / 2 - focal * seen[:, 1] / depth
        return np.stack([x, y], 1)

    def _with(self, **changes: object) -> OrbitCamera:
        values = {"target": self.target, "distance": self.distance, "azimuth": self.azimuth}
        values["elevation"] = self.elevation
        return OrbitCamera(**{**values, **changes})  # type: ignore[arg-type]
