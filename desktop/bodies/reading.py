"""Reads what a job made of a photo; beside the window's thread."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QImage

from desktop.widgets.video_frames import FrameReader
from engine.bodies.record import OWN_BODIES, Recovery, read_recoveries
from engine.errors import EngineError, bad_file, invalid_input
from engine.job import ArtifactRef

if TYPE_CHECKING:
    from engine.project import Project


@dataclass(frozen=True, eq=False)
class Opened:
    """A result.

    Attributes
    ----------
    recoveries
        One for a photo; those of a video's frames in order.
    photo
        As it was looked at; None of a video, whose frames are read from its file.
    fps
        Recoveries a second, of a video.
    """

    recoveries: tuple[Recovery, ...]
    photo: QImage | None
    fps: float


def open_result(project: Project, result: int) -> Opened:
    """Read a result of ``bodies.recover``.

    Raises
    ------
    EngineError
        ``bad_file`` when its file is damaged or gone; ``invalid_input`` when its bodies are of a
        model of the user's own, which only the command line has.
    """
    recoveries = read_recoveries(project.store.path(project.result(result).artifact))
    own = sorted({recovery.body for recovery in recoveries} & set(OWN_BODIES))
    if own:
        raise invalid_input(
            f"These bodies are of your own file of {own[0]}, and the window draws the built-in body "
            "alone; the result is kept.",
            "Export them on the command line: triptych recover --body-model FILE --export glb.",
        )
    about = project.manifest(result).get("bodies", {})
    photo: QImage | None = None
    if "photo" in about:
        photo = QImage(str(project.store.path(ArtifactRef.from_json(about["photo"]))))
        if photo.isNull():
            raise bad_file(
                "The photo that belongs to this result is damaged; the bodies are not affected.",
                "Recover the photo anew.",
            )
    return Opened(recoveries, photo, float(about.get("fps", 30.0)))


def thumbnail(project: Project, result: int, source: Path, side: int) -> QImage:
    """A photo or a video's first frame, at most ``side`` pixels; null where there is none any more."""
    try:
        about = project.manifest(result).get("bodies", {})
        if "photo" in about:
            image = QImage(str(project.store.path(ArtifactRef.from_json(about["photo"]))))
        else:
            reader = FrameReader()
            image = reader.read(source, 0)
            reader.close()
    except EngineError:
        return QImage()  # told when the result is opened
    if image.isNull():
        return image
    keep, smooth = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
    return image.scaled(side, side, keep, smooth)
