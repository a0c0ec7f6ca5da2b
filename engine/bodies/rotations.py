"""Rotations in the forms that body models, keypoint networks and files use, and between them.

Column vectors are rotated from the left (``v' = R v``); angles are radians; quaternions are
``(w, x, y, z)``. Every function takes any leading batch dimensions, keeps the dtype, and has finite
gradients everywhere, at the identity and at half turns too.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.errors import invalid_input

_SMALL_ANGLE_SQUARED = 1e-4
"""Below this the series to the sixth power is exact in float64."""

_ANTIPARALLEL = -0.5
"""Cosine below which a swing is computed from the opposite direction."""


def _check(tensor: Tensor, last: tuple[int, ...], what: str) -> None:
    if not tensor.is_floating_point() or tuple(tensor.shape[-len(last) :]) != last:
        raise invalid_input(
            f"{what} must be floating point numbers of shape (..., {', '.join(map(str, last))}), "
            f"not {tensor.dtype} of shape {tuple(tensor.shape)}."
        )


def _safe_norm(v: Tensor) -> Tensor:
    """Lengths ``(..., 1)`` that are never 0 and whose gradient at 0 is 0."""
    squared = v.square().sum(-1, keepdim=True)
    tiny = torch.finfo(v.dtype).tiny
    return torch.where(squared > tiny, squared, 1.0).sqrt() * (squared > tiny) + tiny**0.5 * (
        squared <= tiny
    )


def normalise(v: Tensor) -> Tensor:
    """Unit vectors ``(..., N)`` of vectors; zero stays zero, its gradient finite."""
    return v / _safe_norm(v)


def cross_matrix(v: Tensor) -> Tensor:
    """``[v]x`` of ``(..., 3)``: ``(..., 3, 3)`` with ``[v]x u = v x u``."""
    _check(v, (3,), "Vectors")
    x, y, z = v.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


def rotate(rotation: Tensor, vector: Tensor) -> Tensor:
    """Vectors ``(..., 3)`` turned by matrices ``(..., 3, 3)``."""
    return (rotation @ vector[..., None]).squeeze(-1)


def rotation_about(axis: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rodrigues' formula about unit axes ``(..., 3)``, from cosines and sines ``(...)``."""
    cross = cross_matrix(axis)
    identity = torch.eye(3, dtype=axis.dtype, device=axis.device)
    return identity + sine[..., None, None] * cross + (1 - cosine)[..., None, None] * (cross @ cross)


def axis_angle_to_matrix(axis_angle: Tensor) -> Tensor:
    """Rotation vectors ``(..., 3)``, axis times angle in radians, to matrices ``(..., 3, 3)``."""
    _check(axis_angle, (3,), "Rotation vectors")
    squared = axis_angle.square().sum(-1)
    small = squared < _SMALL_ANGLE_SQUARED
    angle = torch.where(small, 1.0, squared).sqrt()
    first = torch.where(
        small, 1 - squared / 6 * (1 - squared / 20 * (1 - squared / 42)), angle.sin() / angle
    )
    second = torch.where(
        small,
        0.5 - squared / 24 * (1 - squared / 30 * (1 - squared / 56)),
        (1 - angle.cos()) / angle.square(),
    )
    cross = cross_matrix(axis_angle)
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return identity + first[..., None, None] * cross + second[..., None, None] * (cross @ cross)


