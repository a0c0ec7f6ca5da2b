"""Every error of a tracker in a list: where to look at it, and who is mistaken for whom.

Read from the matches of CLEAR MOT, so that the list has as many rows of each kind as that counts:
switches, false boxes and misses; fragments are the frames at which a lost track is found again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.tracks.boxes import Boxes, Float32Array, Int64Array
from engine.tracks.evaluate import Evaluation

KINDS = ("switch", "fragment", "false", "miss")
"""``switch``: another predicted track than before; ``fragment``: found again; ``false``: no true box
is there; ``miss``: no predicted box is there."""

NOBODY = -1


@dataclass(frozen=True)
class Errors:
    """``E`` errors by camera, frame and kind.

    Attributes
    ----------
    kinds
        ``(E,)`` positions in :data:`KINDS`.
    cameras, frames
        ``(E,)`` where.
    true_ids, predicted_ids
        ``(E,)`` who; :data:`NOBODY` where nobody is.
    earlier_ids
        ``(E,)`` of switches and fragments the predicted track before.
    earlier_frames
        ``(E,)`` of these the frame of it.
    xywh
        float32 ``(E, 4)`` the box to show: the predicted one of false boxes, else the true one.
    """

    kinds: NDArray[np.int8]
    cameras: Int64Array
    frames: Int64Array
    true_ids: Int64Array
    predicted_ids: Int64Array
    earlier_ids: Int64Array
    earlier_frames: Int64Array
    xywh: Float32Array

    def __len__(self) -> int:
        return len(self.kinds)

    def counts(self) -> dict[str, int]:
        """How many there are of each kind."""
        numbers = np.bincount(self.kinds, minlength=len(KINDS)).tolist()
        return dict(zip(KINDS, numbers, strict=True))

    def rows(self, limit: int | None = None) -> Iterator[dict[str, Any]]:
        """The errors as dictionaries, the first ``limit`` of them."""
        for at in range(len(self) if limit is None else min(limit, len(self))):
            row: dict[str, Any] = {
                "kind": KINDS[self.kinds[at]],
                "camera": int(self.cameras[at]),
                "frame": int(self.frames[at]),
                "box": [float(side) for side in self.xywh[at]],
            }
            for name in ("true_id", "predicted_id", "earlier_id", "earlier_frame"):
                value = int(getattr(self, f"{name}s")[at])
                if value != NOBODY:
                    row[name] = value
            yield row


def errors(evaluation: Evaluation, truth: Boxes, predicted: Boxes) -> Errors:
    """List the errors of a comparison of ``truth`` and ``predicted``."""
    pairs, matches = evaluation.pairs, evaluation.matches
    true_rows, found_rows = pairs.truth.rows, pairs.predicted.rows
    parts = []
    for kind, mask in (("switch", matches.switched), ("fragment", matches.resumed)):
        at = np.flatnonzero(mask)
        g, p, before = true_rows[matches.g[at]], found_rows[matches.p[at]], matches.before[at]
        last = found_rows[matches.p[before]]
        parts.append(
            _part(kind, truth, g, truth.tracks[g], predicted.tracks[p])
            | {"earlier_ids": predicted.tracks[last], "earlier_frames": predicted.frames[last]}
        )
    false = np.setdiff1d(np.arange(len(found_rows)), matches.p)
    missed = np.setdiff1d(np.arange(len(true_rows)), matches.g)
    rows = found_rows[false]
    parts.append(_part("false", predicted, rows, np.full(len(rows), NOBODY), predicted.tracks[rows]))
    rows = true_rows[missed]
    parts.append(_part("miss", truth, rows, truth.tracks[rows], np.full(len(rows), NOBODY)))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.lexsort((columns["kinds"], columns["frames"], columns["cameras"]))
    return Errors(**{name: column[order] for name, column in columns.items()})


def _part(
    kind: str, boxes: Boxes, rows: Int64Array, true_ids: Int64Array, predicted_ids: Int64Array
) -> dict[str, NDArray[Any]]:
    nobody = np.full(len(rows), NOBODY, np.int64)
    return {
        "kinds": np.full(len(rows), KINDS.index(kind), np.int8),
        "cameras": boxes.cameras[rows],
        "frames": boxes.frames[rows],
        "true_ids": true_ids,
        "predicted_ids": predicted_ids,
        "earlier_ids": nobody,
        "earlier_frames": nobody,
        "xywh": boxes.xywh[rows],
    }
