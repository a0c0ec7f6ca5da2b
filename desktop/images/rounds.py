"""The rounds of a parallel run as data: while it runs, and out of a result's files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QImage

from desktop.images.records import reading_record
from engine.job import ArtifactRef

if TYPE_CHECKING:
    from engine.project import Project

FIRST_ROUNDS = 32
STOPPED = {
    "converged": "All steps converged",
    "max_rounds": "Stopped at the round limit",
    "movement": "Stopped: the picture hardly moved any more",
    "cancelled": "Cancelled",
    "failed": "Stopped by an error",
}


class Rounds:
    """What happened in each round of one picture; grows by :meth:`add`.

    Attributes
    ----------
    steps
        T, the steps of the sequential sampler.
    tolerance
        Residual at which a step counts as converged.
    converged
        Whether the run ended with every step converged.
    first
        Number of the first round that is known; more than 1 when a stopped run was gone on with.
    """

    def __init__(self, steps: int, tolerance: float) -> None:
        self.steps = steps
        self.tolerance = tolerance
        self.converged = False
        self.first = 1
        self._count = 0
        self._residuals = np.full((FIRST_ROUNDS, steps), np.nan, np.float32)
        self._finished = np.zeros(FIRST_ROUNDS, np.int64)
        self._evaluations = np.zeros(FIRST_ROUNDS, np.int64)
        self._seconds = np.zeros(FIRST_ROUNDS, np.float64)

    @classmethod
    def of_arrays(
        cls,
        residuals: NDArray[np.floating],
        finished: NDArray[np.integer],
        evaluations: NDArray[np.integer],
        seconds: NDArray[np.floating],
        tolerance: float,
        first: int = 1,
    ) -> Rounds:
        """From ``(R, T)`` residuals (NaN where not looked at) and three ``(R,)`` rows."""
        result = cls(residuals.shape[1], tolerance)
        result.first = first
        for row in zip(residuals, finished, evaluations, seconds, strict=True):
            result._append(*row)
        result.converged = result._count > 0 and result.finished_state == 0
        return result

    def add(self, values: Mapping[str, Any]) -> None:
        """Take a point of the engine's series; a round that was there already starts anew.

        A retry with a smaller batch, after the memory was full, counts from 1 again.
        """
        number = int(values["round"])
        if self._count == 0 or number < self.first:
            self.first = number
        self._count = min(self._count, number - self.first)
        row = np.array([np.nan if item is None else item for item in values["residuals"]], np.float32)
        self._append(row, values["finished"], values["evaluations"], values["seconds"])
        self.converged = bool(values["converged"])

    def _append(self, residuals: Any, finished: Any, evaluations: Any, seconds: Any) -> None:
        at = self._count
        if at == len(self._finished):
            for name in ("_residuals", "_finished", "_evaluations", "_seconds"):
                grown = np.concatenate([getattr(self, name)] * 2)
                setattr(self, name, grown)
        self._residuals[at] = residuals
        self._finished[at] = finished
        self._evaluations[at] = evaluations
        self._seconds[at] = seconds
        self._count = at + 1

    @property
    def count(self) -> int:
        """R, how many rounds are known."""
        return self._count

    @property
    def number(self) -> int:
        """Number of the last round."""
        return self.first + self._count - 1

    @property
    def residuals(self) -> NDArray[np.float32]:
        """``(R, T)`` root mean squares; column 0 is the last, cleanest step, NaN not looked at."""
        return self._residuals[: self._count]

    @property
    def finished(self) -> NDArray[np.int64]:
        """``(R,)`` index of the lowest finished state after each round, T..0."""
        return self._finished[: self._count]

    @property
    def finished_state(self) -> int:
        """Index of the lowest finished state now."""
        return int(self._finished[self._count - 1]) if self._count else self.steps

    @property
    def converged_steps(self) -> int:
        """How many of the T steps are converged."""
        return self.steps - self.finished_state

    @property
    def evaluations(self) -> int:
        """Network evaluations so far."""
        return int(self._evaluations[self._count - 1]) if self._count else 0

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return float(self._seconds[self._count - 1]) if self._count else 0.0


@dataclass(frozen=True)
class Trace:
    """A finished run: its rounds, and the pictures of those that were decoded.

    Attributes
    ----------
    film
        ``(round, picture)`` in order; empty when previews were off.
    """

    rounds: Rounds
    film: tuple[tuple[int, QImage], ...] = field(default=())


def read_trace(project: Project, about: Mapping[str, Any]) -> Trace:
    """Read the trace of a result, whose manifest says ``about`` it; called on a thread.

    Raises
    ------
    EngineError
        ``bad_file`` when the file is missing, damaged, or not what the manifest says.
    """
    # Not at the top: the window starts without it.
    from safetensors.numpy import load

    data = project.store.read(ArtifactRef.from_json(about["trace"]))
    with reading_record("this picture's rounds"):
        arrays = load(data)
        rounds = Rounds.of_arrays(
            arrays["residuals"],
            arrays["finished"],
            arrays["evaluations"],
            arrays["seconds"],
            float(about["tolerance"]),
            int(about["rounds"]) - len(arrays["finished"]) + 1,
        )
        film = frames(arrays["film"], arrays["preview_rounds"]) if "film" in arrays else ()
    return Trace(rounds, film)


def frames(film: NDArray[np.uint8], rounds: NDArray[np.integer]) -> tuple[tuple[int, QImage], ...]:
    """The pictures that one PNG holds below one another, each with its number.

    Raises ``ValueError`` when they are not as many as the numbers.
    """
    sheet = QImage.fromData(film.tobytes(), "PNG")
    if sheet.isNull() or not len(rounds) or sheet.height() % len(rounds):
        raise ValueError(f"a film of {sheet.height()} rows for {len(rounds)} rounds")
    height = sheet.height() // len(rounds)
    return tuple(
        (int(number), sheet.copy(0, at * height, sheet.width(), height))
        for at, number in enumerate(rounds)
    )
