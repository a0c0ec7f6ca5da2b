"""Keypoints and boxes from files that people write."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.bodies.keypoints.detectors import load_detector
from engine.bodies.keypoints.manual import people_from_json, read_people, write_people
from engine.bodies.keypoints.pictures import as_picture, read_picture
from engine.errors import EngineError, ErrorCode
from tests.engine.bodies.keypoints.figure import a_person

PICTURE = as_picture(np.zeros((100, 100, 3), np.uint8))


@pytest.mark.parametrize("layout", ["blazepose33", "coco17"])
def test_people_come_back_from_their_file(tmp_path: Path, layout: str) -> None:
    people = [replace(a_person(layout), identity=4), a_person(layout)]
    write_people(tmp_path / "a.json", people)
    detector = load_detector("manual", path=str(tmp_path / "a.json"))
    found = detector.detect(PICTURE)
    assert detector.layout == layout
    assert [person.identity for person in found] == [4, None]
    for a, b in zip(people, found, strict=True):
        np.testing.assert_allclose(b.keypoints, a.keypoints, atol=1e-3)
        np.testing.assert_allclose(b.box, a.box, atol=1e-3)
        assert b.score == pytest.approx(a.score)


def test_some_keypoints_are_enough_and_others_are_not_known() -> None:
    (person,), boxes = people_from_json(
        {"people": [{"keypoints": {"nose": [10, 20], "left_hip": [30, 60, 0.5], "left_ear": None}}]},
        "a",
    )
    assert boxes == []
    assert person.point("nose").tolist() == [10, 20, 1]
    assert person.point("left_hip").tolist() == [30, 60, 0.5]
    assert person.point("left_ear").tolist() == [20, 40, 0]
    assert person.confidence.astype(bool).sum() == 2
    assert person.box.tolist() == [10, 20, 30, 60]
    rows = [[float(i), 2.0 * i] for i in range(33)]
    (listed,), _ = people_from_json({"people": [{"keypoints": rows}]}, "a")
    assert listed.layout == "blazepose33"
    assert listed.keypoints[32].tolist() == [32, 64, 1]


def test_in_boxes_the_built_in_detector_looks(tmp_path: Path, photos: Path) -> None:
    picture = read_picture(photos / "crossing.jpg")
    boxes = [{"box": [380, 90, 540, 520]}, {"box": [0, 0, 60, 60]}]
    (tmp_path / "boxes.json").write_text(json.dumps({"people": boxes}))
    detector = load_detector("manual", path=str(tmp_path / "boxes.json"))
    people = detector.detect(picture)
    assert detector.layout == "blazepose33"
    assert len(people) == 1
    assert np.linalg.norm(people[0].point("nose")[:2] - [464, 130]) < 40


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([], "no list of people"),
        ({"people": 3}, "no list of people"),
        ({"people": [{}]}, "Person 1 of a.json .*neither keypoints nor a box"),
        ({"people": [{"box": [0, 0, 1, 1]}, {"box": [5, 5, 5, 9]}]}, "Person 2 "),
        ({"people": [{"box": [0, 0, 1]}]}, "not 4 finite numbers"),
        ({"people": [{"keypoints": {"tail": [1, 2]}}]}, "no keypoint 'tail'"),
        ({"people": [{"keypoints": {"nose": [1, float("nan")]}}]}, "not 3 finite numbers"),
        ({"people": [{"keypoints": {"nose": ["1", 2]}}]}, "not 3 finite numbers"),
        ({"people": [{"keypoints": {"nose": [1, 2, 7]}}]}, "confidences"),
        ({"people": [{"keypoints": {"nose": 1}}]}, "a keypoint is neither"),
        ({"people": [{"keypoints": {"nose": None}}]}, "none of its keypoints"),
        ({"people": [{"keypoints": [[1, 2]]}]}, "neither named nor 17"),
        ({"people": [{"keypoints": {"nose": [1, 2]}, "layout": "hand"}]}, "no keypoint layout"),
        ({"people": [{"keypoints": {"nose": [1, 2]}, "identity": "x"}]}, "identity no whole number"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, data: Any, said: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(data))
    with pytest.raises(EngineError, match=said) as caught:
        read_people(path)
    assert caught.value.code == ErrorCode.INVALID_INPUT


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="not there"):
        load_detector("manual", path=str(tmp_path / "none.json"))
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(EngineError, match="as JSON"):
        load_detector("manual", path=str(tmp_path / "a.json"))
    mixed = {"people": [{"keypoints": {"nose": [1, 2]}}, {"box": [0, 0, 5, 5]}]}
    (tmp_path / "b.json").write_text(json.dumps(mixed))
    with pytest.raises(EngineError, match="several layouts"):
        load_detector("manual", path=str(tmp_path / "b.json"))
    (tmp_path / "c.json").write_text('{"people": []}')
    assert load_detector("manual", path=str(tmp_path / "c.json")).detect(PICTURE) == []
