"""Training of neural inverse kinematics: ``python -m engine.bodies.niki_training``.

Recorded motion on random bodies, seen with the errors of :mod:`engine.bodies.joint_noise`. Everything
is drawn on the device in large numbers, so a GPU is kept busy; a CPU runs the same. Interrupted runs
go on from where they were saved.

Writes into the folder, for each network, ``NAME.safetensors`` (a moving average of the weights, half
precision), ``NAME.state.safetensors`` to go on from, and ``log.jsonl``.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.bodies.body_model import load_builtin_body
from engine.bodies.mocap import read_mocap
from engine.bodies.niki import Niki, NikiConfig, save_niki
from engine.bodies.niki_baseline import PlainNetwork, plain_losses
from engine.bodies.niki_data import PoseSource, batches, random_skeletons
from engine.bodies.niki_losses import WEIGHTS, TrainingBatch, losses, weighted

log = logging.getLogger("triptych.training")

SHARES = {"two_stage": 0.5, "one_stage": 0.35, "plain": 0.15}
"""Of the time, when all are trained."""

OUR_WEIGHTS = {**WEIGHTS, "joints": 4.0, "clean_joints": 4.0, "code_error": 1.0}
"""Joints are in metres: their error would count little beside rotations', yet it matters most."""

BODIES = 2048
DRAWN_AT_ONCE = 16
SAVE_EVERY_SECONDS = 60.0
TELL_EVERY_SECONDS = 10.0
WARM_UP_STEPS = 200
FLOOR = 0.02
AVERAGE_DECAY = 0.998

Losses = Callable[[Any, TrainingBatch], dict[str, Tensor]]


@dataclass
class Clock:
    """How far a run is."""

    step: int = 0
    samples: int = 0
    seconds: float = 0.0


class Run:
    """One network's training: optimiser, moving average, rate by the share of time spent, state."""

    def __init__(
        self, module: nn.Module, state: Path, minutes: float, rate: float, device: torch.device
    ) -> None:
        self.module = module.to(device)
        self.average = copy.deepcopy(self.module).eval().requires_grad_(False)
        self.state, self.seconds, self.rate = state, 60 * minutes, rate
        self.optimiser = torch.optim.Adam(self.module.parameters(), rate, fused=device.type == "cuda")
        self.clock = Clock()
        if state.exists():
            self._resume(device)

    @property
    def share(self) -> float:
        """Of the time that is spent."""
        return self.clock.seconds / self.seconds

    def apply(self, loss: Tensor, samples: int) -> None:
        """One step: gradient norm at most 1, rate warmed up and then falling in a line."""
        factor = min(1.0, (self.clock.step + 1) / WARM_UP_STEPS)
        factor *= FLOOR + (1 - FLOOR) * max(0.0, 1 - self.share)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * factor
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        self.optimiser.step()
        self.clock.step += 1
        self.clock.samples += samples
        decay = min(AVERAGE_DECAY, (1 + self.clock.step) / (10 + self.clock.step))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.average.parameters()), list(self.module.parameters()), 1 - decay
            )

    def save(self) -> None:
        """Write what going on needs; a kill leaves the previous state."""
        tensors = {f"model.{key}": value for key, value in self.module.state_dict().items()}
        tensors |= {f"average.{key}": value for key, value in self.average.state_dict().items()}
        for name, values in self.optimiser.state_dict()["state"].items():
            tensors |= {f"adam.{name}.{key}": torch.as_tensor(value) for key, value in values.items()}
        partial = self.state.with_suffix(".partial")
        whole = {key: value.cpu().contiguous() for key, value in tensors.items()}
        save_file(whole, partial, {"clock": json.dumps(vars(self.clock))})
        partial.replace(self.state)

    def _resume(self, device: torch.device) -> None:
        with safe_open(self.state, "pt") as file:
            tensors = {key: file.get_tensor(key).to(device) for key in file.keys()}  # noqa: SIM118
            self.clock = Clock(**json.loads(file.metadata()["clock"]))
        self.module.load_state_dict(_below(tensors, "model."))
        self.average.load_state_dict(_below(tensors, "average."))
        known: dict[int, dict[str, Tensor]] = {}
        for key, value in _below(tensors, "adam.").items():
            name, _, entry = key.partition(".")
            known.setdefault(int(name), {})[entry] = value
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": known})
        log.info("goes on at step %d, %.0f s", self.clock.step, self.clock.seconds)


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def network(name: str, config: NikiConfig) -> tuple[nn.Module, Losses]:
    """A network of :data:`SHARES` and its losses; the plain one as large as that of ``config``."""
    if name == "plain":
        like = sum(parameter.numel() for parameter in Niki(config).parameters())
        # Two square layers, and about 530 numbers in and out for each row.
        return PlainNetwork(round((like / 2 + 133**2) ** 0.5 - 133)), plain_losses
    return Niki(replace(config, stages=2 if name == "two_stage" else 1)), losses


