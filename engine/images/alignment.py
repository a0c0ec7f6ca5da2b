"""Aligning a picture with rewards by optimising its noise, the model unchanged.

Direct noise optimisation (Tang et al. 2025, "Inference-time alignment of diffusion models with direct
noise optimization", ICML): gradient ascent on ``r(M(z)) - gamma L_reg(z)`` over the noise ``z`` of a
sampling run ``M``. The guard ``L_reg`` is the published regulariser of all noise together plus a share
of that of each step alone, because a picture can also be bought with opposite shifts in different
steps; see :mod:`engine.images.probability`.

Everything random in a step comes from the seed and the step's number, so a run that goes on from a
stored state makes the same numbers as one that was never stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Literal, Protocol

import torch
from torch import Tensor

from engine.errors import EngineError, ErrorCode
from engine.images.alignment_estimate import Neighbours, hybrid1, hybrid2, zeroth
from engine.images.alignment_sampling import PictureOf
from engine.images.alignment_state import AlignSettings, AlignState, StepReport
from engine.images.probability import (
    Status,
    block_sizes,
    draw_permutations,
    plausibility,
    regulariser,
)

Sort = Literal["gradient", "value"]
Ending = Literal["steps", "time", "red", "plateau"]

BETAS, EPSILON = (0.9, 0.999), 1e-8
FEWEST_PERMUTATIONS, PERMUTED_VALUES = 10, 1 << 21
PATIENCE = 5
"""Steps without any gradient, or without a finite one, after which going on is pointless."""

STATUSES: tuple[Status, ...] = ("green", "amber", "red")


class Objective(Protocol):
    """What is raised; :class:`engine.images.rewards.mix.RewardMix` is one."""

    def total(
        self, x: Tensor, clipped: bool = False, only: Sort | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Totals ``(B,)`` of pictures ``(B, 3, H, W)`` in [0, 1], and the values of each term.

        ``clipped`` rates them as they are saved, without gradient; ``only`` leaves terms out.
        """
        ...


OnAlignStep = Callable[[StepReport], None]


