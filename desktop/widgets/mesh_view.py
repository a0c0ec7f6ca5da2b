"""Bodies in 3D: orbit, pan, zoom, pick; one interface over two painters.

Keys and buttons are those of Blender: drag with the left button orbits, with the middle one (or Shift)
pans, the wheel zooms; F frames, 1, 3 and 7 look from the front, the side and above.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from PySide6.QtCore import QPointF, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QResizeEvent, QWheelEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from desktop.theme import Theme
from desktop.widgets.orbit import OrbitCamera
from desktop.widgets.ray_painter import Cast, RayPainter
from desktop.widgets.scene3d import Body3D, Lines3D, Scene3D, bounds_of, ground_lines, skeleton_lines

ZOOM_PER_NOTCH = 1.15
CLICK_PIXELS = 4
TURNTABLE_MS = 33
TURNTABLE_DEGREES = 1.5
KEYS = {Qt.Key.Key_1: "front", Qt.Key.Key_3: "side", Qt.Key.Key_7: "top"}


class Painter(Protocol):
    """What draws: :class:`desktop.widgets.gl_painter.GLPainter` or :class:`RayPainter`."""

    def show_scene(self, scene: Scene3D) -> None:
        """Draw a scene."""
        ...

    def show_camera(self, camera: OrbitCamera) -> None:
        """Look from there."""
        ...

    def show_ground(self, colour: QColor) -> None:
        """The colour behind everything."""
        ...

    def set_moving(self, moving: bool) -> None:
        """The view moves now, or rests again."""
        ...


class MeshView(QWidget):
    """See the module.

    Parameters
    ----------
    theme
        Colours of ground and skeleton.
    cast
        Makes pictures where there is no OpenGL.
    use_gl
        Use OpenGL; None: where it works.

    Attributes
    ----------
    clicked
        A position was clicked, in logical pixels: whoever has the bodies finds what is there.
    camera_changed
        The view was moved.
    """

    clicked = Signal(QPointF)
    camera_changed = Signal()

    def __init__(self, theme: Theme, cast: Cast, use_gl: bool | None = None) -> None:
        super().__init__()
        self._theme = theme
        self.camera = OrbitCamera()
        self.bodies: tuple[Body3D, ...] = ()
        self.parents: Sequence[int] = ()
        self.wireframe, self.skeleton, self.ground = False, False, True
        self.marked: int | None = None
        self._extra: tuple[Lines3D, ...] = ()
        self._framed = False
        self._pressed: QPointF | None = None
        self._last: QPointF | None = None
        self._turn = QTimer(self, interval=TURNTABLE_MS)
        self._turn.timeout.connect(lambda: self._look(self.camera.turned(-TURNTABLE_DEGREES / 0.4, 0)))
        self.painter: Painter = self._make_painter(cast, use_gl)
        assert isinstance(self.painter, QWidget)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.painter)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(160, 160)
        self.setAccessibleName("3D view")
        theme.changed.connect(self._themed)
        self._themed()

    def _make_painter(self, cast: Cast, use_gl: bool | None) -> Painter:
        if use_gl is not False:
            from desktop.widgets.gl_painter import GLPainter, opengl_works

            if use_gl or opengl_works():
                painter: Painter = GLPainter()
                return painter
        return RayPainter(cast)

    @property
    def uses_gl(self) -> bool:
        """Whether OpenGL draws."""
        return not isinstance(self.painter, RayPainter)

    # --- what is shown ----------------------------------------------------------------------------

    def show_bodies(self, bodies: Sequence[Body3D], lines: Sequence[Lines3D] = ()) -> None:
        """Show bodies and lines beside them; the first time, frame them."""
        self.bodies, self._extra = tuple(bodies), tuple(lines)
        self._update_scene()
        if bodies and not self._framed:
            self.frame()
        self._framed = bool(bodies)

    def set_options(
        self,
        *,
        wireframe: bool | None = None,
        skeleton: bool | None = None,
        ground: bool | None = None,
    ) -> None:
        """Switch wires, bones or the ground."""
        self.wireframe = self.wireframe if wireframe is None else wireframe
        self.skeleton = self.skeleton if skeleton is None else skeleton
        self.ground = self.ground if ground is None else ground
        self._update_scene()

    def mark(self, joint: int | None) -> None:
        """Let the bones at a joint stand out."""
        self.marked = joint
        self._update_scene()

    def frame(self) -> None:
        """All bodies, as large as they go."""
        bounds = bounds_of(self.bodies)
        if bounds is not None:
            self._look(self.camera.framing(*bounds, self.width() / max(1, self.height())))

    def look_from(self, name: str) -> None:
        """A view by its name, see :data:`desktop.widgets.orbit.PRESETS`."""
        self._look(self.camera.preset(name))

    def set_turntable(self, turning: bool) -> None:
        """Let it turn by itself."""
        if turning:
            self._turn.start()
        else:
            self._turn.stop()

    @property
    def turning(self) -> bool:
        """Whether it turns by itself."""
        return self._turn.isActive()

    def _look(self, camera: OrbitCamera) -> None:
        self.camera = camera
        self.painter.show_camera(camera)
        self.camera_changed.emit()

    def _update_scene(self) -> None:
        lines = list(self._extra)
        bounds = bounds_of(self.bodies)
        tokens = self._theme.tokens
        if self.ground and bounds is not None:
            low, high = bounds
            at = np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])
            lines.append(ground_lines(at, QColor(tokens.border)))
        if self.skeleton or self.marked is not None:
            mark = QColor(tokens.warn)
            plain = QColor(tokens.text)
            bones = skeleton_lines(self.bodies, self.parents, plain, self.marked, mark)
            if bones is not None:
                lines.append(bones)
        self.painter.show_scene(Scene3D(self.bodies, lines, self.wireframe))

    def _themed(self) -> None:
        self.painter.show_ground(QColor(self._theme.tokens.sunken))
        self._update_scene()

    # --- hand -------------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin to orbit or to pan."""
        self._pressed = self._last = event.position()
        self.set_turntable(False)
        self.painter.set_moving(True)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Orbit or pan."""
        if self._last is None:
            return
        delta = event.position() - self._last
        self._last = event.position()
        pans = event.buttons() & (Qt.MouseButton.MiddleButton | Qt.MouseButton.RightButton)
        if pans or event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self._look(self.camera.moved(delta.x(), delta.y(), self.height()))
        else:
            self._look(self.camera.turned(delta.x(), delta.y()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """A press without a way is a click."""
        pressed, self._pressed, self._last = self._pressed, None, None
        self.painter.set_moving(False)
        if pressed is not None and event.button() == Qt.MouseButton.LeftButton:
            way = event.position() - pressed
            if abs(way.x()) + abs(way.y()) <= CLICK_PIXELS:
                self.clicked.emit(event.position())

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom."""
        self._look(self.camera.zoomed(ZOOM_PER_NOTCH ** (event.angleDelta().y() / 120)))
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Frame, views, arrows."""
        turns = {
            Qt.Key.Key_Left: (20, 0),
            Qt.Key.Key_Right: (-20, 0),
            Qt.Key.Key_Up: (0, 20),
            Qt.Key.Key_Down: (0, -20),
        }
        key = Qt.Key(event.key())
        if key == Qt.Key.Key_F:
            self.frame()
        elif key in KEYS:
            back = event.modifiers() & Qt.KeyboardModifier.ControlModifier and key == Qt.Key.Key_1
            self.look_from("back" if back else KEYS[key])
        elif key in turns:
            self._look(self.camera.turned(*turns[key]))
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self._look(self.camera.zoomed(ZOOM_PER_NOTCH))
        elif key == Qt.Key.Key_Minus:
            self._look(self.camera.zoomed(1 / ZOOM_PER_NOTCH))
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Frame again what was framed before the view had its size."""
        super().resizeEvent(event)
        if self.bodies and event.oldSize().width() <= 0:
            self.frame()
