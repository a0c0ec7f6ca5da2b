"""Fine-tuning of the built-in generator into one that computes less.

``python -m engine.images.dynamic_training dynamic|control --data DIR --out DIR --steps N``, then
``... export --out DIR``, which measures what the network computes when told what, on whole sampling
runs, and writes ``DIR/dynamic.safetensors`` for the generator's folder.

One network for every share of the arithmetic: a batch has four parts, one computed completely and
three with shares drawn from 35 % to 90 %, which the routers are told (Zhao et al. 2025 train one
network a share). The loss is the diffusion loss of all, plus the arithmetic loss of each part, plus
ours: the reduced parts also follow the moving average of the same network computed completely, whose
prediction has none of the target's noise. ``control`` trains the static network for the same steps
with the same pictures and step sizes, for a fair comparison.

Resumable like :mod:`engine.images.training`: started again with the same folder it goes on.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engine.images.dit import DiT
from engine.images.dynamic_calibration import export
from engine.images.dynamic_conversion import dynamic_from_static
from engine.images.dynamic_costs import arithmetic_loss, computed_share
from engine.images.dynamic_dit import DynamicConfig, DynamicDiT, GumbelGates
from engine.images.generators import LatentGenerator
from engine.images.latents import LatentSet, TrainingSet, diffusion_loss, encode_all, noised
from engine.images.pictograms import Pictograms, load_pictograms
from engine.images.training import held_out_loss
from engine.training_run import Run
from engine.weights import find_model

log = logging.getLogger("triptych.training")

GROUPS = 16
"""Channel groups: finer than the 4 heads, so that the width can follow the wanted share."""

DRAWN_SHARES = ((0.35, 0.5), (0.45, 0.65), (0.6, 0.9))
"""Where the three reduced parts of a batch draw their share from."""

CHECKED_SHARES = (1.0, 0.7, 0.5, 0.4)
HELD_OPEN_STEPS = 100
VIEWS = 4


@dataclass(frozen=True)
class Recipe:
    """Step sizes and weights of a fine-tuning.

    Attributes
    ----------
    steps, batch
        Optimiser steps, pictures in each.
    anneal
        Share of the steps over which the target falls from 1 to what was drawn.
    follow
        Weight of following the complete network, against 1 - follow of the diffusion target.
    arithmetic
        Weight of the arithmetic loss: more than the 2 of the paper, which lets the share settle a few
        per cent above the target.
    places
        How much of a missing share the token routers are asked to leave out themselves: told 50 %, they
        keep 1 - 0.5 * places of the tokens. At 0, left to the arithmetic loss alone, the widths take
        all of it: a width gate is a constant of the time step and learns at once what pays.
    quiet
        With ``places``, the share of the steps after which token gates are decided without noise,
        which falls till then. Tokens of one picture differ by less than the noise's deviation (1.8):
        a network trained with it learns to bear places left out at random, and in use leaves out none.
    bias, router_rate
        The routers' first biases, and their step size as a multiple of the rest's: for short runs.
    """

    steps: int
    batch: int = 64
    muon: float = 0.005
    adam: float = 3e-4
    anneal: float = 0.2
    follow: float = 0.5
    arithmetic: float = 10.0
    places: float = 0.0
    quiet: float = 0.4
    bias: float = 3.0
    router_rate: float = 15.0


def training_set(model: LatentGenerator, data: Pictograms, folder: Path) -> TrainingSet:
    """Encode the pictures with the model's own autoencoder and scaling; kept in ``folder``."""
    shift, scale = model._shift.flatten().cpu(), model._scale.flatten().cpu()
    kept = folder / "latents.safetensors"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        found = encode_all(data, model.autoencoder, model.device, VIEWS)
        factor = (found.scale / scale)[:, None, None]
        move = ((found.shift - shift) / scale)[:, None, None]
        parts = {
            "mean": found.mean.float() * factor + move,
            "deviation": found.deviation.float() * factor,
        }
        save_file({k: v.half().contiguous() for k, v in parts.items()}, kept)
    stored = load_file(kept)
    latents = LatentSet(stored["mean"], stored["deviation"], shift, scale)
    return TrainingSet(data, latents, model.vocabulary)


