"""Parallel sampling: all steps of a diffusion run at once, again and again, until they agree.

The windowed fixed-point iteration with triangular Anderson acceleration of Tang et al. 2024
("Accelerating parallel sampling of diffusion models", ICML): the same picture as sequential
sampling, in far fewer rounds. A round evaluates the network once for many time steps, as one batch.
With one stored iterate (no acceleration) and the whole window as order it is Picard iteration
(ParaDiGMS; Shih et al. 2023).

States and all arithmetic on them are float64; the network may compute in anything. Each picture has
its own window and history, so it is solved to the same bits alone and among others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import EngineError, ErrorCode
from engine.images.parallel_state import (
    Evaluate,
    Iterate,
    ParallelSettings,
    PictureState,
    Round,
)
from engine.images.parallel_system import TriangularSystem
from engine.images.samplers import predicted_clean
from engine.images.schedule import TimeGrid

CONVERGED, MAX_ROUNDS, MOVEMENT = "converged", "max_rounds", "movement"


@dataclass(frozen=True)
class _Finding:
    """A window's predictions ``f (n, d)``, k-order residuals ``(n, d)`` and their RMS ``(2, n)``.

    The RMS are of the first-order and of the k-order residuals.
    """

    f: Tensor
    residual: Tensor
    sizes: Tensor


class ParallelSolver:
    """Solves a batch of pictures round by round.

    Parameters
    ----------
    evaluate
        The network; see :data:`Evaluate`. It may raise to stop: the round then did not happen.
    grid, system
        The steps and their equations.
    settings
        How to solve them.
    noise
        A picture's fixed step noise ``(T, d)`` for each picture, or empty without noise.
    pictures
        From :func:`cold_start` or :func:`warm_start`, or of an earlier solver.
    """

    def __init__(
        self,
        evaluate: Evaluate,
        grid: TimeGrid,
        system: TriangularSystem,
        settings: ParallelSettings,
        noise: Sequence[Tensor],
        pictures: Sequence[PictureState],
    ) -> None:
        self.pictures = list(pictures)
        self.grid, self.system, self.settings = grid, system, settings
        self._evaluate, self._noise = evaluate, noise
        self._noisy = bool(noise) and system.has_noise
        if not self.pictures:
            return
        like = self.pictures[0].states
        self._products = system.products()
        steps = np.arange(len(system))
        spans = (steps[:, None] <= steps) & (steps < steps[:, None] + settings.order)
        self._a, self._b, self._c, self._above, self._slope = (
            torch.from_numpy(table).to(like)[:, None]
            for table in (system.a, system.b, system.c, system.b_above, system.slope)
        )
        # Row t weighs the drive of step j (its prediction and its noise) with P(t, j).
        self._weights = torch.from_numpy(np.where(spans, self._products[:-1, :-1], 0.0)).to(like)

    @property
    def done(self) -> bool:
        """Whether no picture needs another round."""
        return all(picture.stopped for picture in self.pictures)

    def round(self) -> list[Round]:
        """Do one round for every picture that is not done; what it did, in the pictures' order.

        Raises
        ------
        EngineError
            ``internal`` when the network's output is not finite; the pictures stay as they were
            before this round.
        """
        active = [index for index, picture in enumerate(self.pictures) if not picture.stopped]
        windows = [self._open_window(self.pictures[index]) for index in active]
        inputs = [
            self.pictures[index].states[window.start + 1 : window.stop + 1]
            for index, window in zip(active, windows, strict=True)
        ]
        rows = torch.cat([torch.arange(window.start, window.stop) for window in windows])
        predictions = self._evaluate(torch.cat(inputs), rows).split([len(window) for window in windows])
        found = [
            self._look(index, window, x, eps)
            for index, window, x, eps in zip(active, windows, inputs, predictions, strict=True)
        ]
        # The only moment in which the device is waited for.
        sizes = torch.cat([finding.sizes for finding in found], dim=1).double().cpu().numpy()
        if not np.isfinite(sizes).all():
            raise _not_finite()
        reports = []
        for index, window, finding in zip(active, windows, found, strict=True):
            own, sizes = sizes[:, : len(window)], sizes[:, len(window) :]
            reports.append(self._update(index, window, finding, own[0], own[1]))
        return reports

    # --- one picture ------------------------------------------------------------------------------

    def _open_window(self, picture: PictureState) -> range:
        """Rows of the window; those never visited get the value of the lowest visited one."""
        low = max(picture.finished - self.settings.window, 0)
        if low < picture.lowest:
            picture.states[low : picture.lowest] = picture.states[picture.lowest]
            picture.lowest = low
        return range(low, picture.finished)

    def _look(self, index: int, window: range, x: Tensor, eps: Tensor) -> _Finding:
        """What the network's answer says of the window, without changing anything yet."""
        picture, rows = self.pictures[index], slice(window.start, window.stop)
        states = picture.states[rows]
        f = eps - self._slope[rows] * x
        drive = self._b[rows] * f
        if self.system.looks_back:
            drive[:-1] += self._above[rows][:-1] * f[1:]
            if picture.above is not None:
                drive[-1] += self._above[window.stop - 1] * picture.above
        if self._noisy:
            drive += self._c[rows] * self._noise[index][rows].to(drive)
        first_order = self._a[rows] * x + drive - states
        # The k-order equations: each row from the state k above it, or from the window's top.
        reach = np.minimum(np.arange(window.start, window.stop) + self.settings.order, window.stop)
        scale = torch.from_numpy(self._products[np.arange(window.start, window.stop), reach])
        from_above = scale.to(states)[:, None] * picture.states[torch.from_numpy(reach)]
        residual = self._weights[rows, rows] @ drive + from_above - states
        sizes = torch.stack([first_order, residual]).square().mean(dim=2).sqrt()
        return _Finding(f, residual, sizes)

    def _update(
        self,
        index: int,
        window: range,
        finding: _Finding,
        first_order: NDArray[np.float64],
        k_order: NDArray[np.float64],
    ) -> Round:
        """Move the window's states and see what is solved now. The sizes are RMS, ``(n,)``."""
        picture, settings = self.pictures[index], self.settings
        rows, count = slice(window.start, window.stop), len(window)
        # As published, with one tolerance for both: a step is unsolved when its residual is above
        # the tolerance and above the tolerance in units of the step's own noise.
        unsolved = first_order > settings.tolerance * np.maximum(1.0, self.system.deviation[rows])
        if settings.accumulated is not None:
            unsolved |= k_order > settings.accumulated * settings.tolerance
        first = int(np.flatnonzero(unsolved)[-1]) if unsolved.any() else 0

        states = picture.states[rows]
        picture.history.append(Iterate(window.start, states.clone(), finding.residual))
        del picture.history[: -settings.memory]
        correction = self._acceleration(picture, window, first)
        states += finding.residual
        if correction is not None:
            states[:first] -= correction

        picture.rounds += 1
        picture.evaluations += count
        picture.finished = window.start + first
        if self.system.looks_back:
            picture.above = finding.f[first].clone()
        before = picture.clean
        picture.clean = self._preview(picture, window, finding.f)
        picture.stopped = self._stopped(picture, before, window.start == 0)
        if picture.stopped:
            picture.history.clear()
        curve = np.full(len(self.system), math.nan)
        curve[rows] = first_order
        return Round(
            index,
            picture.rounds,
            picture.finished,
            picture.evaluations,
            curve,
            picture.clean,
            picture.stopped,
        )

    def _acceleration(self, picture: PictureState, window: range, first: int) -> Tensor | None:
        """What to take off the update of the rows below ``first``; ``None``: nothing.

        Rows at and above it get none: there the plain update is exact, which is what makes every
        round settle at least one more state.
        """
        if len(picture.history) < 2 or first == 0:
            return None
        newest = picture.history[-1]
        steps, changes, known = [], [], []
        for old, new in zip(picture.history[-2::-1], picture.history[::-1], strict=False):
            # Rows that both rounds had; a row that has just entered the window has no past.
            low = max(old.low, new.low, window.start)
            if low >= window.stop:
                break
            shared = slice(low - window.start, len(window))
            step, change = torch.zeros_like(newest.states), torch.zeros_like(newest.states)
            step[shared] = _rows(new.states, new, low, window) - _rows(old.states, old, low, window)
            change[shared] = _rows(new.residual, new, low, window) - _rows(
                old.residual, old, low, window
            )
            steps.append(step)
            changes.append(change)
            known.append(torch.arange(len(window), device=step.device) >= shared.start)
        if not steps:
            return None
        return triangular_anderson(
            torch.stack(steps),
            torch.stack(changes),
            newest.residual,
            torch.stack(known),
            self.settings.regularization,
        )[:first]

    def _preview(self, picture: PictureState, window: range, f: Tensor) -> Tensor:
        """x_0 once the window reaches it, else the clean picture seen from its lowest state."""
        if window.start == 0:
            return picture.states[0].clone()
        x = picture.states[window.start + 1]
        eps = f[0] + self._slope[window.start] * x
        return predicted_clean(x, eps, float(self.grid.alpha_bar[window.start]))

    def _stopped(self, picture: PictureState, before: Tensor | None, whole: bool) -> str:
        if picture.finished == 0:
            return CONVERGED
        limit = self.settings.stop_movement
        if limit is not None and whole and before is not None and picture.clean is not None:
            moved = (picture.clean - before).square().mean().sqrt()
            if float(moved) < limit * float(picture.clean.square().mean().sqrt()):
                return MOVEMENT
        most = self.settings.max_rounds
        return MAX_ROUNDS if most is not None and picture.rounds >= most else ""


