"""Progress of a job as text: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import shutil
import time
from typing import TextIO

from engine.job import Event, Progress

REDRAW_SECONDS = 0.1
LINE_SECONDS = 5.0
BAR_WIDTH = 24


class ProgressLine:
    """Shows progress events on a stream. Leaving its context clears what is drawn.

    Parameters
    ----------
    stream
        Usually standard error. On a terminal one line is redrawn; elsewhere (a log, a pipe) plain
        lines are written, at most one in five seconds and one a stage.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._shown = float("-inf")
        self._stage = ""
        self._started = time.monotonic()

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def show(self, event: Event) -> None:
        """Draw a progress event; others are ignored."""
        if not isinstance(event, Progress):
            return
        now = time.monotonic()
        interval = REDRAW_SECONDS if self._terminal else LINE_SECONDS
        if now - self._shown < interval and event.done < event.total:
            return
        self._shown = now
        share = event.done / event.total if event.total > 0 else 0.0
        text = f"{share:4.0%}  {event.stage}  {self._time_left(share, now)}".rstrip()
        if self._terminal:
            filled = round(share * BAR_WIDTH)
            line = f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {text}"
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r\x1b[K{line[:width]}")
        else:
            self._stream.write(text + "\n")
        self._stream.flush()

    def _time_left(self, share: float, now: float) -> str:
        passed = now - self._started
        if passed < 2 or not 0.02 < share < 1:
            return ""
        left = round(passed / share - passed)
        return f"{left // 60}:{left % 60:02d} left"