def quaternion_to_matrix(quaternion: Tensor) -> Tensor:
    """Quaternions ``(..., 4)``, w first and of any length but 0, to matrices ``(..., 3, 3)``."""
    _check(quaternion, (4,), "Quaternions")
    w, x, y, z = normalise(quaternion).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def matrix_to_quaternion(matrix: Tensor) -> Tensor:
    """Matrices ``(..., 3, 3)`` to unit quaternions ``(..., 4)`` with ``w >= 0``.

    Of the four ways to read one off a matrix the one that divides by the largest component is taken
    (Shepperd 1978), so that nothing is lost at half turns.
    """
    _check(matrix, (3, 3), "Rotation matrices")
    m = matrix
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    wx, wy, wz = skew_vector(m).unbind(-1)
    xy, xz, yz = m[..., 1, 0] + m[..., 0, 1], m[..., 0, 2] + m[..., 2, 0], m[..., 2, 1] + m[..., 1, 2]
    # Each row is 4 q_k q: the quaternion times four times one of its components.
    rows = torch.stack(
        [
            torch.stack([1 + xx + yy + zz, wx, wy, wz], -1),
            torch.stack([wx, 1 + xx - yy - zz, xy, xz], -1),
            torch.stack([wy, xy, 1 - xx + yy - zz, yz], -1),
            torch.stack([wz, xz, yz, 1 - xx - yy + zz], -1),
        ],
        -2,
    )
    best = rows.diagonal(dim1=-2, dim2=-1).argmax(-1)
    row = rows.gather(-2, best[..., None, None].expand(*best.shape, 1, 4)).squeeze(-2)
    quaternion = normalise(row)
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def quaternion_to_axis_angle(quaternion: Tensor) -> Tensor:
    """Quaternions ``(..., 4)`` to rotation vectors ``(..., 3)`` of length at most pi."""
    _check(quaternion, (4,), "Quaternions")
    unit = normalise(quaternion)
    unit = torch.where(unit[..., :1] < 0, -unit, unit)
    w, v = unit[..., :1], unit[..., 1:]
    squared = v.square().sum(-1, keepdim=True)
    small = squared < _SMALL_ANGLE_SQUARED
    length = torch.where(small, 1.0, squared).sqrt()
    # arcsin(s) / s by its series: w alone loses half of the digits near the identity.
    series = 1 + squared * (1 / 6 + squared * (3 / 40 + squared * 15 / 336))
    return v * torch.where(small, 2 * series, 2 * torch.atan2(length, w) / length)


def axis_angle_to_quaternion(axis_angle: Tensor) -> Tensor:
    """Rotation vectors ``(..., 3)`` to unit quaternions ``(..., 4)``, w first."""
    _check(axis_angle, (3,), "Rotation vectors")
    squared = axis_angle.square().sum(-1, keepdim=True) / 4
    small = squared < _SMALL_ANGLE_SQUARED
    half = torch.where(small, 1.0, squared).sqrt()
    sinc = torch.where(
        small, 1 - squared / 6 * (1 - squared / 20 * (1 - squared / 42)), half.sin() / half
    )
    cosine = torch.where(small, 1 - squared / 2 * (1 - squared / 12 * (1 - squared / 30)), half.cos())
    return torch.cat([cosine, axis_angle / 2 * sinc], -1)


def matrix_to_axis_angle(matrix: Tensor) -> Tensor:
    """Matrices ``(..., 3, 3)`` to rotation vectors ``(..., 3)`` of length at most pi."""
    return quaternion_to_axis_angle(matrix_to_quaternion(matrix))


def rotation_6d_to_matrix(rows: Tensor) -> Tensor:
    """Six numbers ``(..., 6)``, the first two **rows** of a matrix, made orthonormal (Gram-Schmidt).

    The continuous form networks predict (Zhou et al. 2019), in the row order of NIKI.
    """
    _check(rows, (6,), "6-D rotations")
    first = normalise(rows[..., :3])
    second = rows[..., 3:]
    second = normalise(second - (first * second).sum(-1, keepdim=True) * first)
    return torch.stack([first, second, torch.linalg.cross(first, second)], -2)


def rotation_6d_columns_to_matrix(numbers: Tensor) -> Tensor:
    """As :func:`rotation_6d_to_matrix` for ``(..., 6)`` that are a ``3 x 2`` array of two columns."""
    _check(numbers, (6,), "6-D rotations")
    columns = numbers.unflatten(-1, (3, 2)).mT.flatten(-2)
    return rotation_6d_to_matrix(columns).mT


def matrix_to_rotation_6d(matrix: Tensor) -> Tensor:
    """The first two rows of ``(..., 3, 3)``: ``(..., 6)``."""
    _check(matrix, (3, 3), "Rotation matrices")
    return matrix[..., :2, :].flatten(-2)


def swing(start: Tensor, end: Tensor) -> Tensor:
    """The shortest rotations that turn directions ``start`` into ``end``, each ``(..., 3)``.

    Lengths do not matter; a vector of length zero has no direction and gives the identity. Opposite
    directions leave the axis open: some axis orthogonal to ``start`` is taken.
    """
    _check(start, (3,), "Directions")
    _check(end, (3,), "Directions")
    start, end = torch.broadcast_tensors(normalise(start), normalise(end))
    cosine = (start * end).sum(-1, keepdim=True)
    opposite = cosine < _ANTIPARALLEL
    normal = torch.linalg.cross(start, end)
    # Half a turn about the swing's own axis leads to -start, from where the rest is well conditioned.
    length = _safe_norm(normal)
    known = length > 1e-3 * torch.finfo(start.dtype).eps ** 0.5
    axis = torch.where(known, normal / length, _orthogonal(start))
    half_turn = 2 * axis[..., :, None] * axis[..., None, :] - torch.eye(
        3, dtype=start.dtype, device=start.device
    )
    reached = torch.where(opposite, -start, start)
    result = _swing_below_half_turn(reached, end)
    return torch.where(opposite[..., None], result @ half_turn, result)


