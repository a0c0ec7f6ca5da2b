"""Boxes by hand: detections stay, filled boxes follow drawn ones, everything can be taken back."""

from __future__ import annotations

import numpy as np
import pytest

from engine.errors import EngineError
from engine.tracks import drawing, edits
from engine.tracks.boxes import NO_TRACK, Boxes
from engine.tracks.tracklets import ADDED, TrackState


def state_of(frames: list[int]) -> TrackState:
    """Tracklet 1: two pixels a frame to the right and one up, a cat's size."""
    at = np.array(frames)
    xywh = np.stack([100 + 2 * at, 200 - at, np.full(len(at), 20), np.full(len(at), 10)], axis=1)
    return TrackState(Boxes.of(at, xywh, classes=3, cameras=1), np.full(len(at), 1), {1: 7})


def boxes(state: TrackState, tracklet: int = 1) -> dict[int, list[float]]:
    own = state.tracklet_boxes(tracklet)
    return dict(zip(own.frames.tolist(), own.xywh.tolist(), strict=True))


def test_a_new_box_is_somebody_new() -> None:
    state = state_of([0, 1])
    state.apply(drawing.draw(state, 1, 5, [1, 2, 3, 4], kind=3))
    assert state.tracklets == [1, 8]
    assert state.identity_of(8) == 8
    assert boxes(state, 8) == {5: [1, 2, 3, 4]}
    own = state.tracklet_boxes(8)
    assert (own.classes.tolist(), own.cameras.tolist()) == ([3], [1])


def test_a_moved_box_leaves_the_detection_as_it_is() -> None:
    state = state_of([0, 1, 2])
    before = state.detections.xywh.copy()
    digest = state.digest()
    delta = drawing.place(state, 1, 1, [5, 5, 9, 9])
    state.apply(delta)
    assert boxes(state) == {0: [100, 200, 20, 10], 1: [5, 5, 9, 9], 2: [104, 198, 20, 10]}
    np.testing.assert_array_equal(state.detections.xywh, before)
    assert state.owners(np.array([1])).tolist() == [NO_TRACK]
    with pytest.raises(EngineError, match="there already"):
        drawing.place(state, 1, 1, [5, 5, 9, 9])
    state.apply(delta.inverse())
    assert state.digest() == digest


def test_a_drawn_box_is_bridged_to_and_what_was_filled_follows() -> None:
    state = state_of([0, 1])
    state.apply(drawing.place(state, 1, 5, [142, 199, 20, 50]))
    assert boxes(state) == {
        0: [100, 200, 20, 10], 1: [102, 199, 20, 10], 2: [112, 199, 20, 20], 3: [122, 199, 20, 30],
        4: [132, 199, 20, 40], 5: [142, 199, 20, 50],
    }  # fmt: skip
    state.apply(drawing.place(state, 1, 5, [142, 199, 20, 10]))
    assert boxes(state)[3] == [122, 199, 20, 10], "it was not drawn, so it follows"
    state.apply(drawing.place(state, 1, 3, [50, 199, 20, 10]))
    found = boxes(state)
    assert (found[2], found[4]) == ([76, 199, 20, 10], [96, 199, 20, 10])
    state.apply(drawing.place(state, 1, 5, [52, 199, 20, 10]))
    assert boxes(state)[3] == [50, 199, 20, 10], "it was drawn, so it stays"
    assert boxes(state)[4] == [51, 199, 20, 10]
    assert len(boxes(state)) == 6


def test_gaps_beside_a_moved_box_stay_open() -> None:
    state = state_of([0, 1, 9, 10])
    state.apply(drawing.place(state, 1, 9, [0, 0, 5, 5]))
    assert sorted(boxes(state)) == [0, 1, 9, 10]
    state.apply(drawing.place(state, 1, 9 + drawing.LONGEST + 5, [0, 0, 5, 5]))
    assert sorted(boxes(state)) == [0, 1, 9, 10, 264], "too far to be bridged"


@pytest.mark.parametrize("far", [14, 3])
def test_it_goes_on_as_it_went(far: int) -> None:
    state = state_of(list(range(5, 12)))
    state.apply(drawing.predict(state, 1, far))
    frames = range(5, 15) if far == 14 else range(3, 12)
    assert sorted(boxes(state)) == list(frames)
    for frame, box in boxes(state).items():
        np.testing.assert_allclose(box, [100 + 2 * frame, 200 - frame, 20, 10], atol=1e-4)
    assert (state.rows_of(1) >= ADDED).sum() == (3 if far == 14 else 2)


def test_what_was_predicted_moves_along() -> None:
    state = state_of([0, 1])
    state.apply(drawing.predict(state, 1, 4))
    state.apply(drawing.place(state, 1, 3, [116, 207, 30, 10]))
    found = boxes(state)
    np.testing.assert_allclose(found[2], [109, 203, 25, 10], atol=1e-4)
    np.testing.assert_allclose(found[4], [118, 206, 30, 10], atol=1e-4)


def test_it_ends_where_it_leaves_the_picture() -> None:
    state = state_of(list(range(5)))
    state.apply(drawing.predict(state, 1, 30, (119, 500)))
    assert max(boxes(state)) == 9, "at frame 10 its left edge is at 120"
    with pytest.raises(EngineError, match="leaves the picture"):
        drawing.predict(state, 1, 30, (119, 500))
    one = state_of([4])
    one.apply(drawing.predict(one, 1, 6))
    assert boxes(one)[6] == boxes(one)[4], "one box tells no speed"


def test_what_cannot_be_is_refused() -> None:
    state = state_of([0, 1, 2])
    for bad in ([1, 2, 0, 4], [1, 2, 3, -4], [np.nan, 1, 1, 1]):
        with pytest.raises(EngineError, match="a width and a height"):
            drawing.draw(state, 1, 5, bad)
        with pytest.raises(EngineError, match="a width and a height"):
            drawing.place(state, 1, 5, bad)
    with pytest.raises(EngineError, match="a width and a height"):
        drawing.draw(state, 1, -1, [1, 2, 3, 4])
    with pytest.raises(EngineError, match="frames 0 to 2"):
        drawing.predict(state, 1, 1)
    with pytest.raises(EngineError, match="already"):
        drawing.extend(state, 1, [2], [[1, 2, 3, 4]])
    with pytest.raises(EngineError, match="no tracklet 5"):
        drawing.place(state, 5, 1, [1, 2, 3, 4])


def test_merging_and_splitting_keep_what_was_drawn() -> None:
    state = state_of([0, 1])
    state.apply(drawing.place(state, 1, 4, [142, 199, 20, 50]))
    state.apply(edits.split(state, 1, 3))
    later = max(state.tracklets)
    assert sorted(boxes(state, later)) == [3, 4]
    state.apply(drawing.place(state, later, 5, [142, 199, 20, 50]))
    assert sorted(boxes(state, later)) == [3, 4, 5]