def optimisers_of(
    model: nn.Module, recipe: Recipe
) -> tuple[list[torch.optim.Optimizer], list[nn.Parameter]]:
    """Muon for the matrices of the blocks, AdamW for the rest and, faster, for the routers."""
    routers, matrices, others = [], [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if any(part in name for part in ("_rate.", "token_selection.", "r_embedder.")):
            routers.append(parameter)
        elif "blocks." in name and parameter.ndim == 2 and "adaLN" not in name:
            matrices.append(parameter)
        else:
            others.append(parameter)
    groups = [{"params": others, "lr": recipe.adam}]
    if routers:
        groups.append({"params": routers, "lr": recipe.adam * recipe.router_rate})
    muon = torch.optim.Muon(matrices, lr=recipe.muon, momentum=0.95, weight_decay=0.0)
    adam = torch.optim.AdamW(groups, lr=recipe.adam, betas=(0.9, 0.999), weight_decay=0.0)
    return [muon, adam], [*others, *routers]


def annealed(step: int, target: float, recipe: Recipe) -> float:
    """The share asked for at a step: all for the first, then falling to the target."""
    if step < min(HELD_OPEN_STEPS, recipe.anneal * recipe.steps / 4):
        return 1.0
    return 1 - (1 - target) * min(1.0, step / max(1.0, recipe.anneal * recipe.steps))


def token_noise(step: int, recipe: Recipe) -> float:
    """How much noise the gates of tokens are decided with at a step."""
    if not recipe.places:
        return 1.0
    return max(0.0, 1 - step / max(1.0, recipe.quiet * recipe.steps))


def spread_times(batch: int, parts: int, generator: torch.Generator) -> Tensor:
    """Times ``(B,)`` in [0, 1], stratified within each of ``parts`` equal parts of the batch."""
    each = batch // parts
    steps = torch.arange(each).repeat(parts)
    return (steps + torch.rand(batch, generator=generator)) / each


def train_dynamic(model: LatentGenerator, things: TrainingSet, folder: Path, recipe: Recipe) -> Run:
    """Fine-tune one network for every share."""
    torch.manual_seed(0)
    network = dynamic_from_static(
        model.model, DynamicConfig(GROUPS, told_ratio=True), recipe.bias, recipe.bias
    ).requires_grad_(True)
    network.pos_embed.requires_grad_(False)
    optimisers, clipped = optimisers_of(network, recipe)
    run = Run(folder, 0, model.device, network, optimisers, 0.998, 0.4, 0.02, total_steps=recipe.steps)
    generator = torch.Generator().manual_seed(1 + run.clock.step)
    torch.manual_seed(1 + run.clock.step)
    drawn = torch.Generator().manual_seed(1001 + run.clock.step)
    parts = 1 + len(DRAWN_SHARES)
    each = recipe.batch // parts
    complete = torch.arange(recipe.batch) < each
    teacher = run.average.module
    assert isinstance(teacher, DynamicDiT)
    means: dict[str, float] = {}
    for step in run.steps(recipe.batch):
        clean, labels, words = things.draw(recipe.batch, generator)
        at = spread_times(recipe.batch, parts, generator)
        state, target = noised(clean, at, torch.randn(clean.shape, generator=generator))
        places = torch.rand(len(DRAWN_SHARES), generator=drawn).tolist()
        wanted = [
            low + place * (high - low) for (low, high), place in zip(DRAWN_SHARES, places, strict=True)
        ]
        ratio = torch.tensor([1.0, *wanted]).repeat_interleave(each)
        time_step = 1000 * at - 0.5
        tokens = GumbelGates(noise=token_noise(step, recipe))
        with torch.autocast(model.device.type, torch.bfloat16):
            output, gates = network.masked(
                state, time_step, labels, words, ratio=ratio, complete=complete,
                decide=GumbelGates(), decide_tokens=tokens,
            )  # fmt: skip
            with torch.no_grad():
                rest = slice(each, None)
                led, _ = teacher.masked(
                    state[rest], time_step[rest], labels[rest], words[rest],
                    complete=torch.ones(recipe.batch - each, dtype=torch.bool),
                )  # fmt: skip
        error = (output.float() - target).square().mean(dim=(1, 2, 3))
        distance = (output[rest].float() - led.float()).square().mean(dim=(1, 2, 3))
        mixed = torch.cat([error[:each], (1 - recipe.follow) * error[rest] + recipe.follow * distance])
        shares = computed_share(gates, network.config).split(each)[1:]
        asked = [annealed(step, share, recipe) for share in wanted]
        kept = torch.stack([gate.tokens.mean(1) for gate in gates]).mean(0).split(each)[1:]
        losses = [arithmetic_loss(s, a, recipe.arithmetic) for s, a in zip(shares, asked, strict=True)]
        if recipe.places:
            losses += [
                arithmetic_loss(k, 1 - recipe.places * (1 - a), recipe.arithmetic)
                for k, a in zip(kept, asked, strict=True)
            ]
        run.apply(mixed.mean() + torch.stack(losses).sum() / len(shares), clipped)
        figures = {
            "complete": error[:each].mean().item(),
            "reduced": error[rest].mean().item(),
            "distance": distance.mean().item(),
            "share_off": sum(s.mean().item() - a for s, a in zip(shares, asked, strict=True))
            / len(asked),
            "places": torch.cat(kept).mean().item(),
        }
        means = {k: 0.98 * means.get(k, v) + 0.02 * v for k, v in figures.items()}
        if step % 100 == 99:
            checked: dict[str, float] = {}
            if step % 500 == 499:
                for share in CHECKED_SHARES:
                    loss, reached = checked_loss(teacher, things, share)
                    checked |= {f"loss_{share}": loss, f"share_{share}": reached}
            run.record(**means, **checked)
    return run


def train_control(model: LatentGenerator, things: TrainingSet, folder: Path, recipe: Recipe) -> Run:
    """Train the static network on: same pictures, steps and step sizes."""
    torch.manual_seed(0)
    network = DiT(model.model.config)
    network.load_state_dict(model.model.state_dict())
    optimisers, clipped = optimisers_of(network, recipe)
    run = Run(folder, 0, model.device, network, optimisers, 0.998, 0.4, 0.02, total_steps=recipe.steps)
    generator = torch.Generator().manual_seed(1 + run.clock.step)
    mean = 0.0
    for step in run.steps(recipe.batch):
        clean, labels, words = things.draw(recipe.batch, generator)
        at = spread_times(recipe.batch, 1 + len(DRAWN_SHARES), generator)
        noise = torch.randn(clean.shape, generator=generator)
        with torch.autocast(model.device.type, torch.bfloat16):
            loss = diffusion_loss(network, clean, at, noise, labels, words).mean()
        run.apply(loss, clipped)
        mean = loss.item() if step == 0 else 0.98 * mean + 0.02 * loss.item()
        if step % 100 == 99:
            checked = (
                {"loss_1.0": checked_loss(run.average.module, things, 1.0)[0]}
                if step % 500 == 499
                else {}
            )
            run.record(loss=mean, **checked)
    return run


def checked_loss(network: nn.Module, things: TrainingSet, share: float) -> tuple[float, float]:
    """The held-out loss when told a share (1: everything is computed), and the share computed."""
    if not isinstance(network, DynamicDiT):
        return held_out_loss(network, things, next(network.parameters()).device), 1.0
    shares = []

    def predict(x: Tensor, t: Tensor, y: Tensor, words: Tensor) -> Tensor:
        ratio = torch.full((len(x),), share, device=x.device)
        output, gates = network.masked(x, t, y, words, ratio=ratio, complete=ratio == 1.0)
        shares.append(computed_share(gates, network.config))
        return output

    loss = held_out_loss(predict, things, network.pos_embed.device)
    return loss, torch.cat(shares).mean().item()


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``python -m engine.images.dynamic_training``."""
    parser = argparse.ArgumentParser(prog="engine.images.dynamic_training", description=__doc__)
    parser.add_argument("stage", choices=["dynamic", "control", "export"])
    parser.add_argument("--data", type=Path, help="folder of the pictogram files")
    parser.add_argument("--out", type=Path, required=True, help="folder of the whole training")
    parser.add_argument("--steps", type=int, default=2400, help="optimiser steps")
    parser.add_argument(
        "--places", type=float, default=0.0, help="part of a missing share that places leave out"
    )
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: torch's choice)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if options.threads:
        torch.set_num_threads(options.threads)
    model = LatentGenerator(find_model("builtin"), "cuda" if torch.cuda.is_available() else "cpu")
    if options.stage == "export":
        export(model, options.out, GROUPS)
        return
    if options.data is None:
        parser.error("training needs --data")
    things = training_set(model, load_pictograms(options.data), options.out)
    recipe = Recipe(options.steps, places=options.places)
    train = train_dynamic if options.stage == "dynamic" else train_control
    started = time.monotonic()
    run = train(model, things, options.out / options.stage, recipe)
    log.info("%d steps, %.1f min", run.clock.step, (time.monotonic() - started) / 60)
    (options.out / options.stage / "history.json").write_text(json.dumps(run.clock.history))


if __name__ == "__main__":
    main()
