"""A body fitted to the picture: SMPLify (Bogo et al. 2016) with joints in space, a prior and limits.

Minimised are, each robust where outliers come (Geman and McClure): how far the body's own keypoints are
from those in the picture, and its joints from what the detector and the lifter say of them in space;
how unlikely the pose is among recorded ones, how far joints turn beyond what they do there, and how far
the shape is from where it began.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.bodies.in_space import in_space
from engine.bodies.pose_prior import load_pose_prior
from engine.bodies.recover import Solution, Task, keypoints_of, shared_keypoints, weights_of
from engine.bodies.recover_niki import joint_uncertainty
from engine.bodies.rotations import axis_angle_to_matrix
from engine.bodies.skeleton import ROTATING

_FIT_STEPS, _FIT_ROUNDS = 12, 4
_FIT_SHAPES = 10
_BLUR = 0.03
"""Of the person's height: errors far beyond count as outliers."""

_START_WEIGHT, _SHAPE_WEIGHT = 1e-4, 5e-4
_POSE_WEIGHT, _LIMIT_WEIGHT = 0.03, 0.05
_SPACE_WEIGHT, _SPACE_ERROR = 0.15, 0.15
"""``_SPACE_ERROR`` in metres: joints that are much farther off count as outliers."""


def fitted_to_picture(task: Task, start: Solution) -> Solution:
    """The body whose keypoints are seen where the person's are, L-BFGS from ``start``."""
    person, camera, body = task.person, task.camera, task.body
    places, columns = shared_keypoints(person)
    pixels = torch.from_numpy(person.points[places]).float()
    weights = torch.from_numpy(weights_of(person)[places]).float()
    depth = max(0.3, -float(start.translation[0, 2]))
    tall = 1.7 * camera.focal / depth
    with torch.no_grad():
        known = in_space(person, body.rest(task.shape))
    sure = 1 - joint_uncertainty(person)[0]
    targets = known.joints(known.points)[0]
    targets = targets - _middle(targets, sure)
    prior = load_pose_prior()
    turns = torch.zeros(1, ROTATING, 3, requires_grad=True)
    shift = torch.zeros(1, 3, requires_grad=True)
    sizes = torch.zeros(1, min(_FIT_SHAPES, body.shape_size), requires_grad=not task.fixed_shape)
    centre = torch.tensor(camera.centre)
    variables = [turns, shift] if task.fixed_shape else [turns, shift, sizes]
    optimiser = torch.optim.LBFGS(
        variables, lr=1.0, max_iter=_FIT_STEPS, history_size=20, line_search_fn="strong_wolfe"
    )

    def solution() -> tuple[Tensor, Tensor, Tensor]:
        grown = torch.nn.functional.pad(sizes, (0, task.shape.shape[1] - sizes.shape[1]))
        rotations = start.rotations @ axis_angle_to_matrix(turns)
        return task.shape + grown, rotations, start.translation + depth * shift

    def loss() -> Tensor:
        task.check()
        optimiser.zero_grad()
        shape, rotations, translation = solution()
        posed = body.posed(shape, rotations, translation)
        own = keypoints_of(body, posed)[0, columns]
        far = (-own[:, 2]).clamp(min=0.1)
        seen = centre + camera.focal * own[:, :2] * torch.tensor([1.0, -1.0]) / far[:, None]
        apart = ((seen - pixels) / (_BLUR * tall)).square().sum(1)
        total = (weights * apart / (1 + apart)).sum() / weights.sum()
        here = posed.joints[0] - _middle(posed.joints[0], sure)
        away = ((here - targets) / _SPACE_ERROR).square().sum(1)
        total = total + _SPACE_WEIGHT * (sure * away / (1 + away)).sum() / sure.sum()
        total = total + _POSE_WEIGHT * prior.unlikeliness(rotations)[0]
        total = total + _LIMIT_WEIGHT * prior.beyond_limits(rotations)[0]
        total = total + _START_WEIGHT * turns.square().sum() + _SHAPE_WEIGHT * sizes.square().sum()
        total.backward()
        return total

    with torch.enable_grad():
        for _ in range(_FIT_ROUNDS):
            optimiser.step(loss)
    shape, rotations, translation = (value.detach() for value in solution())
    return Solution(shape, rotations, translation, start.notes)


def _middle(points: Tensor, weights: Tensor) -> Tensor:
    return (points * weights[:, None]).sum(0) / weights.sum()
