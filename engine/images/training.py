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
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from engine.images.autoencoder import Autoencoder, AutoencoderConfig
from engine.images.dit import DiT, DiTConfig
from engine.images.generators import LatentGenerator
from engine.images.latents import LatentSet, TrainingSet, diffusion_loss, encode_all
from engine.images.pictograms import Pictograms, load_pictograms, move_and_scale
from engine.images.sheets import SHEET_PROMPTS, sample, save_sheet
from engine.images.vocabulary import Vocabulary
from engine.training_run import Run, averaged_weights
from engine.weights import inspect_model

log = logging.getLogger("triptych.training")

SHEET_EVERY_SECONDS = 600.0

TRANSFORMER_PRESETS: dict[str, dict[str, Any]] = {
    "small": {"hidden_size": 256, "depth": 6, "num_heads": 4},
    "large": {"hidden_size": 384, "depth": 12, "num_heads": 6},
}


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
