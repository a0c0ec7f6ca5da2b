"""Rounds and time: sequential, Picard, ParaTAA as published, and ours.

Run by hand: ``python tests/benchmarks/bench_parallel.py [--device cuda] [--quick]``.
Prints a line of JSON for each case. Every case runs all methods one after another on the same noise,
and compares each with the sequential run of the same case. ``solver_share`` is the time outside the
network. With a GPU, the same rounds are timed on a network of the size of DiT-XL/2 (random weights:
what it costs, not what it draws).

``--golden FOLDER`` runs the reference cases of golden/parataa instead: recorded rounds against ours.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import Tensor

from engine.device import describe, resolve
from engine.images.comparison import difference
from engine.images.dit import DiT, DiTConfig
from engine.images.generators import Generator, initial_noise, load_generator
from engine.images.parallel import ParallelSolver
from engine.images.parallel_rows import Place, RowEvaluator
from engine.images.parallel_state import cold_start
from engine.images.params import ParataaParams
from engine.images.parataa import settings_of, solve_sequentially, system_of
from engine.images.samplers import Denoiser
from engine.weights import find_model

GUIDANCE = 3.0
PROMPTS = (("red heart", 7), ("grinning cat", 3))
CASES = ((25, 0.0), (50, 0.0), (100, 0.0), (100, 1.0))
METHODS = {
    "picard": {"method": "picard"},
    "published, m=2": {"method": "published"},
    "published, m=3": {"method": "published", "memory": 3},
    "ours": {"method": "auto"},
}


class Stopwatch:
    """A denoiser whose time is counted."""

    def __init__(self, denoiser: Denoiser, device: str) -> None:
        self._denoiser, self._device = denoiser, device
        self.seconds = 0.0

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        started = time.perf_counter()
        eps = self._denoiser(x, t)
        if self._device.startswith("cuda"):
            torch.cuda.synchronize(self._device)
        self.seconds += time.perf_counter() - started
        return eps


def run(generator: Generator, denoiser: Denoiser, device: str, steps: int, eta: float, seed: int):
    """All methods on one case; yields a row each, the sequential run first."""
    shape = generator.latent_shape(None, None)
    grid = generator.grid(steps, "model")
    pure, drawn = initial_noise([seed], shape, steps, eta > 0)
    x_T = pure.flatten().to(device, torch.float64)
    noise = drawn[:, 0].flatten(1).to(device) if eta else None
    watch = Stopwatch(denoiser, device)
    rows = 16 if device == "cpu" else steps
    evaluate = RowEvaluator([Place(watch, device, rows)], grid, shape)

    def timed(work):
        watch.seconds = 0.0
        started = time.perf_counter()
        result = work()
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        total = time.perf_counter() - started
        return result, total, 1 - watch.seconds / total

    plain = system_of(ParataaParams(eta=eta, method="picard"), grid)
    start = cold_start(plain, x_T, noise)
    states, sequential, share = timed(lambda: solve_sequentially(evaluate, plain, noise, start))
    picture = generator.decode(states[:1].view(-1, *shape))
    case = {"steps": steps, "eta": eta, "seed": seed}
    yield {**case, "method": "sequential", "rounds": steps, "evaluations": steps,
           "seconds": round(sequential, 3), "solver_share": round(share, 4)}  # fmt: skip
    for name, settings in METHODS.items():
        params = ParataaParams.model_validate({"eta": eta, **settings})
        system = system_of(params, grid)
        solver = ParallelSolver(
            evaluate,
            grid,
            system,
            settings_of(params, steps, x_T.numel()),
            [] if noise is None else [noise],
            [cold_start(system, x_T, noise)],
        )

        def finish(solver: ParallelSolver = solver) -> None:
            while not solver.done:
                solver.round()

        _, seconds, share = timed(finish)
        solved = solver.pictures[0]
        decoded = generator.decode(solved.states[:1].view(-1, *shape))
        yield {
            **case,
            "method": name,
            "rounds": solved.rounds,
            "evaluations": solved.evaluations,
            "seconds": round(seconds, 3),
            "times_sequential": round(seconds / sequential, 2),
            "solver_share": round(share, 4),
            "picture_rms": difference(decoded, picture)["rms"],
        }


def xl_cost(device: str, rounds: int, evaluations: int, steps: int) -> dict[str, object]:
    """What as many rounds cost on a network of DiT-XL/2's size, against its sequential run."""
    config = DiTConfig(32, 2, 4, 1152, 28, 16, 1000, learn_sigma=True)
    model = DiT(config).to(device, torch.bfloat16).eval().requires_grad_(False)

    def seconds(rows: int) -> float:
        x = torch.randn(2 * rows, 4, 32, 32, device=device, dtype=torch.bfloat16)
        t = torch.full((2 * rows,), 500.0, device=device)
        y = torch.zeros(2 * rows, dtype=torch.long, device=device)
        times = []
        with torch.no_grad():
            for _ in range(5):
                torch.cuda.synchronize(device)
                started = time.perf_counter()
                model(x, t, y)
                torch.cuda.synchronize(device)
                times.append(time.perf_counter() - started)
        return min(times[1:])

    single, batch = seconds(1), seconds(max(1, evaluations // rounds))
    return {
        "network": "DiT-XL/2, bfloat16, random weights",
        "rows_a_round": evaluations // rounds,
        "sequential_seconds": round(single * steps, 3),
        "parallel_seconds": round(batch * rounds, 3),
        "times_faster": round(single * steps / (batch * rounds), 2),
    }


def golden_rows(folder: Path):
    """Recorded rounds of the reference and ours, at the same tolerance, with the errors."""
    from tests.engine.images.references import FILES, read

    for name in FILES:
        data, grid, denoiser = read(folder.parent, name)
        steps, eta = len(grid), float(data["eta"])
        noise = torch.from_numpy(data["noise"]).double().flatten(1)
        own = noise[:-1] if eta else None
        params = ParataaParams(eta=eta)
        system = system_of(params, grid)
        evaluate = RowEvaluator([Place(denoiser, "cpu", steps)], grid, (3, 8, 8))
        settings = settings_of(params, steps, noise.shape[1])
        start = cold_start(system, noise[-1], own)
        solver = ParallelSolver(evaluate, grid, system, settings, [] if own is None else [own], [start])
        while not solver.done:
            solver.round()
        answer = torch.from_numpy(data["x0_seq"]).flatten()
        wide = (data["settings"][:, 2] == steps) & (data["settings"][:, 3] == 1e-3)
        published = wide & (data["settings"][:, 0] == steps) & (data["settings"][:, 1] == 2)
        yield {
            "case": name,
            "published_rounds": int(data["rounds"][published][0]),
            "published_rms": float(data["x0_rms_err"][published][0]),
            "best_recorded_rounds": int(data["rounds"][wide].min()),
            "our_rounds": solver.pictures[0].rounds,
            "our_rms": float((solver.pictures[0].states[0] - answer).square().mean().sqrt()),
            "published_evaluations": int(data["nfe"][published][0]),
            "our_evaluations": solver.pictures[0].evaluations,
        }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--quick", action="store_true", help="one prompt, T = 25 only")
    parser.add_argument("--golden", type=Path, help="the folder golden/parataa")
    options = parser.parse_args()
    if options.golden is not None:
        for row in golden_rows(options.golden):
            print(json.dumps(row), flush=True)
        return
    device = resolve(options.device)
    about = describe()
    print(json.dumps({"machine": about["device_name"], "threads": torch.get_num_threads()}), flush=True)
    generator = load_generator(find_model("builtin"), device)
    for steps, eta in CASES[:1] if options.quick else CASES:
        for prompt, seed in PROMPTS[:1] if options.quick else PROMPTS:
            denoiser = generator.denoiser(generator.condition(prompt, None), GUIDANCE)
            for row in run(generator, denoiser, device, steps, eta, seed):
                if device.startswith("cuda") and row["method"] == "ours":
                    row |= xl_cost(device, row["rounds"], row["evaluations"], steps)
                print(json.dumps({"prompt": prompt, **row}), flush=True)


if __name__ == "__main__":
    main()
