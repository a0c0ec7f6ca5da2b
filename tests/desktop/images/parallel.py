"""Runs as the parallel solver reports them, made up."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save

from engine.images.metadata import write_png
from engine.images.params import GenerateParams
from engine.job import JobSpec
from engine.project import Project

STEPS, ROUNDS, EDGE = 20, 5, 16
PARALLEL: dict[str, Any] = {"name": "parataa"}


def rounds_of_a_run(
    steps: int = STEPS, rounds: int = ROUNDS, window: int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """``(R, T)`` residuals, NaN outside the window, and ``(R,)`` finished states, 0 at last."""
    finished = np.array([steps - round(steps * (r + 1) / rounds) for r in range(rounds)])
    residuals = np.full((rounds, steps), np.nan, np.float32)
    top = steps
    for row in range(rounds):
        low = 0 if window is None else max(0, top - window)
        for t in range(low, top):
            far = finished[row] - t
            residuals[row, t] = 10.0 ** (-4 if far <= 0 else min(0.0, -3 + 0.2 * far))
        top = finished[row]
    return residuals, finished


def events_of_a_run(
    image: int = 0, steps: int = STEPS, rounds: int = ROUNDS
) -> Iterator[dict[str, Any]]:
    """Points of the series ``parallel``."""
    residuals, finished = rounds_of_a_run(steps, rounds)
    evaluations = np.cumsum((~np.isnan(residuals)).sum(axis=1))
    for row in range(rounds):
        yield {
            "image": image,
            "round": row + 1,
            "finished": int(finished[row]),
            "steps": steps,
            "evaluations": int(evaluations[row]),
            "residuals": [None if np.isnan(value) else float(value) for value in residuals[row]],
            "tolerance": 1e-3,
            "converged": bool(finished[row] == 0),
            "seconds": 0.5 * (row + 1),
        }


def trace_bytes(*, film: bool = True, rounds: int = ROUNDS) -> bytes:
    """A trace file; frame ``i`` of its film is plain grey ``10 * (i + 1)``."""
    residuals, finished = rounds_of_a_run(rounds=rounds)
    arrays = {
        "residuals": residuals,
        "finished": finished.astype(np.int32),
        "evaluations": np.cumsum((~np.isnan(residuals)).sum(axis=1)),
        "seconds": np.arange(1, rounds + 1, dtype=np.float32) / 2,
        "preview_rounds": np.arange(1, rounds + 1 if film else 1, dtype=np.int32),
    }
    if film:
        frames = [np.full((EDGE, EDGE, 3), 10 * (at + 1), np.uint8) for at in range(rounds)]
        sheet = io.BytesIO()
        Image.fromarray(np.concatenate(frames)).save(sheet, "PNG")
        arrays["film"] = np.frombuffer(sheet.getvalue(), np.uint8)
    return save(arrays)


def spec(seed: int = 5, sampler: dict[str, Any] | None = None, **params: Any) -> JobSpec:
    """A complete job."""
    values = {"prompt": "red heart", "steps": STEPS, "sampler": sampler or PARALLEL, **params}
    complete = GenerateParams.model_validate(values).model_dump(mode="json")
    return JobSpec("images.generate", complete, seed=seed)


def add_parallel(
    project: Project,
    job: str,
    *,
    finished: int = 0,
    film: bool = True,
    trajectory: bool = False,
    colour: int = 100,
    device: str = "cpu",
    index: int = 0,
    pictures: int = 1,
    before: int = 0,
) -> int:
    """Add a picture as a parallel run leaves it.

    ``finished`` > 0 for one that was cancelled, ``before`` > 0 for one that was gone on with after
    so many rounds.
    """
    trace = project.store.put(trace_bytes(film=film), "application/x-safetensors", {"name": "trace"})
    kept = project.store.put(b"x" * 3 * 2**20, "application/x-safetensors", {"name": "trajectory"})
    about = {
        "method": "auto",
        "order": STEPS,
        "window": STEPS,
        "memory": 3,
        "rounds": ROUNDS + before,
        "evaluations": 60,
        "converged": finished == 0,
        "stopped": "cancelled" if finished else "converged",
        "finished": finished,
        "finished_per_round": rounds_of_a_run()[1].tolist(),
        "residual": 9e-4,
        "tolerance": 1e-3,
        "seconds": 2.5,
        "steps": STEPS,
        "trace": trace.to_json(),
        "trajectory": kept.to_json() if trajectory else None,
    }
    sampling = {"evaluations": 60, "seconds": 2.5, "steps": STEPS}
    sampling |= {"rounds": ROUNDS + before, "pictures": pictures}
    return add_picture(
        project, job, colour, device, index, parallel=about, sampling=sampling
    )  # fmt: skip


def add_sequential(
    project: Project, job: str, *, colour: int = 100, device: str = "cpu", seconds: float = 0.5
) -> int:
    """Add a picture as a sequential run leaves it."""
    sampling = {"evaluations": STEPS, "seconds": seconds, "steps": STEPS, "pictures": 1}
    return add_picture(project, job, colour, device, 0, sampling=sampling)


def add_picture(
    project: Project,
    job: str,
    colour: int,
    device: str,
    index: int,
    suffix: str = "",
    **details: Any,
) -> int:
    """Add a plain picture with a manifest."""
    made = project.job(job).spec
    params = made.params.get("picture", made.params)
    manifest = {
        "format": "triptych-manifest",
        "version": 1,
        "job": job,
        "name": f"image-{index + 1:04d}{suffix}",
        "spec": made.to_json(),
        "prompt": params["prompt"],
        "seed": made.seed + index,
        "model": params["model"],
        "weights_sha256": "ab" * 32,
        "device": device,
        "width": EDGE,
        "height": EDGE,
        "warnings": [],
        **details,
    }
    data = write_png(np.full((EDGE, EDGE, 3), colour, np.uint8), manifest)
    artifact = project.store.put(data, "image/png", manifest)
    return project.add_result(job, manifest["name"], artifact, manifest).id
