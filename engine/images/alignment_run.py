"""The job ``images.align``: one picture after another, each made better by rewards.

For each step it measures a point of the series ``align``, see :meth:`_PictureRun._point`. The result is
the best acceptable picture; its manifest says under ``align`` what became of it, and refers to the
curve and the noise (:mod:`engine.images.alignment_files`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.context import RunContext
from engine.errors import EngineError, invalid_input
from engine.images.alignment_params import AlignParams
from engine.images.alignment_picture import PictureRun
from engine.images.alignment_setting import Shared
from engine.images.alignment_start import from_file, from_seed, references, with_eta
from engine.images.generators import cached_generator
from engine.images.reporting import Previewer
from engine.images.runs import Setup
from engine.job import MAX_SEED
from engine.registry import JOBS, JobKind
from engine.weights import find_model


def align(params: AlignParams, inputs: dict[str, Any], ctx: RunContext) -> dict[str, Any]:
    """Align ``picture.count`` pictures; picture ``i`` begins as the one of the seed ``spec.seed + i``.

    Parameters
    ----------
    params
        What to align, and how.
    inputs
        ``start``, if given: the noise file of an alignment, to go on with or to branch from, or a
        picture of another origin. All others are pictures that rewards refer to by name.
    ctx
        Of the run.
    """
    if not params.rewards:
        raise invalid_input(
            "There is no reward to align the picture with; nothing was started.",
            "Choose at least one, for example brightness=1.",
        )
    ctx.progress(0, 1, "Loading the model")
    picture = params.picture.model_copy(
        update={"sampler": with_eta(params.picture.sampler, params.eta)}
    )
    info = find_model(picture.model)
    generator = cached_generator(info, ctx.device)
    condition = generator.condition(picture.prompt, picture.class_name, picture.negative_prompt)
    for note in condition.notes:
        ctx.warn(note)
    if picture.sampler != params.picture.sampler:
        ctx.warn(
            "Eta is not that of the picture, so the alignment begins with another picture of its seed."
        )
    setup = Setup(
        picture,
        generator,
        condition,
        generator.grid(picture.steps, picture.sampler.spacing),
        generator.latent_shape(picture.width, picture.height),
        ctx,
        Previewer(generator, ctx, params.preview_every),
    )
    done: list[dict[str, Any]] = []
    with Shared(params, setup, references(inputs)) as shared:
        for index in range(picture.count):
            if ctx.is_kept(f"image-{index + 1:04d}"):
                continue
            seed = (ctx.spec.seed + index) % (MAX_SEED + 1)
            given = inputs.get("start")
            start = (
                from_seed(setup, seed) if given is None else from_file(params, setup, seed, Path(given))
            )
            run = PictureRun(shared, index, seed, start, None if given is None else Path(given))
            interrupted: EngineError | None = None
            try:
                run.optimise()
            except EngineError as error:
                if not run.has_steps:
                    raise
                interrupted = error
            done.append(run.save(interrupted))
            if interrupted is not None:
                raise interrupted
        return {
            "seconds": round(ctx.seconds, 3),
            "model_evaluations": shared.evaluations,
            "device": ctx.device,
            "weights_sha256": info.sha256,
            "pictures": done,
        }


JOBS.add("images.align", JobKind(AlignParams, align, "Align with rewards"))
