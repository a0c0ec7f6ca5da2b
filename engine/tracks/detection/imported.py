"""The detector ``boxes``: detections that somebody made elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from engine.errors import invalid_input
from engine.tracks.boxes import Boxes
from engine.tracks.detection.catalogue import ImportedOptions
from engine.tracks.detection.found import Found
from engine.tracks.formats import read_tracks
from engine.video import Frame, VideoFile


class ImportedDetector:
    """Boxes of a file, for those who have them already and want features, fusion or a scene.

    Tracks in the file do not count. A file of several cameras is read by their names; a file of one
    belongs to whatever video is looked at.

    Raises
    ------
    EngineError
        What reading the file raises.
    """

    batch = 8

    def __init__(self, options: ImportedOptions) -> None:
        path = Path(options.path).expanduser()
        self._file = read_tracks(path)
        self.name = f"boxes of {path.name}"
        boxes = self._file.boxes
        numbers = np.unique(boxes.classes).tolist() or [0]
        told = self._file.class_names
        self.class_names: Mapping[int, str] = {
            number: told.get(number, "object" if number == 0 else f"class {number}")
            for number in numbers
        }
        self._here = Boxes.empty()

    def begin(self, video: VideoFile, camera: str, check: Callable[[], None]) -> None:
        """See :class:`~engine.tracks.detection.catalogue.Detector`.

        Raises
        ------
        EngineError
            ``invalid_input`` when the file has several cameras, and none of this name.
        """
        names = [entry.name for entry in self._file.cameras]
        if camera in names:
            at = names.index(camera)
        elif len(names) <= 1:
            at = 0
        else:
            raise invalid_input(
                f"The boxes are of the cameras {', '.join(names[:8])}, not of {camera}; nothing was "
                "detected.",
                "Name the video after its camera, or give the boxes of one camera.",
            )
        boxes = self._file.boxes
        self._here = boxes.select(boxes.cameras == at).sorted()

    def detect(self, frames: Sequence[Frame]) -> list[Found]:
        """See :class:`~engine.tracks.detection.catalogue.Detector`."""
        return [self._one(frame.index) for frame in frames]

    def _one(self, index: int) -> Found:
        first, last = np.searchsorted(self._here.frames, [index, index + 1])
        some = self._here.select(slice(int(first), int(last)))
        return Found.of(some.xyxy(), some.scores, some.classes)
