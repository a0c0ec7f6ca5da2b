"""Frames of videos as pictures of the window; read beside its thread."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtGui import QImage

from desktop.widgets.image_canvas import image_from_array

if TYPE_CHECKING:
    from engine.video import VideoFile


class FrameReader:
    """Frames of videos, one after another; the last video stays open for the next frame.

    For the one thread of a :class:`desktop.background.Background`.
    """

    def __init__(self) -> None:
        self._video: VideoFile | None = None

    def read(self, path: Path, frame: int) -> QImage:
        """A frame; raises ``bad_file`` when the video is gone or damaged."""
        from engine.video import VideoFile

        if self._video is None or self._video.path != path:
            self.close()
            self._video = VideoFile(path)
        return image_from_array(self._video.frame_at(frame).pixels)

    def close(self) -> None:
        """Let the file go; reading again opens it."""
        video, self._video = self._video, None
        if video is not None:
            video.close()
