"""From keypoints to joints: the fitted bridge, the lifter, the prior of poses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.bodies.body_model import BakedBody, PosedBody, load_builtin_body
from engine.bodies.bridge_data import exact_pairs
from engine.bodies.in_space import in_space
from engine.bodies.joint_bridge import fit_bridge, load_bridge
from engine.bodies.keypoints.layouts import BLAZEPOSE33, COCO17
from engine.bodies.keypoints.person import Person
from engine.bodies.lifting import lifted
from engine.bodies.lifting_training import depth_error, train_lifter
from engine.bodies.mocap import mirrored
from engine.bodies.pose_prior import fit_pose_prior, load_pose_prior
from engine.bodies.recover import average_shape
from engine.bodies.rotations import axis_angle_to_matrix
from engine.bodies.skeleton import JOINT_NAMES, MIRRORED

STANDING = torch.eye(3).repeat(1, 24, 1, 1)


@pytest.fixture(scope="module")
def body() -> BakedBody:
    return load_builtin_body()


@pytest.fixture(scope="module")
def poses() -> torch.Tensor:
    """Somewhat random poses of limbs and spine."""
    stream = torch.Generator().manual_seed(5)
    turns = 0.3 * torch.randn(60, 24, 3, generator=stream)
    turns[:, [18, 19], 1] -= 0.6
    turns[:, [4, 5], 0] += 0.7
    return axis_angle_to_matrix(turns)


@pytest.fixture
def rest(body: BakedBody) -> PosedBody:
    return body.rest(average_shape(body))


@pytest.mark.parametrize("layout", [COCO17, BLAZEPOSE33], ids=lambda layout: layout.name)
def test_what_is_done_to_points_is_done_to_joints(layout: object, rng: np.random.Generator) -> None:
    names = layout.names  # type: ignore[attr-defined]
    bridge = load_bridge(layout.name)  # type: ignore[attr-defined]
    points = rng.normal(0, 1, (4, len(names), 3))
    joints = bridge.joints(points, names)
    turn = axis_angle_to_matrix(torch.tensor([0.3, -1.2, 0.5])).double().numpy()
    moved = 1.7 * points @ turn.T + [0.2, -3, 5]
    assert bridge.joints(moved, names) == pytest.approx(1.7 * joints @ turn.T + [0.2, -3, 5], abs=1e-5)
    flipped = points[:, layout.mirrored()] * [-1, 1, 1]  # type: ignore[attr-defined]
    assert bridge.joints(flipped, names) == pytest.approx(joints[:, MIRRORED] * [-1, 1, 1], abs=1e-9)


def test_the_fitted_bridge_finds_the_joints_of_the_body(body: BakedBody, poses: torch.Tensor) -> None:
    pairs = exact_pairs(body, poses, 60, 7)
    found = load_bridge("coco17").joints(pairs.points[:, :17], COCO17.names)
    errors = 1000 * np.linalg.norm(found - pairs.joints, axis=2).mean(0)
    at = JOINT_NAMES.index
    assert errors[[at("pelvis"), at("neck"), at("left_shoulder"), at("right_elbow")]].max() < 45
    # What COCO's keypoints do not say, they cannot: toes.
    assert errors[: at("head_top")].mean() < 35


def test_fitting_finds_a_known_bridge(rng: np.random.Generator) -> None:
    known = load_bridge("blazepose33")
    points = rng.normal(0, 1, (200, 33, 3))
    joints = known.joints(points, BLAZEPOSE33.names)
    fitted = fit_bridge(points, BLAZEPOSE33.names, joints, ridge=1e-12)
    others = rng.normal(0, 1, (20, 33, 3))
    expected = known.joints(others, BLAZEPOSE33.names)
    assert fitted.joints(others, BLAZEPOSE33.names) == pytest.approx(expected, abs=1e-5)


def test_the_lifter_puts_a_raised_arm_to_the_front(body: BakedBody) -> None:
    turns = torch.zeros(24, 3)
    turns[16] = torch.tensor([0.0, -1.3, -0.3])  # the left arm reaches ahead
    with torch.no_grad():
        posed = body.posed(average_shape(body), axis_angle_to_matrix(turns)[None])
        points = body.coco_keypoints(posed.vertices)[0, :17].double().numpy()
    wrist = COCO17.names.index("left_wrist")
    assert points[wrist, 2] > 0.2
    found = lifted(points[:, :2] * 500, np.ones(17, bool))
    assert found[:, :2] == pytest.approx((points[:, :2] - points[[11, 12], :2].mean(0)) * 500, abs=1e-6)
    other = COCO17.names.index("right_wrist")
    assert found[wrist, 2] - found[other, 2] > 50


def test_training_the_lifter_learns_depths(body: BakedBody, poses: torch.Tensor) -> None:
    points = torch.from_numpy(exact_pairs(body, poses, 60, 7).points)
    network = train_lifter(points, torch.Generator().manual_seed(1), steps=150)
    error, flat = depth_error(network, points, torch.Generator().manual_seed(2))
    assert error < 0.8 * flat


def test_depths_of_the_detector_and_the_lifter_are_averaged(body: BakedBody, rest: PosedBody) -> None:
    with torch.no_grad():
        posed = body.posed(average_shape(body), STANDING)
        keypoints = body.coco_keypoints(posed.vertices)[0].double().numpy()
    world = np.zeros((33, 3))
    pixels = np.zeros((33, 3))
    for row, name in enumerate(BLAZEPOSE33.names):
        near = COCO17.names.index(name) if name in COCO17.names else 0
        world[row] = keypoints[near] * [1, -1, -1]
        pixels[row] = *(300 + 200 * keypoints[near, :2] * [1, -1]), 1
    person = Person(pixels, "blazepose33", np.array([0.0, 0, 600, 600]), world=world)
    flat = in_space(replace(person, world=None), rest)
    before = in_space(person, rest)
    deep = world.copy()
    deep[BLAZEPOSE33.names.index("left_wrist"), 2] -= 0.4  # nearer, as the detector says
    moved = in_space(Person(pixels, "blazepose33", person.box, world=deep), rest)
    at = COCO17.names.index("left_wrist")
    assert moved.points[at, 2] - before.points[at, 2] == pytest.approx(0.2, abs=0.05)
    assert {name.partition("_")[2] for name in moved.ends} == {"hand", "middle_tip", "foot", "big_toe"}
    assert flat.ends == {}


def test_the_prior_knows_what_people_do() -> None:
    prior = load_pose_prior()
    turns = torch.zeros(4, 24, 3)
    turns[1, 4, 0] = 0.9  # a bent knee
    turns[2, 4, 0] = -0.9  # bent to the front
    turns[3, 15, 1] = 2.6  # the head looks back
    unlikely = prior.unlikeliness(axis_angle_to_matrix(turns))
    beyond = prior.beyond_limits(axis_angle_to_matrix(turns))
    assert unlikely[0] < 1.5
    assert unlikely[2] > 1.5 * unlikely[1]
    assert beyond[0] < 1e-3
    assert beyond[2] > beyond[1] + 0.1
    assert beyond[3] > 0.5


def test_a_prior_gives_its_poses_one(poses: torch.Tensor) -> None:
    both = torch.cat([poses, mirrored(poses)])
    prior = fit_pose_prior(both)
    # Fewer than 1: there are fewer poses than numbers.
    assert 0.3 < float(prior.unlikeliness(both).mean()) < 1
    assert float(prior.beyond_limits(both).max()) < 0.5
