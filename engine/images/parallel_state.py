"""What parallel sampling works with: its settings, a picture's state, and where pictures begin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import invalid_input
from engine.images.parallel_system import TriangularSystem

Evaluate = Callable[[Tensor, Tensor], Tensor]
"""``eps = evaluate(x, rows)``: noise predictions ``(n, d)`` of states ``(n, d)`` at steps ``(n,)``.

``rows`` are int64 step indices 0..T-1, mixed within the batch; a result has the states' dtype.
"""


@dataclass(frozen=True)
class ParallelSettings:
    """How the system is solved.

    Attributes
    ----------
    order
        k: how many steps each equation spans, at most ``window``.
    window
        w: how many steps are worked on at once.
    memory
        m: stored iterates; 1 is the plain iteration.
    tolerance
        Largest RMS of a step's residual that counts as solved, per element of the state.
    accumulated
        Largest sum of residuals from the window's top down to a solved step, in tolerances, as RMS of
        the k-order residual. ``None``: not looked at, as published; steps that are each within the
        tolerance may then miss it together by far.
    max_rounds
        Stop then at the latest; ``None``: the method itself needs at most T.
    stop_movement
        Stop when the picture's prediction moved by less than this share of its RMS; ``None``: never.
    regularization
        Added to the diagonal of the acceleration's least-squares problems, for states of unit scale.
    """

    order: int
    window: int
    memory: int = 2
    tolerance: float = 1e-3
    accumulated: float | None = None
    max_rounds: int | None = None
    stop_movement: float | None = None
    regularization: float = 1e-3

    def __post_init__(self) -> None:
        if min(self.order, self.window, self.memory) < 1 or not self.tolerance > 0:
            raise invalid_input(
                "Order, window, memory and tolerance of parallel sampling start at 1 or 0."
            )
        if self.order > self.window:
            raise invalid_input(
                f"An order of {self.order} does not fit into a window of {self.window} steps; nothing "
                "was started.",
                "Choose an order up to the window, or leave it to Auto.",
            )


@dataclass
class Iterate:
    """One earlier round of a picture: the window's states and what the equations say of them."""

    low: int
    states: Tensor
    residual: Tensor


@dataclass
class PictureState:
    """Where the solution of one picture stands; enough to go on later to the same bits.

    Attributes
    ----------
    states
        ``(T + 1, d)`` float64: x_0 .. x_T.
    finished
        Index of the lowest solved state: T at the start, 0 at the end.
    lowest
        Lowest state that has a value of its own already.
    above
        ``(d,)`` f of the step above the window, for solvers that look back.
    clean
        ``(d,)`` the last prediction of the picture.
    history
        Earlier rounds, oldest first.
    stopped
        Why it needs no further round: ``converged``, ``max_rounds``, ``movement``; empty until then.
    """

    states: Tensor
    finished: int
    lowest: int
    above: Tensor | None = None
    clean: Tensor | None = None
    history: list[Iterate] = field(default_factory=list)
    rounds: int = 0
    evaluations: int = 0
    stopped: str = ""


@dataclass(frozen=True)
class Round:
    """What one round did to one picture.

    Attributes
    ----------
    picture
        Index in the batch.
    number
        Rounds so far, this one included.
    finished
        Index of the lowest solved state after it.
    evaluations
        States evaluated so far (with guidance each costs the network two).
    residuals
        ``(T,)`` RMS of each step's residual before the update; NaN outside the window.
    clean
        ``(d,)`` the predicted clean picture after it.
    stopped
        As in :class:`PictureState`.
    """

    picture: int
    number: int
    finished: int
    evaluations: int
    residuals: NDArray[np.float64]
    clean: Tensor
    stopped: str


def cold_start(system: TriangularSystem, x_T: Tensor, noise: Tensor | None = None) -> PictureState:
    """A picture that begins at pure noise ``x_T (d,)``, with step noise ``(T, d)`` where there is any.

    A system with its linear part taken out begins at the linear model's own solution, others with
    all states at ``x_T``.
    """
    count = len(system)
    states = x_T.repeat(count + 1, 1)
    if not system.linear_start:
        return PictureState(states, finished=count, lowest=count)
    products = torch.from_numpy(system.products()).to(states)
    states[:count] = products[:count, count:] * x_T
    if noise is not None and system.has_noise:
        kicks = torch.from_numpy(system.c).to(states)[:, None] * noise.to(states)
        states[:count] += products[:count, :count] @ kicks
    return PictureState(states, finished=count, lowest=0)


def warm_start(evaluate: Evaluate, system: TriangularSystem, states: Tensor, step: int) -> PictureState:
    """A picture that keeps another one's states ``x_step`` .. ``x_T`` and solves those below anew.

    Parameters
    ----------
    evaluate
        The network with the new condition; a solver that looks back needs one evaluation of it.
    system
        The equations of the new picture.
    states
        ``(T + 1, d)`` the solved states of the other picture.
    step
        1..T: T is a picture of its own, small values keep more of the other one.

    Raises
    ------
    EngineError
        ``invalid_input`` when the states are of another number of steps, or ``step`` is not one.
    """
    count = len(system)
    if len(states) != count + 1 or not 1 <= step <= count:
        raise invalid_input(
            f"A start at step {step} of a trajectory of {len(states) - 1} steps does not fit a run of "
            f"{count} steps; nothing was started.",
            f"Use the trajectory's own number of steps, and a step from 1 to {len(states) - 1}.",
        )
    picture = PictureState(states.clone(), finished=step, lowest=0)
    if system.looks_back and step < count:
        x = states[step + 1 : step + 2]
        eps = evaluate(x, torch.tensor([step]))[0]
        picture.above = eps - float(system.slope[step]) * x[0]
        picture.evaluations = 1
    return picture
