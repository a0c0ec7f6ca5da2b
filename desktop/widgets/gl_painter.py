"""The 3D view where there is OpenGL: pyqtgraph's GL widget with items of our own.

Faces go to the graphics card once; later only vertices, normals and colours do.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from OpenGL import GL
from pyqtgraph.opengl.GLGraphicsItem import GLGraphicsItem
from pyqtgraph.opengl.GLViewWidget import GLViewMixin
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import (
    QColor,
    QImage,
    QMatrix4x4,
    QOffscreenSurface,
    QOpenGLContext,
    QPainter,
    QPaintEvent,
)  # fmt: skip
from PySide6.QtOpenGL import (
    QOpenGLBuffer,
    QOpenGLFramebufferObject,
    QOpenGLFramebufferObjectFormat,
    QOpenGLShader,
    QOpenGLShaderProgram,
)  # fmt: skip
from PySide6.QtWidgets import QWidget

from desktop.widgets.orbit import OrbitCamera
from desktop.widgets.scene3d import Body3D, Lines3D, Scene3D

log = logging.getLogger("triptych.window")

SAMPLES = 4
"""A pixel, for smooth edges, while the view rests."""

_VERTEX = """
attribute vec3 position; attribute vec3 normal; attribute vec3 colour;
uniform mat4 to_clip; uniform mat4 to_eye;
varying vec3 shade; varying vec3 facing;
void main() {
    shade = colour;
    facing = (to_eye * vec4(normal, 0.0)).xyz;
    gl_Position = to_clip * vec4(position, 1.0);
}
"""
# The same light as engine.bodies.render: both painters show one body in one way.
_FRAGMENT = """
#ifdef GL_ES
precision mediump float;
#endif
varying vec3 shade; varying vec3 facing;
uniform float alpha; uniform float lit;
void main() {
    vec3 n = normalize(facing);
    if (n.z < 0.0) n = -n;
    float light = 0.42 + 0.55 * max(0.0, dot(n, vec3(-0.35, 0.55, 0.76))) + 0.10 * pow(1.0 - n.z, 3.0);
    gl_FragColor = vec4(shade * mix(1.0, light, lit), alpha);
}
"""


def opengl_works() -> bool:
    """Whether a context of OpenGL can be made here."""
    context = QOpenGLContext()
    if not context.create():
        return False
    surface = QOffscreenSurface()
    surface.create()
    if not (surface.isValid() and context.makeCurrent(surface)):
        return False
    version = context.format().version()
    context.doneCurrent()
    return version >= (2, 1) and not context.isOpenGLES()


class _Item(GLGraphicsItem):
    """Arrays on the graphics card, drawn by one shader."""

    def __init__(self) -> None:
        super().__init__()
        self._program: QOpenGLShaderProgram | None = None
        self._buffers: dict[str, QOpenGLBuffer] = {}
        self._waiting: dict[str, np.ndarray] = {}
        self._locations: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self.alpha = 1.0

    def give(self, name: str, array: np.ndarray) -> None:
        """Have an array on the card before the next frame."""
        self._waiting[name] = np.ascontiguousarray(array)
        self.update()

    def initializeGL(self) -> None:
        program = QOpenGLShaderProgram()
        program.addShaderFromSourceCode(QOpenGLShader.ShaderTypeBit.Vertex, _VERTEX)
        program.addShaderFromSourceCode(QOpenGLShader.ShaderTypeBit.Fragment, _FRAGMENT)
        if not program.link():
            log.error("the shader of the 3D view does not link: %s", program.log())
            return
        names = ("position", "normal", "colour")
        self._locations = {name: program.attributeLocation(name) for name in names}
        self._program = program

    def _upload(self) -> None:
        for name, array in self._waiting.items():
            if name not in self._buffers:
                kinds = QOpenGLBuffer.Type
                index = name in ("faces", "edges")
                made = QOpenGLBuffer(kinds.IndexBuffer if index else kinds.VertexBuffer)
                made.create()
                self._buffers[name] = made
            buffer = self._buffers[name]
            buffer.bind()
            buffer.allocate(array.tobytes(), array.nbytes)
            buffer.release()
            self._counts[name] = array.size
        self._waiting.clear()

    def _begin(self, lit: float) -> QOpenGLShaderProgram | None:
        self._upload()
        program = self._program
        if program is None or "position" not in self._buffers:
            return None
        program.bind()
        view = self.view()
        program.setUniformValue(
            program.uniformLocation("to_clip"), view.currentProjection() * view.currentModelView()
        )
        program.setUniformValue(program.uniformLocation("to_eye"), view.currentModelView())
        program.setUniformValue1f(program.uniformLocation("alpha"), self.alpha)
        program.setUniformValue1f(program.uniformLocation("lit"), lit)
        for name, location in self._locations.items():
            if location < 0:
                continue
            if name in self._buffers:
                self._buffers[name].bind()
                GL.glEnableVertexAttribArray(location)
                kind = GL.GL_UNSIGNED_BYTE if name == "colour" else GL.GL_FLOAT
                GL.glVertexAttribPointer(location, 3, kind, name == "colour", 0, None)
            else:
                GL.glDisableVertexAttribArray(location)
                GL.glVertexAttrib3f(location, 0, 0, 1)
        return program

    def _end(self, program: QOpenGLShaderProgram) -> None:
        for location in self._locations.values():
            if location >= 0:
                GL.glDisableVertexAttribArray(location)
        program.release()
        GL.glBindBuffer(GL.GL_ARRAY_BUFFER, 0)
        GL.glBindBuffer(GL.GL_ELEMENT_ARRAY_BUFFER, 0)


class _BodyItem(_Item):
    """A mesh, solid or as wires, perhaps a ghost."""

    def __init__(self, body: Body3D) -> None:
        super().__init__()
        self._body: Body3D | None = None
        self.wireframe = False
        self.show(body)

    def show(self, body: Body3D) -> None:
        """Another state of the same body."""
        before = self._body
        if before is None or before.faces is not body.faces:
            self.give("faces", body.faces.astype(np.uint32))
        if before is None or before.vertices is not body.vertices:
            self.give("position", body.vertices.astype(np.float32))
            self.give("normal", body.normals.astype(np.float32))
        if before is None or before.colours is not body.colours:
            colours = np.broadcast_to(body.colours, body.vertices.shape)
            self.give("colour", np.ascontiguousarray(colours, np.uint8))
        self.alpha = 0.3 if body.ghost else 1.0
        self.setGLOptions("translucent" if body.ghost else "opaque")
        self.setDepthValue(10 if body.ghost else 0)
        self._body = body

    def paint(self) -> None:
        self.setupGLState()
        program = self._begin(1.0)
        if program is None:
            return
        self._buffers["faces"].bind()
        if self.wireframe:
            GL.glPolygonMode(GL.GL_FRONT_AND_BACK, GL.GL_LINE)
        elif self.alpha < 1:
            GL.glDepthMask(False)
        GL.glDrawElements(GL.GL_TRIANGLES, self._counts["faces"], GL.GL_UNSIGNED_INT, None)
        GL.glPolygonMode(GL.GL_FRONT_AND_BACK, GL.GL_FILL)
        GL.glDepthMask(True)
        self._end(program)


class _LinesItem(_Item):
    """Line segments; those on top are seen through bodies."""

    def show(self, lines: Lines3D) -> None:
        """Draw these segments."""
        self.give("position", lines.points.reshape(-1, 3).astype(np.float32))
        self.give("colour", np.repeat(lines.colours, 2, axis=0).astype(np.uint8))
        self.setGLOptions({GL.GL_DEPTH_TEST: not lines.on_top, GL.GL_BLEND: False})
        self.setDepthValue(20 if lines.on_top else -10)
        self._width = lines.width

    def paint(self) -> None:
        self.setupGLState()
        program = self._begin(0.0)
        if program is None or not self._counts["position"]:
            return
        GL.glLineWidth(self._width)
        GL.glDrawArrays(GL.GL_LINES, 0, self._counts["position"] // 3)
        GL.glLineWidth(1)
        self._end(program)


class GLPainter(GLViewMixin, QWidget):
    """Shows a scene from an orbit camera; the mouse belongs to the widget around it.

    Draws into a buffer of its own and paints that: a QOpenGLWidget would make Qt put up the whole
    window anew when it is first shown, and leave it without the keyboard.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._surface = QOffscreenSurface()
        self._surface.create()
        self._context = QOpenGLContext()
        self._context.create()
        self._buffers: dict[int, QOpenGLFramebufferObject] = {}
        self._samples = SAMPLES
        self._ready = False
        self._camera = OrbitCamera()
        self._shown: dict[int, _BodyItem] = {}
        self._lines: list[_LinesItem] = []

    def show_scene(self, scene: Scene3D) -> None:
        """Draw a scene; what did not change stays on the graphics card."""
        for key in set(self._shown) - {body.key for body in scene.bodies}:
            self.removeItem(self._shown.pop(key))
        for body in scene.bodies:
            if body.key not in self._shown:
                self._shown[body.key] = _BodyItem(body)
                self.addItem(self._shown[body.key])
            else:
                self._shown[body.key].show(body)
            self._shown[body.key].wireframe = scene.wireframe
        self._show_lines(scene.lines)
        self.update()

    def show_camera(self, camera: OrbitCamera) -> None:
        """Look from there."""
        self._camera = camera
        self.update()

    def show_ground(self, colour: QColor) -> None:
        """The colour behind everything."""
        self.setBackgroundColor(colour)

    def set_moving(self, moving: bool) -> None:
        """While the view moves, edges need not be smooth: without a graphics card that is slow."""
        self._samples = 0 if moving else SAMPLES
        self.update()

    def _show_lines(self, lines: Sequence[Lines3D]) -> None:
        while len(self._lines) > len(lines):
            self.removeItem(self._lines.pop())
        while len(self._lines) < len(lines):
            item = _LinesItem()
            self._lines.append(item)
            self.addItem(item)
        for item, shown in zip(self._lines, lines, strict=True):
            item.show(shown)

    def context(self) -> QOpenGLContext:
        """As pyqtgraph asks for it."""
        return self._context

    def isValid(self) -> bool:
        """Whether items can be initialised now."""
        return self._ready and QOpenGLContext.currentContext() is self._context

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw with OpenGL, then show what was drawn."""
        image = self._drawn()
        painter = QPainter(self)
        painter.drawImage(self.rect(), image)
        painter.end()

    def _drawn(self) -> QImage:
        if not self._context.makeCurrent(self._surface):
            log.error("the context of OpenGL is lost; the 3D view stays as it is")
            return QImage()
        try:
            if not self._ready:
                self._ready = True
                self.initializeGL()
            for item in self.items:
                if not item.isInitialized():
                    item.initialize()
            size = QSize(max(1, self.deviceWidth()), max(1, self.deviceHeight()))
            buffer = self._buffers.get(self._samples)
            if buffer is None or buffer.size() != size:
                form = QOpenGLFramebufferObjectFormat()
                form.setAttachment(QOpenGLFramebufferObject.Attachment.CombinedDepthStencil)
                form.setSamples(self._samples)
                buffer = self._buffers[self._samples] = QOpenGLFramebufferObject(size, form)
            buffer.bind()
            GL.glViewport(0, 0, size.width(), size.height())
            self.paintGL()
            buffer.release()
            return buffer.toImage()
        finally:
            self._context.doneCurrent()

    def viewMatrix(self) -> QMatrix4x4:
        """See pyqtgraph."""
        return QMatrix4x4(*self._camera.view().flatten().tolist())

    def projectionMatrix(self, region: object, viewport: tuple[int, int, int, int]) -> QMatrix4x4:
        """See pyqtgraph."""
        aspect = viewport[2] / max(1, viewport[3])
        return QMatrix4x4(*self._camera.projection(aspect).flatten().tolist())
