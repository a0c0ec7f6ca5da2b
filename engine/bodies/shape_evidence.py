"""From measures of which some are missing or uncertain to a shape, and how sure each part of it is.

Lengths and widths are nearly linear in the numbers of the adults' space, whose prior is a unit normal.
So what was measured, each with its error, gives a normal posterior in closed form: parts that nobody
saw get the widths that go with those that were seen, and a deviation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.bodies.shape import COMPONENTS, ShapeDecoder
from engine.bodies.shape_parts import PARTS
from engine.errors import invalid_input

_LENGTHS = 28


@dataclass(frozen=True, eq=False)
class Measures:
    """What was measured of one body at rest, metres.

    Attributes
    ----------
    lengths, length_errors
        ``(28,)`` of the bones, and deviations; infinite where a bone was not seen.
    widths, width_errors
        ``(20,)`` of the :data:`~engine.bodies.shape_parts.PARTS`, likewise.
    """

    lengths: Tensor
    length_errors: Tensor
    widths: Tensor
    width_errors: Tensor


@dataclass(frozen=True, eq=False)
class ShapeEstimate:
    """A shape with what is known of its parts.

    Attributes
    ----------
    shape
        ``(1, N)`` the body's own numbers.
    widths, deviations
        ``(20,)`` metres: of the parts, and how uncertain.
    seen
        ``(20,)``: whether a part's width was measured; else it is inferred from the others.
    """

    shape: Tensor
    widths: Tensor
    deviations: Tensor
    seen: Tensor


class MeasuresModel:
    """Lengths and widths as linear functions of the numbers of a decoder's space."""

    def __init__(self, decoder: ShapeDecoder) -> None:
        self.decoder = decoder
        unit = torch.eye(COMPONENTS)
        self.mean = self._measure(torch.zeros(1, COMPONENTS))[0]
        self.slopes = (self._measure(unit) - self._measure(-unit)).T / 2

    def _measure(self, numbers: Tensor) -> Tensor:
        lengths, _, widths = self.decoder.measured(numbers)
        return torch.cat([lengths, widths], 1)

    def estimate(self, seen: Measures) -> ShapeEstimate:
        """The posterior's mean, made a body by the decoder.

        Raises
        ------
        EngineError
            ``invalid_input`` for other shapes, or errors that are not positive.
        """
        values = torch.cat([seen.lengths, seen.widths])
        errors = torch.cat([seen.length_errors, seen.width_errors])
        if len(values) != len(self.mean) or not bool((errors > 0).all()):
            raise invalid_input(
                f"A body is measured by {_LENGTHS} lengths and {len(PARTS)} widths with errors above 0."
            )
        known = torch.isfinite(errors)
        weight = torch.where(known, errors, 1.0).square().reciprocal() * known
        apart = torch.where(known, values - self.mean, 0.0)
        precision = self.slopes.T @ (weight[:, None] * self.slopes) + torch.eye(COMPONENTS)
        covariance = torch.linalg.inv(precision)
        numbers = covariance @ (self.slopes.T @ (weight * apart))
        likely = self.mean + self.slopes @ numbers
        found = self.decoder.decode(likely[None, :_LENGTHS], likely[None, _LENGTHS:])
        spread = (self.slopes @ covariance * self.slopes).sum(1).sqrt()
        return ShapeEstimate(
            self.decoder.space.body_numbers(found),
            self.decoder.measured(found)[2][0],
            spread[_LENGTHS:],
            known[_LENGTHS:],
        )
