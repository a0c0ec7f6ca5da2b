"""Where an alignment begins: a seed, a stored alignment, or a picture of another origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.errors import invalid_input
from engine.images.alignment_files import AlignedNoise, read_noise
from engine.images.alignment_inversion import invert, read_picture, require_size
from engine.images.alignment_noise import PictureNoise
from engine.images.alignment_params import AlignParams
from engine.images.params import DdimParams, ParataaParams, SamplerParams
from engine.images.runs import Setup

SHARED = {
    "weights_sha256": "another model",
    "shape": "another picture size",
    "timesteps": "other time steps",
    "eta": "another Eta",
}
"""What a stored noise and a run must share, in words for the user."""

RESUMED = {
    "settings": "other settings or rewards",
    "prompt": "another prompt",
    "class_name": "another class",
    "negative_prompt": "another negative prompt",
    "guidance": "another guidance",
    "seed": "another seed",
}
"""What must also be the same to go on as if it had not been stopped."""

_FREE = ("picture", "steps", "minutes", "stop_at_red", "branch_step", "invert", "preview_every")
"""Parameters that may change between a run and its continuation."""


@dataclass
class Start:
    """Where one picture's alignment begins.

    Attributes
    ----------
    noise
        Its noise, float32 on the CPU.
    stored
        The alignment to go on with; ``None`` begins anew.
    about
        For the manifest: what it was started from.
    """

    noise: PictureNoise
    stored: AlignedNoise | None = None
    about: dict[str, Any] | None = None


def facts(params: AlignParams, setup: Setup, seed: int) -> dict[str, Any]:
    """What a stored noise says of its run: the entries of :data:`SHARED` and :data:`RESUMED`."""
    picture = params.picture
    settings = params.model_dump(mode="json", exclude=set(_FREE))
    return {
        "weights_sha256": setup.generator.info.sha256,
        "shape": list(setup.shape),
        "timesteps": setup.grid.timesteps.tolist(),
        "eta": eta_of(setup.params.sampler),
        "settings": settings,
        "prompt": picture.prompt,
        "class_name": picture.class_name,
        "negative_prompt": picture.negative_prompt,
        "guidance": picture.guidance,
        "seed": seed,
    }


def eta_of(sampler: SamplerParams) -> float:
    """Noise a step, 0 of samplers that add none."""
    return 1.0 if sampler.name == "ddpm" else float(getattr(sampler, "eta", 0.0))


def with_eta(sampler: SamplerParams, eta: float | None) -> SamplerParams:
    """The sampler with another amount of noise a step; ``None`` is its own.

    Raises
    ------
    EngineError
        ``invalid_input`` for samplers that cannot add noise.
    """
    if eta is None or eta == eta_of(sampler):
        return sampler
    if isinstance(sampler, ParataaParams) and sampler.solver == "first_order":
        return sampler.model_copy(update={"eta": eta})
    if sampler.name in ("ddim", "ddpm"):
        return DdimParams(eta=eta, spacing=sampler.spacing)
    raise invalid_input(
        f"The sampler {sampler.name} adds no noise in its steps, so Eta cannot be {eta:g}; nothing was "
        "started.",
        "Leave Eta empty, or make the picture with ddim or ddpm.",
    )


def from_seed(setup: Setup, seed: int) -> Start:
    """The noise that generation gives a seed."""
    noisy = eta_of(setup.params.sampler) > 0
    return Start(PictureNoise.of_seed(seed, setup.shape, len(setup.grid), noisy))


def from_file(params: AlignParams, setup: Setup, seed: int, path: Path) -> Start:
    """What the input ``start`` is: stored noise, or a picture whose noise is to be found.

    Raises
    ------
    EngineError
        ``invalid_input`` with all reasons when it does not fit the run, ``bad_file`` when it is
        damaged or nothing of ours.
    """
    if params.picture.count != 1:
        raise invalid_input(
            f"A start is for one picture, and {params.picture.count} were asked for; nothing was "
            "started.",
            "Set Count to 1.",
        )
    if path.suffix.lower() == ".safetensors":
        return _from_noise(params, setup, seed, path)
    if params.branch_step is not None:
        raise invalid_input(
            f"{path.name} is a picture and has no stored steps to branch from; nothing was started.",
            "Give its noise file (NAME-noise.safetensors) as the start.",
        )
    if not params.invert:
        raise invalid_input(
            f"The noise that {path.name} was made from is not stored in it; nothing was started.",
            "Turn on 'Find the noise' (--invert): noise is found that makes about the same picture, "
            "and how close it comes is told.",
        )
    return _from_picture(setup, path)


def _from_noise(params: AlignParams, setup: Setup, seed: int, path: Path) -> Start:
    stored = read_noise(path)
    own = facts(params, setup, seed)
    resume = params.branch_step is None
    needed = {**SHARED, **RESUMED} if resume else SHARED
    apart = [text for key, text in needed.items() if stored.about.get(key) != own[key]]
    if apart:
        raise invalid_input(
            f"The stored noise {path.name} does not fit this run: it is of {', '.join(apart)}. Nothing "
            "was started.",
            "Use the settings it was made with"
            + (", or branch from one of its steps (--branch-step)." if resume else "."),
        )
    if params.branch_step is None:
        if stored.state.step >= params.steps:
            raise invalid_input(
                f"The stored alignment has done {stored.state.step} steps already, and {params.steps} "
                "were asked for; nothing was started.",
                "Ask for more steps.",
            )
        return Start(stored.start, stored, {"start": path.name, "from_step": stored.state.step})
    noise = stored.at(params.branch_step)
    return Start(noise, None, {"start": path.name, "branch_step": params.branch_step})


def _from_picture(setup: Setup, path: Path) -> Start:
    sampler = setup.params.sampler
    if sampler.name not in ("ddim", "parataa") or eta_of(sampler) > 0:
        raise invalid_input(
            f"Noise can be found for the deterministic sampler ddim only, not for {sampler.name} with "
            f"Eta {eta_of(sampler):g}; nothing was started.",
            "Use the sampler ddim with Eta 0.",
        )
    generator, ctx = setup.generator, setup.ctx
    picture = read_picture(path)
    blank = torch.zeros(1, *setup.shape, device=ctx.device)
    height, width = generator.decode(blank).shape[-2:]
    require_size(picture, path.name, int(width), int(height))
    x_0 = generator.encode(picture[None].to(ctx.device)).to(setup.state_dtype)[0]
    denoiser = generator.denoiser(setup.condition, setup.params.guidance, setup.computing)
    steps = len(setup.grid)

    def on_step(done: int) -> None:
        ctx.progress(0, 1, f"Finding the noise: step {done} of {steps}")

    found = invert(denoiser, x_0, setup.grid, on_step)
    noise = PictureNoise(found.pure.float().cpu(), torch.empty(0, *setup.shape))
    return Start(noise, None, {"start": path.name, "inverted": True, "unsolved": found.unsolved})


def closeness(picture: Tensor, path: Path) -> float:
    """RMS difference, in 8-bit levels, of a picture ``(1, 3, H, W)`` in [0, 1] from a file."""
    wanted = (read_picture(path) + 1) / 2
    apart = picture[0].detach().float().cpu().clamp(0, 1) - wanted
    return float(apart.square().mean().sqrt()) * 255


def references(inputs: Mapping[str, Any]) -> dict[str, Tensor]:
    """Pictures that rewards refer to: every input but ``start``, ``(4, H, W)`` in [0, 1]."""
    return {name: _with_alpha(Path(path)) for name, path in inputs.items() if name != "start"}


def _with_alpha(path: Path) -> Tensor:
    import numpy as np
    from PIL import Image

    read_picture(path)  # says what is wrong with it
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGBA"))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255