def train(
    name: str,
    source: PoseSource,
    folder: Path,
    minutes: float,
    batch: int,
    rate: float = 1e-3,
    seed: int = 0,
    config: NikiConfig | None = None,
) -> nn.Module:
    """Train one network for a time; returns the moving average.

    Parameters
    ----------
    name
        Of :data:`SHARES`.
    source
        On the device to train on.
    folder
        For weights, state and log.
    minutes
        Including those of the run that is gone on with.
    batch, rate, seed
        Samples a step; Adam's rate at its height; of weights and samples.
    config
        Sizes; its stages are as ``name`` says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    device = source.poses.device
    module, wanted = network(name, config or NikiConfig())
    run = Run(module, folder / f"{name}.state.safetensors", minutes, rate, device)
    stream = torch.Generator(device).manual_seed(seed + run.clock.step)
    saved = told = started = time.monotonic()
    before = run.clock.seconds
    for samples in batches(source, batch, stream, DRAWN_AT_ONCE):
        if run.share >= 1:
            break
        found = wanted(run.module, samples)
        run.apply(weighted(found, OUR_WEIGHTS), batch)
        now = time.monotonic()
        run.clock.seconds = before + now - started
        if now - told > TELL_EVERY_SECONDS:
            told = now
            _tell(folder, name, run.clock, found)
        if now - saved > SAVE_EVERY_SECONDS:
            saved = now
            run.save()
    run.save()
    write_weights(
        run, name, folder, {"batch": batch, "rate": rate, "seed": seed, "device": device.type}
    )
    return run.average


def _tell(folder: Path, name: str, clock: Clock, found: Mapping[str, Tensor]) -> None:
    figures = {key: round(float(value.detach()), 5) for key, value in found.items()}
    row = {"network": name, **vars(clock), **figures}
    with (folder / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    log.info("%s step %d: %s", name, clock.step, figures)


def write_weights(run: Run, name: str, folder: Path, about: Mapping[str, Any]) -> None:
    """Write the moving average for use."""
    path = folder / f"{name}.safetensors"
    told = {"training": {**vars(run.clock), **about}}
    if isinstance(run.average, Niki):
        save_niki(run.average, path, told)
    else:
        tensors = {k: v.half().cpu().contiguous() for k, v in run.average.state_dict().items()}
        save_file(tensors, path, {key: json.dumps(value) for key, value in told.items()})


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``python -m engine.bodies.niki_training``."""
    parser = argparse.ArgumentParser(prog="engine.bodies.niki_training", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="NPZ of recorded motion")
    parser.add_argument("--out", type=Path, required=True, help="folder of the training")
    parser.add_argument("--minutes", type=float, default=30.0, help="for all networks together")
    parser.add_argument("--networks", default=",".join(SHARES), help="which, separated by commas")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: torch's choice)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.set_float32_matmul_precision("high")
    body = load_builtin_body()
    rest = body.rest(torch.zeros(1, body.shape_size)).joints[0]
    poses = read_mocap(options.data, rest).training
    rests = random_skeletons(body, BODIES, torch.Generator().manual_seed(options.seed))
    source = PoseSource(poses, rests).to(torch.device(options.device))
    names = options.networks.split(",")
    whole = sum(SHARES[name] for name in names)
    config = NikiConfig(blocks=options.blocks, width=options.width)
    for name in names:
        minutes = options.minutes * SHARES[name] / whole
        train(name, source, options.out, minutes, options.batch, options.rate, options.seed, config)


if __name__ == "__main__":
    main()