def _swing_below_half_turn(start: Tensor, end: Tensor) -> Tensor:
    cross = cross_matrix(torch.linalg.cross(start, end))
    cosine = (start * end).sum(-1)[..., None, None]
    identity = torch.eye(3, dtype=start.dtype, device=start.device)
    return identity + cross + cross @ cross / (1 + cosine)


def _orthogonal(v: Tensor) -> Tensor:
    """A unit vector orthogonal to each of ``(..., 3)``."""
    least = v.detach().abs().argmin(-1, keepdim=True)
    other = torch.zeros_like(v).scatter(-1, least, 1.0)
    return normalise(torch.linalg.cross(v, other))


def swing_and_twist(rotation: Tensor, bone: Tensor) -> tuple[Tensor, Tensor]:
    """Split rotations ``(..., 3, 3)`` into swings after twists about unit bones ``(..., 3)``."""
    swings = swing(bone, rotate(rotation, bone))
    return swings, swings.mT @ rotation


def nearest_rotation(matrix: Tensor) -> Tensor:
    """The rotation nearest to each of ``(..., 3, 3)`` in the least-squares sense.

    Found by SVD. The gradient is that of the rotation and not of the singular vectors, so that equal
    singular values do no harm; it is right to first order (no second derivatives).
    """
    _check(matrix, (3, 3), "Matrices")
    with torch.no_grad():
        u, _, vh = torch.linalg.svd(matrix)
        sign = torch.det(u @ vh).sign()
        flip = torch.stack([torch.ones_like(sign), torch.ones_like(sign), sign], -1)
        rotation = (u * flip[..., None, :]) @ vh
        if not matrix.requires_grad:
            return rotation
        stretch = rotation.mT @ matrix
        trace = stretch.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
        identity = torch.eye(3, dtype=matrix.dtype, device=matrix.device)
        # Without a nearest rotation (two singular values cancel) there is no gradient along that axis.
        response = torch.linalg.pinv(trace * identity - stretch, hermitian=True)
    # The turn that a change of the matrix causes; its value here is zero.
    turn = skew_vector(rotation.mT @ matrix)
    turn = turn - turn.detach()
    return rotation + rotation @ cross_matrix(rotate(response, turn))


def skew_vector(matrix: Tensor) -> Tensor:
    """Vectors ``(..., 3)`` of the skew parts of matrices ``(..., 3, 3)``, doubled.

    Of a rotation: its axis, as long as twice the sine of its angle.
    """
    return torch.stack(
        [
            matrix[..., 2, 1] - matrix[..., 1, 2],
            matrix[..., 0, 2] - matrix[..., 2, 0],
            matrix[..., 1, 0] - matrix[..., 0, 1],
        ],
        -1,
    )


def angle_about(rotation: Tensor, axis: Tensor) -> Tensor:
    """Angles ``(...)`` in (-pi, pi] of rotations ``(..., 3, 3)`` about the unit axes ``(..., 3)``."""
    # Twice sine and twice cosine: the trace less one.
    doubled = rotation.diagonal(dim1=-2, dim2=-1).sum(-1) - 1
    return torch.atan2((skew_vector(rotation) * axis).sum(-1), doubled)


def geodesic_angle(first: Tensor, second: Tensor) -> Tensor:
    """Angles ``(...)`` in radians, 0 to pi, between rotations ``(..., 3, 3)``."""
    _check(first, (3, 3), "Rotation matrices")
    _check(second, (3, 3), "Rotation matrices")
    apart = first.mT @ second
    # From sine and cosine both: the arc cosine alone has no digits left near 0 and pi.
    sine = skew_vector(apart)
    cosine = apart.diagonal(dim1=-2, dim2=-1).sum(-1) - 1
    return torch.atan2(_safe_norm(sine).squeeze(-1), cosine)
