"""One batch of pictures through a sampler: what an image job does between loading and saving."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.context import RunContext
from engine.errors import EngineError
from engine.images.generators import Computing, Condition, CountingDenoiser, Generator
from engine.images.params import GenerateParams
from engine.images.reporting import Previewer, Reporter
from engine.images.routes import MEDIA_TYPE, Arithmetic
from engine.images.samplers import SAMPLERS
from engine.images.schedule import TimeGrid


@dataclass(frozen=True)
class Chunk:
    """Pictures that are made together.

    Attributes
    ----------
    indices
        Their places in the job.
    seeds
        One each.
    pure_noise
        ``(B, C, h, w)`` float32 on the CPU: x_T.
    noise
        ``(T, B, C, h, w)`` float32 on the CPU, or empty.
    before
        Pictures of the job that are done already.
    """

    indices: list[int]
    seeds: list[int]
    pure_noise: Tensor
    noise: Tensor
    before: int


@dataclass
class Sampled:
    """What became of a chunk.

    Attributes
    ----------
    x_0
        ``(B, C, h, w)``.
    details
        For each picture, what goes into its manifest.
    interrupted
        Why it was stopped half-way, when the pictures so far are worth keeping.
    pixels
        ``(B, H, W, 3)`` uint8 to save instead of decoding ``x_0``, where that would take too long.
    """

    x_0: Tensor
    details: list[dict[str, Any]]
    interrupted: EngineError | None = None
    pixels: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Setup:
    """Everything that the chunks of a job share."""

    params: GenerateParams
    generator: Generator
    condition: Condition
    grid: TimeGrid
    shape: tuple[int, int, int]
    ctx: RunContext
    previewer: Previewer

    @property
    def state_dtype(self) -> torch.dtype:
        """Metal has no float64; everywhere else the states cost nothing beside the network."""
        return torch.float32 if self.ctx.device.startswith("mps") else torch.float64

    @property
    def computing(self) -> Computing:
        """How much the network is asked to compute."""
        return Computing.of(self.params)


class ArithmeticOfPictures:
    """What networks compute for the pictures of one chunk, from its making on.

    Pictures of a parallel run are told apart only when there is one; see
    :class:`~engine.images.routes.RouteLog`.
    """

    def __init__(self, denoisers: Sequence[CountingDenoiser], pictures: int) -> None:
        self._logs = [denoiser.routes for denoiser in denoisers if denoiser.routes is not None]
        for log in self._logs:
            log.begin(pictures)

    def details(
        self, ctx: RunContext, name: str, picture: int, params: GenerateParams
    ) -> dict[str, Any]:
        """``compute`` for the manifest of a picture, with its route file; empty where unknown."""
        counted = [found for log in self._logs if (found := log.arithmetic(picture)) is not None]
        if not counted:
            return {}
        figures: dict[str, Any] = {
            "share": params.compute,
            "economy": params.economy,
            **sum(counted, Arithmetic()).to_json(),
            "routes": None,
        }
        # Each device of a parallel run knows its own rows; one is enough to look at.
        files = [data for log in self._logs if (data := log.file(picture)) is not None]
        if files:
            about = {"prompt": params.prompt, "share": params.compute}
            figures["routes"] = ctx.attach(name, "routes", files[0], MEDIA_TYPE, about).to_json()
        return {"compute": figures}


def total_arithmetic(denoisers: Sequence[CountingDenoiser]) -> dict[str, Any]:
    """``compute`` for the metrics of a job: all that its networks computed; empty where unknown."""
    counted = [denoiser.routes.total for denoiser in denoisers if denoiser.routes is not None]
    return {"compute": sum(counted, Arithmetic()).to_json()} if counted else {}


def picture_name(index: int) -> str:
    """What the result of a picture is called by its place in the job."""
    return f"image-{index + 1:04d}"


def picture_details(setup: Setup, seed: int, shape: tuple[int, ...]) -> dict[str, Any]:
    """What the manifest of every picture says; ``shape`` is ``(H, W, 3)``."""
    params = setup.params
    return {
        "kind": "image",
        "prompt": params.prompt,
        "negative_prompt": params.negative_prompt,
        "class_name": setup.condition.class_name,
        "seed": seed,
        "model": params.model,
        "model_title": setup.generator.info.title,
        "weights_sha256": setup.generator.info.sha256,
        "vae": setup.generator.info.vae,
        "sampler": params.sampler.name,
        "steps": params.steps,
        "guidance": params.guidance,
        "width": shape[1],
        "height": shape[0],
    }


class Run(Protocol):
    """How a job samples."""

    needs_noise: bool

    @property
    def evaluations(self) -> int:
        """Network evaluations so far; guidance makes two of a step."""
        ...

    def sample(self, chunk: Chunk) -> Sampled:
        """Make the pictures of a chunk."""
        ...

    def metrics(self) -> dict[str, Any]:
        """What else the job should say at its end."""
        ...


@dataclass
class SequentialRun:
    """One step after another, with any sampler of :data:`~engine.images.samplers.SAMPLERS`."""

    setup: Setup
    needs_noise: bool = field(init=False)
    _denoiser: CountingDenoiser = field(init=False)

    def __post_init__(self) -> None:
        setup, params = self.setup, self.setup.params
        self._sampler = SAMPLERS.get(params.sampler.name)
        self._denoiser = setup.generator.denoiser(setup.condition, params.guidance, setup.computing)
        self.needs_noise = self._sampler.needs_noise(params.sampler)

    @property
    def evaluations(self) -> int:
        """See :class:`Run`."""
        return self._denoiser.evaluations

    def sample(self, chunk: Chunk) -> Sampled:
        """See :class:`Run`."""
        setup, params, ctx = self.setup, self.setup.params, self.setup.ctx
        total = params.steps * params.count
        arithmetic = ArithmeticOfPictures([self._denoiser], len(chunk.indices))
        on_step = Reporter(ctx, setup.previewer, params.steps * chunk.before, total, len(chunk.indices))
        started = time.monotonic()
        x_0 = self._sampler.sample(
            self._denoiser,
            chunk.pure_noise.to(ctx.device, setup.state_dtype),
            setup.grid,
            chunk.noise.to(ctx.device),
            params.sampler,
            on_step,
        )
        assert self._sampler.evaluations is not None, "parallel samplers have a run of their own"
        sampling = {
            "steps": params.steps,
            "evaluations": self._sampler.evaluations(params.steps),
            "seconds": round(time.monotonic() - started, 3),
            "pictures": len(chunk.indices),
        }
        details = [
            {"sampling": sampling, **arithmetic.details(ctx, picture_name(index), place, params)}
            for place, index in enumerate(chunk.indices)
        ]
        return Sampled(x_0, details)

    def metrics(self) -> dict[str, Any]:
        """See :class:`Run`."""
        return total_arithmetic([self._denoiser])
