"""The photo with bodies laid over it and keypoints that can be dragged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent, QPen

from desktop.theme import Theme
from desktop.widgets.pan_zoom import PanZoomView, draw_picture
from engine.bodies.keypoints.layouts import find_layout
from engine.bodies.keypoints.person import SEEN
from engine.bodies.occlusion import Stroke

HANDLE, REACH = 4.5, 11.0
"""Radius of a keypoint, and how near the mouse has to be, logical pixels."""


@dataclass(frozen=True, eq=False)
class Skeleton2D:
    """Keypoints ``(K, 3)`` in pixels of the original photo, and how to draw them.

    ``painted`` is what the hand painted as hidden.
    """

    keypoints: NDArray[np.float64]
    layout: str
    colour: QColor
    painted: tuple[Stroke, ...] = ()


class PhotoView(PanZoomView):
    """See the module.

    Attributes
    ----------
    dragged
        ``(person, keypoint, x, y)`` in photo pixels, while the hand moves.
    dropped
        ``(person, keypoint)``: the hand let go.
    toggled
        ``(person, keypoint)``: a right click says that it is hidden, or seen again.
    person_clicked
        The person nearest to a click.
    layer
        Paints between bodies and keypoints: called with the painter, the photo's rectangle and
        :attr:`pixels_per_photo_pixel`.
    """

    dragged = Signal(int, int, float, float)
    dropped = Signal(int, int)
    toggled = Signal(int, int)
    person_clicked = Signal(int)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._photo: QImage | None = None
        self._size = (1, 1)
        self._overlay: QImage | None = None
        self._people: tuple[Skeleton2D, ...] = ()
        self._current = -1
        self._grabbed: tuple[int, int] | None = None
        self._hovered: tuple[int, int] | None = None
        self.layer: Callable[[QPainter, QRectF, float], None] | None = None
        self.opacity = 0.7
        self.show_keypoints = True
        self.setAccessibleName("Photo with keypoints")
        theme.changed.connect(self._themed)
        self._themed()

    def show_photo(self, photo: QImage | None, size: tuple[int, int]) -> None:
        """A photo whose original has ``size`` pixels."""
        if photo is None or self._photo is None or photo.size() != self._photo.size():
            self.transform.fit()
        self._photo, self._size = photo, size
        self.update()

    def show_overlay(self, overlay: QImage | None) -> None:
        """Bodies in front of the photo."""
        self._overlay = overlay
        self.update()

    def show_people(self, people: Sequence[Skeleton2D], current: int) -> None:
        """Keypoints; those of ``current`` can be dragged."""
        self._people, self._current = tuple(people), current
        self.update()

    def set_opacity(self, opacity: float) -> None:
        """Of the bodies, 0 to 1."""
        self.opacity = opacity
        self.update()

    def set_keypoints_shown(self, shown: bool) -> None:
        """Show or hide keypoints."""
        self.show_keypoints = shown
        self.update()

    def target_at(self, point: QPointF) -> tuple[QRectF, QImage] | None:
        """See :class:`PanZoomView`."""
        return self.main_target()

    def main_target(self) -> tuple[QRectF, QImage] | None:
        """See :class:`PanZoomView`."""
        return None if self._photo is None else (QRectF(self.rect()), self._photo)

    def _picture_rect(self) -> QRectF:
        assert self._photo is not None
        return self.transform.picture_rect(QRectF(self.rect()), self._photo.size())

    def _to_screen(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        rect = self._picture_rect()
        scale = np.array([rect.width() / self._size[0], rect.height() / self._size[1]])
        return np.asarray(points[:, :2] * scale + [rect.left(), rect.top()])

    @property
    def current_person(self) -> Skeleton2D | None:
        """Who is selected."""
        return self._people[self._current] if 0 <= self._current < len(self._people) else None

    @property
    def pixels_per_photo_pixel(self) -> float:
        """Logical pixels of the screen for one of the original photo."""
        return 1.0 if self._photo is None else self._picture_rect().width() / self._size[0]

    def to_photo(self, point: QPointF) -> tuple[float, float]:
        """A position in pixels of the original photo."""
        rect = self._picture_rect()
        return (
            (point.x() - rect.left()) * self._size[0] / rect.width(),
            (point.y() - rect.top()) * self._size[1] / rect.height(),
        )

    def _keypoint_at(self, point: QPointF) -> tuple[int, int] | None:
        if self._photo is None or not self.show_keypoints or not 0 <= self._current < len(self._people):
            return None
        places = self._to_screen(self._people[self._current].keypoints)
        apart = np.linalg.norm(places - [point.x(), point.y()], axis=1)
        nearest = int(apart.argmin())
        return (self._current, nearest) if apart[nearest] <= REACH else None

    def _person_at(self, point: QPointF) -> int:
        best, found = 60.0, -1
        for index, person in enumerate(self._people):
            seen = person.keypoints[person.keypoints[:, 2] >= SEEN]
            if len(seen):
                apart = np.linalg.norm(self._to_screen(seen) - [point.x(), point.y()], axis=1).min()
                if apart < best:
                    best, found = float(apart), index
        return found

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take a keypoint, choose a person, or pan."""
        at = self._keypoint_at(event.position())
        if event.button() == Qt.MouseButton.RightButton and at is not None:
            self.toggled.emit(*at)
        elif event.button() == Qt.MouseButton.LeftButton and at is not None:
            self._grabbed = at
            self.setCursor(Qt.CursorShape.ClosedHandCursor)
        else:
            if event.button() == Qt.MouseButton.LeftButton and self._photo is not None:
                person = self._person_at(event.position())
                if person >= 0:
                    self.person_clicked.emit(person)
            super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag, or say which keypoint is under the mouse."""
        if self._grabbed is not None:
            self.dragged.emit(*self._grabbed, *self.to_photo(event.position()))
            return
        hovered = self._keypoint_at(event.position())
        if hovered != self._hovered:
            self._hovered = hovered
            tip = ""
            if hovered is not None:
                person = self._people[hovered[0]]
                name = find_layout(person.layout).names[hovered[1]].replace("_", " ")
                tip = f"{name}, confidence {person.keypoints[hovered[1], 2]:.2f}\n"
                tip += "Drag to correct; right click: hidden or seen"
            self.setToolTip(tip)
            self.update()
        super().mouseMoveEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go."""
        grabbed, self._grabbed = self._grabbed, None
        if grabbed is not None:
            self.unsetCursor()
            self.dropped.emit(*grabbed)
            return
        super().mouseReleaseEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Ground, photo, bodies, keypoints."""
        painter = QPainter(self)
        self.paint_ground(painter, self.rect())
        if self._photo is not None:
            rect = self._picture_rect()
            draw_picture(painter, rect, self._photo, smooth_always=True)
            if self._overlay is not None and self.opacity > 0:
                painter.setOpacity(self.opacity)
                draw_picture(painter, rect, self._overlay, smooth_always=True)
                painter.setOpacity(1)
            if self.layer is not None:
                self.layer(painter, rect, self.pixels_per_photo_pixel)
            if self.show_keypoints:
                painter.setRenderHint(QPainter.RenderHint.Antialiasing)
                for index, person in enumerate(self._people):
                    self._draw(painter, person, index == self._current)
        painter.end()

    def _draw(self, painter: QPainter, person: Skeleton2D, current: bool) -> None:
        layout = find_layout(person.layout)
        places = [QPointF(x, y) for x, y in self._to_screen(person.keypoints).tolist()]
        sure = person.keypoints[:, 2]
        colour = QColor(person.colour)
        colour.setAlpha(255 if current else 120)
        for first, second in layout.edges:
            a, b = layout.names.index(first), layout.names.index(second)
            hidden = min(sure[a], sure[b]) < SEEN
            style = Qt.PenStyle.DotLine if hidden else Qt.PenStyle.SolidLine
            painter.setPen(QPen(colour, 2.0 if current else 1.2, style))
            painter.drawLine(places[a], places[b])
        if not current:
            return
        for index, place in enumerate(places):
            grown = 2.0 if self._hovered == (self._current, index) else 0.0
            painter.setPen(QPen(QColor("#101214"), 1.2))
            # Hidden ones are hollow: colour is not the only sign.
            painter.setBrush(colour if sure[index] >= SEEN else Qt.BrushStyle.NoBrush)
            if sure[index] < SEEN:
                painter.setPen(QPen(colour, 1.6))
            painter.drawEllipse(place, HANDLE + grown, HANDLE + grown)

    def _themed(self) -> None:
        self._ground = QColor(self._theme.tokens.sunken)
        self.update()