class Aligner:
    """Optimises the noise of one picture.

    Parameters
    ----------
    picture_of
        From noise to the picture. What it raises (a cancel) leaves the state as before the step.
    objective
        What to raise.
    settings
        How.
    state
        From :meth:`AlignState.begin`, or of an earlier run.
    """

    def __init__(
        self, picture_of: PictureOf, objective: Objective, settings: AlignSettings, state: AlignState
    ) -> None:
        self.picture_of, self.objective = picture_of, objective
        self.settings, self.state = settings, state

    def run(
        self,
        steps: int,
        on_step: OnAlignStep = lambda report: None,
        *,
        stop_at_red: bool = False,
        seconds: float | None = None,
    ) -> Ending:
        """Go on up to step ``steps``; why it ended.

        Step 0 is the picture as it was; ``steps`` changes of the noise make ``steps + 1`` pictures.
        """
        started = time.monotonic()
        while True:
            last = self.state.step >= steps
            report = self.advance(last=last)
            on_step(report)
            if stop_at_red and report.seen.status == "red":
                return "red"
            if last:
                return "steps"
            if self.state.idle >= PATIENCE:
                return "plateau"
            if seconds is not None and time.monotonic() - started >= seconds:
                return "time"

    def advance(self, last: bool = False) -> StepReport:
        """Look at the state's picture, keep it if it is the best, and change the noise.

        Parameters
        ----------
        last
            Only look: the state stays at this step, from which it can go on later.

        Raises
        ------
        EngineError
            ``internal`` when the gradient is not finite several times in a row.
        """
        started = time.monotonic()
        state, settings = self.state, self.settings
        z = state.z.detach().clone().requires_grad_(not last and settings.mode != "zeroth")
        x = self.picture_of(z)
        plain = x.detach()
        with torch.no_grad():
            total, raw = self.objective.total(plain, clipped=True)
        terms = {name: float(value[0]) for name, value in raw.items()}
        seen = plausibility(z, self._stream("look"), settings.checks)
        guard, guard_gradient = self._guard(state.z)
        norm, mu = 0.0, None
        update: Tensor | None = None
        if not last:
            gradient, found = self._reward_gradient(z, x)
            mu = state.mu if found is not None else None
            update = gradient - settings.gamma * guard_gradient
            norm = float(update.double().square().sum().sqrt())
            if not math.isfinite(norm):
                update = None
            elif not gradient.any():
                # Nothing is known of the reward here: Adam's momentum alone would only drift.
                update = None
        value = float(total[0])
        best = self._keep_if_best(value, seen.status)
        if not last:
            self._move(update, norm)
            if found is not None:
                state.mu = found.next_mu(state.mu)
        report = StepReport(
            state.step, value, terms, seen, guard, norm, time.monotonic() - started,
            best, mu, z.detach(), plain,
        )  # fmt: skip
        if not last:
            state.history.append(report.values())
            state.step += 1
        return report

    # --- the parts of a step ----------------------------------------------------------------------

    def _stream(self, purpose: str) -> torch.Generator:
        """Random numbers of this step for one purpose."""
        number = ("look", "guard", "around").index(purpose)
        mixed = (self.settings.seed * 1_000_003 + self.state.step) * 3 + number
        return torch.Generator().manual_seed(mixed % 2**63)

    def _guard(self, z: Tensor) -> tuple[float, Tensor]:
        """L_reg and its gradient; the gradient is left at zero where the guard is off."""
        settings, stream = self.settings, self._stream("guard")
        leaf = z.detach().clone().requires_grad_(settings.gamma > 0)
        flat = leaf.flatten(1)
        every, each = flat.numel(), flat.shape[1]
        orders = draw_permutations(self._affordable(every), every, stream)
        loss = regulariser(flat.flatten(), block_sizes(every), orders)
        if settings.step_share > 0:
            orders = draw_permutations(self._affordable(every), each, stream)
            alone = regulariser(flat, block_sizes(each), orders, math.log(settings.step_rest / 2))
            loss = loss + settings.step_share * alone.mean()
        if not leaf.requires_grad:
            return float(loss), torch.zeros_like(z)
        (gradient,) = torch.autograd.grad(loss, leaf)
        return float(loss.detach()), gradient

    def _affordable(self, values: int) -> int:
        """Permutations for the gradient: many of small noise, whose gradient is rough with few."""
        return min(self.settings.permutations, max(FEWEST_PERMUTATIONS, PERMUTED_VALUES // values))

    def _reward_gradient(self, z: Tensor, x: Tensor) -> tuple[Tensor, Neighbours | None]:
        """Gradient of the objective by ``z``, and what was found around the picture for it."""
        mode = self.settings.mode
        if mode == "gradient":
            return _gradient(self.objective.total(x)[0].sum(), z), None
        found = self._look_around(z.detach(), x.detach())
        if mode == "zeroth":
            return found.gradient, found
        value = (found.gradient * x).sum()
        if mode == "mixed":
            value = value + self.objective.total(x, only="gradient")[0].sum()
        return _gradient(value, z), found

    def _look_around(self, z: Tensor, x: Tensor) -> Neighbours:
        settings, mode, mu = self.settings, self.settings.mode, self.state.mu
        only: Sort | None = "value" if mode == "mixed" else None

        def rate(pictures: Tensor) -> Tensor:
            with torch.no_grad():
                return self.objective.total(pictures, clipped=True, only=only)[0]

        reward = float(rate(x)[0])
        count, stream = settings.neighbours, self._stream("around")
        if mode == "hybrid1":
            u = torch.randn(count, *x.shape[1:], generator=stream).to(x)
            return hybrid1(x, reward, rate, mu, u)
        u = torch.randn(count, *z.shape, generator=stream).to(z)
        if mode == "zeroth":
            return zeroth(self.picture_of, z, reward, rate, count, mu, u)
        return hybrid2(self.picture_of, z, x, reward, rate, mu, u)

    def _keep_if_best(self, total: float, status: Status) -> bool:
        state = self.state
        acceptable = STATUSES.index(status) <= STATUSES.index(self.settings.worst_kept)
        if state.best_step == state.step:  # looked at a second time
            return True
        # The picture itself is what there is to lose: it is kept until something better is found.
        if state.best_z is not None and not (acceptable and total > state.best_total):
            return False
        state.best_step, state.best_total = state.step, total
        state.best_z = state.z.clone()
        return True

    def _move(self, gradient: Tensor | None, norm: float) -> None:
        """One step of Adam (Kingma & Ba 2015) up the gradient, without weight decay."""
        state, settings = self.state, self.settings
        if gradient is None:
            state.idle += 1
            if state.idle >= PATIENCE and not math.isfinite(norm):
                raise _not_finite()
            return
        state.idle = 0
        if norm > settings.clip:
            gradient = gradient * (settings.clip / norm)
        state.updates += 1
        slow, slower = BETAS
        state.first = slow * state.first + (1 - slow) * gradient
        state.second = slower * state.second + (1 - slower) * gradient.square()
        mean = state.first / (1 - slow**state.updates)
        deviation = (state.second / (1 - slower**state.updates)).sqrt()
        state.z = state.z + settings.lr * mean / (deviation + EPSILON)


def _gradient(value: Tensor, z: Tensor) -> Tensor:
    if not value.requires_grad:  # a reward that does not depend on the picture
        return torch.zeros_like(z)
    (gradient,) = torch.autograd.grad(value, z)
    return gradient


def _not_finite() -> EngineError:
    return EngineError(
        ErrorCode.INTERNAL,
        "The gradient of the rewards by the noise is not finite several times in a row, so the picture "
        "cannot be aligned further. The best picture so far is kept.",
        "Half precision overflows with some models: use float32 or the CPU. Otherwise try less "
        "guidance or another reward.",
    )
