"""The jobs of the Images workspace."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from engine.context import RunContext
from engine.device import MODELS, memory_budget
from engine.images.generators import (
    Condition,
    Generator,
    cache_key,
    images_that_fit,
    initial_noise,
    load_generator,
    picture_bytes,
    to_pixels,
)
from engine.images.metadata import write_png
from engine.images.params import GenerateParams
from engine.images.samplers import SAMPLERS
from engine.job import MAX_SEED
from engine.registry import JOBS, JobKind
from engine.weights import find_model

PREVIEW_SHARE = 0.15
"""Largest part of a run's time that decoding previews may take."""


class Previewer:
    """Decodes the predicted clean pictures, but no more often than its share of the time allows."""

    def __init__(self, generator: Generator, ctx: RunContext, every: int) -> None:
        self._generator, self._ctx, self._every = generator, ctx, every
        self._spent = 0.0

    def __call__(self, done: int, clean: Tensor) -> None:
        if not self._every or done % self._every or not self._ctx.wants_preview():
            return
        if self._spent > PREVIEW_SHARE * self._ctx.seconds:
            return
        started = time.monotonic()
        self._ctx.preview(to_pixels(self._generator.decode(clean)))
        self._spent += time.monotonic() - started


class _Reporter:
    """Progress, cancel and preview of one batch within the whole job."""

    def __init__(
        self, ctx: RunContext, previewer: Previewer, before: int, total: int, batch: int
    ) -> None:
        self._ctx, self._previewer = ctx, previewer
        self._before, self._total, self._batch = before, total, batch

    def __call__(self, done: int, total: int, clean: Tensor) -> None:
        finished = self._before + done * self._batch
        self._ctx.progress(finished, self._total, f"Step {done} of {total}")
        if done < total:
            self._previewer(done, clean)


def generate(params: GenerateParams, inputs: dict[str, Any], ctx: RunContext) -> dict[str, Any]:
    """Generate ``count`` pictures; picture ``i`` has the seed ``spec.seed + i``.

    Saves each as a PNG the moment its batch is done, with everything that made it inside. Returns
    the metrics ``seconds``, ``model_evaluations``, ``device`` and ``weights_sha256``.
    """
    ctx.progress(0, 1, "Loading the model")
    info = find_model(params.model)
    generator = MODELS.get(
        cache_key(info, ctx.device),
        lambda: load_generator(info, ctx.device),
        lambda model: model.size_bytes,
    )
    shape = generator.latent_shape(params.width, params.height)
    condition = generator.condition(params.prompt, params.class_name, params.negative_prompt)
    for note in condition.notes:
        ctx.warn(note)
    sampler = SAMPLERS.get(params.sampler.name)
    grid = generator.grid(params.steps, params.sampler.spacing)
    denoiser = generator.denoiser(condition, params.guidance)
    # After an out-of-memory retry, pictures that are already saved are not made again.
    indices = [i for i in range(params.count) if not ctx.is_kept(_name(i))]
    finished = params.count - len(indices)
    batch = _batch_size(params, generator, shape, ctx)
    previewer = Previewer(generator, ctx, params.preview_every)
    noisy = sampler.needs_noise(params.sampler)
    # Metal has no float64; everywhere else the states cost nothing beside the network.
    dtype = torch.float32 if ctx.device.startswith("mps") else torch.float64

    for start in range(0, len(indices), batch):
        chunk = indices[start : start + batch]
        seeds = [(ctx.spec.seed + index) % (MAX_SEED + 1) for index in chunk]
        x_T, noise = initial_noise(seeds, shape, params.steps, noisy)
        done_before = params.steps * (finished + start)
        on_step = _Reporter(ctx, previewer, done_before, params.steps * params.count, len(chunk))
        x_0 = sampler.sample(
            denoiser, x_T.to(ctx.device, dtype), grid, noise.to(ctx.device), params.sampler, on_step
        )
        for index, seed, pixels in zip(chunk, seeds, to_pixels(generator.decode(x_0)), strict=True):
            details = _details(params, generator, condition, seed, pixels.shape)
            picture = write_png(pixels, ctx.manifest(_name(index), details))
            ctx.save(_name(index), picture, "image/png", details)
    return {
        "seconds": round(ctx.seconds, 3),
        "model_evaluations": denoiser.evaluations,
        "device": ctx.device,
        "weights_sha256": info.sha256,
    }


def _name(index: int) -> str:
    return f"image-{index + 1:04d}"


def _batch_size(
    params: GenerateParams, generator: Generator, shape: tuple[int, int, int], ctx: RunContext
) -> int:
    """Pictures at once: as asked, as memory allows, halved after each out-of-memory attempt."""
    wanted = min(params.batch, params.count)
    fitting = images_that_fit(generator, memory_budget(ctx.device), wanted, shape)
    if fitting < wanted:
        needed = wanted * picture_bytes(generator, shape)
        ctx.warn(
            f"{wanted} pictures at once need about {needed >> 20} MiB, "
            f"more than is free; {fitting} at a time are made instead. The pictures are the same."
        )
    return max(1, fitting >> ctx.attempt)


def _details(
    params: GenerateParams,
    generator: Generator,
    condition: Condition,
    seed: int,
    shape: tuple[int, ...],
) -> dict[str, Any]:
    return {
        "kind": "image",
        "prompt": params.prompt,
        "negative_prompt": params.negative_prompt,
        "class_name": condition.class_name,
        "seed": seed,
        "model": params.model,
        "model_title": generator.info.title,
        "weights_sha256": generator.info.sha256,
        "sampler": params.sampler.name,
        "steps": params.steps,
        "guidance": params.guidance,
        "width": shape[1],
        "height": shape[0],
    }


JOBS.add("images.generate", JobKind(GenerateParams, generate, "Generate images"))
