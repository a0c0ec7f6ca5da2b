"""Which of the pictures on the stage the inspector is about."""

from __future__ import annotations

from dataclasses import dataclass

from desktop.images.model import PageJob
from desktop.widgets.image_canvas import ImageCanvas


@dataclass(frozen=True)
class Subject:
    """The picture on the stage that the inspector is about.

    Attributes
    ----------
    count
        Pictures on the stage.
    place
        Which of them is meant; -1 when none of several was chosen.
    result
        Its id when it is finished.
    job, image
        Else the job that makes it, and which of the job's pictures it is.
    """

    count: int
    place: int
    result: int | None = None
    job: str | None = None
    image: int = 0


def find_subject(canvas: ImageCanvas, job: PageJob | None, first: int) -> Subject | None:
    """The picture that is meant, of those on the canvas.

    Parameters
    ----------
    canvas
        What is shown, and which tile is marked.
    job
        The job whose pictures these are; ``None`` for results.
    first
        Which of the job's pictures the first tile is.
    """
    tiles = canvas.tiles
    if not tiles:
        return None
    place = 0 if len(tiles) == 1 else canvas.current
    tile = tiles[place] if place >= 0 else None
    if tile is not None and tile.key is not None:
        return Subject(len(tiles), place, result=tile.key)
    if job is None or (tile is None and not job.active):
        return Subject(len(tiles), place)
    return Subject(len(tiles), place, job=job.id, image=first + place if tile is not None else -1)
