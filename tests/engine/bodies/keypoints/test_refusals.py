"""Pictures without anybody, and people of whom only a head is seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.bodies.keypoints.layouts import BLAZEPOSE33
from engine.bodies.keypoints.person import Person
from engine.bodies.keypoints.refusals import shows_trunk, with_bodies
from engine.errors import EngineError, ErrorCode
from tests.engine.bodies.keypoints.figure import a_person


def a_head() -> Person:
    person = a_person()
    keypoints = person.keypoints.copy()
    keypoints[BLAZEPOSE33.index("left_shoulder") :, 2] = 0.05
    return replace(person, keypoints=keypoints)


def test_bodies_are_kept_and_heads_left_out() -> None:
    body, head = a_person(), a_head()
    assert with_bodies([head, body], "a.jpg", 400, 300) == [body]
    assert shows_trunk(a_person("coco17"), 400, 300)


def test_nobody_and_heads_only_are_told_apart() -> None:
    with pytest.raises(EngineError, match=r"Nobody was found in a\.jpg") as caught:
        with_bodies([], "a.jpg", 400, 300)
    assert caught.value.code == ErrorCode.INVALID_INPUT
    with pytest.raises(EngineError, match="no trunk is to be seen"):
        with_bodies([a_head()], "a.jpg", 400, 300)
    with pytest.raises(EngineError, match="Of the 2 people"):
        with_bodies([a_head(), a_head()], "a.jpg", 400, 300)


def test_a_trunk_that_is_guessed_outside_the_picture_is_not_seen() -> None:
    assert shows_trunk(a_person(), 400, 160)
    assert not shows_trunk(a_person(), 400, 100)
