"""Training of the built-in backbone: ``python -m engine.adapt.backbone_training --data DIR --out DIR``.

Two views of one thing are drawn together, views of different things apart (supervised contrastive
learning, Khosla et al. 2020), and a linear layer says what kind of thing it is. Half of the patches
are left out at random, another half for each view (Li et al. 2023, FLIP): twice as fast, and nothing
can be learnt from one place alone. Resumable; ``--export`` writes the averaged weights.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from engine.adapt.backbone import CONFIG, SIDE
from engine.adapt.backbone_data import SHARES, WALK_FRAMES, Batch, Picture, Things, walking_people
from engine.adapt.vit import ViT
from engine.training_run import Run, averaged_weights

log = logging.getLogger("triptych.training")

BATCH = 128
KEPT_PATCHES = 0.5
PROJECTED = 128
TEMPERATURE = 0.1
KIND_WEIGHT = 0.3
RATE, DECAY = 1e-3, 0.05
PEOPLE = 400
EVALUATE_EVERY = 250


class Pretraining(nn.Module):
    """The backbone with the two heads that only its training needs."""

    def __init__(self, kinds: int) -> None:
        super().__init__()
        self.backbone = ViT(CONFIG)
        width = CONFIG.width
        self.project = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, PROJECTED))
        self.kind = nn.Linear(width, kinds)

    def forward(self, x: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures ``(B, 3, S, S)`` and the patches ``(B, n)`` to look at: unit vectors, logits."""
        tokens = self.backbone.embed(x)
        index = torch.cat([kept.new_zeros(len(kept), 1), kept + 1], 1)
        tokens = tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[2]))
        for block in self.backbone.blocks:
            tokens = block(tokens)
        features = self.backbone.pool(tokens)
        return F.normalize(self.project(features).float(), dim=1), self.kind(features).float()


def contrastive_loss(first: Tensor, second: Tensor, things: Tensor) -> Tensor:
    """Mean negative log-likelihood of the views of the same thing among all others.

    Parameters
    ----------
    first, second
        Unit vectors ``(N, d)`` of two views of each thing.
    things
        ``(N,)``: equal numbers are one thing.
    """
    vectors, same_thing = torch.cat([first, second]), torch.cat([things, things])
    logits = vectors @ vectors.T / TEMPERATURE
    itself = torch.eye(len(vectors), dtype=torch.bool)
    log_chance = logits.masked_fill(itself, -torch.inf).log_softmax(1)
    positive = (same_thing[:, None] == same_thing[None]) & ~itself
    return -(log_chance.masked_fill(~positive, 0).sum(1) / positive.sum(1)).mean()


def random_patches(count: int, stream: torch.Generator) -> Tensor:
    """Which patches are looked at, ``(count, n)``."""
    kept = round(KEPT_PATCHES * CONFIG.patches)
    return torch.rand(count, CONFIG.patches, generator=stream).argsort(1)[:, :kept]


@torch.no_grad()
def found_again(backbone: ViT, batch: Batch) -> float:
    """Share of the things whose second view is nearest to the first, among all second views."""
    first, second = (F.normalize(backbone.features(side), dim=1) for side in batch.pictures)
    nearest = batch.things[(first @ second.T).argmax(1)]
    return float((nearest == batch.things).float().mean())


def train(things: Things, folder: Path, minutes: float) -> Run:
    """Train for a time; evaluates on things that are never trained on."""
    torch.manual_seed(0)
    model = Pretraining(len(things.kind_names))
    optimiser = torch.optim.AdamW(model.parameters(), RATE, betas=(0.9, 0.98), weight_decay=DECAY)
    device = torch.device("cpu")
    run = Run(folder, minutes, device, model, [optimiser], decay=0.998, hold=0.3, floor=0.02)
    rng = np.random.default_rng([1, run.clock.step])
    stream = torch.Generator().manual_seed(run.clock.step)
    fixed = {sort: things.draw(100, np.random.default_rng(2), True, sort) for sort in SHARES}
    for step in run.steps(BATCH):
        batch = things.draw(BATCH, rng)
        patches = random_patches(2 * BATCH, stream)
        with torch.autocast("cpu", torch.bfloat16):
            vectors, kinds = model(batch.pictures.flatten(0, 1), patches)
        contrast = contrastive_loss(vectors[:BATCH], vectors[BATCH:], batch.things)
        kind = F.cross_entropy(kinds, torch.cat([batch.kinds, batch.kinds]))
        run.apply(contrast + KIND_WEIGHT * kind, list(model.parameters()))
        if step % EVALUATE_EVERY == EVALUATE_EVERY - 1:
            averaged = run.average.module.backbone
            assert isinstance(averaged, ViT)
            found = {sort: found_again(averaged, views) for sort, views in fixed.items()}
            run.record(contrast=contrast.item(), kind=kind.item(), **found)
    return run


def export(folder: Path, path: Path) -> None:
    """Write the averaged backbone as float16."""
    weights = averaged_weights(folder)
    prefix = "backbone."
    kept = {k.removeprefix(prefix): v.half() for k, v in weights.items() if k.startswith(prefix)}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(kept, path, {"format": "triptych-backbone"})


def people_of(folder: Path, count: int) -> list[list[Picture]]:
    """Crops of walking people, rendered once and kept in the folder of the training."""
    path = folder / "people.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(path, crops=np.array(walking_people(count, 3)))
    with np.load(path) as file:
        crops = file["crops"].reshape(-1, WALK_FRAMES, SIDE, SIDE, 3)
    return [list(person) for person in crops]


def main(arguments: list[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="engine.adapt.backbone_training", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the pictogram files")
    parser.add_argument("--out", type=Path, required=True, help="folder of the training")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--export", type=Path, help="file to write the weights to; trains no further")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if options.export is None:
        train(Things(options.data, people_of(options.out, PEOPLE)), options.out, options.minutes)
    else:
        export(options.out, options.export)


if __name__ == "__main__":
    main()
