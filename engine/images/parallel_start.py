"""Starting a parallel run from another picture: from its trajectory, or from the picture alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from engine.errors import EngineError, invalid_input
from engine.images.metadata import read_manifest
from engine.images.parallel_state import ParallelSettings, PictureState
from engine.images.params import GenerateParams, ParataaParams
from engine.images.runs import Setup
from engine.images.trajectory import Trajectory, read_trajectory, run_facts

SolveAgain = Callable[[GenerateParams, int], PictureState]
"""Solves the picture of these parameters and this seed, for its states."""


def missing_start(step: int) -> EngineError:
    """The error for a variation of nothing."""
    return invalid_input(
        f"To vary a picture from step {step} its start picture is needed, and none was given; nothing "
        "was started.",
        "Give a trajectory or a picture made by Triptych as the start (--start FILE).",
    )


def read_start(
    path: Path,
    setup: Setup,
    facts: Mapping[str, Any],
    settings: ParallelSettings,
    step: int | None,
    solve_again: SolveAgain,
) -> Trajectory:
    """The states to start from, checked against the run that is about to use them.

    Parameters
    ----------
    path
        A trajectory, or a PNG made by Triptych.
    setup, facts, settings
        The run; the facts are those of :func:`~engine.images.trajectory.run_facts`.
    step
        The step to vary from; ``None`` is to go on with a run that was stopped.
    solve_again
        Called for a PNG, once it is known to fit.

    Raises
    ------
    EngineError
        ``invalid_input`` when the start picture does not fit, with all reasons; ``bad_file`` when the
        file is damaged or nothing of ours.
    """
    steps = len(setup.grid)
    if setup.params.count != 1:
        raise invalid_input(
            f"A start picture is for one picture, and {setup.params.count} were asked for; nothing was "
            "started.",
            "Set Count to 1.",
        )
    if step is not None and step > steps:
        raise invalid_input(
            f"Step {step} is outside this run of {steps} steps; nothing was started.",
            f"Choose a step from 1 to {steps}.",
        )
    if path.suffix.lower() == ".png":
        return _from_picture(path, setup, facts, settings, step, solve_again)
    trajectory = read_trajectory(path)
    trajectory.require_match(facts, resume=step is None)
    if step is None and trajectory.complete:
        raise invalid_input(
            "The start picture is solved already, so there is nothing to go on with; nothing was "
            "started.",
            "Choose the step to vary it from (--variation-step).",
        )
    solved = trajectory.picture.finished
    if step is not None and solved > step:
        raise invalid_input(
            f"The start picture was stopped before step {step} was solved (it is solved down to step "
            f"{solved}); nothing was started.",
            f"Choose a step from {solved}, or let it be solved first.",
        )
    return trajectory


def _from_picture(
    path: Path,
    setup: Setup,
    facts: Mapping[str, Any],
    settings: ParallelSettings,
    step: int | None,
    solve_again: SolveAgain,
) -> Trajectory:
    if step is None:
        raise invalid_input(
            f"{path.name} is a finished picture; to start from it, say from which step it is to be "
            "varied. Nothing was started.",
            "Set 'Vary from step' (--variation-step).",
        )
    manifest = read_manifest(path)
    spec = manifest["spec"]
    made = GenerateParams.model_validate(spec["params"])
    twin = parallel_twin(made)
    if twin is None:
        raise invalid_input(
            f"{path.name} was made with the sampler {made.sampler.name}, whose steps cannot be solved "
            "in parallel; nothing was started.",
            "Start from a picture of ddim, ddpm, dpmpp_2m or parataa.",
        )
    if twin.variation_step is not None:
        raise invalid_input(
            f"{path.name} is itself a variation of another picture and cannot be solved again from its "
            "seed alone; nothing was started.",
            "Start from its trajectory: make the variation again with 'Keep trajectory' on.",
        )
    made = made.model_copy(update={"sampler": twin})
    seed = int(manifest.get("seed", spec.get("seed", 0)))
    generator = setup.generator
    grid = generator.grid(made.steps, twin.spacing)
    shape = generator.latent_shape(made.width, made.height)
    own = run_facts(generator, grid, shape, made, settings, seed)
    own["weights_sha256"] = manifest.get("weights_sha256")
    # What does not fit is refused before it is solved.
    Trajectory(own, PictureState(torch.empty(0), 0, 0)).require_match(facts, resume=False)
    return Trajectory(own, solve_again(made, seed))


def parallel_twin(made: GenerateParams) -> ParataaParams | None:
    """The parallel sampler that solves the equations of a picture's own; ``None``: there is none."""
    sampler = made.sampler
    if isinstance(sampler, ParataaParams):
        return sampler
    common = {"spacing": sampler.spacing}
    if sampler.name == "ddim":
        return ParataaParams.model_validate({**common, "eta": sampler.eta})
    if sampler.name == "ddpm":
        return ParataaParams.model_validate({**common, "eta": 1.0})
    if sampler.name == "dpmpp_2m":
        return ParataaParams.model_validate({**common, "solver": "dpmpp_2m"})
    return None
