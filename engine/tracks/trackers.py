"""The trackers that can be chosen, by name, and what runs them over all cameras.

A plug-in adds to :data:`TRACKERS` through the entry-point group ``triptych.tracker``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from engine.choices import checked
from engine.errors import invalid_input
from engine.registry import Registry
from engine.tracks.any_object import AnyObjectOptions, track_any_object
from engine.tracks.boxes import FEATURES, NO_TRACK, Boxes, Int64Array
from engine.tracks.repair import RepairOptions, repair
from engine.tracks.single_camera import JdeOptions, track_jde
from engine.tracks.track_pool import Check
from engine.tracks.two_stage import TwoStageOptions, track_two_stage

OneCamera = Callable[[Boxes, NDArray[np.floating], Any, Check], Int64Array]
"""``f(boxes, features (N, D), options, check)``: the track of each box of one camera, or NO_TRACK."""


@dataclass(frozen=True)
class TrackerKind:
    """A tracker.

    Attributes
    ----------
    title, description
        For people.
    run
        See :data:`OneCamera`; gets D = 0 where boxes have no appearance.
    options
        The model of its settings.
    needs_appearance
        Whether boxes have to have it.
    """

    title: str
    description: str
    run: OneCamera
    options: type[BaseModel]
    needs_appearance: bool


@dataclass(frozen=True)
class Tracked:
    """What a tracker made of boxes.

    Attributes
    ----------
    rows, tracklets
        int64 ``(R,)`` boxes that belong to a tracklet, ascending, and which; tracklets are numbered
        from 0 through all cameras.
    left_out
        How many boxes were not looked at, by reason.
    """

    rows: Int64Array
    tracklets: Int64Array
    left_out: Mapping[str, int] = field(default_factory=dict)


TRACKERS: Registry[TrackerKind] = Registry("tracker")


class JdeTrackerOptions(JdeOptions):
    """Settings of the tracker by motion and appearance, and of the repair after it."""

    repair: RepairOptions | None = Field(
        default=RepairOptions(), description="Join broken tracks, remove doubles; null: do not."
    )
    least_boxes: int = Field(
        default=3, ge=1, description="Tracks of fewer boxes are left out: most are false detections."
    )


def _jde(
    boxes: Boxes, features: NDArray[np.floating], options: JdeTrackerOptions, check: Check
) -> Int64Array:
    ids, looks = track_jde(boxes, features, options, check)
    if options.repair is not None:
        ids = repair(boxes, ids, looks, options.repair)
    names, numbers, counts = np.unique(ids, return_inverse=True, return_counts=True)
    kept = (counts >= options.least_boxes) & (names != NO_TRACK)
    return np.where(kept[numbers], ids, NO_TRACK)


TRACKERS.add(
    "jde",
    TrackerKind(
        "Motion and appearance",
        "For fixed cameras: the tracker of the AI City Challenge's winner, with its repair.",
        _jde,
        JdeTrackerOptions,
        needs_appearance=True,
    ),
)
TRACKERS.add(
    "bytetrack",
    TrackerKind(
        "Overlap",
        "Needs no appearance: sure detections first, then doubtful ones (ByteTrack).",
        lambda boxes, _features, options, check: track_two_stage(boxes, options, check),
        TwoStageOptions,
        needs_appearance=False,
    ),
)
TRACKERS.add(
    "aoa",
    TrackerKind(
        "Appearance",
        "Any kind of object, also one picture a second: by appearance within each class (AOA).",
        track_any_object,
        AnyObjectOptions,
        needs_appearance=True,
    ),
)


def tracker_options(tracker: str, given: Mapping[str, Any]) -> BaseModel:
    """The settings of a tracker.

    Raises
    ------
    EngineError
        ``invalid_input`` for an unknown tracker or setting, or a value out of range.
    """
    kind = TRACKERS.get(tracker)
    return checked(kind.options, given, "tracker", tracker, "Nothing was tracked.")


def track(
    boxes: Boxes,
    tracker: str = "jde",
    options: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> Tracked:
    """Link boxes in every camera.

    Parameters
    ----------
    boxes
        Detections in any order; ``extra["features"]`` ``(N, D)`` is their appearance.
    tracker
        Of :data:`TRACKERS`.
    options
        Settings of the tracker by name; others keep their defaults.
    progress
        Called with frames done and frames in all; raises to stop.

    Raises
    ------
    EngineError
        ``invalid_input`` where settings are wrong, or appearance is needed and missing.
    """
    kind = TRACKERS.get(tracker)
    chosen = tracker_options(tracker, options or {})
    usable, features, left_out = _usable(boxes, kind)
    total = sum(_length(boxes.frames[boxes.cameras == at]) for at in np.unique(boxes.cameras))
    ids = np.full(len(boxes), NO_TRACK, np.int64)
    done = fresh = 0
    for camera in np.unique(boxes.cameras[usable]).tolist():
        rows = usable[boxes.cameras[usable] == camera]
        # Trackers must not depend on the order in which a detector lists what it found.
        rows = rows[np.lexsort((*boxes.xywh[rows].T, boxes.scores[rows], boxes.frames[rows]))]
        own = boxes.select(rows)
        start, before = int(own.frames[0]), done

        def check(frame: int, start: int = start, before: int = before) -> None:
            progress(before + frame - start, total)

        found = kind.run(own, features[rows], chosen, check)
        names, numbers = np.unique(found[found != NO_TRACK], return_inverse=True)
        ids[rows[found != NO_TRACK]] = fresh + numbers
        fresh += len(names)
        done += _length(own.frames)
    progress(total, total)
    linked = np.flatnonzero(ids != NO_TRACK)
    return Tracked(linked, ids[linked], left_out)


def _length(frames: Int64Array) -> int:
    return int(frames.max() - frames.min()) + 1 if len(frames) else 0


def _usable(boxes: Boxes, kind: TrackerKind) -> tuple[Int64Array, NDArray[np.floating], dict[str, int]]:
    """Rows that can be tracked, the appearance of all, and why others cannot be."""
    good = np.isfinite(boxes.xywh).all(1)
    left_out = {"not finite": int((~good).sum())}
    sized = (boxes.xywh[:, 2:] > 0).all(1)
    left_out["without area"] = int((good & ~sized).sum())
    good &= sized
    features: NDArray[np.floating] = np.zeros((len(boxes), 0), np.float32)
    if FEATURES in boxes.extra and len(boxes):
        features = np.asarray(boxes.extra[FEATURES]).reshape(len(boxes), -1)
    if kind.needs_appearance and len(boxes):
        if not features.shape[1]:
            raise invalid_input(
                f"The tracker {kind.title!r} goes by appearance, and these boxes have none; nothing "
                "was tracked.",
                "Detect with an appearance model (triptych detect), or choose the tracker bytetrack.",
            )
        lengths = np.linalg.norm(features, axis=1)
        seen = np.isfinite(lengths) & (lengths > 0)
        left_out["without appearance"] = int((good & ~seen).sum())
        good &= seen
    return np.flatnonzero(good), features, {name: n for name, n in left_out.items() if n}
