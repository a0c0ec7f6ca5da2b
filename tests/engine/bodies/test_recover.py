"""People of whom everything is known are recovered from their keypoints."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from engine.bodies.body_model import BakedBody, load_builtin_body
from engine.bodies.keypoints.layouts import BLAZEPOSE33, COCO17
from engine.bodies.keypoints.person import Person
from engine.bodies.record import Camera, RecoveredPerson
from engine.bodies.recover import (
    average_shape,
    guess_camera,
    place_body,
    recover_person,
    shape_of_height,
)
from engine.bodies.rotations import axis_angle_to_matrix
from engine.bodies.skeleton import COCO_NAMES
from engine.errors import EngineError, ErrorCode

CAMERA = Camera(900, 1200, 1400.0, (450.0, 600.0), "user")
BENT = {1: (-0.6, 0, 0.1), 4: (0.9, 0, 0), 16: (0, 0, -0.7), 18: (0, -0.9, 0), 17: (0, 0.3, 0.4)}


@pytest.fixture(scope="module")
def body() -> BakedBody:
    return load_builtin_body()


@pytest.fixture(scope="module")
def truth(body: BakedBody) -> tuple[np.ndarray, np.ndarray]:
    """Joints and keypoints of somebody who lifts a leg and an arm, turned a little."""
    turns = torch.zeros(24, 3)
    turns[0] = torch.tensor([0.0, 0.4, 0.0])
    for joint, turn in BENT.items():
        turns[joint] = torch.tensor(turn)
    with torch.no_grad():
        posed = body.posed(
            average_shape(body),
            axis_angle_to_matrix(turns)[None],
            torch.tensor([[0.1, -0.1, -4.0]]),
        )
        keypoints = body.coco_keypoints(posed.vertices)[0].double().numpy()
    return posed.joints[0].double().numpy(), keypoints


def seen(keypoints: np.ndarray, *, world: bool = True) -> Person:
    """What a detector would say; BlazePose's further points lie at their neighbours."""
    layout = BLAZEPOSE33 if world else COCO17
    near = {"index": "wrist", "pinky": "wrist", "thumb": "wrist", "foot": "big_toe"}
    columns = []
    for name in layout.names:
        side, _, part = name.partition("_")
        if name in COCO_NAMES:
            columns.append(COCO_NAMES.index(name))
        elif part.split("_")[0] in near:
            columns.append(COCO_NAMES.index(f"{side}_{near[part.split('_')[0]]}"))
        else:
            columns.append(COCO_NAMES.index("nose"))
    points = keypoints[columns]
    pixels = CAMERA.project(points)
    hips = points[[layout.index("left_hip"), layout.index("right_hip")]].mean(0)
    sure = np.array([float(name in COCO_NAMES or "foot_index" in name) for name in layout.names])
    return Person(
        keypoints=np.concatenate([pixels, sure[:, None]], 1),
        layout=layout.name,
        box=np.concatenate([pixels.min(0), pixels.max(0)]),
        world=(points - hips) * [1, -1, -1] if world else None,
    )


def mpjpe(found: RecoveredPerson, joints: np.ndarray) -> float:
    """Millimetres, the pelvises on each other; without fingers, which the points do not show."""
    chosen = [*range(22), 24, 27, 28]
    apart = (found.joints - found.joints[0]) - (joints - joints[0])
    return float(1000 * np.linalg.norm(apart[chosen], axis=1).mean())


def test_a_body_is_placed_exactly(rng: np.random.Generator) -> None:
    points, there = rng.normal(0, 0.4, (9, 3)), np.array([0.3, -0.2, -3.5])
    pixels = CAMERA.project(points + there)
    assert place_body(points, pixels, np.ones(9), CAMERA) == pytest.approx(there, abs=1e-9)
    wild = pixels.copy()
    wild[0] += 500
    weights = np.ones(9)
    weights[0] = 0
    assert place_body(points, wild, weights, CAMERA) == pytest.approx(there, abs=1e-9)


