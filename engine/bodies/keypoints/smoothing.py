"""Keypoints without jitter: the One-Euro filter (Casiez, Roussel and Vogel, CHI 2012).

A low-pass filter whose cutoff rises with speed: smooth where a person stands, quick where it moves.
Causal: what it returns depends on the past only.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from engine.bodies.keypoints.person import Person, box_around
from engine.errors import invalid_input

Array = NDArray[np.float64]

_BODY = 1.0
"""Metres; the size that speeds of world points are compared with."""


class OneEuro:
    """The filter for N points of D numbers; all numbers of a point share its speed.

    Parameters
    ----------
    least_cutoff
        In Hz, at rest; lower is smoother.
    speed_coefficient
        Hz by which the cutoff rises for a speed of one ``scale`` a second; higher lags less.
    speed_cutoff
        In Hz, of the filter of the speeds themselves.

    Raises
    ------
    EngineError
        ``invalid_input`` for cutoffs that are not positive or a negative coefficient.
    """

    def __init__(
        self, least_cutoff: float = 1.5, speed_coefficient: float = 6.0, speed_cutoff: float = 1.0
    ) -> None:
        if not (least_cutoff > 0 and speed_cutoff > 0 and speed_coefficient >= 0):
            raise invalid_input(
                f"Smoothing cannot work with cutoffs of {least_cutoff} and {speed_cutoff} Hz and a "
                f"coefficient of {speed_coefficient}.",
                "Cutoffs have to be positive, and the coefficient at least 0.",
            )
        self.least_cutoff = least_cutoff
        self.speed_coefficient = speed_coefficient
        self.speed_cutoff = speed_cutoff
        self._last: tuple[float, Array, Array] | None = None

    def reset(self) -> None:
        """Forget the past, as after a cut."""
        self._last = None

    def __call__(self, values: Array, seconds: float, scale: float = 1.0) -> Array:
        """The next values, smoothed.

        Parameters
        ----------
        values
            ``(N, D)``, finite.
        seconds
            When; each time later than the last.
        scale
            Length, in the units of ``values``, by which speeds are divided, such as the size of a
            person.

        Returns
        -------
        ndarray
            ``(N, D)``; the first ones unchanged.

        Raises
        ------
        EngineError
            ``invalid_input`` for another shape than before, numbers that are not finite, or a time
            that is not later; the filter's state stays as it was.
        """
        values = np.asarray(values, np.float64)
        if not np.isfinite(values).all() or not math.isfinite(seconds):
            raise invalid_input("Points that are not finite numbers cannot be smoothed.")
        if self._last is None:
            self._last = seconds, values, np.zeros_like(values)
            return values
        before, smooth, velocity = self._last
        if values.shape != smooth.shape or seconds <= before:
            raise invalid_input(
                f"Points of shape {values.shape} at {seconds:g} s cannot follow points of shape "
                f"{smooth.shape} at {before:g} s.",
                "Smooth frames in order, and each person with a filter of its own.",
            )
        step = seconds - before
        moved = (values - smooth) / step
        velocity = velocity + _share(np.array(self.speed_cutoff), step) * (moved - velocity)
        speed = np.linalg.norm(velocity, axis=-1, keepdims=True) / max(scale, 1e-9)
        cutoff = self.least_cutoff + self.speed_coefficient * speed
        smooth = smooth + _share(cutoff, step) * (values - smooth)
        self._last = seconds, smooth, velocity
        return smooth


def _share(cutoff: Array, step: float) -> Array:
    """How much of the way to a new value a first-order low-pass filter goes in one step."""
    turned = 2 * math.pi * cutoff * step
    return np.asarray(turned / (1 + turned))


class PersonSmoother:
    """One person's keypoints and world points through a video; confidences stay as they are."""

    def __init__(self, least_cutoff: float = 1.5, speed_coefficient: float = 6.0) -> None:
        self._image = OneEuro(least_cutoff, speed_coefficient)
        self._world = OneEuro(least_cutoff, speed_coefficient)

    def reset(self) -> None:
        """Forget the past, as after frames in which the person was not found."""
        self._image.reset()
        self._world.reset()

    def __call__(self, person: Person, seconds: float) -> Person:
        """The person of the next frame, smoothed; raises like :class:`OneEuro`."""
        size = float(np.max(person.box[2:] - person.box[:2]))
        points = self._image(person.points, seconds, size)
        world = None if person.world is None else self._world(person.world, seconds, _BODY)
        # A box may hold more than the points, such as hair; it moves along with them.
        moved = box_around(points, person.confidence) - box_around(person.points, person.confidence)
        return replace(
            person,
            keypoints=np.column_stack([points, person.confidence]),
            box=person.box + moved,
            world=world,
        )
