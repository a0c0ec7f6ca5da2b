"""What the server of the AI City challenge takes: whole numbers, identities of several cameras.

The published program also makes boxes larger, as those of that data's truth are (arXiv 2105.06623).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import invalid_input
from engine.tracks.boxes import Boxes
from engine.tracks.cameras import Camera
from engine.tracks.formats.aicity import camera_numbers
from engine.tracks.formats.text import number_texts, write_text
from engine.tracks.formats.track_file import TrackFile

LARGER, MOST_LARGER = 1.2, 40.0
"""Times as wide and tall, and by how many pixels at most."""


def enlarged(xywh: NDArray[np.floating]) -> NDArray[np.float64]:
    """Boxes ``(N, 4)`` about their centres: ``w' = min(1.2 w, w + 40)``, and as much for ``h``."""
    size = xywh[:, 2:].astype(np.float64)
    larger = np.minimum(LARGER * size, size + MOST_LARGER)
    return np.concatenate([xywh[:, :2] - (larger - size) / 2, larger], axis=1)


def write_submission(file: TrackFile, path: Path, *, enlarge: bool = False) -> list[str]:
    """Write ``camera id frame x y w h -1 -1``, whole numbers, a row a box; frames count from 1.

    Boxes end at the picture's borders. Identities that one camera alone has seen are left out, as the
    server leaves them out; of two boxes of an identity in one frame the first is kept. Identities are
    numbered from 1.

    Parameters
    ----------
    file
        Tracks are identities. Its boxes are not changed.
    path
        Of the new file; whole, or not there.
    enlarge
        See :func:`enlarged`.

    Returns
    -------
    What was left out, in words.

    Raises
    ------
    EngineError
        ``invalid_input`` where cameras have no numbers by which the server knows them.
    """
    numbers, unknown = camera_numbers([camera.name for camera in file.cameras])
    if unknown:
        raise invalid_input(
            "The server knows cameras by their numbers, and these have none or equal ones: "
            f"{', '.join(camera.name for camera in file.cameras)}. Nothing was written.",
            "Name them as the data set does (c041, c042, ...), or export as AI City.",
        )
    boxes = file.boxes.sorted()
    keys = np.stack([boxes.cameras, boxes.frames, boxes.tracks], axis=1)
    once = np.sort(np.unique(keys, axis=0, return_index=True)[1]) if len(boxes) else slice(0)
    notes = [_told(len(boxes) - len(keys[once]), "of an identity that has two in a frame")]
    boxes = boxes.select(once)
    seen = np.unique(np.stack([boxes.tracks, boxes.cameras], axis=1), axis=0)[:, 0]
    ids, counts = np.unique(seen, return_counts=True)
    several = np.isin(boxes.tracks, ids[counts > 1])
    notes.append(_told(int((~several).sum()), "of identities that one camera alone has seen"))
    boxes = boxes.select(several)
    corners = _whole(boxes, file.cameras, enlarge)
    inside = (corners[:, 2:] > corners[:, :2]).all(axis=1)
    notes.append(_told(int((~inside).sum()), "outside of the picture"))
    boxes, corners = boxes.select(inside), corners[inside]
    sides = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    columns = [
        np.array(numbers, np.int64)[boxes.cameras],
        np.unique(boxes.tracks, return_inverse=True)[1].reshape(-1) + 1,
        boxes.frames + 1,
        *sides.T,
        *np.full((2, len(boxes)), -1),
    ]
    texts = [number_texts(column.astype(np.int64)) for column in columns]
    write_text(path, map(" ".join, zip(*texts, strict=True)))
    return [note for note in notes if note]


write_enlarged = partial(write_submission, enlarge=True)


def _whole(boxes: Boxes, cameras: tuple[Camera, ...], enlarge: bool) -> NDArray[np.int64]:
    """Corners ``(N, 4)`` within the pictures, as far as their sizes are known."""
    xywh = enlarged(boxes.xywh) if enlarge else boxes.xywh.astype(np.float64)
    corners = np.rint(np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1))
    limits = np.array([[one.width or np.inf, one.height or np.inf] for one in cameras]).reshape(-1, 2)
    most = np.tile(limits[boxes.cameras], 2)
    return np.asarray(np.clip(corners, 0, most), np.int64)


def _told(count: int, which: str) -> str:
    many = "1 box" if count == 1 else f"{count:,} boxes"
    return f"Left out: {many} {which}." if count else ""
