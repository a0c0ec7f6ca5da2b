"""How good a dynamic generator's pictures are beside a static control trained for as many steps.

``python -m engine.images.dynamic_evaluation --data DIR --run DIR --out FILE``

``--run`` is the folder of :mod:`engine.images.dynamic_training`. For each network: KID x 1000 between
the training pictures and samples of random captions, several sets of seeds, in the features of the
classifier of :mod:`engine.images.evaluation`; the v-loss on fixed noise, which has no sampling noise;
the RMS difference from the control's picture of the same seed; the share of the arithmetic by step.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import statistics
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.images.dit import DiT
from engine.images.dynamic_calibration import GUIDANCE, sampled
from engine.images.dynamic_dit import Economy
from engine.images.dynamic_files import read_told_dynamic, told_for
from engine.images.dynamic_training import training_set
from engine.images.evaluation import (
    PictogramClassifier,
    kernel_distance,
    random_captions,
    trained_classifier,
)
from engine.images.generators import LatentGenerator
from engine.images.generators.networks import Network
from engine.images.latents import TrainingSet, diffusion_loss
from engine.images.pictograms import Pictograms, load_pictograms
from engine.images.routes import Arithmetic
from engine.images.sheets import save_sheet
from engine.model_recognition import DYNAMIC_FILE
from engine.training_run import averaged_weights
from engine.weights import find_model

log = logging.getLogger("triptych.evaluation")

SHARES = (0.7, 0.5, 0.4)
CURVE_STEPS = 10


def networks(model: LatentGenerator, run: Path) -> dict[str, Network]:
    """The shipped static network, the control, and the dynamic one at each share."""
    control = DiT(model.model.config).eval().requires_grad_(False)
    control.load_state_dict(averaged_weights(run / "control"))
    found = {"static": Network(model.model), "control": Network(control)}
    dynamic, curve = read_told_dynamic(run / DYNAMIC_FILE, model.model.config)
    dynamic.requires_grad_(False)
    found["complete"] = Network(dynamic, Economy(complete=True))
    for share in SHARES:
        told = told_for(share, curve, "The network")
        found[f"dynamic {share:.0%}"] = Network(dynamic, Economy(ratio=told))
    return found


def samples(
    model: LatentGenerator, network: Network, captions: list[tuple[str, str | None]], seed: int
) -> tuple[Tensor, Arithmetic]:
    """Pictures ``(n, 3, S, S)`` in [-1, 1], seeds counted up from ``seed``, and what they took."""
    pictures, counted = [], Arithmetic()
    for place, (text, _) in enumerate(captions):
        x_0, routes = sampled(model, network, text, seed + place)
        pictures.append(model.decode(x_0)[0].clamp(-1, 1))
        counted = counted + routes.total
    return torch.stack(pictures), counted


@torch.no_grad()
def losses(network: Network, things: TrainingSet, held_out: bool) -> float:
    """v-loss at 8 fixed times of up to 304 pictures each with fixed noise."""
    rows = torch.from_numpy(things.data.rows(held_out=held_out, toned=False))
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(1))[:304]]

    def predict(x: Tensor, t: Tensor, y: Tensor, words: Tensor) -> Tensor:
        return network(x, t, y, words, network.log(1))

    errors = [diffusion_loss(predict, *part) for part in things.fixed(rows)]
    return torch.cat(errors).mean().item()


def shares_by_step(model: LatentGenerator, network: Network, captions: list[str]) -> list[float]:
    """Share of the blocks' arithmetic at each of ten steps of a run, from noise to picture."""
    computed, full = [0.0] * CURVE_STEPS, [0.0] * CURVE_STEPS
    for seed, text in enumerate(captions):
        seen = [Arithmetic()]
        sampled(model, network, text, seed, CURVE_STEPS, lambda routes: seen.append(routes.total))  # noqa: B023
        for step, (before, after) in enumerate(itertools.pairwise(seen)):
            computed[step] += after.block_macs - before.block_macs
            full[step] += after.static_block_macs - before.static_block_macs
    return [round(part / whole, 3) for part, whole in zip(computed, full, strict=True)]


def evaluate(
    model: LatentGenerator, data: Pictograms, run: Path, sets: int, count: int, out: Path
) -> dict[str, Any]:
    """All figures by network; sample sheets beside ``out``."""
    judge: PictogramClassifier = trained_classifier(data, run / "classifier.safetensors")
    things = training_set(model, data, run)
    with torch.no_grad():
        train = data.pixels(data.rows(held_out=False, toned=False))
        reference = torch.cat([judge.features(part) for part in train.split(64)])
    found: dict[str, Any] = {}
    control: Tensor | None = None
    for name, network in sorted(networks(model, run).items(), key=lambda item: item[0] != "control"):
        distances, counted = [], Arithmetic()
        for number in range(sets):
            captions = random_captions(data, count, 100 + number)
            pictures, took = samples(model, network, captions, 10_000 * (number + 1))
            counted = counted + took
            with torch.no_grad():
                features = torch.cat([judge.features(part) for part in pictures.split(64)])
            distances.append(kernel_distance(reference, features))
            if number == 0:
                first = pictures
                save_sheet(pictures[:64], 8, out.with_name(f"{name.replace(' ', '-')}.png"))
        control = first if control is None else control
        apart = (first - control).square().mean(dim=(1, 2, 3)).sqrt()
        found[name] = {
            "kid": round(statistics.mean(distances), 2),
            "kid_by_set": [round(distance, 2) for distance in distances],
            "v_loss_training": round(losses(network, things, held_out=False), 4),
            "v_loss_held_out": round(losses(network, things, held_out=True), 4),
            "rms_from_control": round(float(apart.mean()), 4),
            **counted.to_json(),
            "share_by_step": shares_by_step(model, network, [c for c, _ in captions[:8]]),
        }
        log.info("%s %s", name, json.dumps(found[name]))
    return {
        "sampler": "ddim",
        "steps": 30,
        "guidance": GUIDANCE,
        "sets": sets,
        "count": count,
    } | found


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``python -m engine.images.dynamic_evaluation``."""
    parser = argparse.ArgumentParser(prog="engine.images.dynamic_evaluation", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the pictogram files")
    parser.add_argument("--run", type=Path, required=True, help="folder of the fine-tuning")
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the figures")
    parser.add_argument("--sets", type=int, default=3, help="sets of captions and seeds")
    parser.add_argument("--count", type=int, default=128, help="pictures in each")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    model = LatentGenerator(find_model("builtin"), "cpu")
    data = load_pictograms(options.data)
    figures = evaluate(model, data, options.run, options.sets, options.count, options.out)
    options.out.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
