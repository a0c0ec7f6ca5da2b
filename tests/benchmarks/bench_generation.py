"""Pictures a second by batch size, and the parts of one picture's time.

Run by hand from the repository: ``python tests/benchmarks/bench_generation.py``. Prints one JSON
line. Every round times all batch sizes one after another, so that a busy machine slows them alike;
figures are medians over the rounds, ``ratio`` is pictures a second against batch 1 of the same run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from engine.device import describe, resolve
from engine.images.generators import Generator, initial_noise, load_generator
from engine.images.params import DdimParams
from engine.images.samplers import ddim
from engine.images.schedule import make_grid
from engine.weights import find_model

BATCHES = (1, 8, 32)
STEPS = 50
ROUNDS = 5
GUIDANCE = 2.5


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def picture(generator: Generator, batch: int) -> torch.Tensor:
    """A batch of pictures by DDIM with guidance, decoded."""
    condition = generator.condition("red heart", None)
    noise, _ = initial_noise(range(batch), generator.latent_shape(None, None), STEPS, with_steps=False)
    x_0 = ddim(
        generator.denoiser(condition, GUIDANCE),
        noise.double().to(generator.device),
        make_grid(generator.schedule, STEPS),
        (),
        DdimParams(),
        lambda done, total, clean: None,
    )
    return generator.decode(x_0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    name = resolve(parser.parse_args().device)
    device = describe()
    generator = load_generator(find_model("builtin"), name)
    latent = torch.randn(1, *generator.latent_shape(None, None), device=name)
    picture(generator, 1)
    per_picture: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    decode = []
    for _ in range(ROUNDS):
        for batch in BATCHES:
            per_picture[batch].append(seconds(lambda b=batch: picture(generator, b)) / batch)
        decode.append(seconds(lambda: generator.decode(latent)))
    alone = statistics.median(per_picture[1])
    rows = [
        {
            "batch": batch,
            "pictures_per_second": round(1 / statistics.median(times), 3),
            "ratio": round(alone / statistics.median(times), 2),
            "seconds_per_picture_min_max": [round(min(times), 3), round(max(times), 3)],
        }
        for batch, times in per_picture.items()
    ]
    result = {
        "machine": device["device_name"],
        "device": name,
        "threads": torch.get_num_threads(),
        "steps": STEPS,
        "guidance": GUIDANCE,
        "rows": rows,
        "decode_ms": round(1000 * statistics.median(decode), 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
