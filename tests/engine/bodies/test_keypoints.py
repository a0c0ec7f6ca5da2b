"""People as detectors return them: layouts, checks, mirrored labels, masks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.bodies.keypoints.layouts import BLAZEPOSE33, COCO17, LAYOUTS, find_layout
from engine.bodies.keypoints.person import Mask, Person, box_around, mirrored_labels
from engine.errors import EngineError

# A person who faces the camera: its left is on the right of the image. Metres, x right, y down, z away.
PLACES = {
    "nose": (0.0, -0.75, -0.1), "eye_inner": (0.02, -0.78, -0.08), "eye": (0.03, -0.78, -0.08),
    "eye_outer": (0.04, -0.78, -0.07), "ear": (0.07, -0.77, 0.0), "mouth": (0.02, -0.7, -0.08),
    "shoulder": (0.18, -0.5, 0.0), "elbow": (0.25, -0.25, 0.0), "wrist": (0.28, 0.0, -0.05),
    "pinky": (0.29, 0.05, -0.05), "index": (0.27, 0.06, -0.06), "thumb": (0.26, 0.03, -0.07),
    "hip": (0.1, 0.0, 0.0), "knee": (0.11, 0.4, -0.02), "ankle": (0.12, 0.8, 0.0),
    "heel": (0.12, 0.85, 0.03), "foot_index": (0.14, 0.85, -0.15),
}  # fmt: skip


def a_person(layout: str = "blazepose33", *, world: bool = True) -> Person:
    points = []
    for name in find_layout(layout).names:
        sides = [side for side in ("left", "right") if side in name.split("_")]
        where = np.array(PLACES["_".join(part for part in name.split("_") if part not in sides)])
        points.append(where * [(-1 if sides == ["right"] else 1), 1, 1])
    places = np.array(points)
    pixels = 100 * places[:, :2] + [200, 150]
    keypoints = np.column_stack([pixels, np.full(len(places), 0.9)])
    box = box_around(pixels, keypoints[:, 2])
    return Person(keypoints, layout, box, 0.8, world=places if world else None)


def test_layouts_name_everything_once_and_mirror_to_themselves() -> None:
    assert (len(BLAZEPOSE33), len(COCO17)) == (33, 17)
    for layout in LAYOUTS.values():
        assert len(set(layout.names)) == len(layout)
        other = layout.mirrored()
        assert (other[other] == np.arange(len(layout))).all()
        assert [layout.names[i] for i, o in enumerate(other) if i == o] == ["nose"]
        assert {name for edge in layout.edges for name in edge} <= set(layout.names)
    assert BLAZEPOSE33.names[BLAZEPOSE33.mirrored()[9]] == "mouth_right"
    with pytest.raises(EngineError, match="no keypoint 'tail'"):
        COCO17.index("tail")
    with pytest.raises(EngineError, match="no keypoint layout called 'openpose'"):
        find_layout("openpose")


def test_a_person_of_33_keypoints_has_coco_ones() -> None:
    person = a_person()
    coco = person.to_coco17()
    assert coco.layout == "coco17"
    np.testing.assert_array_equal(coco.keypoints, a_person("coco17").keypoints)
    assert coco.world is not None
    np.testing.assert_array_equal(coco.world, a_person("coco17").world)
    assert coco.to_coco17() is coco
    assert coco.point("left_hip").tolist() == pytest.approx([210, 150, 0.9])


def test_a_person_that_stands_right_shows_no_sign_of_mirrored_labels() -> None:
    assert mirrored_labels(a_person()) == ()
    assert mirrored_labels(a_person("coco17", world=False)) == ()
    # From behind, left and right change sides everywhere: no contradiction either.
    person = a_person(world=False)
    behind = replace(person, keypoints=person.keypoints * [-1, 1, 1] + [400, 0, 0])
    assert mirrored_labels(behind) == ()


def test_mirrored_labels_are_noticed_and_can_be_corrected() -> None:
    person = a_person()
    swapped = person.swapped()
    # The face and the feet still point to the camera, the trunk now away from it.
    signs = mirrored_labels(swapped)
    assert signs == (
        "the face points to the back of the trunk",
        "the feet point to the back of the trunk",
    )
    assert mirrored_labels(swapped.swapped()) == ()
    keypoints = person.keypoints.copy()
    hips = [BLAZEPOSE33.index("left_hip"), BLAZEPOSE33.index("right_hip")]
    keypoints[hips, 0] = keypoints[hips[::-1], 0]
    (sign,) = mirrored_labels(replace(person, keypoints=keypoints, world=None))
    assert "not in one order in the image" in sign
    keypoints[hips, 2] = 0.1
    assert mirrored_labels(replace(person, keypoints=keypoints, world=None)) == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"keypoints": np.zeros((17, 3))}, r"have the shape \(17, 3\); blazepose33 has \(33, 3\)"),
        ({"keypoints": np.full((33, 3), np.nan)}, "not finite numbers at"),
        ({"keypoints": np.full((33, 3), 2.0)}, "confidences from 0.8 to 2"),
        ({"box": np.array([0, 0, np.inf, 1])}, r"box of a person are not finite numbers at \[2\]"),
        ({"world": np.zeros((33, 2))}, "world points of a person"),
        ({"score": -0.5}, "confidences from -0.5"),
        ({"layout": "hands"}, "no keypoint layout"),
    ],
)
def test_what_no_person_can_be_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(EngineError, match=said):
        replace(a_person(), **change)


def test_the_box_is_around_what_is_seen() -> None:
    points = np.array([[0.0, 0], [10, 20], [4, 30], [500, 500]])
    assert box_around(points, np.array([0.9, 0.9, 0.9, 0.1])).tolist() == [0, 0, 10, 30]
    assert box_around(points, np.array([0.9, 0.1, 0.1, 0.1])).tolist() == [0, 0, 500, 500]


def test_a_mask_lies_where_its_matrix_says() -> None:
    values = np.zeros((4, 4), np.uint8)
    values[1:3, 1:3] = 255
    # Eight image pixels a mask pixel, moved right by 16 and down by 8.
    mask = Mask(values, np.array([[8.0, 0, 16], [0, 8.0, 8]]))
    drawn = mask.in_image(64, 80)
    assert drawn.shape == (64, 80)
    rows, columns = np.nonzero(drawn > 127)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (16, 31, 24, 39)
