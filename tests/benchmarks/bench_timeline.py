"""How fluid the timeline is: painting while zooming and moving, at 100,000 and at a million segments.

``QT_QPA_PLATFORM=offscreen python tests/benchmarks/bench_timeline.py [--segments 100000 1000000]``

The baseline is one rectangle a segment in view, drawn by Qt.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from PySide6.QtCore import QRectF
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtWidgets import QApplication

from desktop.theme import Theme
from desktop.widgets.timeline import GUTTER, ROW, Timeline
from desktop.widgets.timeline_segments import Segments

WIDTH, HEIGHT = 1600, 700
HOURS = 1.0
CAMERAS = 6


def segments(count: int, identities: int) -> Segments:
    """An hour of ``count`` tracklets of 2 to 40 seconds."""
    rng = np.random.default_rng(3)
    starts = rng.uniform(0, 3600 * HOURS, count)
    return Segments.of(
        np.arange(count), rng.integers(0, identities, count), rng.integers(0, CAMERAS, count), starts,
        starts + rng.uniform(2, 40, count),
        (0xFF000000 | rng.integers(0, 1 << 24, count)).astype(np.uint32), CAMERAS,
    )  # fmt: skip


def paint(timeline: Timeline) -> float:
    """Milliseconds of processor time for a picture of it."""
    image = QImage(WIDTH, HEIGHT, QImage.Format.Format_ARGB32_Premultiplied)
    begin = time.thread_time()
    timeline.render(image)
    return (time.thread_time() - begin) * 1000


def naive(timeline: Timeline, data: Segments) -> float:
    """The same for the same rows with a rectangle a segment."""
    image = QImage(WIDTH, HEIGHT, QImage.Format.Format_ARGB32_Premultiplied)
    part = data.of_rows(0, HEIGHT // ROW)
    scale = (WIDTH - GUTTER) / (3600 * HOURS)
    begin = time.thread_time()
    painter = QPainter(image)
    for at in range(part.start, part.stop):
        left, right = data.starts[at] * scale, data.ends[at] * scale
        y = data.rows[at] * ROW + data.lanes[at] * ROW / CAMERAS
        painter.fillRect(
            QRectF(GUTTER + left, y, max(1.0, right - left), ROW / CAMERAS),
            QColor.fromRgb(int(data.colours[at])),
        )
    painter.end()
    return (time.thread_time() - begin) * 1000


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--segments", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--identities", type=int, nargs="+", default=[30, 20_000])
    options = parser.parse_args()
    application = QApplication([])
    for count in options.segments:
        for identities in options.identities:
            data = segments(count, identities)
            timeline = Timeline(Theme("dark"))
            timeline.resize(WIDTH, HEIGHT)
            timeline.set_segments([str(row) for row in range(identities)], data)
            timeline.set_bounds(0, 3600 * HOURS + 40)
            times = []
            for step in range(90):
                if step < 30:
                    timeline.zoom(1.25, 900)
                elif step < 60:
                    timeline.zoom(1 / 1.25, 2500)
                else:
                    timeline.set_time((step - 60) * 3600 * HOURS / 30)
                times.append(paint(timeline))
            alone = naive(timeline, data)
            print(
                json.dumps(
                    {
                        "segments": count,
                        "rows": identities,
                        "in_the_rows_in_view": len(
                            range(*data.of_rows(0, HEIGHT // ROW).indices(count))
                        ),
                        "median_ms": round(float(np.median(times)), 1),
                        "p95_ms": round(float(np.percentile(times, 95)), 1),
                        "rectangles_ms": round(alone, 1),
                        "ratio": round(alone / float(np.median(times)), 1),
                    }
                )
            )
            timeline.deleteLater()
    application.quit()


if __name__ == "__main__":
    main()
