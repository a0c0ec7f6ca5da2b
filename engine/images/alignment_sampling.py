"""The sampler and the decoder as one differentiable function of the noise.

The network's activations are not kept: each evaluation is computed again when the gradient comes back
to it (checkpointing). So memory holds the states of the T steps and one evaluation, and an
optimisation step costs about three evaluations a sampling step (there, there again, and back).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from engine.images.alignment_noise import ActiveNoise, PictureNoise
from engine.images.samplers import SAMPLERS, Denoiser
from engine.images.schedule import TimeGrid

Decode = Callable[[Tensor], Tensor]
"""Pictures ``(B, 3, H, W)`` in [0, 1], not clipped, of states ``(B, C, h, w)``; differentiable."""

Check = Callable[[], None]
"""Called before each evaluation of the network; raises to stop."""


class PictureOf(Protocol):
    """Pictures of active noise."""

    active: ActiveNoise

    def __call__(self, z: Tensor) -> Tensor:
        """The picture ``(1, 3, H, W)`` of ``z (R, C, h, w)``, with its gradient where ``z`` has one."""
        ...

    def several(self, z: Tensor) -> Tensor:
        """Pictures ``(n, 3, H, W)`` of ``z (n, R, C, h, w)``, without gradient."""
        ...


@dataclass(frozen=True)
class Recipe:
    """How noise becomes a picture.

    Attributes
    ----------
    denoiser
        Noise prediction, guidance applied, with gradient.
    decode
        From x_0 to the picture.
    grid, sampler
        The steps, and the parameters of their sampler.
    state
        A tensor of the states' dtype and device.
    check
        Called before each evaluation.
    batch
        Pictures at once where several are made.
    """

    denoiser: Denoiser
    decode: Decode
    grid: TimeGrid
    sampler: Any
    state: Tensor
    check: Check = lambda: None
    batch: int = 4


class _ReachedError(Exception):
    """Ends a sampler at the state that was wanted of it."""


class StepByStep:
    """Pictures made by the sampler itself, one step after another: to the bits of generation.

    Parameters
    ----------
    recipe
        How.
    noise
        The picture's noise; what is not active stays as it is.
    active
        What may change.
    keep_activations
        Keep what the network computes instead of computing it again: faster by a third, with memory
        that grows with the steps.
    """

    def __init__(
        self,
        recipe: Recipe,
        noise: PictureNoise,
        active: ActiveNoise,
        *,
        keep_activations: bool = False,
    ) -> None:
        self.recipe, self.noise, self.active = recipe, noise, active
        self._sampler = SAMPLERS.get(recipe.sampler.name)
        self._keep = keep_activations
        self._start: Tensor | None = None

    def __call__(self, z: Tensor) -> Tensor:
        return self.recipe.decode(self.x_0(z[None]))

    def several(self, z: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat(
                [self.recipe.decode(self.x_0(part)) for part in z.split(self.recipe.batch)]
            )

    def x_0(self, z: Tensor) -> Tensor:
        """Clean states ``(n, C, h, w)`` of ``z (n, R, C, h, w)``."""
        recipe, count = self.recipe, self.active.first_step + 1
        known = {t: z[:, row] for row, t in enumerate(self.active.rows)}
        if self.active.count in known:
            x = known[self.active.count].to(recipe.state)
        else:
            x = self._unchanging().expand(len(z), *self.noise.pure.shape)
        kicks = [known.get(t, kick[None]) for t, kick in enumerate(self._kicks()[:count])]
        grid = recipe.grid
        if count < len(grid):
            grid = TimeGrid(grid.timesteps[:count], grid.alpha_bar[:count], grid.alpha_bar_prev[:count])
        return self._sampler.sample(self._evaluate, x, grid, kicks, recipe.sampler, _say_nothing)

    def _kicks(self) -> list[Tensor]:
        return list(self.noise.steps.to(self.recipe.state.device))

    def _unchanging(self) -> Tensor:
        """The state that the first active step starts from, ``(1, C, h, w)``: made once."""
        if self._start is None:
            recipe, left = self.recipe, self.active.first_step + 1
            inputs: list[Tensor] = []

            def watch(x: Tensor, t: Tensor) -> Tensor:
                inputs.append(x)
                if len(inputs) == len(recipe.grid) - left + 1:
                    raise _ReachedError
                recipe.check()
                return recipe.denoiser(x, t)

            kicks = [kick[None] for kick in self._kicks()]
            pure = self.noise.pure[None].to(recipe.state)
            with torch.no_grad(), suppress(_ReachedError):
                self._sampler.sample(watch, pure, recipe.grid, kicks, recipe.sampler, _say_nothing)
            self._start = inputs[-1]
        return self._start

    def _evaluate(self, x: Tensor, t: Tensor) -> Tensor:
        recipe = self.recipe
        recipe.check()
        if self._keep:
            return recipe.denoiser(x, t)
        return computed_again(recipe, x, t)


def without_check(recipe: Recipe) -> Recipe:
    """The same recipe, deaf to a cancel: to finish what is worth keeping."""
    return replace(recipe, check=lambda: None)


def _say_nothing(done: int, total: int, clean: Tensor) -> None:
    return None


# --- checkpointing --------------------------------------------------------------------------------

_TARGET_EXPONENT = 4
"""Gradients enter a network with their largest value between 2^3 and 2^4."""


class _ComputedAgain(torch.autograd.Function):
    """A network's prediction, of which only the input is kept.

    What :func:`torch.utils.checkpoint.checkpoint` does, but for two things. The first computation is
    the one of generation, without gradients and so to its bits. And the gradient is scaled to the
    same size in every evaluation by itself, and back: in half precision it neither vanishes nor
    overflows, which a loss scale for all steps together would have to be lucky for. The scales are
    powers of two, so that in single precision nothing changes.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, t: Tensor, recipe: Recipe) -> Tensor:
        ctx.save_for_backward(x, t)
        ctx.recipe = recipe
        return recipe.denoiser(x, t)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        x, t = ctx.saved_tensors
        ctx.recipe.check()
        return pull_back(ctx.recipe.denoiser, x, t, gradient), None, None


def computed_again(recipe: Recipe, x: Tensor, t: Tensor) -> Tensor:
    """The prediction ``denoiser(x, t)``, computed once more when its gradient is asked for."""
    result: Tensor = _ComputedAgain.apply(x, t, recipe)
    return result


def pull_back(denoiser: Denoiser, x: Tensor, t: Tensor, gradient: Tensor) -> Tensor:
    """The gradient by ``x`` that a gradient of ``denoiser(x, t)`` means; evaluates the network."""
    largest = float(gradient.abs().max())
    scale = 2.0 ** (_TARGET_EXPONENT - math.frexp(largest)[1]) if 0 < largest < math.inf else 1.0
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        (back,) = torch.autograd.grad(denoiser(leaf, t), leaf, gradient * scale)
    return back / scale
