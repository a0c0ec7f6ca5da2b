"""Zones of tracklets, where they are cut, which are kept: golden verdicts and the rules by example."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.tracks.boxes import Boxes
from engine.tracks.cameras import Camera, Zone
from engine.tracks.temporal_mask import Arm
from engine.tracks.zones import (
    Clip,
    Verdict,
    arms_of,
    box_arms,
    cuts,
    end_zones,
    mean_look,
    verdict,
    whole_boxes,
)


def test_golden_verdicts(golden: Path) -> None:
    cases = json.loads((golden / "mtmc" / "zone_filter_cases.json").read_text())["cases"]
    assert len(cases) == 400
    for case in cases:
        clip = Clip(
            first=case["cam"] == 41,
            last=case["cam"] == 46,
            start_is_partial=case["cam"] == 45,
            end_counts_towards_next=case["cam"] == 41,
        )
        found = verdict(np.array(case["frames"]), np.array(case["zones"]), clip)
        assert found == case["verdict"], case


def square(name: str, x: float, y: float, leads_to: str = "") -> Zone:
    return Zone(name, ((x, y), (x + 100, y), (x + 100, y + 100), (x, y + 100)), leads_to)


def test_boxes_are_in_the_arm_of_their_centre() -> None:
    zones = (
        square("west", 0, 100, "a"), square("north", 100, 0), square("east", 200, 100, "c"),
        square("south", 100, 200),
    )  # fmt: skip
    cameras = [Camera("a"), Camera("b", zones=zones), Camera("c")]
    arms = arms_of(cameras, 1)
    assert arms == [Arm.PREVIOUS, Arm.SIDE_A, Arm.NEXT, Arm.SIDE_B]
    boxes = Boxes.of(
        range(5),
        [[40, 140, 20, 20], [140, 40, 20, 20], [190, 140, 40, 20], [95, 195, 90, 90], [140, 140, 9, 9]],
    )
    wanted = [Arm.PREVIOUS, Arm.SIDE_A, Arm.NEXT, Arm.SIDE_B, Arm.CROSSING]
    assert box_arms(boxes, cameras[1], arms).tolist() == wanted


def test_ends_by_one_box_or_by_most() -> None:
    zones = np.array([0, 3, 3, 0, 0, 0, 4, 4, 0])
    assert end_zones(zones) == (0, 0)
    assert end_zones(zones, 3) == (3, 4)
    assert end_zones(zones[:2], 5) == (0, 3)  # as often: the one nearest the end


def test_a_tracklet_is_cut_where_it_turns_after_coming_back_and_at_holes() -> None:
    """There and back through one arm, as two vehicles that were merged would look."""
    frames = np.arange(60)
    x = np.r_[np.linspace(0, 300, 30), np.linspace(290, 0, 30)]
    zones = np.where(x < 100, 4, 0)
    assert cuts(frames, zones, x) == [29]
    assert cuts(frames, zones, np.linspace(0, 300, 60)) == []  # it never turns
    assert cuts(frames, np.where(frames < 20, 4, 0), x) == []  # it does not come back
    brief = np.zeros(60, np.int64)
    brief[[5, 40]] = 4  # zones of a single frame are no visits
    assert cuts(frames, brief, x) == []
    assert cuts(frames[20:], zones[20:], x[20:]) == []  # turns in the first 15 boxes do not count
    holes = frames + np.where(frames >= 10, 101, 0)
    assert cuts(holes, np.zeros(60, np.int64), np.zeros(60)) == [10]
    assert cuts(frames[:1], zones[:1], x[:1]) == []


@pytest.mark.parametrize(
    ("zones", "frames", "clip", "wanted"),
    [
        ([4, 0, 3], (100, 200), Clip(), Verdict.KEEP),
        ([1, 0, 2], (100, 200), Clip(), Verdict.DROP),
        ([1, 0, 4], (100, 200), Clip(), Verdict.KEEP),
        ([1, 0, 4], (100, 200), Clip(first=True), Verdict.DROP),
        ([3, 0, 1], (100, 200), Clip(last=True), Verdict.DROP),
        ([3, 0, 3], (100, 200), Clip(), Verdict.KEEP),
        ([3, 3, 3], (100, 200), Clip(), Verdict.HOLD),
        ([3, 3, 3], (0, 200), Clip(), Verdict.KEEP),
        ([3, 3, 3], (100, 590), Clip(end=580), Verdict.KEEP),
        ([3, 3, 3], (0, 1600), Clip(), Verdict.DROP),
        ([0, 0, 0], (100, 200), Clip(), Verdict.DROP),
    ],
)
def test_verdicts(zones: list[int], frames: tuple[int, int], clip: Clip, wanted: Verdict) -> None:
    times = np.linspace(*frames, len(zones)).astype(np.int64)
    assert verdict(times, np.array(zones), clip) == wanted


def test_boxes_that_the_border_cuts_off_are_left_out_at_the_ends() -> None:
    """A vehicle grows out of the left border, and is cut off for a moment in the middle."""
    xywh = np.array(
        [[0, 50, w, 40.0] for w in (10, 30, 50, 60)] + [[9 * n, 50, 60, 40.0] for n in range(1, 6)]
    )
    xywh[6] = [2, 50, 5, 5]
    assert whole_boxes(xywh, 400).tolist() == [2, 3, 4, 5, 6, 7, 8]
    below = xywh + np.array([20, 0, 0, 0])
    assert whole_boxes(below, 400).tolist() == list(range(9))  # nothing at 0
    assert whole_boxes(xywh[:4], 400).tolist() == []
    assert whole_boxes(xywh, 92).tolist() == []  # all of it touches the lower border


def test_the_mean_look_is_of_large_boxes() -> None:
    features = np.array([[1.0, 0], [0, 1], [0, 1]])
    assert mean_look(features, np.array([100.0, 2500, 2500])).tolist() == [0, 1]
    np.testing.assert_allclose(mean_look(features, np.array([100.0, 2500, 100])), [1 / 3, 2 / 3])
