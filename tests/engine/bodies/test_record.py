"""The record of recovered people and its file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.bodies.joints import JOINT_NAMES
from engine.bodies.keypoints.layouts import LAYOUTS
from engine.bodies.keypoints.person import Mask, Person
from engine.bodies.record import (
    WORLD_TO_CAMERA,
    Camera,
    RecoveredPerson,
    Recovery,
    read_recoveries,
    read_recovery,
    write_recoveries,
    write_recovery,
)
from engine.errors import EngineError, ErrorCode


def someone(
    rng: np.random.Generator, layout: str, world: bool = False, mask: bool = False, shape: int = 10
) -> RecoveredPerson:
    count = len(LAYOUTS[layout])
    keypoints = np.concatenate([rng.normal(300, 90, (count, 2)), rng.random((count, 1))], 1)
    outline = Mask(rng.integers(0, 256, (5, 7), np.uint8), rng.normal(size=(2, 3))) if mask else None
    points = rng.normal(size=(count, 3)) if world else None
    person = Person(keypoints, layout, np.array([1.0, 2, 30, 40]), 0.75, outline, points, 3)
    numbers = [
        rng.normal(size=size).astype(np.float32) for size in ((shape,), (24, 3, 3), (3,), (29, 3))
    ]
    return RecoveredPerson(person, "ik", *numbers, 3.5, 0.02, ("depth is a guess",))


@pytest.fixture
def video(rng: np.random.Generator) -> list[Recovery]:
    camera = Camera(640, 480, 768.0, (320.0, 240.0), "exif")
    people = [
        (someone(rng, "blazepose33", True, True), someone(rng, "coco17", shape=4)),
        (),
        (someone(rng, "coco17", mask=True), someone(rng, "blazepose33", True)),
    ]
    return [
        Recovery("street.mp4", 640, 480, camera, "anny", some, frame, 0.25 * frame)
        for frame, some in enumerate(people)
    ]


def test_a_camera_sees_up_as_up_and_the_persons_left_on_its_right() -> None:
    camera = Camera(640, 480, 500.0, (320.0, 240.0))
    points = np.array([[0, 0, -2.0], [1, 0, -2], [0, 1, -2], [0, 0, 1]])
    seen = camera.project(points)
    assert seen[:3] == pytest.approx(np.array([[320.0, 240], [570, 240], [320, -10]]))
    assert np.isnan(seen[3]).all()
    aimed = points[:3] @ WORLD_TO_CAMERA.T @ camera.matrix.T
    assert aimed[:, :2] / aimed[:, 2:] == pytest.approx(seen[:3])


@pytest.mark.parametrize("focal", [0.0, -3.0, float("nan"), float("inf")])
def test_a_camera_without_focal_length_is_refused(focal: float) -> None:
    with pytest.raises(EngineError, match="no camera"):
        Camera(640, 480, focal, (320.0, 240.0))


def test_all_of_a_video_comes_back(video: list[Recovery], tmp_path: Path) -> None:
    write_recoveries(tmp_path / "video.npz", video)
    back = read_recoveries(tmp_path / "video.npz")
    assert len(back) == len(video)
    for old, new in zip(video, back, strict=True):
        for name in ("picture", "width", "height", "camera", "body", "frame", "seconds"):
            assert getattr(old, name) == getattr(new, name)
        assert len(old.people) == len(new.people)
        for before, after in zip(old.people, new.people, strict=True):
            for name in ("shape", "rotations", "translation", "joints"):
                kept = getattr(after, name)
                assert kept.dtype == np.float32
                assert np.array_equal(getattr(before, name), kept)
            for name in ("method", "error_px", "error_share", "notes"):
                assert getattr(before, name) == getattr(after, name)
            a, b = before.person, after.person
            assert (a.layout, a.score, a.identity) == (b.layout, b.score, b.identity)
            assert np.array_equal(a.keypoints, b.keypoints)
            assert np.array_equal(a.box, b.box)
            assert (a.world is None) == (b.world is None)
            assert a.world is None or np.array_equal(a.world, b.world)
            assert (a.mask is None) == (b.mask is None)
            if a.mask is not None and b.mask is not None:
                assert np.array_equal(a.mask.values, b.mask.values)
                assert np.array_equal(a.mask.to_image, b.mask.to_image)


def test_one_picture(video: list[Recovery], tmp_path: Path) -> None:
    write_recovery(tmp_path / "one.npz", video[0])
    assert len(read_recovery(tmp_path / "one.npz").people) == 2
    with np.load(tmp_path / "one.npz", allow_pickle=False) as file:
        assert file["joint_names"].tolist() == list(JOINT_NAMES)
        camera = file["joints"][0] @ file["camera_R"][0].T + file["camera_t"][0]
        aimed = camera @ file["camera_K"][0].T
        shown = aimed[:, :2] / aimed[:, 2:]
        told = video[0].camera.project(video[0].people[0].joints)
        ahead = np.isfinite(told).all(1)
        assert shown[ahead] == pytest.approx(told[ahead])
    write_recoveries(tmp_path / "video.npz", video)
    with pytest.raises(EngineError, match="3 pictures"):
        read_recovery(tmp_path / "video.npz")


def test_foreign_and_damaged_files_are_refused(video: list[Recovery], tmp_path: Path) -> None:
    good = tmp_path / "good.npz"
    write_recoveries(good, video)
    whole = good.read_bytes()
    with np.load(good, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    cases: dict[str, bytes | dict[str, object]] = {
        "cut": whole[: len(whole) // 2],
        "text": b"no archive",
        "empty": b"",
        "other": {"vertices": np.zeros(3)},
        "version": {**arrays, "format": "triptych-recovery-9"},
        "short": {**arrays, "keypoints": arrays["keypoints"][:-5]},
        "about": {**arrays, "about": "[]"},
        "nan": {**arrays, "joints": arrays["joints"] * np.nan},
        "pickle": {**arrays, "box": np.array([{}, {}], object)},
    }
    for name, content in cases.items():
        path = tmp_path / f"{name}.npz"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            np.savez(path, **content)
        with pytest.raises(EngineError, match="no recovered people") as refusal:
            read_recoveries(path)
        assert refusal.value.code is ErrorCode.BAD_FILE, name


def test_a_body_of_other_sizes_is_refused(rng: np.random.Generator) -> None:
    good = someone(rng, "coco17")
    parts = (good.person, "ik", good.shape, good.rotations, good.translation)
    with pytest.raises(EngineError, match="joints of a body"):
        RecoveredPerson(*parts, good.joints[:24], 0.0, 0.0)
    with pytest.raises(EngineError, match="not finite"):
        RecoveredPerson(*parts, good.joints * np.nan, 0.0, 0.0)


def test_the_window_can_import_it(repository: Path) -> None:
    code = "import sys, engine.bodies.record; print({'torch', 'cv2', 'scipy'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
