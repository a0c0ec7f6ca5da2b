"""Rendered people: what is said of them is true, and the built-in detector finds them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.bodies.body_model import load_builtin_body
from engine.bodies.keypoints.blazepose import BlazePose
from engine.bodies.keypoints.pictures import as_picture, read_picture
from engine.bodies.keypoints.tracking import Tracker, follow
from engine.bodies.skeleton import COCO_NAMES
from engine.bodies.synthetic import (
    SAMPLES,
    KnownPerson,
    KnownPicture,
    known_picture,
    known_walk,
    write_samples,
)
from engine.errors import EngineError
from engine.video import VideoFile


@pytest.fixture(scope="module")
def detector() -> BlazePose:
    return BlazePose()


@pytest.fixture(scope="module")
def group() -> KnownPicture:
    return known_picture(np.random.default_rng(3), 3, 480, 320)


def off(person: KnownPerson, points: np.ndarray) -> float:
    """Mean distance of COCO's 17 points from where they are, over the person's height."""
    truth = person.image_keypoints[:17]
    return float(np.linalg.norm(points - truth, axis=1).mean() / np.ptp(truth[:, 1]))


def test_a_picture_is_what_its_numbers_say(group: KnownPicture) -> None:
    assert group.pixels.shape == (320, 480, 3)
    body = load_builtin_body()
    assert len(group.people) == 3
    for person in group.people:
        posed = body.posed(
            torch.from_numpy(person.shape)[None],
            torch.from_numpy(person.rotations)[None],
            torch.from_numpy(person.translation)[None],
        )
        np.testing.assert_allclose(posed.vertices[0], person.vertices, atol=1e-5)
        np.testing.assert_allclose(posed.joints[0], person.joints, atol=1e-5)
        np.testing.assert_allclose(body.coco_keypoints(posed.vertices)[0], person.keypoints, atol=1e-5)
        np.testing.assert_allclose(group.view.project(person.keypoints), person.image_keypoints)
        assert person.vertices[:, 1].min() == pytest.approx(0, abs=1e-4)
        corners = group.view.project(person.vertices)
        assert corners.min() >= 0
        assert (corners.max(axis=0) <= [480, 320]).all()
    places = [person.translation[0] for person in group.people]
    assert places == sorted(places)


def test_the_same_numbers_make_the_same_picture() -> None:
    first, again, other = (known_picture(np.random.default_rng(seed), 1, 96, 128) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert (first.pixels != other.pixels).mean() > 0.5


def test_what_is_behind_a_head_is_hidden() -> None:
    nose = COCO_NAMES.index("nose")

    def seen(from_behind: float) -> int:
        pictures = [known_picture(np.random.default_rng(k), 1, 96, 128, from_behind) for k in range(5)]
        return sum(bool(picture.people[0].visible[nose]) for picture in pictures)

    assert seen(0.0) == 5
    assert seen(1.0) <= 1  # a profile is at the edge


def test_the_detector_finds_rendered_people(detector: BlazePose, group: KnownPicture) -> None:
    for picture in (group, known_picture(np.random.default_rng(8), 1, 300, 400, 1.0)):
        found = detector.detect(as_picture(picture.pixels))
        assert len(found) == len(picture.people)
        for person in picture.people:
            assert min(off(person, other.to_coco17().points) for other in found) < 0.04


def test_a_walk_is_one_persons(detector: BlazePose) -> None:
    tracker = Tracker(detector)
    errors = []
    for index, picture in enumerate(known_walk(np.random.default_rng(2), 10, 20.0, 320, 240)):
        (found,) = tracker.step(picture.pixels, index / 20)
        assert found.identity == 1
        errors.append(off(picture.people[0], found.to_coco17().points))
    assert np.mean(errors) < 0.03
    starts = [next(known_walk(np.random.default_rng(2), 16, 20.0, 64, 64)) for _ in range(2)]
    np.testing.assert_array_equal(starts[0].pixels, starts[1].pixels)


def test_the_samples_that_ship_show_people(detector: BlazePose, repository: Path) -> None:
    folder = repository / "resources" / "samples" / "bodies"
    for name, (count, width, height) in SAMPLES.items():
        picture = read_picture(folder / f"{name}.jpg")
        assert (picture.width, picture.height) == (width, height)
        people = detector.detect(picture)
        assert len(people) == count
        assert min(float(person.confidence.mean()) for person in people) > 0.7
    with VideoFile(folder / "walk.mp4") as clip:
        assert len(clip.times) == 40
        for _, people in follow(clip, Tracker(detector), 0, 20, 4):
            assert [person.identity for person in people] == [1]


@pytest.mark.slow
def test_the_samples_can_be_made_anew(tmp_path: Path, repository: Path) -> None:
    folder = repository / "resources" / "samples" / "bodies"
    for path in write_samples(tmp_path):
        if path.suffix == ".jpg":
            made, ships = read_picture(path).pixels, read_picture(folder / path.name).pixels
            assert np.abs(made.astype(int) - ships).mean() < 1
        else:
            assert path.stat().st_size > 10_000


def test_what_cannot_be_made_is_refused() -> None:
    rng = np.random.default_rng(0)
    for numbers in ((0, 100, 100), (9, 100, 100), (1, 20, 100)):
        with pytest.raises(EngineError, match="cannot be made"):
            known_picture(rng, *numbers)
    with pytest.raises(EngineError, match="walk of 0 frames"):
        next(known_walk(rng, 0))
