"""What alignment wins on the built-in generator, with the guard off, as published, and ours.

Run by hand from the repository: ``python tests/benchmarks/study_alignment.py [--seeds 20] [--guards
soft off] [--rewards brightness ...]``; takes minutes a picture on a CPU. Prints a line of JSON for
each picture, and a summary for each reward and guard. Gains are in standard deviations of un-aligned
pictures of the same prompt; ``density`` is the model's own opinion, in standard deviations too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from engine.artifacts import ArtifactStore
from engine.device import resolve
from engine.errors import EngineError
from engine.images.generators import initial_noise, load_generator
from engine.images.params import DdimParams
from engine.images.rewards.mix import RewardMix
from engine.images.rewards.params import RewardTerm
from engine.images.rewards.protocol import RewardContext, from_decoded
from engine.images.rewards.scales import RAW
from engine.images.samplers import ddim
from engine.job import Failed, JobSpec, Measured, Output
from engine.runner import run_job
from engine.weights import find_model

PROMPTS = ("red heart", "grinning cat", "blue car", "green tree", "house")
REWARDS = {
    "brightness": {"name": "brightness", "options": {"ceiling": False}},
    "colourfulness": {"name": "colourfulness", "options": {"ceiling": False}},
    "jpeg_size": {"name": "jpeg_size", "weight": -1.0, "options": {"ceiling": False}},
}
GUARDS: dict[str, dict[str, Any]] = {
    "off": {"guard": "off", "stop_at_red": True},
    "published": {"guard": "soft", "step_share": 0.0},
    "soft": {"guard": "soft"},
    "strict": {"guard": "strict"},
}
PRIOR = 32


def prior(
    prompts: list[str], steps: int, eta: float, guidance: float, device: str
) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and standard deviation of each reward over un-aligned pictures, by prompt."""
    generator = load_generator(find_model("builtin"), device)
    found: dict[str, dict[str, tuple[float, float]]] = {}
    terms = [RewardTerm.model_validate({**term, "weight": 0.0}) for term in REWARDS.values()]
    with RewardMix(terms, RewardContext(device=device), RAW) as mix:
        for prompt in prompts:
            condition = generator.condition(prompt, None)
            shape = generator.latent_shape(None, None)
            noise, kicks = initial_noise(range(900, 900 + PRIOR), shape, steps, eta > 0)
            x_0 = ddim(
                generator.denoiser(condition, guidance),
                noise.double().to(device),
                generator.grid(steps, "model"),
                kicks.to(device),
                DdimParams(eta=eta),
                lambda done, total, clean: None,
            )
            _, raw = mix.total(from_decoded(generator.decode(x_0)), clipped=True)
            found[prompt] = {key: (float(v.mean()), float(v.std())) for key, v in raw.items()}
    return found


def pictures(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Align each and say what became of it."""
    known = prior(
        options.prompts, options.sampling_steps, options.eta, options.guidance, options.device
    )
    print(json.dumps({"prior": known}), flush=True)
    for guard in options.guards:
        for reward in options.rewards:
            for prompt in options.prompts:
                yield from aligned(options, prompt, reward, guard, known[prompt][reward])


def aligned(
    options: argparse.Namespace, prompt: str, reward: str, guard: str, usual: tuple[float, float]
) -> Iterator[dict[str, Any]]:
    """The pictures of one prompt with one reward and one guard."""
    count = max(1, options.seeds // len(PROMPTS))
    params = {
        "picture": {
            "prompt": prompt,
            "count": count,
            "steps": options.sampling_steps,
            "guidance": options.guidance,
            "sampler": {"name": "ddim", "eta": options.eta},
        },
        "rewards": [REWARDS[reward]],
        "steps": options.steps,
        "lr": options.lr,
        "neighbours": options.neighbours,
        "store_every": 1,
        "stop_at_red": False,
        "preview_every": 0,
        **GUARDS[guard],
    }
    if options.gamma is not None and guard != "off":
        params["gamma"] = options.gamma
    events: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        store = ArtifactStore(Path(folder))
        spec = JobSpec("images.align", params, seed=0, device=options.device)
        run_job(spec, "study", store, events.append, lambda: False)
        if isinstance(events[-1], Failed):
            raise EngineError.from_json(events[-1].error.to_json())
        outputs = [event for event in events if isinstance(event, Output)]
        if options.keep is not None:
            options.keep.mkdir(exist_ok=True, parents=True)
            for seed, output in enumerate(outputs):
                name = f"{reward}-{guard}-{prompt.replace(' ', '-')}-{seed}.png"
                (options.keep / name).write_bytes(store.read(output.artifact))
    points = [event.values for event in events if isinstance(event, Measured)]
    sign = -1 if REWARDS[reward].get("weight", 1.0) < 0 else 1
    for seed, output in enumerate(outputs):
        about, own = output.manifest["align"], [p for p in points if p["image"] == seed]
        values = about["rewards"][reward]
        yield {
            "reward": reward,
            "guard": guard,
            "seed": seed,
            "prompt": prompt,
            "gain": round(sign * (values["after"] - values["before"]) / usual[1], 3),
            "gain_at_end": round(sign * (own[-1]["terms"][reward] - values["before"]) / usual[1], 3),
            "status": about["status"],
            "ends": own[-1]["status"],
            "log10_p": about["log10_p"],
            "log10_p_step": about["log10_p_step"],
            "red_from": next((p["step"] for p in own if p["status"] == "red"), None),
            "best_step": about["best_step"],
            "density": about["density"],
            "seconds": about["seconds"],
        }


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--sampling-steps", type=int, default=10)
    parser.add_argument("--eta", type=float, default=1.0)
    parser.add_argument("--guidance", type=float, default=2.5)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--gamma", type=float)
    parser.add_argument("--neighbours", type=int, default=16)
    parser.add_argument("--keep", type=Path, help="folder for the pictures")
    parser.add_argument("--guards", nargs="+", default=["soft", "off"], choices=list(GUARDS))
    parser.add_argument("--rewards", nargs="+", default=list(REWARDS), choices=list(REWARDS))
    parser.add_argument("--prompts", nargs="+", default=list(PROMPTS), choices=PROMPTS)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    options.device = resolve(options.device)
    torch.set_num_threads(1)
    rows = []
    for row in pictures(options):
        rows.append(row)
        print(json.dumps(row), flush=True)
    for reward in options.rewards:
        for guard in options.guards:
            own = [row for row in rows if (row["reward"], row["guard"]) == (reward, guard)]
            summary = {
                "summary": f"{reward}, {guard}",
                "pictures": len(own),
                "gain": round(statistics.mean(row["gain"] for row in own), 3),
                "gain_at_end": round(statistics.mean(row["gain_at_end"] for row in own), 3),
                "kept_red": sum(row["status"] == "red" for row in own),
                "kept_amber": sum(row["status"] == "amber" for row in own),
                "turned_red": sum(row["red_from"] is not None for row in own),
                "density": round(statistics.mean(row["density"]["after"] for row in own), 2),
                "density_at_best": round(
                    statistics.mean(row["density"].get("best", row["density"]["after"]) for row in own),
                    2,
                ),
                "seconds": round(statistics.mean(row["seconds"] for row in own), 1),
            }
            print(json.dumps(summary), flush=True)


if __name__ == "__main__":
    main()
