"""BlazePose's numbers to boxes and points, on numbers that are known."""

from __future__ import annotations

import numpy as np

from engine.bodies.keypoints.blazepose_decoding import INPUT, anchors, decode, merge, refined
from engine.box_overlap import overlap


def test_anchors_lie_in_the_middle_of_cells() -> None:
    places = anchors()
    assert places.shape == (2254, 2)
    np.testing.assert_allclose(places[:3], [[0.5 / 28, 0.5 / 28]] * 2 + [[1.5 / 28, 0.5 / 28]])
    np.testing.assert_allclose(places[2 * 28 * 28], [0.5 / 14, 0.5 / 14])
    np.testing.assert_allclose(places[-6:], [[6.5 / 7, 6.5 / 7]] * 6)


def test_a_detection_is_placed_at_its_anchor() -> None:
    raw, logits = np.zeros((2254, 12)), np.full(2254, -200.0)
    raw[-1] = np.array([0.1, -0.2, 0.4, 0.6, 0, 0, 0, -0.3, 0.1, 0.1, 0.2, 0.2]) * INPUT
    logits[-1], logits[0] = np.log(3), -0.1
    boxes, points, scores = decode(raw, logits)
    middle = 6.5 / 7
    np.testing.assert_allclose(scores, [0.75])
    expected = [middle - 0.1, middle - 0.5, middle + 0.3, middle + 0.1]
    np.testing.assert_allclose(boxes, [expected])
    np.testing.assert_allclose(points[0, :2], [[middle, middle], [middle, middle - 0.3]])
    assert [len(part) for part in decode(raw, logits - 300)] == [0, 0, 0]


def test_boxes_of_one_person_are_averaged_by_score() -> None:
    boxes = np.array([[0.0, 0, 1, 1], [0.2, 0, 1.2, 1], [5, 5, 6, 6]])
    np.testing.assert_allclose(overlap(boxes[0], boxes), [1, 0.8 / 1.2, 0])
    points = np.zeros((3, 4, 2))
    points[1] = 1
    merged, moved, scores = merge(boxes, points, np.array([0.6, 0.9, 0.8]))
    np.testing.assert_allclose(merged, [[0.12, 0, 1.12, 1], [5, 5, 6, 6]])
    np.testing.assert_allclose(moved[0], np.full((4, 2), 0.6))
    assert scores.tolist() == [0.9, 0.8]
    assert [len(part) for part in merge(boxes[:0], points[:0], np.zeros(0))] == [0, 0, 0]


def test_landmarks_move_to_the_heat_around_them_only() -> None:
    heat = np.full((64, 64, 4), -50.0)
    heat[20, 31, 0] = heat[20, 32, 0] = 5
    heat[20, 32, 1] = -0.1  # not sure enough
    heat[40, 40, 2] = 5  # too far away
    points = np.array([[30, 20], [30, 20], [30, 20], [90, 20]]) / 64
    moved = refined(points, heat)
    np.testing.assert_allclose(moved[0] * 64, [31.5, 20], atol=1e-6)
    np.testing.assert_array_equal(moved[1:], points[1:])
