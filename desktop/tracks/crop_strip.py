"""A strip of crops in order of time, each with its camera; where there is no video, boxes only."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QIcon, QImage, QPainter, QPen, QPixmap
from PySide6.QtWidgets import QAbstractItemView, QListView, QListWidget, QListWidgetItem

from desktop.theme import Theme
from desktop.tracks.crops import CropLoader
from desktop.widgets.timeline import clock
from engine.tracks.cameras import Camera
from engine.tracks.crops import Crop

CELL = QSize(84, 96)
"""Of a picture in the strip."""
USUAL_SIZE = 1920, 1080
"""Of a camera that does not say how large its pictures are."""


class CropStrip(QListWidget):
    """See the module; arrow keys walk along it.

    Attributes
    ----------
    chosen
        A :class:`~engine.tracks.crops.Crop`: clicked, or Return was pressed on it.
    """

    chosen = Signal(object)

    def __init__(self, theme: Theme, loader: CropLoader) -> None:
        super().__init__()
        self._theme, self._loader = theme, loader
        self._cameras: tuple[Camera, ...] = ()
        self.setAccessibleName("Pictures of the selected identity")
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(False)
        self.setMovement(QListView.Movement.Static)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setIconSize(CELL)
        self.setGridSize(QSize(CELL.width() + 8, CELL.height() + 3 * self.fontMetrics().height()))
        self.setFixedHeight(CELL.height() + 3 * self.fontMetrics().height() + 18)
        self.itemClicked.connect(lambda item: self.chosen.emit(item.data(Qt.ItemDataRole.UserRole)))
        self.itemActivated.connect(lambda item: self.chosen.emit(item.data(Qt.ItemDataRole.UserRole)))
        loader.ready.connect(self._ready)
        theme.changed.connect(self._repaint)

    @property
    def crops(self) -> list[Crop]:
        """Those in the strip."""
        return [self.item(at).data(Qt.ItemDataRole.UserRole) for at in range(self.count())]

    def show_crops(self, crops: Sequence[Crop], cameras: Sequence[Camera]) -> None:
        """Other crops; their pictures are loaded."""
        if list(crops) == self.crops and tuple(cameras) == self._cameras:
            return
        self._cameras = tuple(cameras)
        self.clear()
        for crop in crops:
            name = cameras[crop.camera].name
            item = QListWidgetItem(f"{name}\n{clock(crop.time)}")
            item.setData(Qt.ItemDataRole.UserRole, crop)
            item.setTextAlignment(Qt.AlignmentFlag.AlignHCenter)
            self.addItem(item)
            self._draw(item)
        self._loader.request(crops)

    def _ready(self, crop: Crop) -> None:
        for at in range(self.count()):
            if self.item(at).data(Qt.ItemDataRole.UserRole) == crop:
                self._draw(self.item(at))

    def _repaint(self) -> None:
        for at in range(self.count()):
            self._draw(self.item(at))

    def _draw(self, item: QListWidgetItem) -> None:
        crop: Crop = item.data(Qt.ItemDataRole.UserRole)
        image = self._loader.image(crop)
        why = self._loader.why_not(crop)
        ratio = self.devicePixelRatioF()
        item.setIcon(
            QIcon(picture_of(crop, self._cameras[crop.camera], image, self._theme, CELL, ratio))
        )
        where = f"{self._cameras[crop.camera].name}, frame {crop.frame}, tracklet {crop.tracklet}"
        item.setToolTip(f"{where}\nNo picture: {why}" if why else where)


def picture_of(
    crop: Crop, camera: Camera, image: QImage | None, theme: Theme, size: QSize, ratio: float = 1.0
) -> QPixmap:
    """The crop, fitted into ``size``; without its picture the box in the camera's frame instead."""
    pixmap = QPixmap(size * ratio)
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(QColor(theme.tokens.sunken))
    with QPainter(pixmap) as painter:
        if image is not None:
            fitted = image.size().scaled(size, Qt.AspectRatioMode.KeepAspectRatio)
            corner = (size.width() - fitted.width()) / 2, (size.height() - fitted.height()) / 2
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawImage(QRectF(*corner, fitted.width(), fitted.height()), image)
            return pixmap
        width, height = (camera.width, camera.height) if camera.width else USUAL_SIZE
        scale = min((size.width() - 4) / width, (size.height() - 4) / height)
        left, top = (size.width() - width * scale) / 2, (size.height() - height * scale) / 2
        painter.setPen(QPen(QColor(theme.tokens.disabled), 1))
        painter.drawRect(QRectF(left, top, width * scale, height * scale))
        x, y, w, h = (value * scale for value in crop.xywh)
        painter.fillRect(QRectF(left + x, top + y, max(w, 2), max(h, 2)), QColor(theme.tokens.muted))
    return pixmap
