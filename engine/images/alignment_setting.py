"""What the pictures of an alignment job share: rewards, how they are made and asked about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from engine.device import memory_budget
from engine.errors import invalid_input
from engine.images.alignment_density import DensityCheck, other_seeds
from engine.images.alignment_noise import ActiveNoise, PictureNoise
from engine.images.alignment_params import (
    GUARD_STRENGTHS,
    STEP_SHARE,
    AlignParams,
)
from engine.images.alignment_sampling import PictureOf, Recipe, StepByStep, without_check
from engine.images.alignment_start import eta_of
from engine.images.alignment_state import AlignSettings, Mode
from engine.images.alignment_sweep import SolvedInParallel
from engine.images.generators import images_that_fit, initial_noise
from engine.images.parallel_run import CPU_ROWS
from engine.images.parallel_start import parallel_twin
from engine.images.params import DdimParams, DpmSolverParams, ParataaParams
from engine.images.parataa import settings_of, system_of
from engine.images.probability import Status
from engine.images.rewards.measuring import overview_terms, scales_for
from engine.images.rewards.mix import RewardMix
from engine.images.rewards.protocol import RewardContext, from_decoded
from engine.images.rewards.scales import RAW
from engine.images.runs import Setup

COMPARED_SEEDS = 16
"""Pictures of other seeds that the model is asked about."""


class Shared:
    """Made once for all pictures of a job; a context that ends what rewards keep running.

    Parameters
    ----------
    params, setup
        The job's; the setup's sampler is the one that is aligned.
    references
        Pictures that rewards refer to by name.

    Raises
    ------
    EngineError
        ``invalid_input`` for settings that contradict each other, and what rewards raise.
    """

    def __init__(self, params: AlignParams, setup: Setup, references: Mapping[str, Tensor]) -> None:
        self.params, self.setup = params, setup
        generator, ctx = setup.generator, setup.ctx
        self._denoiser = generator.denoiser(setup.condition, setup.params.guidance, setup.computing)
        self._parallel = _in_parallel(params, setup)
        self._batch = images_that_fit(
            generator, memory_budget(ctx.device), params.neighbours, setup.shape
        )
        self.recipe = Recipe(
            self._denoiser.with_gradient,
            lambda states: from_decoded(generator.decode_with_gradient(states)),
            setup.grid,
            _step_by_step(setup.params.sampler) if self._parallel is None else self._parallel,
            torch.empty(0, dtype=setup.state_dtype, device=ctx.device),
            ctx.check,
            max(1, self._batch >> ctx.attempt),
        )
        context = RewardContext(
            prompt=params.picture.prompt,
            class_name=setup.condition.class_name,
            generator_title=generator.info.title,
            references=references,
            device=ctx.device,
        )
        scales = scales_for(params.rewards, context, generator.info, self._usual_pictures)
        self.mix = RewardMix(params.rewards, context, scales)
        for note in self.mix.notes():
            ctx.warn(note)
        self.weights = {member.key: member.term.weight for member in self.mix.members}
        chosen = {term.name for term in params.rewards}
        others = [term for term in overview_terms() if term.name not in chosen]
        self._others = RewardMix(others, context, RAW) if others else None
        self.mode = self._mode()
        self._density: DensityCheck | None = None

    def __enter__(self) -> Shared:
        return self

    def __exit__(self, *exception: object) -> None:
        self.mix.close()
        if self._others is not None:
            self._others.close()

    @property
    def noisy(self) -> bool:
        """Whether the sampling steps add noise."""
        return eta_of(self.setup.params.sampler) > 0

    @property
    def evaluations(self) -> int:
        """Network evaluations so far."""
        return self._denoiser.evaluations

    def settings(self, seed: int) -> AlignSettings:
        """How the optimiser works on the picture of this seed."""
        params = self.params
        keep: Status = "amber"
        if params.keep == "green":
            keep = "green"
        elif params.keep == "any" or (
            params.keep == "auto" and not params.stop_at_red and self.gamma == 0
        ):
            keep = "red"
        return AlignSettings(
            gamma=self.gamma,
            step_share=self.step_share,
            lr=params.lr,
            mode=self.mode,
            neighbours=params.neighbours,
            mu=params.mu or AlignSettings.mu,
            worst_kept=keep,
            seed=seed,
        )

    @property
    def gamma(self) -> float:
        """Weight of the guard."""
        given = self.params.gamma
        return GUARD_STRENGTHS[self.params.guard] if given is None else given

    @property
    def step_share(self) -> float:
        """How much each step's noise counts in it."""
        return STEP_SHARE if self.params.step_share is None else self.params.step_share

    def about(self) -> dict[str, Any]:
        """The settings as they were resolved, for the manifest."""
        return {
            "gamma": self.gamma,
            "step_share": self.step_share,
            "eta": eta_of(self.setup.params.sampler),
            "lr": self.params.lr,
            "mode": self.mode,
            "neighbours": None if self.mode == "gradient" else self.params.neighbours,
            "last_steps": self.params.last_steps,
            "solving": "sequential" if self._parallel is None else "parallel",
        }

    def pictures(self, noise: PictureNoise, active: ActiveNoise) -> PictureOf:
        """From the active noise of a picture to the picture."""
        return self._pictures(self.recipe, noise, active)

    def final(self, noise: PictureNoise, active: ActiveNoise, z: Tensor) -> Tensor:
        """The picture ``(1, 3, H, W)`` of ``z``, made anew as generation makes it; deaf to a cancel."""
        with torch.no_grad():
            return self._pictures(without_check(self.recipe), noise, active)(z)

    def rate_all(self, picture: Tensor) -> dict[str, float]:
        """Every reward of a picture as it is saved, also those that it was not aligned with."""
        values: dict[str, float] = {}
        for mix in (self.mix, self._others):
            if mix is not None:
                _, raw = mix.total(picture, clipped=True)
                values |= {key: float(value[0]) for key, value in raw.items()}
        return values

    def density_of(self, noise: PictureNoise, active: ActiveNoise, z: Tensor) -> float:
        """How the model knows the picture of ``z``; see :meth:`DensityCheck.score`."""
        states: list[Tensor] = []

        def remember(x_0: Tensor) -> Tensor:
            states.append(x_0)
            return x_0

        with torch.no_grad():
            self._pictures(replace(self.recipe, decode=remember), noise, active)(z)
        return self._density_check().score(states[0][0])

    # --- the parts --------------------------------------------------------------------------------

    def _pictures(self, recipe: Recipe, noise: PictureNoise, active: ActiveNoise) -> PictureOf:
        if self._parallel is None:
            return StepByStep(recipe, noise, active)
        setup = self.setup
        settings = settings_of(self._parallel, len(setup.grid), noise.pure.numel())
        system = system_of(self._parallel, setup.grid)
        rows = images_that_fit(
            setup.generator, memory_budget(setup.ctx.device), len(setup.grid), setup.shape
        )
        rows = min(rows, CPU_ROWS) if setup.ctx.device == "cpu" else rows
        return SolvedInParallel(recipe, noise, active, system, settings, rows >> setup.ctx.attempt or 1)

    def _mode(self) -> Mode:
        given = self.params.mode
        differentiable, others = self.mix.active("gradient"), self.mix.active("value")
        if not differentiable and not others:
            raise invalid_input(
                "Every reward has the weight 0, so there is nothing to raise; nothing was started.",
                "Give at least one a weight.",
            )
        if given == "auto":
            return "gradient" if not others else "mixed" if differentiable else "hybrid2"
        if given in ("gradient", "mixed") and others and not (given == "mixed" and differentiable):
            names = ", ".join(member.key for member in others)
            raise invalid_input(
                f"The rewards {names} have no gradient, so the method {given} cannot raise them; "
                "nothing was started.",
                "Use the method auto, or one of the neighbours.",
            )
        return "gradient" if given == "mixed" and not others else given

    def _sample(self, seeds: list[int]) -> Tensor:
        """Clean states of un-aligned pictures of this condition."""
        noise, kicks = initial_noise(seeds, self.setup.shape, len(self.setup.grid), self.noisy)
        recipe = replace(self.recipe, decode=lambda states: states)
        if self._parallel is not None:
            recipe = replace(recipe, sampler=_step_by_step(self.setup.params.sampler))
        active = ActiveNoise.choose(len(self.setup.grid), self.noisy, None)
        made = StepByStep(recipe, PictureNoise(noise[0], kicks[:, 0]), active)
        device = self.setup.ctx.device
        z = [
            active.take(PictureNoise(noise[row], kicks[:, row])).to(device) for row in range(len(seeds))
        ]
        return made.several(torch.stack(z))

    def _usual_pictures(self, count: int) -> Tensor:
        """Pictures ``(count, 3, H, W)`` in [0, 1] of other seeds, to see how large rewards are."""
        self.setup.ctx.progress(0, 1, "Measuring how large the rewards usually are")
        states = self._sample(list(other_seeds(0, count)))
        return torch.cat(
            [from_decoded(self.setup.generator.decode(part)) for part in states.split(self._batch)]
        )

    def _density_check(self) -> DensityCheck:
        if self._density is None:
            setup = self.setup
            setup.ctx.progress(0, 1, "Asking the model about pictures of other seeds")
            usual = self._sample(list(other_seeds(setup.ctx.spec.seed, COMPARED_SEEDS)))
            plain = setup.generator.denoiser(setup.condition, 1.0, setup.computing)
            self._density = DensityCheck(plain, setup.generator.schedule, usual, setup.ctx.check)
        return self._density


def _step_by_step(sampler: Any) -> Any:
    """The sequential sampler of the same equations."""
    if not isinstance(sampler, ParataaParams):
        return sampler
    if sampler.solver == "dpmpp_2m":
        return DpmSolverParams(spacing=sampler.spacing)
    return DdimParams(eta=sampler.eta, spacing=sampler.spacing)


def _in_parallel(params: AlignParams, setup: Setup) -> ParataaParams | None:
    """The parallel sampler to solve with; ``None``: one step after another."""
    sampler = setup.params.sampler
    twin = parallel_twin(setup.params)
    wanted = params.solving == "parallel" or (
        params.solving == "auto" and isinstance(sampler, ParataaParams)
    )
    if not wanted:
        return None
    if twin is not None and twin.solver == "first_order":
        return twin
    if params.solving == "parallel":
        raise invalid_input(
            f"The steps of {sampler.name} cannot be solved in parallel with a gradient; nothing was "
            "started.",
            "Leave Sampling to Auto, or make the picture with ddim or ddpm.",
        )
    setup.ctx.warn(
        "DPM-Solver++ is aligned one step after another; the first picture may differ from the one "
        "that was solved in parallel by its tolerance."
    )
    return None
