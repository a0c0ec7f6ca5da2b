"""Training of the built-in generator: ``python -m engine.images.training STAGE --data DIR --out DIR``.

Two stages, each resumable from its folder (weights, moving average, optimiser, clock):

``autoencoder``
    128 px pictures to 16 x 16 x 4 latents and back; L1 + edges + a small KL term.
``transformer``
    Caption- and class-conditional DiT on those latents; v-prediction, cosine schedule (Salimans &
    Ho 2022), Muon for the matrices inside the blocks, AdamW for the rest.

The second stage keeps writing a ``snapshot`` folder that the application loads, and sample sheets of
fixed prompts and noise, every ten minutes. Step sizes follow
the share of the ``--minutes`` already spent, so a run on a slower machine sees fewer pictures but
anneals all the same; state is saved every five minutes and a run that is started again with the
same folder goes on.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from engine.images.autoencoder import Autoencoder, AutoencoderConfig
from engine.images.dit import DiT, DiTConfig
from engine.images.generators import LatentGenerator
from engine.images.latents import LatentSet, TrainingSet, diffusion_loss, encode_all
from engine.images.pictograms import Pictograms, load_pictograms, move_and_scale
from engine.images.sheets import SHEET_PROMPTS, sample, save_sheet
from engine.images.vocabulary import Vocabulary
from engine.weights import inspect_model

log = logging.getLogger("triptych.training")

SAVE_EVERY_SECONDS = 300.0
SHEET_EVERY_SECONDS = 600.0
WARM_UP_STEPS = 100

TRANSFORMER_PRESETS: dict[str, dict[str, Any]] = {
    "small": {"hidden_size": 256, "depth": 6, "num_heads": 4},
    "large": {"hidden_size": 384, "depth": 12, "num_heads": 6},
}


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


def _edges(images: Tensor) -> Tensor:
    """Sobel responses ``(B, 6, S, S)`` of RGB pictures."""
    kernel = torch.tensor([[1.0, 2, 1], [0, 0, 0], [-1, -2, -1]], device=images.device) / 4
    filters = torch.stack([kernel, kernel.T]).repeat(3, 1, 1).unsqueeze(1)
    return F.conv2d(images, filters, padding=1, groups=3)


def peak_signal_to_noise(a: Tensor, b: Tensor) -> Tensor:
    """PSNR in dB of each picture; ``a``, ``b`` are ``(B, 3, S, S)`` in [-1, 1], clipped first."""
    error = (a.clamp(-1, 1) - b.clamp(-1, 1)).square().mean(dim=(1, 2, 3)) / 4
    return -10 * error.clamp(min=1e-10).log10()


def train_autoencoder(
    data: Pictograms, folder: Path, minutes: float, device: torch.device, batch: int = 16
) -> Run:
    """First stage. Logs held-out PSNR of the averaged weights; see the module's text."""
    torch.manual_seed(0)
    model = Autoencoder(AutoencoderConfig(decoder_widths=(128, 96, 48)))
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(model.parameters(), 2e-3, betas=(0.9, 0.99), weight_decay=1e-4)
    run = Run(folder, minutes, device, model, [optimiser], decay=0.999, hold=0.5, floor=0.03)
    rows = data.rows(held_out=False)
    # Skin-tone variants differ in colour only: a fifth of the draws of the others is plenty.
    chance = np.where(data.tone[rows] > 0, 0.2, 1.0)
    chance /= chance.sum()
    held_out = data.pixels(data.rows(held_out=True, toned=False)).to(device)
    parameters = list(model.parameters())
    draws = np.random.default_rng(run.clock.step)
    torch.manual_seed(run.clock.step)
    generator = torch.Generator().manual_seed(run.clock.step)
    for step in run.steps(batch):
        images = data.pixels(draws.choice(rows, batch, p=chance))
        images = move_and_scale(images, 8.0, (0.85, 1.1), generator)
        if step % 2:
            images = images.flip(3)
        images = images.to(device, memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16):
            decoded, mean, log_variance = model(images)
        decoded, mean, log_variance = decoded.float(), mean.float(), log_variance.float()
        pixel = F.l1_loss(decoded, images)
        edge = F.l1_loss(_edges(decoded), _edges(images))
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        run.apply(pixel + 0.5 * edge + 1e-3 * divergence, parameters)
        if step % 200 == 199:
            with torch.no_grad():
                network = run.average.module
                rebuilt = network.decode(network.encode(held_out)[0])  # type: ignore[operator]
            run.record(
                l1=pixel.item(),
                edges=edge.item(),
                kl=divergence.item(),
                held_out_psnr=peak_signal_to_noise(rebuilt, held_out).mean().item(),
            )
            save_sheet(torch.cat([held_out[:16], rebuilt[:16]]), 8, folder / "sheet.png")
    return run


