"""The steps of an alignment as data: while it runs, and out of a result's files."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PySide6.QtGui import QImage

GREEN, AMBER, RED = "green", "amber", "red"
STATUS_WORDS = {
    GREEN: "Looks random",
    AMBER: "Doubtful",
    RED: "No longer random",
}
"""What the guard says of the noise, in words: colour is never the only sign."""

# The least probability that is green, and the largest that is red; of all noise, and of the worst
# step alone (see engine.images.probability, where they were measured).
LIMITS = (0.05, 1e-3)
STEP_LIMITS = (0.02, 1e-4)
LOWEST_LOG = -300.0
RECENT = 10


@dataclass(frozen=True)
class StepPoint:
    """One optimisation step.

    Attributes
    ----------
    total
        The weighted sum of rewards, each in widths of its usual range from its median.
    terms, positions
        Each reward as it is, and as 0..100 in its usual range where that is known.
    log10_p, log10_p_step
        How plausible all the noise is, and that of the least plausible sampling step.
    seconds
        That the step took.
    best
        Whether it was the best acceptable one when it was made.
    """

    step: int
    total: float
    terms: Mapping[str, float]
    positions: Mapping[str, float]
    log10_p: float
    log10_p_step: float
    status: str
    gradient_norm: float
    seconds: float
    best: bool = False

    def probabilities(self) -> str:
        """Both probabilities, to read."""
        return f"P {power(self.log10_p)}, worst step {power(self.log10_p_step)}"


class AlignSteps:
    """What happened at each step of one picture's alignment; grows by :meth:`add`.

    Attributes
    ----------
    asked
        N, the steps that were asked for.
    points
        In order; the first is the picture that was aligned.
    """

    def __init__(self, asked: int) -> None:
        self.asked = asked
        self.points: list[StepPoint] = []

    def add(self, values: Mapping[str, Any]) -> None:
        """Take a point of the engine's series; a step that was there already starts anew.

        A retry, after the memory was full, begins at the first step again.
        """
        point = point_of(values)
        while self.points and self.points[-1].step >= point.step:
            self.points.pop()
        self.asked = int(values.get("steps", self.asked))
        self.points.append(point)

    @property
    def last(self) -> StepPoint | None:
        """The newest step."""
        return self.points[-1] if self.points else None

    @property
    def best(self) -> StepPoint | None:
        """The best acceptable step so far."""
        return next((point for point in reversed(self.points) if point.best), None)

    @property
    def last_green(self) -> StepPoint | None:
        """The newest step whose noise looks random."""
        return next((point for point in reversed(self.points) if point.status == GREEN), None)

    @property
    def names(self) -> list[str]:
        """The rewards, in the order of the run."""
        return list(self.points[0].terms) if self.points else []

    def at(self, step: int) -> StepPoint | None:
        """A step by its number."""
        return next((point for point in self.points if point.step == step), None)

    @property
    def numbers(self) -> NDArray[np.float64]:
        """``(n,)`` numbers of the steps."""
        return np.array([point.step for point in self.points], np.float64)

    def column(self, name: str) -> NDArray[np.float64]:
        """``(n,)`` one attribute of all points."""
        return np.array([getattr(point, name) for point in self.points], np.float64)

    def reward(self, name: str) -> NDArray[np.float64]:
        """``(n,)`` a reward as 0..100; as it is, where its usual range is not known."""
        return np.array(
            [p.positions.get(name, p.terms.get(name, math.nan)) for p in self.points], np.float64
        )

    def as_csv(self) -> bytes:
        """One line a step."""
        text = io.StringIO()
        table = csv.writer(text)
        names = self.names
        plain = ("step", "total", "log10_p", "log10_p_step", "status", "gradient_norm", "seconds")
        table.writerow([*plain, *names, *(f"{name}_of_100" for name in names)])
        for point in self.points:
            row = [getattr(point, name) for name in plain]
            row += [point.terms.get(name, "") for name in names]
            row += [point.positions.get(name, "") for name in names]
            table.writerow([f"{v:.6g}" if isinstance(v, float) else v for v in row])
        return text.getvalue().encode()

    @property
    def seconds(self) -> float:
        """Of all steps together."""
        return sum(point.seconds for point in self.points)

    @property
    def seconds_each(self) -> float | None:
        """Seconds a step takes, from the last few; ``None`` before the first."""
        recent = [point.seconds for point in self.points[-RECENT:]]
        return sum(recent) / len(recent) if recent else None

    def seconds_left(self, limit: float | None = None) -> float | None:
        """Seconds until the steps, or the limit in seconds, are used up; ``None`` while unknown."""
        each, last = self.seconds_each, self.last
        if each is None or last is None:
            return None
        left = each * max(0, self.asked - last.step)
        return left if limit is None else min(left, max(0.0, limit - self.seconds))


@dataclass(frozen=True)
class AlignRecord:
    """A finished alignment.

    Attributes
    ----------
    film
        ``(step, picture)`` in order; empty when no pictures were kept.
    kept
        The steps whose noise was kept: from these one can branch.
    reached
        The step that a continuation would begin with.
    """

    steps: AlignSteps
    film: tuple[tuple[int, QImage], ...] = ()
    kept: tuple[int, ...] = ()
    reached: int = 0

    def start_for(self, step: int) -> int | None:
        """The newest kept step up to ``step``; ``None`` without one."""
        return max((kept for kept in self.kept if kept <= step), default=None)


def point_of(values: Mapping[str, Any]) -> StepPoint:
    """A point of the engine's series ``align``."""
    return StepPoint(
        int(values["step"]),
        float(values["total"]),
        {str(name): float(value) for name, value in values["terms"].items()},
        {str(name): float(value) for name, value in (values.get("positions") or {}).items()},
        log_of(values["log10_p"]),
        log_of(values["log10_p_step"]),
        str(values["status"]),
        _number(values.get("gradient_norm")),
        float(values["seconds"]),
        bool(values.get("best", False)),
    )


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def log_of(value: Any) -> float:
    """A logarithm of a probability; JSON has no infinity, so that nothing stands for it."""
    return LOWEST_LOG if value is None else max(LOWEST_LOG, float(value))


def power(log10: float) -> str:
    """A probability, to read, from its logarithm: ``0.31``, ``2e-5``, ``below 1e-300``."""
    if log10 <= LOWEST_LOG:
        return f"below 1e{LOWEST_LOG:.0f}"
    if log10 >= -3:
        return f"{10**log10:.2g}"
    exponent = math.floor(log10)
    return f"{10 ** (log10 - exponent):.0f}e{exponent}"
