"""Training of the reward encoder: ``python -m engine.images.rewards.encoder_training``.

Pictures and their words are drawn together by a symmetric contrastive loss (Radford et al. 2021)
with a learned temperature; pictures of one family do not repel one another. Beside that a linear
classifier learns the pictograms' classes. Noise and blur on half of the pictures make the gradients
worth following away from clean pictures. The weights with the best held-out recall are kept.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from engine.images.rewards.encoder import FORMAT, Encoder, EncoderConfig, read_encoder
from engine.images.rewards.encoder_data import (
    EncoderData,
    kept_words,
    load_encoder_data,
    training_words,
)
from engine.training_run import Run

log = logging.getLogger("triptych.training")

BATCH = 128
KEEP_WORD = 0.7
KEEP_OWN_VECTOR = 0.8
CLASS_WEIGHT = 0.3
EVALUATE_EVERY = 60


def contrastive_loss(images: Tensor, texts: Tensor, families: Tensor, temperature: Tensor) -> Tensor:
    """Symmetric cross entropy of unit vectors ``(B, d)``; same ``families (B,)`` never repel."""
    logits = images @ texts.T / temperature
    same = (families[:, None] == families[None]) & ~torch.eye(len(families), dtype=torch.bool)
    logits = logits.masked_fill(same, -torch.inf)
    truth = torch.arange(len(families))
    return (F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)) / 2


def text_rows(
    model: Encoder, data: EncoderData, rows: NDArray[np.int64], draws: np.random.Generator
) -> list[list[int]]:
    """Rows of the text table: each word in 70 %, its own vector in 80 % of these."""
    result: list[list[int]] = []
    for row in rows:
        result.append([])
        for word in kept_words(data.words[row], draws, KEEP_WORD):
            own, letters = model.word_rows(word)
            with_own = own is not None and draws.random() < KEEP_OWN_VECTOR
            result[-1] += [own, *letters] if with_own and own is not None else letters
    return result


@torch.no_grad()
def recall_at_10(
    model: Encoder,
    data: EncoderData,
    queries: NDArray[np.int64],
    pool: NDArray[np.int64],
    keywords: bool,
) -> float:
    """Share of ``queries`` whose text finds its own picture among the first 10 of ``pool``."""
    texts = [
        " ".join(data.words[row][: None if keywords else data.caption_lengths[row]]) for row in queries
    ]
    pictures = torch.cat([model.embed_images(data.on_white(part)) for part in _parts(pool)])
    likeness = model.embed_texts(texts) @ pictures.T
    place = {row: index for index, row in enumerate(pool)}
    own = torch.tensor([place[row] for row in queries])
    better = (likeness > likeness.gather(1, own[:, None])).sum(dim=1)
    return (better < 10).float().mean().item()


@torch.no_grad()
def shift_triples(model: Encoder, data: EncoderData, rows: NDArray[np.int64], seed: int = 0) -> float:
    """Share of triples in which a moved copy is nearer than another picture of the same class."""
    draws = np.random.default_rng(seed)
    right, total = 0, 0
    for row in rows:
        others = rows[(data.labels[rows] == data.labels[row]) & (rows != row)]
        if not len(others):
            continue
        picture, other = data.on_white(np.array([row])), data.on_white(draws.choice(others, 1))
        down, across = draws.integers(-3, 4, 2)
        moved = picture.roll((int(down), int(across)), (2, 3))
        maps, near, far = (model.image.features(x) for x in (picture, moved, other))
        right += int(model.distance(maps, near).item() < model.distance(maps, far).item())
        total += 1
    return right / total


def _parts(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [rows[start : start + 128] for start in range(0, len(rows), 128)]


@torch.no_grad()
def figures(model: Encoder, data: EncoderData) -> dict[str, float]:
    """What the model card says of held-out pictograms of which no other skin tone was trained on."""
    pictograms = (data.labels >= 0) & ~data.toned
    seen = np.isin(data.families, data.families[~data.held_out])
    held_out = np.flatnonzero(pictograms & data.held_out & ~seen)
    everything = np.flatnonzero(pictograms)
    guessed = torch.cat([model.classify(data.on_white(part)).argmax(1) for part in _parts(held_out)])
    right = guessed.numpy() == data.labels[held_out]
    return {
        "held_out_pictures": len(held_out),
        "recall_at_10": round(recall_at_10(model, data, held_out, held_out, True), 3),
        "recall_at_10_caption_only": round(recall_at_10(model, data, held_out, held_out, False), 3),
        "recall_at_10_chance": round(10 / len(held_out), 3),
        "pool_pictures": len(everything),
        "recall_at_10_in_pool": round(recall_at_10(model, data, held_out, everything, True), 3),
        "recall_at_10_in_pool_caption_only": round(
            recall_at_10(model, data, held_out, everything, False), 3
        ),
        "recall_at_10_in_pool_chance": round(10 / len(everything), 4),
        "shifted_nearer_than_same_class": round(shift_triples(model, data, held_out), 3),
        "class_accuracy_held_out": round(float(right.mean()), 3),
    }


def train(data: EncoderData, folder: Path, minutes: float, batch: int = BATCH) -> Run:
    """Train for a time; ``folder`` gets the run's state and the best weights so far."""
    torch.manual_seed(0)
    rows = np.flatnonzero(~data.held_out)
    config = EncoderConfig(training_words(data, rows), data.class_names)
    model = Encoder(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.05)
    device = torch.device("cpu")
    run = Run(folder, minutes, device, model, [optimiser], decay=0.99, hold=0.4, floor=0.02)
    chance = data.chance[rows] / data.chance[rows].sum()
    draws = np.random.default_rng(run.clock.step)
    generator = torch.Generator().manual_seed(run.clock.step)
    pictograms = (data.labels >= 0) & ~data.toned
    queries, pool = np.flatnonzero(pictograms & data.held_out), np.flatnonzero(pictograms)
    best = max((row["score"] for row in run.clock.history), default=0.0)
    mean_loss = 0.0
    for step in run.steps(batch):
        picked = draws.choice(rows, batch, p=chance)
        pictures = data.draw(picked, generator).contiguous(memory_format=torch.channels_last)
        raw = model.image(pictures)
        texts = F.normalize(model.text(text_rows(model, data, picked, draws)), dim=1)
        families = torch.from_numpy(data.families[picked])
        temperature = model.log_temperature.exp().clamp(min=0.01)
        loss = contrastive_loss(F.normalize(raw, dim=1), texts, families, temperature)
        labels = torch.from_numpy(data.labels[picked])
        told = F.cross_entropy(model.classifier(raw), labels, ignore_index=-1, label_smoothing=0.1)
        run.apply(loss + CLASS_WEIGHT * told, list(model.parameters()))
        mean_loss = loss.item() if step == 0 else 0.98 * mean_loss + 0.02 * loss.item()
        if step % EVALUATE_EVERY == EVALUATE_EVERY - 1:
            average = run.average.module
            assert isinstance(average, Encoder)
            found = recall_at_10(average, data, queries, pool, True)
            # The mean of a strict and a lenient question: 76 pictures alone are a coarse measure.
            score = (found + recall_at_10(average, data, queries, queries, True)) / 2
            run.record(loss=mean_loss, classes=told.item(), held_out_recall=found, score=score)
            if score > best:
                best = score
                save(average, folder / "best", run)
    return run


