"""The 3D view where there is no OpenGL: pictures cast by the engine, lines drawn over them.

While the view moves, pictures are small; when it rests, one at full size follows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, Qt, QTimer
from PySide6.QtGui import QColor, QImage, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QWidget

from desktop.widgets.image_canvas import image_from_array
from desktop.widgets.orbit import FOV, OrbitCamera
from desktop.widgets.scene3d import Lines3D, Scene3D

PIXELS_MOVING = 110_000
PIXELS_AT_REST = 1_500_000
REST_MS = 140


@dataclass(frozen=True, eq=False)
class CastOrder:
    """A picture that is wanted: the camera, the size in pixels, and of which scene."""

    eye: tuple[float, float, float]
    target: tuple[float, float, float]
    fov: float
    width: int
    height: int
    scene: Scene3D


Cast = Callable[[CastOrder, Callable[[NDArray[np.uint8]], Any]], Any]
"""Asks for a picture ``(h, w, 4)`` RGBA and calls back with it; older wishes may be dropped."""


class RayPainter(QWidget):
    """Shows a scene from an orbit camera; the mouse belongs to the widget around it."""

    def __init__(self, cast: Cast) -> None:
        super().__init__()
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._cast = cast
        self._scene = Scene3D()
        self._camera = OrbitCamera()
        self._drawn: OrbitCamera | None = None
        self._image: QImage | None = None
        self._ground = QColor("#000000")
        self._moving = False
        self._rest = QTimer(self, singleShot=True, interval=REST_MS)
        self._rest.timeout.connect(self._order_full)

    def show_scene(self, scene: Scene3D) -> None:
        """Draw a scene."""
        self._scene = scene
        self._order()

    def show_camera(self, camera: OrbitCamera) -> None:
        """Look from there."""
        self._camera = camera
        self._order()

    def show_ground(self, colour: QColor) -> None:
        """The colour behind everything."""
        self._ground = colour
        self.update()

    def set_moving(self, moving: bool) -> None:
        """While the view moves, frames are small and quick."""
        self._moving = moving
        if not moving:
            self._order_full()

    def _order(self) -> None:
        self._send(PIXELS_MOVING)
        self._rest.start()

    def _order_full(self) -> None:
        self._rest.stop()
        self._send(PIXELS_AT_REST)

    def _send(self, most: int) -> None:
        if not self._scene.bodies:
            self._image = None
            self.update()
            return
        ratio = self.devicePixelRatioF()
        width, height = max(1, self.width() * ratio), max(1, self.height() * ratio)
        scale = min(1.0, (most / (width * height)) ** 0.5)
        eye = tuple(float(value) for value in self._camera.eye)
        order = CastOrder(
            (eye[0], eye[1], eye[2]),
            self._camera.target,
            FOV,
            max(1, round(width * scale)),
            max(1, round(height * scale)),
            self._scene,
        )
        camera = self._camera
        self._cast(order, lambda pixels: self._came(pixels, camera))

    def _came(self, pixels: NDArray[np.uint8], camera: OrbitCamera) -> None:
        self._image = image_from_array(pixels)
        # Lines are drawn from where the picture was, so that both always fit.
        self._drawn = camera
        self.update()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Pictures have the size of the view."""
        self._order()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Lines behind, the picture, lines on top."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), self._ground)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        for lines in self._scene.lines:
            if not lines.on_top:
                self._draw(painter, lines)
        if self._image is not None:
            painter.drawImage(self.rect(), self._image)
        for lines in self._scene.lines:
            if lines.on_top:
                self._draw(painter, lines)
        painter.end()

    def _draw(self, painter: QPainter, lines: Lines3D) -> None:
        camera = self._drawn or self._camera
        ends = camera.project(lines.points.reshape(-1, 3), self.width(), self.height())
        for (start, end), colour in zip(ends.reshape(-1, 2, 2), lines.colours.tolist(), strict=True):
            if np.isfinite(start).all() and np.isfinite(end).all():
                painter.setPen(QPen(QColor(*colour), lines.width))
                painter.drawLine(QPointF(*start), QPointF(*end))
