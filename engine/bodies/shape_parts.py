"""What a picture shows of a body's shape: lengths of bones, mean widths of parts (ShapeBoost).

A body has 24 segments, one a joint, each a straight line from the joint to one of its children. The
mean width of a part is how far its skin is from that line, averaged with the skin weights; divided by
the line's length it is free of scale (Bian et al. 2024, "ShapeBoost", AAAI, section 3.1). All are
measured in the rest pose. Metres.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.bodies.body_model import BodyModel
from engine.bodies.rotations import normalise
from engine.bodies.skeleton import AIM_CHILDREN, PARENTS, ROTATING
from engine.errors import invalid_input

SEGMENT_ENDS = (1, *AIM_CHILDREN[1:])
"""Where the segment that begins at each joint ends; the pelvis's goes to a hip."""

PARTS = tuple(joint for joint in range(ROTATING) if joint not in (10, 11, 22, 23))
"""The segments whose width says something: all but feet and hands."""

LEAST_WEIGHT = 0.5
"""Skin that a joint moves by less does not count for its width."""


class Parts:
    """Groups of vertices around the segments of a skeleton.

    Parameters
    ----------
    groups
        ``(V,)`` int64: the group of each vertex.
    segments
        ``(G,)`` int64: around which segment each group is.
    weights
        ``(V,)``: how much each vertex counts; see :meth:`of_skin`.

    Raises
    ------
    EngineError
        ``invalid_input`` where a group has no vertices that count.
    """

    def __init__(self, groups: Tensor, segments: Tensor, weights: Tensor) -> None:
        self.groups, self.segments, self.weights = groups, segments, weights
        self.totals = weights.new_zeros(len(segments)).index_add(0, groups, weights)
        if not bool((self.totals > 0).all()):
            raise invalid_input("A part of this body has no skin, so it has no width.")

    @classmethod
    def of_skin(cls, owners: Tensor, skin_weights: Tensor) -> Parts:
        """One group a segment: ``owners (V,)`` and skin weights ``(V, 24)``.

        Where all skin of a part moves with other joints too (the built-in body's collars), all counts.
        """
        own = skin_weights.gather(1, owners[:, None]).squeeze(1)
        largest = own.new_zeros(ROTATING).scatter_reduce(0, owners, own, "amax")
        enough = (own >= LEAST_WEIGHT) | (largest < LEAST_WEIGHT)[owners]
        counted = torch.where(enough, own, 0.0)
        return cls(owners, torch.arange(ROTATING), counted)

    @classmethod
    def of_body(cls, body: BodyModel) -> Parts:
        """Of the skin that each joint moves most."""
        return cls.of_skin(body.joint_weights.argmax(1), body.joint_weights)

    def sliced(self, count: int, vertices: Tensor, joints: Tensor) -> Parts:
        """Each group cut across its segment into ``count`` of equally many vertices.

        The cut is made once, on a template ``(V, 3)`` with joints ``(29, 3)``; group ``count g + i`` is
        the i-th slice of group g, from the segment's beginning on.
        """
        start, direction, length = self._lines(joints[None])
        along = ((vertices - start[0, self.groups]) * direction[0, self.groups]).sum(-1)
        along = along / length[0, self.groups]
        groups = torch.zeros_like(self.groups)
        for group in range(len(self.segments)):
            members = (self.groups == group).nonzero().squeeze(1)
            order = along[members].argsort(stable=True)
            for index, part in enumerate(members[order].tensor_split(count)):
                groups[part] = count * group + index
        return Parts(groups, self.segments.repeat_interleave(count), self.weights)

    def widths(self, vertices: Tensor, joints: Tensor) -> Tensor:
        """Mean widths ``(B, G)`` of bodies ``(B, V, 3)`` with joints ``(B, 29, 3)``."""
        start, direction, _ = self._lines(joints)
        apart = vertices - start[:, self.groups]
        across = torch.linalg.cross(direction[:, self.groups], apart)
        distance = torch.linalg.vector_norm(across, dim=-1) * self.weights
        sums = distance.new_zeros(len(vertices), len(self.segments))
        return sums.index_add(1, self.groups, distance) / self.totals

    def _lines(self, joints: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Beginning, direction and length of each group's segment."""
        ends = torch.tensor(SEGMENT_ENDS)[self.segments]
        start = joints[:, self.segments]
        bone = joints[:, ends] - start
        return start, normalise(bone), torch.linalg.vector_norm(bone, dim=-1)


def segment_lengths(joints: Tensor) -> Tensor:
    """``(B, 24)`` of joints ``(B, 29, 3)``, in any pose."""
    bones = joints[:, list(SEGMENT_ENDS)] - joints[:, :ROTATING]
    return torch.linalg.vector_norm(bones, dim=-1)


def bone_lengths(joints: Tensor) -> Tensor:
    """``(B, 28)`` from each point's parent to it, of joints ``(B, 29, 3)`` in any pose."""
    return torch.linalg.vector_norm(joints[:, 1:] - joints[:, list(PARENTS[1:])], dim=-1)


def rest_skeleton(template_joints: Tensor, lengths: Tensor) -> Tensor:
    """The template's skeleton ``(29, 3)`` with other lengths of bones ``(B, 28)``: ``(B, 29, 3)``."""
    directions = normalise(template_joints[1:] - template_joints[list(PARENTS[1:])])
    placed = [template_joints[0].expand(len(lengths), -1)]
    for point in range(1, len(PARENTS)):
        step = lengths[:, point - 1, None] * directions[point - 1]
        placed.append(placed[PARENTS[point]] + step)
    return torch.stack(placed, 1)


def scale_corrected(source: Tensor, target: Tensor) -> Tensor:
    """Bodies ``(B, V, 3)`` moved and scaled to the middle and RMS size of others (PVE-T-SC)."""
    middle, other = source.mean(1, keepdim=True), target.mean(1, keepdim=True)
    size = (source - middle).square().mean((1, 2), keepdim=True).sqrt()
    wanted = (target - other).square().mean((1, 2), keepdim=True).sqrt()
    return (source - middle) / size * wanted + other
