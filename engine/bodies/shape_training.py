"""Training of step C of the shape decoder: ``python -m engine.bodies.shape_training``.

Random adults, measured with errors from none to those of keypoint networks
(:func:`engine.bodies.joint_noise.blurred`) and of 5 % in widths and 8 % in their ratios to lengths.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from engine.bodies.body_model import BakedBody, load_builtin_body
from engine.bodies.joint_noise import blurred
from engine.bodies.phenotype import PHENOTYPES, random_phenotypes
from engine.bodies.shape import COMPONENTS, Refinement, ShapeDecoder, save_refinement
from engine.bodies.shape_parts import PARTS, bone_lengths

log = logging.getLogger("triptych.training")

WIDTH_ERROR, RATIO_ERROR = 0.05, 0.08
SAMPLES = 40_000
BATCH = 256
RATE = 1e-3
_CHUNK = 256


@dataclass(frozen=True, eq=False)
class Measured:
    """Bodies and what was measured of them.

    Attributes
    ----------
    numbers
        ``(N, K)`` of the adults' space: the truth.
    lengths, widths
        ``(N, 28)`` and ``(N, 20)`` metres, with errors.
    """

    numbers: Tensor
    lengths: Tensor
    widths: Tensor


def random_shapes(
    body: BakedBody, count: int, stream: torch.Generator, box: tuple[float, float] = (0.0, 1.0)
) -> Tensor:
    """Shape numbers ``(count, N)`` of random adults, muscle and weight within ``box``."""
    phenotypes = random_phenotypes(count, stream)
    low, high = box
    for name in ("muscle", "weight"):
        at = PHENOTYPES.index(name)
        phenotypes[:, at] = low + (high - low) * phenotypes[:, at]
    return body.shape_from_phenotype(phenotypes.float())


def with_errors(
    joints: Tensor, widths: Tensor, level: Tensor, stream: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Lengths and widths as measured: ``level (B, 1)`` from 0, exact, to 1."""
    seen, _ = blurred(joints - joints[:, :1], stream)
    seen = joints + level[..., None] * (seen - joints + joints[:, :1])
    spread = (WIDTH_ERROR**2 + RATIO_ERROR**2) ** 0.5
    factor = 1 + level * spread * torch.randn(widths.shape, generator=stream)
    return bone_lengths(seen), widths * factor.clamp(0.5, 1.5)


@torch.no_grad()
def draw_measured(
    decoder: ShapeDecoder, numbers: Tensor, stream: torch.Generator, level: float | None = None
) -> Measured:
    """Measure bodies of the space, with errors of one ``level`` or, without it, of all levels."""
    lengths, widths = [], []
    for part in numbers.split(_CHUNK):
        vertices, joints = decoder.space.rest(part)
        wide = decoder.parts.widths(vertices, joints)[:, list(PARTS)]
        levels = torch.rand(len(part), 1, generator=stream) if level is None else level
        seen = with_errors(joints, wide, torch.as_tensor(levels).expand(len(part), 1), stream)
        lengths.append(seen[0])
        widths.append(seen[1])
    return Measured(numbers, torch.cat(lengths), torch.cat(widths))


def vertex_error(decoder: ShapeDecoder) -> Callable[[Tensor, Tensor], Tensor]:
    """A function of two sets of numbers: the mean RMS distance of their meshes, metres."""
    flat = decoder.space.basis.flatten(1)
    metric = flat @ flat.T / len(decoder.space.vertices)

    def error(found: Tensor, true: Tensor) -> Tensor:
        apart = found - true
        return ((apart @ metric * apart).sum(1) + 1e-10).sqrt().mean()

    return error


def fit_network(
    network: nn.Module, inputs: Tensor, start: Tensor, true: Tensor, error: Callable[..., Tensor],
    minutes: float,
) -> int:  # fmt: skip
    """Train ``start + network(inputs)`` towards the truth for a time; returns the steps taken."""
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    began, step, share = time.monotonic(), 0, 0.0
    network.train()
    while share < 1:
        for rows in torch.randperm(len(inputs)).split(BATCH):
            share = (time.monotonic() - began) / (60 * minutes)
            if share >= 1 or len(rows) < BATCH:
                break
            for group in optimiser.param_groups:
                group["lr"] = RATE * max(0.02, 1 - share)
            loss = error(start[rows] + network(inputs[rows]), true[rows])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            step += 1
            if step % 500 == 0:
                log.info("step %d: %.2f mm", step, 1000 * float(loss.detach()))
    network.eval()
    return step


def train_refinement(
    decoder: ShapeDecoder, numbers: Tensor, minutes: float, seed: int = 0
) -> tuple[Refinement, int]:
    """Step C for a decoder, from the numbers of bodies ``(N, K)``; the steps it took."""
    torch.manual_seed(seed)
    seen = draw_measured(decoder, numbers, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        parts = [
            (start := decoder.projected(lengths, widths), decoder.features(lengths, widths, start))
            for lengths, widths in zip(
                seen.lengths.split(_CHUNK), seen.widths.split(_CHUNK), strict=True
            )
        ]
    start, features = (torch.cat(column) for column in zip(*parts, strict=True))
    model = Refinement(components=COMPONENTS)
    steps = fit_network(model, features, start, numbers, vertex_error(decoder), minutes)
    return model, steps


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``python -m engine.bodies.shape_training``."""
    parser = argparse.ArgumentParser(prog="engine.bodies.shape_training", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="file of the weights")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    body = load_builtin_body()
    decoder = ShapeDecoder(body)
    stream = torch.Generator().manual_seed(options.seed)
    numbers = decoder.space.numbers_of(random_shapes(body, options.samples, stream))
    model, steps = train_refinement(decoder, numbers, options.minutes, options.seed)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    about = {"steps": steps, "samples": options.samples, "seed": options.seed}
    save_refinement(model, options.out, {"training": about})


if __name__ == "__main__":
    main()
