"""Seconds and memory of an alignment step, with and without checkpointing, and gain a minute.

Run by hand: ``python tests/benchmarks/bench_alignment.py [--device cuda] [--quick]``.
Prints a line of JSON for each case. Every case is a process of its own, whose peak memory is that of
the process (CPU) or of torch (GPU), less what it held before the first step. ``naive`` keeps all
activations. With a GPU a network of the size of DiT-XL/2 is measured too (random weights, 32 x 32
latents, guided: what it costs, not what it draws).
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import Tensor

from engine.device import describe, resolve
from engine.images.alignment import Aligner
from engine.images.alignment_noise import ActiveNoise, PictureNoise
from engine.images.alignment_sampling import Recipe, StepByStep
from engine.images.alignment_state import AlignSettings, AlignState
from engine.images.dit import DiT, DiTConfig
from engine.images.generators import load_generator
from engine.images.generators.class_labels import LabelCondition, label_denoiser
from engine.images.generators.networks import Network
from engine.images.params import DdpmParams
from engine.images.rewards.mix import RewardMix
from engine.images.rewards.params import RewardTerm
from engine.images.rewards.protocol import RewardContext, from_decoded
from engine.images.rewards.scales import builtin_scales
from engine.images.schedule import make_grid, make_schedule
from engine.weights import find_model

GUIDANCE = 2.5
STEPS = (10, 25, 50)
XL = DiTConfig(
    input_size=32, patch_size=2, in_channels=4, hidden_size=1152, depth=28, num_heads=16,
    num_classes=1000,
)  # fmt: skip


def held(device: str) -> int:
    """Peak bytes so far."""
    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def recipe_of(model: str, steps: int, device: str) -> tuple[Recipe, tuple[int, int, int]]:
    """How a model makes pictures, and the shape of its states."""
    state = torch.empty(0, dtype=torch.float64, device=device)
    if model == "builtin":
        generator = load_generator(find_model("builtin"), device)
        denoiser = generator.denoiser(generator.condition("red heart", None), GUIDANCE)
        grid = generator.grid(steps, "model")
        shape = generator.latent_shape(None, None)

        def decode(states: Tensor) -> Tensor:
            return from_decoded(generator.decode_with_gradient(states))
    else:
        schedule = make_schedule("linear")
        network = Network(DiT(XL).requires_grad_(False).to(device, torch.bfloat16))
        denoiser = label_denoiser(network, schedule, "eps", GUIDANCE, LabelCondition(label=1))
        grid, shape = make_grid(schedule, steps), (4, 32, 32)

        def decode(states: Tensor) -> Tensor:
            return from_decoded(states[:, :3].float())

    return Recipe(denoiser.with_gradient, decode, grid, DdpmParams(), state), shape


def measure(model: str, steps: int, naive: bool, device: str, rounds: int) -> dict[str, object]:
    """One case, in this process."""
    torch.set_num_threads(1)
    recipe, shape = recipe_of(model, steps, device)
    noise = PictureNoise.of_seed(0, shape, steps, with_steps=True)
    active = ActiveNoise.choose(steps, True, None)
    pictures = StepByStep(recipe, noise, active, keep_activations=naive)
    term = RewardTerm(name="brightness", options={"ceiling": False})
    mix = RewardMix([term], RewardContext(device=device), builtin_scales())
    z = active.take(noise).to(device)
    # A picture without gradient first, so that weights and kernels are there.
    with torch.no_grad():
        pictures(z)
    before = held(device)
    aligner = Aligner(pictures, mix, AlignSettings(gamma=0.3), AlignState.begin(z))
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        report = aligner.advance()
        seconds.append(time.perf_counter() - started)
    history = aligner.state.history
    gained = report.terms["brightness"] - history[0]["terms"]["brightness"]
    return {
        "model": model,
        "sampling_steps": steps,
        "checkpointing": not naive,
        "seconds_a_step": round(statistics.median(seconds), 3),
        "peak_MiB": round((held(device) - before) / 2**20, 1),
        "brightness_a_minute": round(60 * gained / sum(seconds), 4),
        "status": report.seen.status,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true", help="two steps a case instead of six")
    parser.add_argument("--case", nargs=3, metavar=("MODEL", "STEPS", "NAIVE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    device = resolve(options.device)
    rounds = 2 if options.quick else 6
    if options.case:
        model, steps, naive = options.case
        print(json.dumps(measure(model, int(steps), naive == "True", device, rounds)))
        return
    print(json.dumps({"machine": describe()["device_name"], "device": device, "rounds": rounds}))
    for model in ("builtin", *(("dit-xl",) if device.startswith("cuda") else ())):
        for steps in STEPS:
            for naive in (False, True):
                own = [sys.executable, __file__, "--device", device]
                own += ["--quick"] if options.quick else []
                case = subprocess.run(
                    [*own, "--case", model, str(steps), str(naive)],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                failed = {"model": model, "sampling_steps": steps, "checkpointing": not naive}
                tail = case.stderr.strip().splitlines()[-1:] or ["killed"]
                print(
                    case.stdout.strip() or json.dumps({**failed, "failed": tail[0][:200]}), flush=True
                )


if __name__ == "__main__":
    main()