def save(model: Encoder, folder: Path, run: Run) -> None:
    """Write what :func:`engine.images.rewards.encoder.read_encoder` reads, in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.detach().half().contiguous() for key, value in model.state_dict().items()}
    save_file(tensors, folder / "encoder.safetensors")
    about: dict[str, Any] = {
        "format": FORMAT,
        "version": 1,
        **model.config.to_json(),
        "training": {
            "seed": 0,
            "steps": run.clock.step + 1,
            "pictures": run.clock.pictures,
            "minutes": round(run.clock.seconds / 60, 1),
            "history": run.clock.history,
        },
    }
    (folder / "encoder.json").write_text(json.dumps(about), encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``python -m engine.images.rewards.encoder_training``."""
    parser = argparse.ArgumentParser(prog="engine.images.rewards.encoder_training", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data files")
    parser.add_argument("--out", type=Path, required=True, help="folder of the training")
    parser.add_argument("--minutes", type=float, default=30.0, help="time budget")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: torch's choice)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if options.threads:
        torch.set_num_threads(options.threads)
    data = load_encoder_data(options.data)
    train(data, options.out, options.minutes)
    found = figures(read_encoder(options.out / "best"), data)
    (options.out / "best" / "figures.json").write_text(json.dumps(found, indent=1) + "\n")
    log.info(json.dumps(found))


if __name__ == "__main__":
    main()
