"""Which visits take no part in linking, and why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.tracks.association import AssociateOptions
from engine.tracks.boxes import Boxes, concatenate
from engine.tracks.cameras import Camera, Zone
from engine.tracks.reassociation import Reassociation
from engine.tracks.tracklet_filter import taking_part
from engine.tracks.tracklets import TrackState
from engine.tracks.visits import visits_of
from tests.engine.tracks.test_association import LOOKS, passing, road


def crossing() -> list[Camera]:
    """The left zone of the first camera leads nowhere; the right one to the second camera."""
    return [replace(camera, frames=400) for camera in road(2)]


def standing(tracklet: int, x: float, frames: int) -> Boxes:
    parts = passing(tracklet, 0, 0, LOOKS[tracklet], rows=range(1))
    xywh = np.tile(np.array([[x, 100.0, 40.0, 60.0]]), (frames, 1))
    looks = np.repeat(np.asarray(parts.extra["features"]), frames, axis=0)
    return Boxes.of(np.arange(10, 10 + frames), xywh, tracks=tracklet, extra={"features": looks})


@pytest.mark.parametrize(
    ("boxes", "why"),
    [
        (passing(1, 0, 10, LOOKS[1]), None),  # on to the second camera
        (passing(1, 0, 10, LOOKS[1], rows=range(8)), "only in left, where no other camera is"),
        (standing(1, 220, 320), "stands in right for 32 s"),
        (standing(1, 220, 200), None),  # waits
        (standing(1, 130, 50), "in no zone that leads to another camera"),
        (passing(1, 1, 10, LOOKS[1], back=True), None),
    ],
)
def test_verdicts(boxes: Boxes, why: str | None) -> None:
    visits = visits_of(boxes, crossing())
    kept, reasons = taking_part(visits, boxes, crossing())
    assert reasons == ({} if why is None else {(1,): why})
    assert len(kept) == (why is None)


def test_from_side_to_side() -> None:
    camera = crossing()[0]
    upper = Zone("upper", ((100.0, 0.0), (200.0, 0.0), (200.0, 60.0), (100.0, 60.0)))
    cameras = [camera.with_zones((*camera.zones, upper)), crossing()[1]]
    boxes = passing(1, 0, 10, LOOKS[1], rows=range(14))
    xywh = np.array(boxes.xywh)
    xywh[10:, 1] = 0
    boxes = Boxes.of(boxes.frames, xywh, tracks=1, extra=dict(boxes.extra))
    _, reasons = taking_part(visits_of(boxes, cameras), boxes, cameras)
    assert reasons == {(1,): "from left to upper, where no other camera is"}


def test_those_that_are_left_out_keep_an_identity_of_their_own() -> None:
    parts = [
        passing(1, 0, 10, LOOKS[1]), passing(2, 1, 200, LOOKS[1]),
        passing(3, 0, 300, LOOKS[3], rows=range(4)), passing(4, 0, 306, LOOKS[3], rows=range(4, 8)),
    ]  # fmt: skip
    boxes = concatenate(parts)
    state = TrackState(boxes.replace(tracks=-1), boxes.tracks, {})
    done = Reassociation(state.detections, crossing()).run(state)
    assert done.left_out == {(3, 4): "only in left, where no other camera is"}
    assert done.identities[1] == done.identities[2] != done.identities[3] == done.identities[4]
    without = AssociateOptions(leave_out=False)
    assert Reassociation(state.detections, crossing(), without).run(state).left_out == {}
