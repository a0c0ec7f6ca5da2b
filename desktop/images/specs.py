"""From what the user entered to a job, and from a picture's manifest back to what was entered."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.errors import bad_file, invalid_input
from engine.job import MAX_SEED, ArtifactRef, JobSpec

KIND = "images.generate"
ALIGN = "images.align"
KINDS = (KIND, ALIGN)
"""The jobs of this page."""
SEED = "seed"
PARALLEL = "parataa"
TWIN_SUFFIX = "-sequential"
"""Ends the name of a twin that a parallel job made itself, because it was asked to compare."""
# Short enough to read out and to type; the engine takes larger ones too.
RANDOM_SEEDS = 2**32


def random_seed() -> int:
    """A seed nobody chose."""
    return secrets.randbelow(RANDOM_SEEDS)


def parse_seed(text: str) -> int:
    """The seed a text stands for.

    Raises
    ------
    EngineError
        ``invalid_input`` when it is no whole number from 0 to 2^63 - 1.
    """
    shown = text.strip() if len(text.strip()) <= 24 else text.strip()[:24] + "…"
    try:
        seed = int(text.strip())
    except ValueError as error:
        what = f"“{shown}” is not a whole number" if shown else "The seed is empty"
        raise invalid_input(
            f"{what}; nothing was started.", "Type digits only, or press the dice for a random seed."
        ) from error
    if not 0 <= seed <= MAX_SEED:
        raise invalid_input(
            f"The seed {shown} is outside 0 to 2^63 - 1; nothing was started.",
            "Use a smaller whole number that is not negative.",
        )
    return seed


def with_seed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of the parameters with the job's seed as one more field, after the count."""
    properties: dict[str, Any] = {}
    for name, field in schema["properties"].items():
        properties[name] = field
        if name == "count":
            properties[SEED] = {
                "title": "Seed",
                "type": "integer",
                "minimum": 0,
                "maximum": MAX_SEED,
                "default": 0,
                "description": "Same seed and settings, same picture. Locked: use it again.",
            }
    return {**schema, "properties": properties}


def build_spec(
    values: Mapping[str, Any],
    device: str = "auto",
    inputs: Mapping[str, ArtifactRef | Path] | None = None,
) -> JobSpec:
    """The job for what the form holds: parameters and ``seed``, and files it starts from.

    Raises
    ------
    EngineError
        ``invalid_input`` naming the parameter the engine would refuse.
    """
    params = {name: value for name, value in values.items() if name != SEED}
    return JobSpec(
        KIND, check_params(params), inputs=inputs or {}, seed=int(values[SEED]), device=device
    )


def check_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as the engine will see them, defaults filled in.

    Raises
    ------
    EngineError
        ``invalid_input`` naming the first one that is not acceptable.
    """
    # Not at the top: the window starts without pydantic.
    from pydantic import ValidationError

    from engine.images.params import GenerateParams

    try:
        return GenerateParams.model_validate(dict(params)).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "settings"
        raise invalid_input(
            f"{where}: {first['msg'].lower()}; nothing was started.", "Correct the value and try again."
        ) from error


def params_schema() -> dict[str, Any]:
    """JSON schema of the parameters (imports pydantic, some 200 ms: call it beside the window)."""
    from engine.images.params import GenerateParams

    return GenerateParams.model_json_schema()


def picture_params(spec: JobSpec) -> Mapping[str, Any]:
    """The parameters of the pictures that a job of this page makes, or aligns."""
    found: Mapping[str, Any] = spec.params.get("picture", {}) if spec.kind == ALIGN else spec.params
    return found


def settings_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the form has to hold to make exactly this one picture again.

    Of a picture that was aligned, this is the one that its alignment began with.

    Raises
    ------
    EngineError
        ``bad_file`` when the manifest is of another kind of job or of a newer Triptych.
    """
    spec = JobSpec.from_json(manifest["spec"])
    if spec.kind not in KINDS:
        raise bad_file(
            f"This was made by another kind of job ({spec.kind}), not by Images; nothing was changed.",
            "Open it in the workspace that made it.",
        )
    seed = manifest.get("seed", spec.seed)
    params = picture_params(spec)
    return {**params, "count": 1, SEED: seed if isinstance(seed, int) else spec.seed}


def again(manifest: Mapping[str, Any]) -> JobSpec:
    """The job that makes exactly this picture again."""
    spec = JobSpec.from_json(manifest["spec"])
    if spec.kind == ALIGN:
        return spec
    return build_spec(settings_of(manifest), spec.device, spec.inputs)


def varied(manifest: Mapping[str, Any]) -> JobSpec:
    """The job that made this picture, with another seed: as many pictures, all else equal.

    A picture that was varied from another one starts from noise like any other: what it was varied
    from belongs to its own seed.
    """
    spec = JobSpec.from_json(manifest["spec"])
    if spec.kind == ALIGN:
        params = {**spec.params, "branch_step": None}
        return JobSpec(ALIGN, params, seed=random_seed(), device=spec.device)
    settings = {**settings_of(manifest), "count": spec.params.get("count", 1), SEED: random_seed()}
    return build_spec(without_start(settings), spec.device)


def without_start(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that start from noise, not from another picture's trajectory."""
    sampler = dict(settings.get("sampler") or {})
    if sampler.get("variation_step") is not None:
        sampler["variation_step"] = None
    return {**settings, "sampler": sampler} if sampler else dict(settings)


def evaluations(params: Mapping[str, Any]) -> int | None:
    """How often a job will run the network, counted as the engine's metrics count.

    Guidance needs a second, unconditional evaluation; Heun takes two a step but for the last. Nobody
    knows before how many rounds a parallel run takes: ``None``.
    """
    steps, count = int(params["steps"]), int(params["count"])
    sampler = params.get("sampler") or {}
    if sampler.get("name") == PARALLEL:
        return None
    per_picture = 2 * steps - 1 if sampler.get("name") == "heun" else steps
    branches = 1 if float(params["guidance"]) in (0.0, 1.0) else 2
    return per_picture * branches * count


def speed_key(params: Mapping[str, Any]) -> str:
    """What decides how long an evaluation takes: the model, and how much it computes."""
    return json.dumps([params.get(name) for name in ("model", "compute", "economy")])


def duration(seconds: float) -> str:
    """A time to read: ``4 s``, ``2 min 5 s``, ``3 h 10 min``."""
    whole = max(0, round(seconds))
    if whole < 1:
        return "less than 1 s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole < 600 else f"{round(whole / 60)} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
