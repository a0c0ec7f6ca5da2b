"""People as detectors return them: layouts, checks, mirrored labels, masks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.bodies.keypoints.layouts import BLAZEPOSE33, COCO17, LAYOUTS, find_layout
from engine.bodies.keypoints.person import Mask, box_around, mirrored_labels
from engine.errors import EngineError
from tests.engine.bodies.keypoints.figure import a_person


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