def test_both_methods_find_the_pose(body: BakedBody, truth: tuple[np.ndarray, np.ndarray]) -> None:
    joints, keypoints = truth
    person = seen(keypoints)
    quick = recover_person(person, CAMERA, body, "ik")
    fitted = recover_person(person, CAMERA, body, "fit")
    assert quick.error_share < 0.03
    assert fitted.error_share < 0.006
    assert fitted.error_px < quick.error_px
    assert mpjpe(quick, joints) < 45
    assert mpjpe(fitted, joints) < 45
    assert fitted.translation[2] == pytest.approx(-4.0, abs=0.4)
    assert quick.notes == ()


def test_without_points_in_space_depth_is_a_guess(
    body: BakedBody, truth: tuple[np.ndarray, np.ndarray]
) -> None:
    fitted = recover_person(seen(truth[1], world=False), CAMERA, body, "fit")
    assert fitted.error_share < 0.006
    assert mpjpe(fitted, truth[0]) < 60
    assert "guess" in " ".join(fitted.notes)


def test_seen_from_behind_without_points_in_space(body: BakedBody) -> None:
    turn = axis_angle_to_matrix(torch.tensor([[0.0, math.pi, 0.0]]))
    rotations = torch.eye(3).expand(1, 24, 3, 3).clone()
    rotations[:, 0] = turn
    with torch.no_grad():
        posed = body.posed(average_shape(body), rotations, torch.tensor([[0.0, 0, -4]]))
        keypoints = body.coco_keypoints(posed.vertices)[0].double().numpy()
    found = recover_person(seen(keypoints, world=False), CAMERA, body, "ik")
    assert (found.rotations[0] @ [0, 0, 1])[2] < -0.95


def test_a_known_height_is_kept(body: BakedBody, truth: tuple[np.ndarray, np.ndarray]) -> None:
    person = seen(truth[1])
    tall = recover_person(person, CAMERA, body, "fit", height=1.92)
    with torch.no_grad():
        rest = body.rest(torch.from_numpy(tall.shape)[None]).vertices[0, :, 1]
    assert float(rest.max() - rest.min()) == pytest.approx(1.92, abs=0.003)
    small = recover_person(person, CAMERA, body, "ik", height=1.52)
    # The same picture of somebody larger is one of somebody farther away.
    assert tall.translation[2] < small.translation[2] - 0.5
    given = shape_of_height(body, torch.zeros(1, body.shape_size), 1.7)
    kept = recover_person(person, CAMERA, body, "fit", shape=given)
    assert torch.equal(torch.from_numpy(kept.shape)[None], given)


def test_a_dragged_keypoint_takes_the_arm_along(
    body: BakedBody, truth: tuple[np.ndarray, np.ndarray]
) -> None:
    person = seen(truth[1])
    before = recover_person(person, CAMERA, body, "ik")
    person.keypoints[BLAZEPOSE33.index("left_wrist"), 1] -= 80
    after = recover_person(person, CAMERA, body, "ik")
    raised = CAMERA.project(after.joints[20]) - CAMERA.project(before.joints[20])
    assert raised[1] < -40
    assert np.abs(after.joints[7] - before.joints[7]).max() < 0.05


def test_cameras() -> None:
    assert guess_camera(4000, 3000).focal == 4800
    assert guess_camera(4000, 3000).source == "guess"
    film = guess_camera(3000, 4000, {"FocalLengthIn35mmFilm": 27})
    assert (film.focal, film.source) == (3000, "exif")
    assert guess_camera(4000, 3000, {"FocalLengthIn35mmFilm": 27}, 900).source == "user"
    assert guess_camera(4000, 3000, {"FocalLengthIn35mmFilm": "?"}).source == "guess"


def test_refusals(body: BakedBody, truth: tuple[np.ndarray, np.ndarray]) -> None:
    person = seen(truth[1])
    person.keypoints[3:, 2] = 0
    with pytest.raises(EngineError, match="Fewer than four"):
        recover_person(person, CAMERA, body)
    with pytest.raises(EngineError, match="no body method called 'magic'"):
        recover_person(seen(truth[1]), CAMERA, body, "magic")

    def stop() -> None:
        raise EngineError(ErrorCode.CANCELLED, "stopped")

    with pytest.raises(EngineError, match="stopped"):
        recover_person(seen(truth[1]), CAMERA, body, "fit", check=stop)
