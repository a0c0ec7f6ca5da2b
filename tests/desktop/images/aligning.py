"""Alignments as the engine reports and leaves them, made up."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image
from safetensors.numpy import save

from engine.images.alignment_params import AlignParams
from engine.images.params import GenerateParams
from engine.job import JobSpec
from engine.project import Project
from tests.desktop.images.parallel import EDGE, add_picture

STEPS, SAMPLING_STEPS, NEVER = 10, 20, 10**6
REWARDS = [{"name": "brightness", "weight": 1.0}, {"name": "white_border", "weight": -3.0}]


def align_spec(seed: int = 5, prompt: str = "red heart", **params: Any) -> JobSpec:
    """A complete alignment job."""
    picture = GenerateParams(prompt=prompt, steps=SAMPLING_STEPS)
    values = {"picture": picture, "rewards": REWARDS, "steps": STEPS, **params}
    complete = AlignParams.model_validate(values).model_dump(mode="json")
    return JobSpec("images.align", complete, seed=seed)


def points(
    steps: int = STEPS, upto: int | None = None, red_from: int = NEVER
) -> Iterator[dict[str, Any]]:
    """Points of the series ``align``: rewards rise, the noise turns amber half-way, then red."""
    for step in range((steps if upto is None else upto) + 1):
        status = "red" if step >= red_from else "amber" if step > steps / 2 else "green"
        yield {
            "image": 0,
            "step": step,
            "steps": steps,
            "total": round(0.1 * step - 0.2, 6),
            "terms": {"brightness": 0.6 + 0.01 * step, "white_border": -0.01 * step},
            "positions": {"brightness": 20.0 + 4 * step, "white_border": 90.0 - step},
            "log10_p": {"green": -0.5, "amber": -2.0, "red": -5.0}[status],
            "log10_p_step": {"green": -0.8, "amber": -2.0, "red": -6.0}[status],
            "status": status,
            "regulariser": 2.8,
            "gradient_norm": 0.5,
            "seconds": 1.5,
            "best": status != "red",
        }


def curve_bytes(run: list[dict[str, Any]], *, film: bool = True) -> bytes:
    """The file of a run; the picture of step ``i`` is plain grey ``10 * (i + 1)``."""
    arrays: dict[str, Any] = {
        "film_steps": np.array([point["step"] for point in run], np.int32),
    }
    if film:
        frames = [np.full((EDGE, EDGE, 3), 10 * (point["step"] + 1), np.uint8) for point in run]
        sheet = io.BytesIO()
        Image.fromarray(np.concatenate(frames)).save(sheet, "PNG")
        arrays["film"] = np.frombuffer(sheet.getvalue(), np.uint8)
    return save(arrays, {"triptych": json.dumps({"format": "triptych-align-curve", "points": run})})


def noise_bytes(steps: list[int], best: int, reached: int) -> bytes:
    """A noise file as far as the window reads it."""
    header = {"steps": steps, "state": {"best_step": best, "step": reached}}
    return save({"pure": np.zeros(3, np.float32)}, {"triptych": json.dumps(header)})


def add_aligned(
    project: Project,
    job: str,
    *,
    colour: int = 200,
    upto: int | None = None,
    red_from: int = NEVER,
    ended: str = "steps",
    film: bool = True,
    kept: bool = True,
) -> int:
    """Add a picture as an alignment leaves it; its noise was kept every 5 steps."""
    run = list(points(upto=upto, red_from=red_from))
    best = [point for point in run if point["best"]][-1]
    curve = project.store.put(curve_bytes(run, film=film), "application/x-safetensors", {"name": "c"})
    steps = [point["step"] for point in run if point["step"] % 5 == 0]
    data = noise_bytes(steps, best["step"], run[-1]["step"] + 1)
    noise = project.store.put(data, "application/x-safetensors", {"name": "noise"})
    about = {
        "steps": run[-1]["step"],
        "best_step": best["step"],
        "asked": STEPS,
        "ended": ended,
        "mode": "gradient",
        "guard": "soft",
        "log10_p": best["log10_p"],
        "log10_p_step": best["log10_p_step"],
        "status": best["status"],
        "curve": curve.to_json(),
        "noise": noise.to_json() if kept else None,
        "rewards": {
            "brightness": {"before": 0.6, "after": 0.7, "weight": 1.0},
            "white_border": {"before": 0.0, "after": -0.1, "weight": -3.0},
            "contrast": {"before": 0.24, "after": 0.14, "weight": 0.0},
            "sharpness": {"before": 0.2, "after": 0.2, "weight": 0.0},
        },
        "density": {"before": 0.1, "after": 0.9},
    }
    return add_picture(project, job, colour, "cpu", 0, align=about)


def add_generated(project: Project, seed: int = 5, prompt: str = "red heart", colour: int = 100) -> int:
    """Add the picture that :func:`align_spec` starts from, as generating leaves it."""
    params = GenerateParams(prompt=prompt, steps=SAMPLING_STEPS).model_dump(mode="json")
    job = project.add_job(JobSpec("images.generate", params, seed=seed))
    return add_picture(project, job, colour, "cpu", 0)
