"""What trainings share: a clock, a moving average, learning rates, saving and resuming."""

from __future__ import annotations

import copy
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

log = logging.getLogger("triptych.training")

SAVE_EVERY_SECONDS = 300.0
WARM_UP_STEPS = 100


@dataclass
class Clock:
    """How far a run is; what resuming needs besides tensors."""

    step: int = 0
    pictures: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


class MovingAverage:
    """Exponential moving average of a module's parameters, ramped up from nothing."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move towards the current parameters by one step."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for average, value in zip(self.module.parameters(), module.parameters(), strict=True):
            average.lerp_(value, 1 - decay)


def learning_rate_factor(step: int, share: float, hold: float, floor: float) -> float:
    """Warm-up over the first steps, constant until ``hold`` of the time, then linear to ``floor``."""
    warm = min(1.0, (step + 1) / WARM_UP_STEPS)
    decay = 1.0 if share < hold else 1 - (1 - floor) * min(1.0, (share - hold) / (1 - hold))
    return warm * decay


class Run:
    """The part all trainings share: device, clock, learning rates, saving and resuming."""

    def __init__(
        self,
        folder: Path,
        minutes: float,
        device: torch.device,
        module: nn.Module,
        optimisers: list[torch.optim.Optimizer],
        decay: float,
        hold: float,
        floor: float,
        total_steps: int | None = None,
    ) -> None:
        self.total_steps = total_steps
        self.folder, self.minutes, self.device = folder, minutes, device
        self.module, self.optimisers = module, optimisers
        self.hold, self.floor = hold, floor
        self.average = MovingAverage(module, decay)
        self.clock = Clock()
        self.base_rates = [[g["lr"] for g in o.param_groups] for o in optimisers]
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "state.safetensors").exists():
            self._resume()

    def steps(self, batch: int) -> Iterator[int]:
        """Yield step numbers until all is spent, keeping the clock and saving on the way.

        What is spent is the time, or the steps where their number was given.
        """
        saved = time.monotonic()
        while (share := self._spent()) < 1:
            started = time.monotonic()
            factor = learning_rate_factor(self.clock.step, share, self.hold, self.floor)
            for optimiser, rates in zip(self.optimisers, self.base_rates, strict=True):
                for group, rate in zip(optimiser.param_groups, rates, strict=True):
                    group["lr"] = rate * factor
            yield self.clock.step
            self.clock.step += 1
            self.clock.pictures += batch
            self.average.update(self.module, self.clock.step)
            if time.monotonic() - saved > SAVE_EVERY_SECONDS:
                self.save()
                saved = time.monotonic()
            self.clock.seconds += time.monotonic() - started
        self.save()

    def _spent(self) -> float:
        if self.total_steps is not None:
            return self.clock.step / self.total_steps
        return self.clock.seconds / (self.minutes * 60)

    def apply(self, loss: Tensor, clip: list[nn.Parameter]) -> None:
        """One optimiser step on a loss, with the gradient norm of ``clip`` limited to 1."""
        loss.backward()
        nn.utils.clip_grad_norm_(clip, 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    def record(self, **figures: float) -> None:
        """Append figures to the history and the log."""
        minutes = self.clock.seconds / 60
        row = {"minutes": round(minutes, 2), "pictures": float(self.clock.pictures), **figures}
        self.clock.history.append(row)
        log.info(" ".join(f"{k}={v:.4g}" for k, v in row.items()))

    def save(self) -> None:
        """Write the state to a temporary file, then rename: a kill leaves the previous state."""
        tensors = {f"model.{k}": v for k, v in self.module.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self.average.module.state_dict().items()}
        for index, optimiser in enumerate(self.optimisers):
            for name, values in optimiser.state_dict()["state"].items():
                for key, value in values.items():
                    tensors[f"optimiser{index}.{name}.{key}"] = torch.as_tensor(value)
        target = self.folder / "state.safetensors"
        partial = target.with_suffix(".partial")
        clock = json.dumps(vars(self.clock))
        save_file({k: v.contiguous() for k, v in tensors.items()}, partial, {"clock": clock})
        partial.replace(target)

    def _resume(self) -> None:
        with safe_open(self.folder / "state.safetensors", "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            self.clock = Clock(**json.loads(file.metadata()["clock"]))
        self.module.load_state_dict(_with_prefix(tensors, "model."))
        self.average.module.load_state_dict(_with_prefix(tensors, "ema."))
        for index, optimiser in enumerate(self.optimisers):
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in _with_prefix(tensors, f"optimiser{index}.").items():
                name, _, entry = key.partition(".")
                state.setdefault(int(name), {})[entry] = value
            optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
        log.info("resumed at step %d, %.1f min", self.clock.step, self.clock.seconds / 60)


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def averaged_weights(folder: Path) -> dict[str, Tensor]:
    """The moving average in the state of a finished or running training."""
    with safe_open(folder / "state.safetensors", "pt") as file:
        tensors = {k: file.get_tensor(k) for k in file.keys() if k.startswith("ema.")}  # noqa: SIM118
    return _with_prefix(tensors, "ema.")
