"""People who are partly hidden are recovered by neural inverse kinematics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.bodies.body_model import BakedBody, load_builtin_body
from engine.bodies.keypoints.layouts import COCO17
from engine.bodies.keypoints.person import Person
from engine.bodies.niki import BUILTIN_NIKI, load_builtin_niki
from engine.bodies.record import Camera, RecoveredPerson
from engine.bodies.recover import recover_person
from engine.bodies.recover_niki import LOST, SEEN, joint_uncertainty
from engine.bodies.rotations import axis_angle_to_matrix
from engine.bodies.skeleton import COCO_NAMES, JOINT_NAMES
from engine.weight_files import digest_of

CAMERA = Camera(900, 1200, 1400.0, (450.0, 600.0), "user")
ARM = [COCO17.index(name) for name in ("right_elbow", "right_wrist")]


@pytest.fixture(scope="module")
def body() -> BakedBody:
    return load_builtin_body()


@pytest.fixture(scope="module")
def standing(body: BakedBody) -> tuple[np.ndarray, np.ndarray]:
    """Joints and the first 17 keypoints of somebody with hanging arms, four metres away."""
    turns = torch.zeros(24, 3)
    turns[16], turns[17] = torch.tensor([0, 0, -0.6]), torch.tensor([0, 0, 0.6])
    with torch.no_grad():
        posed = body.posed(
            torch.zeros(1, body.shape_size),
            axis_angle_to_matrix(turns)[None],
            torch.tensor([[0.0, -0.1, -4.0]]),
        )
        keypoints = body.coco_keypoints(posed.vertices)[0].double().numpy()
    return posed.joints[0].double().numpy(), keypoints[: len(COCO17.names)]


def person(points: np.ndarray, confidence: np.ndarray) -> Person:
    """What a detector that sees in space would say of keypoints ``(17, 3)``."""
    pixels = CAMERA.project(points)
    hips = points[[COCO17.index("left_hip"), COCO17.index("right_hip")]].mean(0)
    return Person(
        keypoints=np.concatenate([pixels, confidence[:, None]], 1),
        layout=COCO17.name,
        box=np.concatenate([pixels.min(0), pixels.max(0)]),
        world=(points - hips) * [1, -1, -1],
    )


def off(found: RecoveredPerson, joints: np.ndarray) -> float:
    """Millimetres over the 22 joints that keypoints show, the pelvises on each other."""
    apart = (found.joints - found.joints[0]) - (joints - joints[0])
    return float(1000 * np.linalg.norm(apart[:22], axis=1).mean())


def test_the_network_that_ships_is_the_one_of_its_checksum() -> None:
    (line,) = (BUILTIN_NIKI.parent / "SHA256SUMS").read_text().splitlines()
    assert line.split() == [digest_of(BUILTIN_NIKI), BUILTIN_NIKI.name]
    assert load_builtin_niki().config.stages == 2


def test_somebody_who_is_seen_whole(body: BakedBody, standing: tuple[np.ndarray, np.ndarray]) -> None:
    joints, points = standing
    seen = person(points, np.ones(17))
    found = recover_person(seen, CAMERA, body, "niki")
    assert found.method == "niki"
    assert off(found, joints) < off(recover_person(seen, CAMERA, body, "ik"), joints) + 20
    assert found.error_share < 0.04


def test_a_lost_arm_is_put_where_arms_are(
    body: BakedBody, standing: tuple[np.ndarray, np.ndarray]
) -> None:
    """The detector has it stretched out forwards and up, and says that it does not see it."""
    joints, points = standing
    wrong = points.copy()
    shoulder = points[COCO17.index("right_shoulder")]
    for index, way in zip(ARM, (0.3, 0.6), strict=True):
        wrong[index] = shoulder + way * np.array([0.6, 0.5, 0.6])
    confidence = np.ones(17)
    confidence[ARM] = 0.05
    seen = person(wrong, confidence)
    closed = recover_person(seen, CAMERA, body, "ik")
    found = recover_person(seen, CAMERA, body, "niki")
    assert off(found, joints) < 0.8 * off(closed, joints)
    assert closed.doubt == closed.guessed == ()
    assert set(found.guessed) == {
        "right_elbow", "right_wrist", "right_hand", "right_middle_tip",
    }  # fmt: skip
    doubt = dict(zip(JOINT_NAMES, found.doubt, strict=True))
    assert doubt["right_wrist"] > 0.15
    assert doubt["right_wrist"] > 2 * doubt["left_wrist"]
    assert doubt["right_wrist"] > 2 * doubt["left_knee"]
    # Not because of where it is, but because it is not seen.
    sure = recover_person(
        replace(seen, keypoints=person(wrong, np.ones(17)).keypoints), CAMERA, body, "niki"
    )
    assert off(found, joints) < off(sure, joints)


def test_uncertainty_is_that_of_the_worst_keypoint_a_joint_depends_on() -> None:
    confidence = np.ones(17)
    confidence[COCO17.index("right_wrist")] = 0
    points = np.zeros((17, 3))
    points[:, 2] = -3
    points[COCO17.index("left_hip"), 0] = 0.1
    told = dict(
        zip(JOINT_NAMES, joint_uncertainty(person(points, confidence))[0].tolist(), strict=True)
    )
    assert told["right_wrist"] == told["right_hand"] == pytest.approx(LOST)
    assert told["left_wrist"] == told["pelvis"] == pytest.approx(SEEN)
    assert set(COCO_NAMES) >= {"left_hip", "right_wrist"}
