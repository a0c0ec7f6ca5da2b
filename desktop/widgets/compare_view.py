"""Two pictures against each other: wipe, side by side, or their difference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from desktop.widgets.image_canvas import GAP, image_from_array
from desktop.widgets.pan_zoom import PanZoomView, draw_picture

GRAB_DISTANCE = 8.0
WIPE_KEY_STEP = 0.02


class CompareMode(StrEnum):
    """How two pictures are shown together."""

    WIPE = "wipe"
    SIDE_BY_SIDE = "side by side"
    DIFFERENCE = "difference"


def array_from_image(image: QImage) -> NDArray[np.uint8]:
    """``(H, W, 3)`` uint8 RGB copy of a picture."""
    image = image.convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()


def difference(first: QImage, second: QImage, gain: float = 1.0) -> tuple[QImage, float, int]:
    """Absolute difference of two pictures of one size.

    Returns
    -------
    tuple
        The picture of ``min(255, gain * |a - b|)``, the mean and the largest ``|a - b|`` (0..255).
    """
    gap = np.abs(array_from_image(first).astype(np.int16) - array_from_image(second))
    shown = np.minimum(gap * float(gain), 255).astype(np.uint8)
    return image_from_array(shown), float(gap.mean()), int(gap.max())


@dataclass(frozen=True)
class Agreement:
    """How close two pictures are, from their 8-bit pixels.

    Attributes
    ----------
    rms
        Root mean square of the difference of pixels in [-1, 1]. Rounding to 8 bits alone makes up
        to 0.004.
    psnr
        Peak signal-to-noise ratio in dB; infinite for equal pictures.
    """

    rms: float
    psnr: float

    @property
    def rms_text(self) -> str:
        """To read: ``0.0021``."""
        return f"{self.rms:.2g}" if self.rms else "0"

    @property
    def psnr_text(self) -> str:
        """To read: ``53.6 dB``."""
        return f"{self.psnr:.1f} dB" if math.isfinite(self.psnr) else "∞ dB"


def agreement(first: QImage, second: QImage) -> Agreement:
    """RMS and PSNR of two pictures of one size; the one place that computes them."""
    gap = array_from_image(first).astype(np.float64) - array_from_image(second)
    rms = math.sqrt(float(np.mean((gap / 127.5) ** 2)))
    # The range of [-1, 1] is 2.
    return Agreement(rms, 20 * math.log10(2 / rms) if rms else math.inf)


class CompareView(PanZoomView):
    """Shows the pictures ``A`` and ``B``; zoom and pan as on the stage, arrows with Shift wipe.

    Signals
    -------
    described(str)
        What the difference is in numbers, or why it cannot be shown.
    """

    described = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._images: tuple[QImage, QImage] | None = None
        self._names = ("A", "B")
        self._mode = CompareMode.WIPE
        self._gain = 4.0
        self._split = 0.5
        self._wiping = False
        self._difference: QImage | None = None
        self._note = ""
        self.setAccessibleName("Comparison of two pictures")

    @property
    def mode(self) -> CompareMode:
        """How the pictures are shown."""
        return self._mode

    @property
    def split(self) -> float:
        """Share of the width, from the left, that shows A in the wipe."""
        return self._split

    @property
    def note(self) -> str:
        """The text last sent with ``described``."""
        return self._note

    def set_ground(self, ground: QColor) -> None:
        """The neutral ground behind the pictures."""
        self._ground = ground
        self.update()

    def set_images(self, first: QImage, second: QImage, names: tuple[str, str] = ("A", "B")) -> None:
        """Compare two pictures; the second is scaled to the first where the sizes differ."""
        self._scaled = first.size() != second.size()
        if self._scaled:
            second = second.scaled(
                first.size(),
                Qt.AspectRatioMode.IgnoreAspectRatio,
                Qt.TransformationMode.SmoothTransformation,
            )
        self._images = (first, second)
        self._agreement = agreement(first, second)
        self._names = names
        self.transform.fit()
        self._compute()

    def set_mode(self, mode: CompareMode) -> None:
        """Choose wipe, side by side or difference."""
        self._mode = mode
        self._compute()
        self.zoom_changed.emit(self.current_zoom())

    def set_gain(self, gain: float) -> None:
        """Amplify the difference so that faint ones can be seen."""
        self._gain = gain
        self._compute()

    def set_split(self, split: float) -> None:
        """Move the divider of the wipe (0: all B, 1: all A)."""
        self._split = min(1.0, max(0.0, split))
        self.update()

    def _compute(self) -> None:
        if self._images is None:
            return
        self._difference, mean, largest = difference(*self._images, self._gain)
        if largest == 0:
            note = "The two pictures are equal in every pixel."
        else:
            close = self._agreement
            note = f"RMS {close.rms_text}, PSNR {close.psnr_text}; mean difference {mean:.2f}, "
            note += f"largest {largest} of 255"
            if self._mode is CompareMode.DIFFERENCE:
                note += f", shown {self._gain:g} times"
            note += ". RMS is of pixels in [-1, 1], from 8-bit pixels."
        if self._scaled:
            note += " B has another size and is scaled to that of A."
        self._note = note
        self.setAccessibleDescription(f"{self._mode.value}. {note}")
        self.described.emit(note)
        self.update()

    # --- geometry ---------------------------------------------------------------------------------

    def _viewports(self) -> list[tuple[QRectF, QImage]]:
        if self._images is None:
            return []
        area = QRectF(self.rect()).adjusted(GAP, GAP, -GAP, -GAP)
        if self._mode is CompareMode.DIFFERENCE and self._difference is not None:
            return [(area, self._difference)]
        if self._mode is CompareMode.WIPE:
            return [(area, self._images[0])]
        half = (area.width() - GAP) / 2
        left = QRectF(area.left(), area.top(), half, area.height())
        return [(left, self._images[0]), (left.translated(half + GAP, 0), self._images[1])]

    def _divider(self) -> float:
        """Horizontal position of the wipe's divider, in the widget."""
        viewport, image = self._viewports()[0]
        rect = self.transform.picture_rect(viewport, image.size()).intersected(viewport)
        return rect.left() + self._split * rect.width()

    def target_at(self, point: QPointF) -> tuple[QRectF, QImage] | None:
        """See :class:`PanZoomView`."""
        for viewport, image in self._viewports():
            if viewport.contains(point):
                if self._mode is CompareMode.WIPE and self._images and point.x() > self._divider():
                    return viewport, self._images[1]
                return viewport, image
        return None

    def main_target(self) -> tuple[QRectF, QImage] | None:
        """See :class:`PanZoomView`."""
        return next(iter(self._viewports()), None)

    def sizeHint(self) -> QSize:
        return QSize(640, 480)

    # --- mouse and keys ---------------------------------------------------------------------------

    def _near_divider(self, point: QPointF) -> bool:
        return (
            self._mode is CompareMode.WIPE
            and self._images is not None
            and abs(point.x() - self._divider()) <= GRAB_DISTANCE
        )

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self._near_divider(event.position()):
            self._wiping = True
            return
        super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._wiping:
            viewport, image = self._viewports()[0]
            rect = self.transform.picture_rect(viewport, image.size()).intersected(viewport)
            self.set_split((event.position().x() - rect.left()) / max(1.0, rect.width()))
            return
        super().mouseMoveEvent(event)
        if not event.buttons():
            near = self._near_divider(event.position())
            self.setCursor(Qt.CursorShape.SplitHCursor if near else Qt.CursorShape.ArrowCursor)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._wiping = False
        super().mouseReleaseEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        steps = {Qt.Key.Key_Left: -WIPE_KEY_STEP, Qt.Key.Key_Right: WIPE_KEY_STEP}
        shift = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
        if self._mode is CompareMode.WIPE and shift and event.key() in steps:
            self.set_split(self._split + steps[Qt.Key(event.key())])
        else:
            super().keyPressEvent(event)

    # --- painting ---------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        with QPainter(self) as painter:
            self.paint_ground(painter, event.rect())
            for viewport, image in self._viewports():
                painter.save()
                painter.setClipRect(viewport)
                rect = self.transform.picture_rect(viewport, image.size())
                draw_picture(painter, rect, image, smooth_always=self.smooth)
                painter.restore()
            if self._images is not None and self._mode is CompareMode.WIPE:
                self._paint_wipe(painter)
            if self._images is not None and self._mode is not CompareMode.DIFFERENCE:
                self._paint_names(painter)

    def _paint_wipe(self, painter: QPainter) -> None:
        assert self._images is not None
        viewport, image = self._viewports()[0]
        divider = self._divider()
        painter.save()
        painter.setClipRect(
            QRectF(QPointF(divider, viewport.top()), viewport.bottomRight()).intersected(viewport)
        )
        rect = self.transform.picture_rect(viewport, image.size())
        draw_picture(painter, rect, self._images[1], smooth_always=self.smooth)
        painter.restore()
        seen = rect.intersected(viewport)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        # Dark under light, so that the line shows on any picture.
        for width, colour in ((3.0, QColor(0, 0, 0, 140)), (1.0, QColor(255, 255, 255))):
            painter.setPen(QPen(colour, width))
            painter.drawLine(QPointF(divider, seen.top()), QPointF(divider, seen.bottom()))
        painter.setPen(QPen(QColor(0, 0, 0, 140), 1))
        painter.setBrush(QColor(255, 255, 255))
        painter.drawEllipse(QPointF(divider, seen.center().y()), 7, 7)

    def _paint_names(self, painter: QPainter) -> None:
        viewports = self._viewports()
        first_view, first = viewports[0]
        left = self.transform.picture_rect(first_view, first.size()).intersected(first_view)
        last_view, last = viewports[-1]
        right = self.transform.picture_rect(last_view, last.size()).intersected(last_view)
        self._paint_name(painter, self._names[0], left.topLeft() + QPointF(8, 8), False)
        at_right = self._mode is CompareMode.WIPE
        corner = right.topRight() + QPointF(-8, 8) if at_right else right.topLeft() + QPointF(8, 8)
        self._paint_name(painter, self._names[1], corner, at_right)

    def _paint_name(self, painter: QPainter, text: str, corner: QPointF, right: bool) -> None:
        metrics = self.fontMetrics()
        box = QRectF(0, 0, metrics.horizontalAdvance(text) + 12, metrics.height() + 4)
        if right:
            box.moveTopRight(corner)
        else:
            box.moveTopLeft(corner)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(20, 20, 22, 215))
        painter.drawRoundedRect(box, 4, 4)
        painter.setPen(QColor(240, 240, 242))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
