"""Outputs of models to keypoints, on numbers that are known."""

from __future__ import annotations

import numpy as np
import pytest

from engine.bodies.keypoints.onnx_decoding import from_heat, from_simcc, from_yolo
from engine.bodies.keypoints.onnx_kinds import Kind
from engine.box_overlap import overlap, suppressed
from engine.framing import around, letterbox, project

SIZE = (192, 256)


def gaussian(x: float, y: float, peak: float = 0.9) -> np.ndarray:
    return peak * np.exp(-((np.arange(48) - x) ** 2 + (np.arange(64)[:, None] - y) ** 2) / 2 / 2.0**2)


@pytest.mark.parametrize(("x", "y"), [(10.0, 20.0), (10.3, 19.6), (30.49, 40.02)])
def test_the_maximum_of_a_gaussian_is_found_between_cells(x: float, y: float) -> None:
    found = from_heat(np.stack([gaussian(x, y), gaussian(47, 0)]), SIZE)
    np.testing.assert_allclose(found[0, :2], [4 * x + 0.5, 4 * y + 0.5], atol=1e-6)
    assert found[0, 2] == pytest.approx(gaussian(x, y).max())
    np.testing.assert_allclose(found[1], [47 * 4 + 0.5, 0.5, 0.9])  # in a corner: the cell itself


def test_flat_and_negative_maps_do_no_harm() -> None:
    assert np.isfinite(from_heat(np.zeros((3, 64, 48)), SIZE)).all()
    logits = np.full((1, 64, 48), -8.0)
    logits[0, 30, 20] = 4
    (found,) = from_heat(logits, SIZE)
    np.testing.assert_allclose(found, [80.5, 120.5, 1 / (1 + np.exp(-4))])
    ridge = np.tile(np.exp(-((np.arange(48) - 20.0) ** 2) / 8), (64, 1))[None]
    assert np.isfinite(from_heat(ridge, SIZE)).all()


def test_simcc_counts_parts_of_pixels_and_trusts_the_less_sure_direction() -> None:
    x, y = np.zeros((2, 384)), np.zeros((2, 512))
    x[0, 101], y[0, 400], x[1, 0], y[1, 511] = 0.9, 0.4, 1.7, 1.2
    found = from_simcc(x, y, SIZE)
    np.testing.assert_allclose(found, [[51, 200.5, 0.4], [0.5, 256, 1]])


def test_yolo_keeps_people_only_and_each_once() -> None:
    rows = np.zeros((5, 6 + 51))
    rows[:, :4] = [[0, 0, 10, 20], [1, 0, 11, 20], [50, 0, 60, 20], [80, 0, 90, 20], [0, 50, 5, 60]]
    rows[:, 4], rows[:, 5] = [0.6, 0.8, 0.7, 0.9, 0.2], [0, 0, 0, 2, 0]
    rows[:, 6:] = np.arange(5)[:, None]
    found = from_yolo(rows, Kind("yolo", ("a",), 17, chosen=True), 0.3)
    assert found.scores.tolist() == [0.8, 0.7]
    assert found.keypoints[:, 0].tolist() == [[1, 1, 1], [2, 2, 1]]
    np.testing.assert_array_equal(found.boxes, rows[[1, 2], :4])


def test_yolo_of_eighty_classes_gives_boxes_of_people() -> None:
    output = np.zeros((84, 3))
    output[:4] = [[50, 150, 250], [40, 40, 40], [20, 20, 20], [30, 30, 30]]
    output[4], output[5] = [0.9, 0.4, 0.1], [0.1, 0.8, 0.0]
    found = from_yolo(output, Kind("boxes", ("a",), rows_last=True), 0.05)
    np.testing.assert_allclose(found.boxes, [[40, 25, 60, 55], [240, 25, 260, 55]])
    assert found.keypoints.shape == (2, 0, 3)
    older = np.concatenate([output[:4], np.full((1, 3), 0.5), output[4:]]).T
    found = from_yolo(older, Kind("boxes", ("a",), objectness=True), 0.05)
    np.testing.assert_allclose(found.scores, [0.45, 0.05])


def test_boxes_that_overlap_a_better_one_go() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [0, 0, 10, 8], [20, 20, 30, 30], [0, 0, 10, 5]])
    assert overlap(boxes[0], boxes).tolist() == [1, 0.8, 0, 0.5]
    assert suppressed(boxes, np.array([0.5, 0.9, 0.7, 0.6]), 0.65).tolist() == [1, 2, 3]
    assert suppressed(boxes[:0], np.zeros(0), 0.5).tolist() == []


def test_pictures_fit_into_inputs_and_come_back() -> None:
    matrix = letterbox((400, 100), (200, 200))
    np.testing.assert_allclose(project(np.array([[0.0, 75], [200, 125]]), matrix), [[0, 0], [400, 100]])
    matrix = letterbox((100, 400), (200, 200), centred=False)
    np.testing.assert_allclose(project(np.array([[0.0, 0], [50, 200]]), matrix), [[0, 0], [100, 400]])
    matrix = around(np.array([100.0, 100, 200, 140]), SIZE, 1.25)
    np.testing.assert_allclose(project(np.array([[96.0, 128]]), matrix), [[150, 120]])
    edge = project(np.array([[0.0, 0], [192, 256]]), matrix)
    np.testing.assert_allclose(edge[1, 0] - edge[0, 0], 125)
    np.testing.assert_allclose(edge[1, 1] - edge[0, 1], 125 * 256 / 192)
