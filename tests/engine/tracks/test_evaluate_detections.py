"""Precision, recall and average precision of detections, on cases that can be counted."""

from __future__ import annotations

import numpy as np
import pytest

from engine.tracks.boxes import Boxes
from engine.tracks.evaluate_detections import evaluate_detections

TRUTH = Boxes.of([0, 0, 1, 2], [[0, 0, 10, 10], [50, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]])


def test_hits_false_boxes_and_misses_are_counted() -> None:
    found = Boxes.of(
        [0, 0, 0, 1, 3],
        [[1, 0, 10, 10], [0, 0, 10, 10], [50, 4, 10, 10], [0, 6, 10, 10], [0, 0, 10, 10]],
        scores=[0.9, 0.8, 0.7, 0.6, 0.5],
    )
    # The first two are of one true box, the third overlaps by 6/14, the fourth by 4/16.
    figures = evaluate_detections(TRUTH, found)
    assert (figures["true"], figures["found"], figures["matched"]) == (4, 5, 1)
    assert figures["precision"] == pytest.approx(0.2)
    assert figures["recall"] == pytest.approx(0.25)
    assert figures["AP"] == pytest.approx(26 / 101)  # precision 1 up to a recall of 0.25
    assert (figures["F1"], figures["F1_score"]) == (pytest.approx(0.4), pytest.approx(0.9))
    easier = evaluate_detections(TRUTH, found, 0.4)
    assert easier["matched"] == 2


def test_the_best_overlap_is_taken_by_the_surest() -> None:
    truth = Boxes.of([0, 0], [[0, 0, 10, 10], [3, 0, 10, 10]])
    found = Boxes.of([0, 0], [[2, 0, 10, 10], [3, 0, 10, 10]], scores=[0.9, 0.8])
    # The surer one overlaps the second true box most; the other is left with the first one, 7/13.
    assert evaluate_detections(truth, found)["matched"] == 2
    assert evaluate_detections(truth, found, 0.6)["matched"] == 1


def test_perfect_nothing_and_other_cameras() -> None:
    perfect = evaluate_detections(TRUTH, TRUTH)
    assert [perfect[name] for name in ("precision", "recall", "AP", "F1")] == [1, 1, 1, 1]
    for truth, found in (
        (TRUTH, Boxes.empty()),
        (Boxes.empty(), TRUTH),
        (Boxes.empty(), Boxes.empty()),
    ):
        assert evaluate_detections(truth, found)["AP"] == 0
    elsewhere = TRUTH.replace(cameras=np.ones(4, np.int64))
    assert evaluate_detections(TRUTH, elsewhere)["matched"] == 0