def train_transformer(
    data: Pictograms,
    autoencoder: Autoencoder,
    folder: Path,
    minutes: float,
    device: torch.device,
    preset: str = "small",
    batch: int = 64,
    views: int = 4,
) -> Run:
    """Second stage. Logs the training loss and the held-out loss of the averaged weights."""
    vocabulary = data.vocabulary()
    latents = encode_all(data, autoencoder, device, views)
    things = TrainingSet(data, latents, vocabulary)
    config = DiTConfig(
        input_size=autoencoder.config.latent_size,
        patch_size=2,
        in_channels=autoencoder.config.latent_channels,
        num_classes=len(data.class_names),
        num_words=len(vocabulary.words),
        **TRANSFORMER_PRESETS[preset],
    )
    torch.manual_seed(0)
    model = DiT(config).to(device)
    matrices = [
        p for n, p in model.named_parameters() if "blocks." in n and p.ndim == 2 and "adaLN" not in n
    ]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if p.requires_grad and id(p) not in chosen]
    muon = torch.optim.Muon(matrices, lr=0.02, momentum=0.95, weight_decay=0.01)
    adam = torch.optim.AdamW(others, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.0)
    run = Run(folder, minutes, device, model, [muon, adam], decay=0.9985, hold=0.6, floor=0.02)
    generator = torch.Generator().manual_seed(1 + run.clock.step)
    mean_loss, sheet_at = 0.0, time.monotonic()
    for step in run.steps(batch):
        clean, labels, words = things.draw(batch, generator)
        at = (torch.arange(batch) + torch.rand(batch, generator=generator)) / batch
        noise = torch.randn(clean.shape, generator=generator)
        inputs = [tensor.to(device) for tensor in (clean, at, noise, labels, words)]
        with torch.autocast(device.type, torch.bfloat16):
            loss = diffusion_loss(model, *inputs).mean()
        run.apply(loss, others)
        mean_loss = loss.item() if step == 0 else 0.99 * mean_loss + 0.01 * loss.item()
        if step % 200 == 199:
            run.record(
                loss=mean_loss,
                held_out=held_out_loss(run.average.module, things, device),
            )
        if time.monotonic() - sheet_at > SHEET_EVERY_SECONDS:
            sheet_at = time.monotonic()
            take_snapshot(run, autoencoder, latents, vocabulary)
    take_snapshot(run, autoencoder, latents, vocabulary)
    return run


def take_snapshot(
    run: Run, autoencoder: Autoencoder, latents: LatentSet, vocabulary: Vocabulary
) -> None:
    """Save what was learnt so far as a model folder, and a sheet of what it draws."""
    folder = run.folder / "snapshot"
    save_transformer(run, autoencoder, latents, vocabulary, folder)
    generator = LatentGenerator(inspect_model(folder), str(run.device))
    known: list[tuple[str, str | None]] = [(text, None) for text in SHEET_PROMPTS]
    pictures = sample(generator, known, list(range(len(known))), steps=20, guidance=2.5)
    save_sheet(pictures, 8, run.folder / f"sheet-{run.clock.pictures:08d}.png")


@torch.no_grad()
def held_out_loss(network: Callable[..., Tensor], things: TrainingSet, device: torch.device) -> float:
    """v-loss on the untoned held-out pictures at 8 fixed times each, with fixed noise."""
    rows = torch.from_numpy(things.data.rows(held_out=True, toned=False))
    with torch.autocast(device.type, torch.bfloat16):
        parts = [
            diffusion_loss(network, *(tensor.to(device) for tensor in part))
            for part in things.fixed(rows)
        ]
    return torch.cat(parts).mean().item()


def save_transformer(
    run: Run, autoencoder: Autoencoder, latents: LatentSet, vocabulary: Vocabulary, folder: Path
) -> None:
    """Write a folder the application loads: float16 weights and ``generator.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, module in (("autoencoder", autoencoder), ("transformer", run.average.module)):
        tensors = {k: v.detach().half().contiguous().cpu() for k, v in module.state_dict().items()}
        save_file(tensors, folder / f"{name}.safetensors")
    description = {
        "format": "triptych-generator",
        "version": 1,
        "autoencoder": autoencoder.config.to_json(),
        "transformer": run.average.module.config.to_json(),  # type: ignore[union-attr,operator]
        "latent_shift": latents.shift.tolist(),
        "latent_scale": latents.scale.tolist(),
        "schedule": "cosine_v",
        "prediction": "v",
        "vocabulary": vocabulary.to_json(),
        "training": {
            "steps": run.clock.step,
            "pictures": run.clock.pictures,
            "minutes": round(run.clock.seconds / 60, 1),
            "history": run.clock.history,
        },
    }
    (folder / "generator.json").write_text(json.dumps(description), encoding="utf-8")


def load_autoencoder(folder: Path) -> Autoencoder:
    """The averaged autoencoder of a finished or running first stage."""
    model = Autoencoder(AutoencoderConfig(decoder_widths=(128, 96, 48)))
    model.load_state_dict(averaged_weights(folder))
    return model.eval()


def averaged_weights(folder: Path) -> dict[str, Tensor]:
    """The moving average in the state of a finished or running training."""
    with safe_open(folder / "state.safetensors", "pt") as file:
        tensors = {k: file.get_tensor(k) for k in file.keys() if k.startswith("ema.")}  # noqa: SIM118
    return _with_prefix(tensors, "ema.")


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``python -m engine.images.training``."""
    parser = argparse.ArgumentParser(prog="engine.images.training", description=__doc__)
    parser.add_argument("stage", choices=["autoencoder", "transformer"])
    parser.add_argument("--data", type=Path, required=True, help="folder of the pictogram files")
    parser.add_argument("--out", type=Path, required=True, help="folder of the whole training")
    parser.add_argument("--minutes", type=float, required=True, help="time budget of this stage")
    parser.add_argument("--preset", choices=sorted(TRANSFORMER_PRESETS), default="small")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: torch's choice)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = load_pictograms(options.data)
    if options.stage == "autoencoder":
        train_autoencoder(data, options.out / "autoencoder", options.minutes, device)
    else:
        autoencoder = load_autoencoder(options.out / "autoencoder")
        folder = options.out / "transformer"
        train_transformer(data, autoencoder, folder, options.minutes, device, options.preset)


if __name__ == "__main__":
    main()
