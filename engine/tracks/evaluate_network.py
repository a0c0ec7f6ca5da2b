"""Tracks over a network of cameras, by the rules of the AI City challenge and camera by camera."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.tracks.boxes import Boxes
from engine.tracks.evaluate import Evaluation, evaluate


@dataclass(frozen=True)
class NetworkEvaluation:
    """Figures of the whole network and of each camera.

    Attributes
    ----------
    network
        Ids global over the cameras; HOTA, CLEAR and identity over all of them at once.
    cameras
        Each alone, by name.
    truth, predicted
        What was compared in ``network``, after the rules.
    left_out
        Boxes that the rules took out, by reason.
    """

    network: Evaluation
    cameras: dict[str, Evaluation]
    truth: Boxes
    predicted: Boxes
    left_out: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            **self.network.to_json(),
            "left_out": self.left_out,
            "cameras": {name: result.figures for name, result in self.cameras.items()},
        }


def evaluate_network(
    truth: Boxes,
    predicted: Boxes,
    names: Sequence[str],
    *,
    regions: Mapping[int, NDArray[np.bool_]] | None = None,
    several_cameras_only: bool = False,
) -> NetworkEvaluation:
    """Compare tracks whose ids are global over the cameras.

    Parameters
    ----------
    truth, predicted
        With tracks; repetitions were removed when they were read.
    names
        Of the cameras.
    regions
        Of some cameras the picture's part that counts, ``(H, W)``: predicted boxes with a corner
        elsewhere, or outside of the picture, are left out.
    several_cameras_only
        Leave out ids that are seen by one camera only, on both sides, as AI City does.

    Raises
    ------
    EngineError
        ``invalid_input`` as :func:`engine.tracks.evaluate.evaluate`.
    """
    counted, left_out = drop_ignored(truth)
    kept = predicted
    for camera, region in (regions or {}).items():
        kept = kept.select(~(kept.cameras == camera) | _inside(kept, region))
    left_out["outside_region"] = len(predicted) - len(kept)
    alone = {name: _of(counted, kept, at) for at, name in enumerate(names)}
    cameras = {
        name: evaluate(*sides) for name, sides in alone.items() if len(sides[0]) or len(sides[1])
    }
    if several_cameras_only:
        before = len(counted), len(kept)
        counted, kept = _in_several(counted), _in_several(kept)
        left_out["true_in_one_camera"] = before[0] - len(counted)
        left_out["predicted_in_one_camera"] = before[1] - len(kept)
    return NetworkEvaluation(evaluate(counted, kept), cameras, counted, kept, left_out)


def drop_ignored(truth: Boxes) -> tuple[Boxes, dict[str, int]]:
    """The true boxes without those that a file marks as not to be counted (score 0)."""
    counted = truth.select(truth.scores > 0)
    return counted, {"ignored_truth": len(truth) - len(counted)}


def _of(truth: Boxes, predicted: Boxes, camera: int) -> tuple[Boxes, Boxes]:
    return truth.select(truth.cameras == camera), predicted.select(predicted.cameras == camera)


def _in_several(boxes: Boxes) -> Boxes:
    seen = np.unique(np.stack([boxes.tracks, boxes.cameras], axis=1), axis=0)[:, 0]
    ids, counts = np.unique(seen, return_counts=True)
    return boxes.select(np.isin(boxes.tracks, ids[counts > 1]))


def _inside(boxes: Boxes, region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether all four corners are on pixels that count."""
    height, width = region.shape
    corners = np.floor(boxes.xyxy()).astype(np.int64)
    inside = np.ones(len(boxes), bool)
    for x in (corners[:, 0], corners[:, 2]):
        for y in (corners[:, 1], corners[:, 3]):
            there = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            inside &= there & region[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    return inside
