"""A body made longer or wider by hand, part by part.

What the hand sets, and what it locked, is taken as measured to the millimetre; all other lengths and
widths only roughly, so that they go along where that makes a more likely body
(:mod:`engine.bodies.shape_evidence`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.bodies.recover_shape import measures_model
from engine.bodies.shape_evidence import Measures
from engine.bodies.shape_parts import PARTS, SEGMENT_ENDS
from engine.errors import invalid_input

Kind = Literal["length", "width"]

PART_NAMES = (
    "pelvis", "left_thigh", "right_thigh", "abdomen", "left_shin", "right_shin", "waist", "left_ankle",
    "right_ankle", "chest", "neck", "left_collar", "right_collar", "head", "left_upper_arm",
    "right_upper_arm", "left_forearm", "right_forearm", "left_wrist", "right_wrist",
)  # fmt: skip
"""Of the :data:`~engine.bodies.shape_parts.PARTS`, in their order."""

SET_ERROR = 0.001
FREE_LENGTH, FREE_WIDTH = 0.03, 0.3
"""Shares of a part's size by which it may go along."""

SMALLEST, LARGEST = 0.4, 2.0
"""Of the mean adult's size, what can be asked of a part."""


@dataclass(frozen=True, eq=False)
class PartSizes:
    """Of one body at rest, metres: ``lengths`` and ``widths`` of the parts by name."""

    lengths: dict[str, float]
    widths: dict[str, float]


def mean_shape() -> Tensor:
    """Shape ``(1, N)`` of the mean adult."""
    return measures_model().decoder.space.mean[None]


@torch.no_grad()
def part_sizes(shape: Tensor) -> PartSizes:
    """Lengths and widths of the parts of a shape ``(1, N)``, as far as it is an adult's."""
    decoder = measures_model().decoder
    _, lengths, widths = decoder.measured(decoder.space.numbers_of(shape))
    return PartSizes(*(dict(zip(PART_NAMES, v[0].tolist(), strict=True)) for v in (lengths, widths)))


@cache
def mean_sizes() -> PartSizes:
    """Those of the mean adult."""
    return part_sizes(mean_shape())


@torch.no_grad()
def reshaped(
    shape: Tensor,
    kind: Kind,
    sizes: Mapping[str, float],
    locked: Collection[tuple[Kind, str]] = (),
) -> Tensor:
    """The likely body with some parts as asked.

    Parameters
    ----------
    shape
        ``(1, N)``, what it was before.
    kind
        Whether lengths or widths are asked for.
    sizes
        Metres by the name of the part.
    locked
        What has to stay as it was.

    Returns
    -------
    ``(1, N)``.

    Raises
    ------
    EngineError
        ``invalid_input`` for an unknown part, or a size that no part of a body has.
    """
    model = measures_model()
    decoder = model.decoder
    _check(sizes, kind)
    lengths, _, widths = decoder.measured(decoder.space.numbers_of(shape))
    lengths, widths = lengths[0].clone(), widths[0].clone()
    length_errors, width_errors = FREE_LENGTH * lengths, FREE_WIDTH * widths
    bones = [SEGMENT_ENDS[joint] - 1 for joint in PARTS]

    def hold(which: str, part: str, size: float | None) -> None:
        at = PART_NAMES.index(part)
        values, errors, row = (
            (lengths, length_errors, bones[at]) if which == "length" else (widths, width_errors, at)
        )
        if size is not None:
            values[row] = size
        errors[row] = SET_ERROR
        if which == "length" and part == "pelvis":
            # Its segment goes to the left hip; the other one is as far.
            values[bones[at] + 1], errors[bones[at] + 1] = values[row], SET_ERROR

    for which, part in locked:
        hold(which, part, None)
    for part, size in sizes.items():
        hold(kind, part, size)
    return model.estimate(Measures(lengths, length_errors, widths, width_errors)).shape


def _check(sizes: Mapping[str, float], kind: Kind) -> None:
    usual = mean_sizes().lengths if kind == "length" else mean_sizes().widths
    for part, size in sizes.items():
        if part not in usual:
            raise invalid_input(
                f"A body has no part {part!r}; nothing was changed.", f"Parts: {', '.join(PART_NAMES)}."
            )
        low, high = SMALLEST * usual[part], LARGEST * usual[part]
        if not low <= size <= high:
            raise invalid_input(
                f"The {part.replace('_', ' ')} cannot have a {kind} of {100 * size:.1f} cm; "
                "nothing was changed.",
                f"It goes from {100 * low:.1f} to {100 * high:.1f} cm.",
            )


def plain(sizes: PartSizes) -> dict[str, NDArray[np.float32]]:
    """The same as arrays ``(20,)`` in the order of :data:`PART_NAMES`, for messages."""
    return {
        "lengths": np.array(list(sizes.lengths.values()), np.float32),
        "widths": np.array(list(sizes.widths.values()), np.float32),
    }
