"""Which tracklets of several cameras can be one vehicle, by times and directions.

The Direction Based Temporal Mask of the AI City Challenge's winner (arXiv 2105.06623, section 3.3):
cameras stand in a row along a main road, and each tells by its zones where a vehicle came from and
where it went.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from engine.tracks.boxes import Int64Array

Float64Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Arm(IntEnum):
    """Where in its camera's picture something is."""

    CROSSING = 0
    SIDE_A = 1
    SIDE_B = 2
    NEXT = 3
    """The arm of the main road that leads to the camera with the next higher number."""
    PREVIOUS = 4


SIDES = (Arm.SIDE_A, Arm.SIDE_B)
MAIN = (Arm.NEXT, Arm.PREVIOUS)


@dataclass(frozen=True)
class Passages:
    """Tracklets in short: where and when each came and went.

    Attributes
    ----------
    cameras
        int64 ``(N,)`` positions along the road, from 0.
    zone_in, zone_out
        int64 ``(N,)`` :class:`Arm` of the first and the last box.
    t_in, t_out
        float64 ``(N,)`` seconds on the common clock.
    """

    cameras: Int64Array
    zone_in: Int64Array
    zone_out: Int64Array
    t_in: Float64Array
    t_out: Float64Array

    def __len__(self) -> int:
        return len(self.cameras)

    def select(self, rows: Int64Array) -> Passages:
        """Some of them."""
        return Passages(
            self.cameras[rows], self.zone_in[rows], self.zone_out[rows],
            self.t_in[rows], self.t_out[rows],
        )  # fmt: skip


def temporal_mask(
    passages: Passages, travel: Float64Array, *, clip_start: float = 1.0, clip_end: float = np.inf
) -> Mask:
    """Pairs that are not forbidden.

    Parameters
    ----------
    passages
        ``N`` tracklets.
    travel
        ``(C, C)`` least seconds from camera to camera, symmetric; ``C`` cameras in a row.
    clip_start, clip_end
        Seconds before which a tracklet may have been cut by the beginning of the videos, and after
        which by their end.

    Returns
    -------
    bool ``(N, N)``, symmetric, False on the diagonal and within one camera.
    """
    i, j = (_Side.of(passages, axis) for axis in (0, 1))
    first, last = i.camera == 0, i.camera == len(travel) - 1
    least = travel[i.camera, j.camera]
    below, above = i.camera < j.camera, i.camera > j.camera
    next_in, next_out = i.zone_in == Arm.NEXT, i.zone_out == Arm.NEXT
    previous_in, previous_out = i.zone_in == Arm.PREVIOUS, i.zone_out == Arm.PREVIOUS
    came_from_j = (next_in & below) | (previous_in & above)
    came_from_opposite = (next_in & above) | (previous_in & below)
    goes_to_j = (next_out & below) | (previous_out & above)
    goes_from_j = (next_out & above) | (previous_out & below)

    # R1: seen by both cameras within less than the way takes.
    start, end = i.t_in - least, i.t_out + least
    forbidden = ((j.t_in > start) & (j.t_in < end)) | ((j.t_out > start) & (j.t_out < end))
    # R2, R3: i left the main road, or the network; everything else was before.
    left = np.isin(i.zone_out, SIDES)
    gone = (first & previous_out) | (last & next_out)
    forbidden |= (left | gone) & ~(j.t_out + least <= i.t_in)
    forbidden |= left & ((next_in & above) | (previous_in & below))
    forbidden |= first & previous_out & (i.t_out > clip_end)
    # R4: i came onto the main road; everything else is later.
    entered = np.isin(i.zone_in, SIDES)
    forbidden |= entered & ~(j.t_in - least >= i.t_out)
    forbidden |= entered & ((next_out & above) | (previous_out & below))

    # R5: opposite directions. R6 to R9: the partner lies along the way, behind or before.
    moving = (next_in & (j.zone_in == Arm.PREVIOUS)) | (next_out & (j.zone_out == Arm.PREVIOUS))
    moving |= goes_to_j & ~(i.t_out <= j.t_out - least)
    moving |= came_from_j & ~(i.t_in >= j.t_in + least)
    moving |= came_from_opposite & ~(i.t_out <= j.t_in - least)
    moving |= goes_from_j & ~(i.t_in >= j.t_out + least)
    # R10 to R12: cut by the end or the beginning of the videos while it stood in an arm.
    cut = i.t_out > clip_end
    standing = cut & ((came_from_j & ~(i.t_in >= j.t_in + least)) | came_from_opposite)
    standing |= (i.t_in < clip_start) & goes_from_j
    stuck = (i.zone_in == i.zone_out) & np.isin(i.zone_in, MAIN)
    forbidden |= np.where(stuck | stuck.T, standing, moving)
    forbidden |= i.camera == j.camera
    return np.asarray(~(forbidden | forbidden.T))


@dataclass(frozen=True)
class _Side:
    """The columns of passages along the rows ``(N, 1)`` or columns ``(1, N)`` of a matrix of pairs."""

    camera: Int64Array
    zone_in: Int64Array
    zone_out: Int64Array
    t_in: Float64Array
    t_out: Float64Array

    @classmethod
    def of(cls, passages: Passages, axis: int) -> _Side:
        index = np.s_[None, :] if axis else np.s_[:, None]
        return cls(
            passages.cameras[index], passages.zone_in[index], passages.zone_out[index],
            passages.t_in[index], passages.t_out[index],
        )  # fmt: skip
