"""Solve in parallel, differentiate sequentially.

The states of a picture come from the parallel solver; no gradient goes through its iterations. At its
solution they satisfy the sequential recurrence ``x_t = a_t x_{t+1} + b_t eps(x_{t+1}) + c_t xi_t``,
whose gradient is one sweep back over the known states: the same network evaluations as the backward
half of checkpointed sampling, and the forward half in as many rounds as the solver needs. Between
optimisation steps the noise hardly moves, so that the last solution is a good start.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from engine.images.alignment_noise import ActiveNoise, PictureNoise
from engine.images.alignment_sampling import Recipe, pull_back
from engine.images.parallel import ParallelSolver
from engine.images.parallel_rows import Place, RowEvaluator
from engine.images.parallel_state import ParallelSettings, PictureState, cold_start
from engine.images.parallel_system import TriangularSystem
from engine.images.schedule import step_coefficients


class SolvedInParallel:
    """Pictures of a first-order sampler, all their steps solved at once.

    Parameters
    ----------
    recipe
        How; its sampler has an ``eta``.
    noise, active
        As for :class:`~engine.images.alignment_sampling.StepByStep`.
    system, settings
        What the parallel solver works with.
    rows
        States that the network takes at once.

    Attributes
    ----------
    states
        ``(T + 1, d)`` of the last picture, from which the next one starts; ``None`` starts anew.
    rounds
        Rounds of the solver so far.
    """

    def __init__(
        self,
        recipe: Recipe,
        noise: PictureNoise,
        active: ActiveNoise,
        system: TriangularSystem,
        settings: ParallelSettings,
        rows: int,
    ) -> None:
        self.recipe, self.noise, self.active = recipe, noise, active
        self.system, self.settings = system, settings
        self.states: Tensor | None = None
        self.rounds = 0
        self._shape = tuple(noise.pure.shape)
        channels, height, width = noise.pure.shape
        place = Place(recipe.denoiser, str(recipe.state.device), rows)
        self._evaluate = RowEvaluator([place], recipe.grid, (channels, height, width), recipe.check)
        step = step_coefficients(recipe.grid, float(recipe.sampler.eta))
        self._a, self._b, self._c = step.a, step.b, step.c

    def __call__(self, z: Tensor) -> Tensor:
        x_0: Tensor = _Sweep.apply(z, self)
        return self.recipe.decode(x_0)

    def several(self, z: Tensor) -> Tensor:
        with torch.no_grad():
            pictures = []
            for part in z.split(self.recipe.batch):
                states = self._solve([self._noise_of(one) for one in part])
                x_0 = torch.stack([found[0] for found in states]).view(-1, *self._shape)
                pictures.append(self.recipe.decode(x_0))
            return torch.cat(pictures)

    # --- there ------------------------------------------------------------------------------------

    def solve(self, z: Tensor) -> Tensor:
        """The states ``(T + 1, d)`` of ``z (R, C, h, w)``; the next call starts from them."""
        (states,) = self._solve([self._noise_of(z)])
        self.states = states
        return states

    def _noise_of(self, z: Tensor) -> PictureNoise:
        """All noise of a picture, on the device in the states' dtype."""
        like, active = self.recipe.state, self.active
        pure, steps = self.noise.pure.to(like), self.noise.steps.to(like)
        for row, t in zip(z.detach().to(like), active.rows, strict=True):
            if t == active.count:
                pure = row
            else:
                steps[t] = row
        return PictureNoise(pure, steps)

    def _solve(self, pictures: list[PictureNoise]) -> list[Tensor]:
        noise = [picture.steps.flatten(1) for picture in pictures] if self.system.has_noise else []
        starts = [
            self._start(picture, noise[index] if noise else None)
            for index, picture in enumerate(pictures)
        ]
        recipe, settings = self.recipe, self.settings
        solver = ParallelSolver(self._evaluate, recipe.grid, self.system, settings, noise, starts)
        while not solver.done:
            solver.round()
            self.rounds += 1
        return [picture.states for picture in solver.pictures]

    def _start(self, picture: PictureNoise, noise: Tensor | None) -> PictureState:
        pure = picture.pure.flatten()
        if self.states is None:
            return cold_start(self.system, pure, noise)
        states = self.states.to(pure).clone()
        states[-1] = pure
        return PictureState(states, finished=len(self.system), lowest=0)

    # --- and back ---------------------------------------------------------------------------------

    def sweep(self, states: Tensor, gradient: Tensor) -> Tensor:
        """Gradient ``(R, C, h, w)`` by the active noise of one by x_0 ``(1, C, h, w)``."""
        recipe = self.recipe
        wanted = {t: row for row, t in enumerate(self.active.rows)}
        found = gradient.new_zeros(len(wanted), *self._shape)
        for t in range(self.active.first_step + 1):
            if t in wanted:
                found[wanted[t]] = float(self._c[t]) * gradient[0]
            if t == self.active.first_step and self.active.count not in wanted:
                break  # nothing before this step may change
            recipe.check()
            x = states[t + 1].view(1, *self._shape)
            step = torch.full((1,), recipe.grid.timesteps[t], dtype=x.dtype, device=x.device)
            back = pull_back(recipe.denoiser, x, step, float(self._b[t]) * gradient)
            gradient = float(self._a[t]) * gradient + back
        if self.active.count in wanted:
            found[wanted[self.active.count]] = gradient[0]
        return found


class _Sweep(torch.autograd.Function):
    """From the active noise to x_0."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, pictures: SolvedInParallel) -> Tensor:
        states = pictures.solve(z)
        ctx.save_for_backward(states)
        ctx.pictures, ctx.like = pictures, z.dtype
        return states[0].clone().view(1, *z.shape[1:])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (states,) = ctx.saved_tensors
        return ctx.pictures.sweep(states, gradient.to(states)).to(ctx.like), None
