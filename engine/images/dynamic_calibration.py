"""What a fine-tuned dynamic network computes when told what, measured on whole sampling runs."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from engine.images.dynamic_dit import DynamicConfig, DynamicDiT, Economy
from engine.images.dynamic_files import write_dynamic
from engine.images.generators import LatentGenerator
from engine.images.generators.class_labels import label_denoiser
from engine.images.generators.networks import Network
from engine.images.routes import Arithmetic, RouteLog
from engine.images.sheets import clean_state
from engine.model_recognition import DYNAMIC_FILE
from engine.training_run import averaged_weights

log = logging.getLogger("triptych.training")

GUIDANCE = 2.5
CALIBRATION_PROMPTS = 16
CALIBRATION_TOLD = (0.33, 0.36, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)


def sampled(
    model: LatentGenerator,
    network: Network,
    caption: str,
    seed: int,
    steps: int = 30,
    on_step: Callable[[RouteLog], None] = lambda log: None,
) -> tuple[Tensor, RouteLog]:
    """Clean state ``(1, C, h, w)`` of one DDIM run at the usual guidance, and what it computed."""
    condition = model.condition(caption, None)
    predict = label_denoiser(network, model.schedule, model.prediction, GUIDANCE, condition)
    routes = predict.routes
    assert routes is not None, "a DiT's arithmetic is known"
    return clean_state(model, predict, seed, steps, lambda: on_step(routes)), routes


def measured_curve(model: LatentGenerator, network: DynamicDiT) -> list[tuple[float, float]]:
    """Pairs (told, computed share of the blocks) on sampling runs of random captions, ascending."""
    rng = random.Random(0)
    captions = rng.sample(sorted(text for text, _ in model.vocabulary.captions), CALIBRATION_PROMPTS)
    curve: list[tuple[float, float]] = []
    for told in CALIBRATION_TOLD:
        counted = Arithmetic()
        for seed, caption in enumerate(captions):
            _, log_of_run = sampled(model, Network(network, Economy(ratio=told)), caption, seed)
            counted = counted + log_of_run.total
        share = counted.block_macs / counted.static_block_macs
        log.info("told %.2f: computes %.4f", told, share)
        if not curve or share > curve[-1][1]:
            curve.append((told, share))
    return curve


def export(model: LatentGenerator, folder: Path, groups: int) -> None:
    """Write the moving average of a finished or running fine-tuning for the generator's folder."""
    network = DynamicDiT(model.model.config, DynamicConfig(groups, told_ratio=True)).eval()
    network.load_state_dict(averaged_weights(folder / "dynamic"))
    network.requires_grad_(False)
    write_dynamic(network, folder / DYNAMIC_FILE, measured_curve(model, network))
