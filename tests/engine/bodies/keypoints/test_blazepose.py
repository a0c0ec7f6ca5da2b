"""BlazePose on real photos, and what happens when its files are not what they should be."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.bodies.keypoints import blazepose_models
from engine.bodies.keypoints.blazepose import BlazePose, tiles
from engine.bodies.keypoints.blazepose_models import (
    DETECTOR,
    FOLDER,
    LANDMARKS,
    TfliteModel,
    model_file,
)
from engine.bodies.keypoints.person import Person, mirrored_labels
from engine.bodies.keypoints.pictures import as_picture, read_picture
from engine.bodies.keypoints.refusals import with_bodies
from engine.errors import EngineError, ErrorCode


@pytest.fixture(scope="module")
def detector() -> BlazePose:
    return BlazePose()


@pytest.mark.parametrize(
    ("name", "heads"),
    [
        ("crossing.jpg", [(316, 88), (464, 125), (662, 82), (866, 100)]),
        ("couple_with_dog.jpg", [(184, 25), (281, 20)]),
        ("skier.jpg", [(370, 50)]),
        ("hall_person_1.jpg", [(458, 25)]),
        ("worker_zone.jpg", [(192, 100)]),
    ],
)
def test_everybody_in_a_photo_is_found_once(
    photos: Path, detector: BlazePose, name: str, heads: list[tuple[int, int]]
) -> None:
    picture = read_picture(photos / name)
    people = detector.detect(picture)
    assert len(people) == len(heads)
    for head, person in zip(heads, sorted(people, key=lambda person: person.box[0]), strict=True):
        height = person.box[3] - person.box[1]
        assert np.linalg.norm(person.point("nose")[:2] - head) < 0.15 * height
        assert person.layout == "blazepose33"
        assert person.score > 0.9
        assert mirrored_labels(person) == ()
        # Knees below hips below shoulders, in the image and in space.
        ordered = [person.keypoints[[a, a + 1], 1].mean() for a in (11, 23, 25)]
        assert ordered == sorted(ordered)
        assert person.world is not None
        assert 0.3 < np.linalg.norm(person.world[11:13].mean(0) - person.world[23:25].mean(0)) < 0.7
        assert person.mask is not None
        drawn = person.mask.in_image(picture.height, picture.width)
        x, y = (person.keypoints[11:13, :2].mean(0) + person.keypoints[23:25, :2].mean(0)) / 2
        assert drawn[int(y), int(x)] > 200
        assert 0.01 < (drawn > 127).mean() < 0.4
    assert len(with_bodies(people, name, picture.width, picture.height)) == len(heads)


def test_positions_are_those_of_the_original_and_turn_with_it(
    photos: Path, detector: BlazePose
) -> None:
    pixels = read_picture(photos / "skier.jpg").pixels
    (upright,) = detector.detect(as_picture(pixels))
    (lying,) = detector.detect(as_picture(np.ascontiguousarray(np.rot90(pixels))))
    height, width = pixels.shape[:2]
    back = np.column_stack([width - lying.points[:, 1], lying.points[:, 0]])
    assert np.linalg.norm(back - upright.points, axis=1).mean() < 0.03 * height
    assert upright.world is not None
    assert lying.world is not None
    turned = lying.world[:, [1, 0, 2]] * [-1, 1, 1]
    assert np.linalg.norm(turned - upright.world, axis=1).mean() < 0.12
    large = cv2.resize(pixels, (8 * width, 8 * height))
    (found,) = detector.detect(as_picture(np.asarray(large, np.uint8)))
    assert np.linalg.norm(found.points / 8 - upright.points, axis=1).mean() < 0.03 * height


def test_small_people_are_found_in_tiles(photos: Path, detector: BlazePose) -> None:
    pixels = read_picture(photos / "skier.jpg").pixels
    wide = np.full((1800, 2400, 3), pixels[5, 5], np.uint8)
    wide[1100 : 1100 + pixels.shape[0], 1500 : 1500 + pixels.shape[1]] = pixels
    people = detector.detect(as_picture(wide))
    assert len(people) == 1
    assert np.linalg.norm(people[0].point("nose")[:2] - [1870, 1155]) < 30


def test_nobody_is_found_where_nobody_is(detector: BlazePose, rng: np.random.Generator) -> None:
    assert detector.detect(as_picture(rng.integers(0, 255, (300, 400, 3), dtype=np.uint8))) == []
    assert detector.detect(as_picture(np.full((1, 500, 3), 90, np.uint8))) == []


def test_a_face_alone_is_refused_as_a_body(photos: Path, detector: BlazePose) -> None:
    picture = read_picture(photos / "sitting_street.jpg")
    face = as_picture(np.ascontiguousarray(picture.pixels[10:170, 260:430]))
    people: list[Person] = detector.detect(face)
    with pytest.raises(EngineError, match=r"no trunk|Nobody was found"):
        with_bodies(people, "face.jpg", face.width, face.height)


def test_tiles_cover_the_picture_and_overlap() -> None:
    assert tiles(640, 480, 1) == [(0, 0, 640)]
    assert {side for *_, side in tiles(640, 480, 0)} == {640, 320}
    assert {side for *_, side in tiles(300, 200, 0)} == {300, 150}
    assert len({side for *_, side in tiles(4096, 3000, 4)}) == 4
    for _, _, side in (windows := tiles(2000, 1000, 3)):
        seen = np.zeros((1000, 2000), int)
        for left, top, own in windows:
            if own == side:
                seen[top : top + side, left : left + side] += 1
        assert seen.min() >= 1
    with pytest.raises(EngineError, match="9 levels"):
        BlazePose(levels=9)


def test_files_that_are_missing_or_damaged_are_not_used(tmp_path: Path) -> None:
    for name in (DETECTOR, LANDMARKS):
        assert model_file(name).stat().st_size > 1_000_000
    with pytest.raises(EngineError, match="is missing") as caught:
        model_file(DETECTOR, tmp_path)
    assert caught.value.code == ErrorCode.MISSING_WEIGHTS
    shutil.copy(FOLDER / DETECTOR, tmp_path)
    data = bytearray((tmp_path / DETECTOR).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / DETECTOR).write_bytes(data)
    with pytest.raises(EngineError, match="is damaged") as caught:
        model_file(DETECTOR, tmp_path)
    assert caught.value.code == ErrorCode.BAD_FILE
    (tmp_path / "text.tflite").write_text("no model")
    with pytest.raises(EngineError, match="cannot be loaded"):
        TfliteModel(tmp_path / "text.tflite")


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(blazepose_models.importlib, "import_module", absent)
    with pytest.raises(EngineError, match="pip install ai-edge-litert") as caught:
        BlazePose()
    assert caught.value.code == ErrorCode.MISSING_WEIGHTS


def test_numbers_that_are_not_finite_are_an_error() -> None:
    model = TfliteModel(model_file(LANDMARKS))
    with pytest.raises(EngineError, match="not finite"):
        model(np.full((1, 256, 256, 3), np.nan, np.float32))
