"""Plots as files, drawn as they are on screen."""

from __future__ import annotations

from PySide6.QtCore import QBuffer, QIODevice
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtWidgets import QGraphicsView

SCALE = 2
"""Pixels of a PNG for one of the screen's points."""
FORMATS = {"png": "PNG (*.png)", "svg": "SVG (*.svg)", "csv": "CSV (*.csv)"}
"""What plots are saved as, with the file dialog's words; CSV is made of their data."""


def drawn(plot: QGraphicsView, suffix: str, ground: QColor, title: str) -> bytes:
    """A plot as ``png`` or ``svg``, on a plain ground."""
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    if suffix == "svg":
        # Not at the top: the window starts without it.
        from PySide6.QtSvg import QSvgGenerator

        generator = QSvgGenerator()
        generator.setOutputDevice(buffer)
        generator.setSize(plot.size())
        generator.setViewBox(plot.rect())
        generator.setTitle(title)
        with QPainter(generator) as painter:
            painter.fillRect(plot.rect(), ground)
            plot.render(painter)
    else:
        image = QImage(plot.size() * SCALE, QImage.Format.Format_RGB32)
        image.fill(ground)
        with QPainter(image) as painter:
            plot.render(painter)
        image.save(buffer, "PNG")
    return bytes(buffer.data().data())
