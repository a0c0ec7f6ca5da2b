"""The jobs of the Images workspace."""

from __future__ import annotations

import time
from typing import Any

from engine.context import RunContext
from engine.device import memory_budget
from engine.images.comparison import difference
from engine.images.generators import (
    cached_generator,
    images_that_fit,
    initial_noise,
    picture_bytes,
    to_pixels,
)
from engine.images.metadata import write_png
from engine.images.parallel_run import ParallelRun
from engine.images.params import GenerateParams, ParataaParams
from engine.images.reporting import Previewer
from engine.images.runs import (
    Chunk,
    Run,
    Sampled,
    SequentialRun,
    Setup,
    picture_details,
    picture_name,
)
from engine.job import MAX_SEED
from engine.registry import JOBS, JobKind
from engine.weights import find_model


def generate(params: GenerateParams, inputs: dict[str, Any], ctx: RunContext) -> dict[str, Any]:
    """Generate ``count`` pictures; picture ``i`` has the seed ``spec.seed + i``.

    Saves each as a PNG the moment its batch is done, with everything that made it inside. Returns
    the metrics ``seconds``, ``model_evaluations``, ``device`` and ``weights_sha256``, and those of
    the sampler. The input ``start`` is for parallel sampling, see
    :class:`~engine.images.parallel_run.ParallelRun`.
    """
    ctx.progress(0, 1, "Loading the model")
    info = find_model(params.model)
    generator = cached_generator(info, ctx.device)
    shape = generator.latent_shape(params.width, params.height)
    condition = generator.condition(params.prompt, params.class_name, params.negative_prompt)
    for note in condition.notes:
        ctx.warn(note)
    grid = generator.grid(params.steps, params.sampler.spacing)
    parallel = isinstance(params.sampler, ParataaParams)
    # A round takes as long as many steps: there, each one is worth a preview.
    every = min(params.preview_every, 1) if parallel else params.preview_every
    previewer = Previewer(generator, ctx, every)
    setup = Setup(params, generator, condition, grid, shape, ctx, previewer)
    run: Run = ParallelRun(setup, inputs) if parallel else SequentialRun(setup)
    # After an out-of-memory retry, pictures that are already saved are not made again.
    indices = [i for i in range(params.count) if not ctx.is_kept(picture_name(i))]
    batch = _batch_size(setup)
    for start in range(0, len(indices), batch):
        places = indices[start : start + batch]
        seeds = [(ctx.spec.seed + index) % (MAX_SEED + 1) for index in places]
        noise = initial_noise(seeds, shape, params.steps, run.needs_noise)
        chunk = Chunk(places, seeds, *noise, before=params.count - len(indices) + start)
        sampled = run.sample(chunk)
        _save(setup, chunk, sampled)
        if sampled.interrupted is not None:
            raise sampled.interrupted
        if isinstance(run, ParallelRun) and run.params.compare_sequential:
            _compare(setup, run, chunk, sampled)
    return {
        "seconds": round(ctx.seconds, 3),
        "model_evaluations": run.evaluations,
        "device": ctx.device,
        "weights_sha256": info.sha256,
        **run.metrics(),
    }


def _save(setup: Setup, chunk: Chunk, sampled: Sampled) -> None:
    """Save the pictures of a chunk, whole or, after a cancel, as far as they are."""
    pixels = sampled.pixels
    if pixels is None:
        pixels = to_pixels(setup.generator.decode(sampled.x_0))
    for place, index in enumerate(chunk.indices):
        details = picture_details(setup, chunk.seeds[place], pixels[place].shape)
        details |= sampled.details[place]
        if not details.get("converged", True):
            # Of this picture only, not of the job's others.
            details["warnings"] = [*setup.ctx.warnings, _unfinished(details["parallel"])]
        _save_png(setup.ctx, picture_name(index), pixels[place], details)


def _unfinished(figures: dict[str, Any]) -> str:
    done = figures["steps"] - figures["finished"]
    return (
        f"Not converged: {done} of {figures['steps']} steps are solved ({figures['stopped']} after "
        f"{figures['rounds']} rounds). The picture may differ from that of a sequential run."
    )


def _save_png(ctx: RunContext, name: str, pixels: Any, details: dict[str, Any]) -> None:
    ctx.save(name, write_png(pixels, ctx.manifest(name, details)), "image/png", details)


def _compare(setup: Setup, run: ParallelRun, chunk: Chunk, sampled: Sampled) -> None:
    """Make each picture one step after another too; save that one, and how far they are apart."""
    for place, index in enumerate(chunk.indices):
        started = time.monotonic()
        x_0 = run.sequentially(chunk, place)
        seconds = round(time.monotonic() - started, 3)
        decoded = setup.generator.decode(x_0)
        apart = difference(setup.generator.decode(sampled.x_0[place : place + 1]), decoded)
        steps = len(setup.grid)
        sampling = {"steps": steps, "evaluations": steps, "seconds": seconds, "pictures": 1}
        comparison = {**apart, "parallel": sampled.details[place]["sampling"], "sequential": sampling}
        run.note_comparison(index, comparison)
        pixels = to_pixels(decoded)[0]
        details = picture_details(setup, chunk.seeds[place], pixels.shape)
        name = picture_name(index)
        details |= {"sampling": sampling, "comparison": comparison, "sequential_of": name}
        details["label"] = "sequential"
        _save_png(setup.ctx, f"{name}-sequential", pixels, details)


def _batch_size(setup: Setup) -> int:
    """Pictures at once: as asked, as memory allows, halved after each out-of-memory attempt."""
    params, ctx = setup.params, setup.ctx
    wanted = min(params.batch, params.count)
    if isinstance(params.sampler, ParataaParams):
        return max(1, wanted >> ctx.attempt)  # its rows are cut into what fits
    fitting = images_that_fit(setup.generator, memory_budget(ctx.device), wanted, setup.shape)
    if fitting < wanted:
        needed = wanted * picture_bytes(setup.generator, setup.shape)
        ctx.warn(
            f"{wanted} pictures at once need about {needed >> 20} MiB, "
            f"more than is free; {fitting} at a time are made instead. The pictures are the same."
        )
    return max(1, fitting >> ctx.attempt)


JOBS.add("images.generate", JobKind(GenerateParams, generate, "Generate images"))
