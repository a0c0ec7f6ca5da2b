"""The same jobs on a CPU and on another device: how far their pictures are apart.

Run by hand: ``python tests/benchmarks/check_device.py [--device cuda]``. Prints a line of JSON a job.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from PIL import Image

from engine.artifacts import ArtifactStore
from engine.device import describe, resolve
from engine.errors import EngineError
from engine.job import Failed, JobSpec, Output
from engine.runner import run_job

HEART = {"prompt": "red heart", "steps": 25}
JOBS: dict[str, tuple[str, dict[str, Any]]] = {
    "DDIM": ("images.generate", HEART),
    "ParaTAA": ("images.generate", {**HEART, "sampler": {"name": "parataa"}}),
    "ParaTAA, eta 1": ("images.generate", {**HEART, "sampler": {"name": "parataa", "eta": 1.0}}),
    "half of the arithmetic": ("images.generate", {**HEART, "compute": 0.5}),
    "aligned, 3 steps": (
        "images.align",
        {
            "picture": {**HEART, "steps": 10, "sampler": {"name": "ddim", "eta": 1.0}},
            "rewards": [{"name": "brightness"}],
            "steps": 3,
        },
    ),
    "aligned, 3 steps, solved in parallel": (
        "images.align",
        {
            "picture": {**HEART, "steps": 10, "sampler": {"name": "parataa", "eta": 1.0}},
            "rewards": [{"name": "brightness"}],
            "steps": 3,
        },
    ),
    "aligned without gradient, 2 steps": (
        "images.align",
        {
            "picture": {**HEART, "steps": 6, "sampler": {"name": "ddim", "eta": 1.0}},
            "rewards": [{"name": "jpeg_size", "weight": -1.0}],
            "steps": 2,
            "neighbours": 4,
        },
    ),
}


def made(kind: str, params: dict[str, Any], device: str) -> tuple[np.ndarray, float]:
    """The picture, and seconds."""
    events: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        store = ArtifactStore(Path(folder))
        started = time.perf_counter()
        run_job(
            JobSpec(kind, params, seed=7, device=device), "check", store, events.append, lambda: False
        )
        seconds = time.perf_counter() - started
        if isinstance(events[-1], Failed):
            raise EngineError.from_json(events[-1].error.to_json())
        output = next(event for event in events if isinstance(event, Output))
        with Image.open(io.BytesIO(store.read(output.artifact))) as image:
            return np.asarray(image.convert("RGB")).astype(float), seconds


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    device = resolve(parser.parse_args().device)
    print(json.dumps({"machine": describe()["device_name"], "device": device}), flush=True)
    for name, (kind, params) in JOBS.items():
        row: dict[str, Any] = {"job": name}
        try:
            made(kind, params, device)  # loads the model and its kernels
            there, seconds = made(kind, params, device)
            here, _ = made(kind, params, "cpu")
            apart = np.abs(there - here)
            row |= {
                "seconds": round(seconds, 2),
                "rms_levels": round(float(np.sqrt((apart**2).mean())), 4),
                "largest_levels": float(apart.max()),
            }
        except Exception as error:
            row["failed"] = f"{type(error).__name__}: {error}"[:600]
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
