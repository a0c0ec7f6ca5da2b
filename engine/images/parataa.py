"""The sampler ``parataa``: from its parameters to the system and the settings that are solved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from engine.errors import invalid_input
from engine.images.parallel import ParallelSolver
from engine.images.parallel_rows import Place, RowEvaluator
from engine.images.parallel_state import Evaluate, ParallelSettings, PictureState, cold_start
from engine.images.parallel_system import TriangularSystem, dpmpp_2m_system, first_order_system
from engine.images.params import ParataaParams
from engine.images.samplers import SAMPLERS, Denoiser, OnStep, Sampler
from engine.images.schedule import TimeGrid

STATE_BYTES = 8
SMALLEST_WINDOW = 4
MEMORY_PUBLISHED = 2
MEMORY_AUTO, MEMORY_AUTO_NOISY = 3, 2


def system_of(params: ParataaParams, grid: TimeGrid) -> TriangularSystem:
    """The equations that the parameters ask for.

    Raises
    ------
    EngineError
        ``invalid_input`` for DPM-Solver++ with noise.
    """
    if params.solver == "dpmpp_2m":
        if params.eta > 0:
            raise invalid_input(
                f"DPM-Solver++ (2M) adds no noise, so Eta cannot be {params.eta:g}; nothing was "
                "started.",
                "Set Eta to 0, or choose the solver of DDIM / DDPM.",
            )
        return dpmpp_2m_system(grid)
    return first_order_system(grid, params.eta, linear=params.method == "auto")


def settings_of(
    params: ParataaParams, steps: int, elements: int, budget: int | None = None
) -> ParallelSettings:
    """The settings of a run, what was left to Auto chosen.

    Parameters
    ----------
    params
        What was asked for.
    steps, elements
        T, and the numbers d in one state.
    budget
        Bytes that one picture's states and history may take; ``None`` is as many as they like.

    Raises
    ------
    EngineError
        ``invalid_input`` when a window that was asked for does not fit, or order and window do not
        go together.
    """
    noisy = params.eta > 0
    memory = (
        params.memory
        or {
            "auto": MEMORY_AUTO_NOISY if noisy else MEMORY_AUTO,
            "published": MEMORY_PUBLISHED,
            "picard": 1,
        }[params.method]
    )
    # A window's row: two for each stored iterate, and some four while a round is worked on. The
    # states themselves are there in any case.
    row = STATE_BYTES * elements * (2 * memory + 4)
    fitting = steps if budget is None else (budget - STATE_BYTES * elements * steps) // row
    window = min(steps, params.window or max(SMALLEST_WINDOW, fitting))
    if params.window and window > fitting:
        raise invalid_input(
            f"A window of {window} steps needs {window * row >> 20} MiB for the states of one picture, "
            f"and {max(0, budget or 0) >> 20} MiB are free; nothing was started.",
            f"Choose a window of up to {max(1, fitting)} steps, or leave it to Auto.",
        )
    order = min(params.order or window, steps)
    # With noise in every step errors below the tolerance add up to more than without.
    accumulated = None if params.method != "auto" else 1.0 if noisy else 3.0
    return ParallelSettings(
        order=order,
        window=window,
        memory=memory,
        tolerance=params.tolerance,
        accumulated=accumulated,
        max_rounds=params.max_rounds,
        stop_movement=params.stop_movement,
    )


def solve_sequentially(
    evaluate: Evaluate,
    system: TriangularSystem,
    noise: Tensor | None,
    start: PictureState,
    on_step: Callable[[int], None] = lambda left: None,
) -> Tensor:
    """The same equations one after another: the states ``(T + 1, d)`` that parallel solving is after.

    Parameters
    ----------
    evaluate, system, noise
        As for :class:`~engine.images.parallel.ParallelSolver`; ``noise`` is the picture's own.
    start
        Its solved states are kept; it is not changed.
    on_step
        Called after each step with the number of those left; may raise to stop.
    """
    states, above = start.states.clone(), start.above
    for t in reversed(range(start.finished)):
        x = states[t + 1]
        f = evaluate(x[None], torch.tensor([t]))[0] - float(system.slope[t]) * x
        states[t] = float(system.a[t]) * x + float(system.b[t]) * f
        if above is not None and system.b_above[t] != 0:
            states[t] += float(system.b_above[t]) * above
        if noise is not None and system.c[t] > 0:
            states[t] += float(system.c[t]) * noise[t].to(x)
        above = f
        on_step(t)
    return states


def parataa(
    denoiser: Denoiser,
    x_T: Tensor,
    grid: TimeGrid,
    noise: Sequence[Tensor] | Tensor,
    params: ParataaParams,
    on_step: OnStep,
) -> Tensor:
    """Parallel sampling behind the signature of all samplers; ``on_step`` hears of solved steps.

    A warm start, trajectories, memory budgets and several devices are in
    :mod:`engine.images.parallel_run`.
    """
    system = system_of(params, grid)
    steps = len(grid)
    channels, height, width = x_T.shape[1:]
    shape = (channels, height, width)
    own = []
    if system.has_noise:
        kicks = torch.stack([noise[t] for t in range(steps)], dim=1).flatten(2)
        own = list(kicks)
    evaluate = RowEvaluator([Place(denoiser, str(x_T.device), rows=steps * len(x_T))], grid, shape)
    starts = [
        cold_start(system, x.flatten(), own[index] if own else None) for index, x in enumerate(x_T)
    ]
    settings = settings_of(params, steps, x_T[0].numel())
    solver = ParallelSolver(evaluate, grid, system, settings, own, starts)
    while not solver.done:
        solver.round()
        left = max(picture.finished for picture in solver.pictures)
        clean = [p.states[0] if p.clean is None else p.clean for p in solver.pictures]
        on_step(steps - left, steps, torch.stack(clean).view_as(x_T))
    return torch.stack([picture.states[0] for picture in solver.pictures]).view_as(x_T)


def _needs_noise(params: Any) -> bool:
    return bool(params.eta > 0)


SAMPLERS.add("parataa", Sampler(parataa, ParataaParams, _needs_noise, evaluations=None))
