"""Keypoints on the surface of body models that come without: taken over from the built-in body.

The built-in body is made as tall as the other and put into its rest pose; each keypoint is carried
over with the joint it is nearest to, and hung on the vertices around it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.bodies.body_model import PosedBody, load_builtin_body
from engine.bodies.inverse_kinematics import closed_form

NEAR = 64
"""How many vertices hold a keypoint."""


def keypoints_at_rest(rest: PosedBody) -> Tensor:
    """Where the keypoints of :data:`engine.bodies.skeleton.COCO_NAMES` are: ``(23, 3)`` metres.

    ``rest`` is one body of another model in its rest pose, the pelvis at the origin.
    """
    from engine.bodies.recover import average_shape, shape_of_height

    builtin = load_builtin_body()
    joints = rest.joints[:1].float().cpu()
    height = float(rest.vertices[0, :, 1].max() - rest.vertices[0, :, 1].min())
    with torch.no_grad():
        shape = shape_of_height(builtin, average_shape(builtin), height)
        rotations = closed_form(joints, builtin.rest(shape).joints, spine3="three_children")
        posed = builtin.posed(shape, rotations)
        marked = builtin.coco_keypoints(posed.vertices)[0]
        nearest = torch.cdist(marked, posed.joints[0]).argmin(1)
        return joints[0, nearest] + marked - posed.joints[0, nearest]


def hung_on(points: Tensor, vertices: Tensor) -> tuple[Tensor, Tensor]:
    """Vertices ``(N, n)`` around each of ``points (N, 3)``, and weights ``(N, n)`` that give the point.

    Of ``vertices (V, 3)``, n is :data:`NEAR`, or all there are. Weights sum to 1 and are the most even
    ones that give the point, so it moves, turns and grows along with the vertices.
    """
    apart = torch.cdist(points.double(), vertices.double())
    near = apart.topk(min(NEAR, len(vertices)), largest=False).indices
    around = vertices.double()[near] - points.double()[:, None]
    # The columns' scale does not matter to the solution, but it does to rounding.
    around = around / around.norm(dim=2).amax(1)[:, None, None]
    rows = torch.cat([torch.ones_like(around[..., :1]), around], 2).transpose(1, 2)
    wanted = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64).expand(len(points), 4)
    return near, (torch.linalg.pinv(rows) @ wanted[..., None])[..., 0]