def _rows(values: Tensor, of: Iterate, low: int, window: range) -> Tensor:
    """The rows ``low`` .. ``window.stop`` of an earlier round's values."""
    return values[low - of.low : window.stop - of.low]


def triangular_anderson(
    steps: Tensor, changes: Tensor, residual: Tensor, known: Tensor, regularization: float
) -> Tensor:
    """Triangular Anderson acceleration: what to take off the plain update, ``(n, d)``.

    Each row has its own least-squares problem over the rows that are at least as noisy, so that the
    correction keeps the system triangular (Tang et al. 2024, theorem 3.2 and algorithm 1).

    Parameters
    ----------
    steps, changes
        ``(q, n, d)`` differences of the last states and of their residuals, newest first.
    residual
        ``(n, d)`` of the newest states.
    known
        ``(q, n)`` bool: which rows took part in a difference; the others are zero there.
    regularization
        Added to the diagonal.
    """
    products = torch.einsum("jnd,lnd->njl", changes, changes)
    projections = torch.einsum("jnd,nd->nj", changes, residual)
    # Sums over the rows from each one upwards, to the noisier ones.
    products = products.flip(0).cumsum(0).flip(0)
    projections = projections.flip(0).cumsum(0).flip(0)
    takes_part = known.T.to(residual)
    products = products * takes_part[:, :, None] * takes_part[:, None, :]
    identity = torch.eye(len(steps), dtype=residual.dtype, device=residual.device)
    # check=False: the matrices are positive definite, and looking would wait for the device.
    weights, _ = torch.linalg.solve_ex(
        products + regularization * identity, projections * takes_part, check_errors=False
    )
    return torch.einsum("jnd,nj->nd", steps + changes, weights)


def _not_finite() -> EngineError:
    return EngineError(
        ErrorCode.INTERNAL,
        "The model's output is not a finite number, so the picture cannot be solved. The last preview "
        "that was good is kept.",
        "Half precision overflows with some models: use float32 or the CPU. Otherwise try less "
        "guidance.",
    )
