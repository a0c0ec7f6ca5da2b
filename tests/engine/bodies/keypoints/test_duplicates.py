"""One person is returned once; two people one behind the other stay two."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.bodies.keypoints.duplicates import (
    agreement,
    covered,
    distance,
    inside,
    same_person,
    without_duplicates,
)
from engine.bodies.keypoints.person import Mask, Person
from tests.engine.bodies.keypoints.figure import a_person


def moved(person: Person, x: float, y: float = 0.0, size: float = 1.0) -> Person:
    keypoints = person.keypoints * [size, size, 1] + [x, y, 0]
    box = person.box * size + [x, y, x, y]
    return replace(person, keypoints=keypoints, box=box)


def mask(left: int, right: int, x: float = 0.0) -> Mask:
    """Columns of a mask of 256 pixels that is laid over the image pixel for pixel, moved right."""
    values = np.zeros((256, 256), np.uint8)
    values[:, left:right] = 255
    return Mask(values, np.array([[1.0, 0, x], [0, 1, 0]]))


def test_results_are_one_persons_when_their_keypoints_lie_together() -> None:
    person = a_person()
    assert distance(person, person) == 0
    assert same_person(person, moved(person, 12))
    assert same_person(person, a_person("coco17"))
    assert not same_person(person, moved(person, 60))
    assert distance(moved(person, 0, size=3), moved(person, 36, size=3)) == pytest.approx(
        distance(person, moved(person, 12))
    )
    assert not same_person(person, moved(person, 100, 75, 0.5))


def test_a_mask_is_compared_where_it_lies() -> None:
    assert covered(mask(0, 128), [mask(0, 128)]) == 1
    assert covered(mask(0, 128), [mask(128, 256)]) == 0
    assert covered(mask(0, 128), [mask(0, 128, x=64)]) == pytest.approx(0.5)
    assert covered(mask(0, 128), [mask(0, 32), mask(96, 256)]) == pytest.approx(0.5)
    assert covered(mask(0, 0), []) == 1
    points = np.array([[70.5, 10], [-1, 10], [200, 10], [70, 300]])
    assert inside(mask(0, 128, x=64), points).tolist() == [True, False, False, False]


def test_the_best_result_of_each_person_is_kept() -> None:
    person = a_person()
    people = [person, moved(person, 5), moved(person, 200), moved(person, 195)]
    assert without_duplicates(people) == [0, 2]
    assert without_duplicates([]) == []


def test_a_result_whose_pixels_are_others_is_nobody() -> None:
    one = replace(a_person(), mask=mask(0, 100))
    two = replace(moved(one, 100), mask=mask(100, 200))
    between = replace(moved(one, 50), mask=mask(52, 152))
    behind = replace(moved(one, 50), mask=mask(80, 256))
    assert without_duplicates([one, two, between]) == [0, 1]
    assert without_duplicates([one, between]) == [0, 1]  # half of it is its own
    assert without_duplicates([one, behind]) == [0, 1]
    assert without_duplicates([one, moved(replace(one, mask=None), 50)]) == [0, 1]


def test_keypoints_and_mask_have_to_agree() -> None:
    person = a_person()
    assert agreement(person) == 1
    assert agreement(replace(person, mask=mask(0, 256))) == 1
    assert agreement(replace(person, mask=mask(0, 100))) == 0
    half = agreement(replace(person, mask=mask(0, 200)))
    assert 0.4 < half < 0.6
    unseen = replace(person, keypoints=person.keypoints * [1, 1, 0.1], mask=mask(0, 256))
    assert agreement(unseen) == 0
