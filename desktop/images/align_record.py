"""Reads what an alignment left: its steps and small pictures, rewards before and after."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from desktop.images.align_explain import RewardChange
from desktop.images.align_jobs import params_of, terms_by_key
from desktop.images.align_rewards import usual_range
from desktop.images.align_steps import STATUS_WORDS, AlignRecord, AlignSteps, log_of, power
from desktop.images.records import reading_record
from desktop.images.rounds import frames
from desktop.widgets.schemas import plain_name
from engine.job import ArtifactRef

if TYPE_CHECKING:
    from engine.project import Project


def read_record(project: Project, about: Mapping[str, Any]) -> AlignRecord:
    """Read the record of a result, whose manifest says ``about`` it; called on a thread.

    Raises
    ------
    EngineError
        ``bad_file`` when the file is missing, damaged, or not what the manifest says.
    """
    # Not at the top: the window starts without it.
    from safetensors.numpy import load

    data = project.store.read(ArtifactRef.from_json(about["curve"]))
    noise = about.get("noise")
    kept, reached = (), 0
    with reading_record("this picture's alignment"):
        arrays = load(data)
        steps = AlignSteps(0)
        for values in _header(data)["points"]:
            steps.add(values)
        film = frames(arrays["film"], arrays["film_steps"]) if "film" in arrays else ()
        if noise:
            with project.store.path(ArtifactRef.from_json(noise)).open("rb") as file:
                stored = _header(file.read(HEADER_BYTES))
            reached = int(stored["state"]["step"])
            kept = tuple(sorted({*map(int, stored["steps"]), int(stored["state"]["best_step"])}))
    return AlignRecord(steps, film, kept, reached)


HEADER_BYTES = 16 << 20
"""Enough for the header of any noise file: its history is a line a step."""


def _header(data: bytes) -> Mapping[str, Any]:
    """What a safetensors file of ours says of itself."""
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    found: Mapping[str, Any] = json.loads(metadata["triptych"])
    return found


def changes_of(manifest: Mapping[str, Any]) -> list[RewardChange]:
    """Every reward before and after, as the manifest has it; called once the rewards are read."""
    params = params_of(manifest)
    terms = terms_by_key(params.get("rewards") or ())
    model = str(params["picture"].get("model"))
    found = []
    for key, values in ((manifest.get("align") or {}).get("rewards") or {}).items():
        before, after = float(values["before"]), float(values["after"])
        weight = float(values.get("weight") or 0.0)
        usual = usual_range(model, terms.get(key) or {"name": key})
        if usual is not None:
            before, after = usual.position(before), usual.position(after)
        wanted = (weight > 0) - (weight < 0)
        found.append(RewardChange(reward_name(key), before, after, usual is not None, wanted))
    return found


def reward_name(key: str) -> str:
    """What a reward measures, to read; more of it may be wanted, or less."""
    return plain_name(key).replace("Jpeg", "JPEG")


def indicators_of(manifest: Mapping[str, Any]) -> str:
    """What the guard and the model say of the result, to read."""
    about = manifest.get("align") or {}
    parts = []
    if "status" in about:
        words = STATUS_WORDS.get(str(about["status"]), str(about["status"])).lower()
        whole, worst = (power(log_of(about[name])) for name in ("log10_p", "log10_p_step"))
        parts.append(f"Noise: {words} (P {whole}, worst step {worst}).")
    density = about.get("density") or {}
    if density:
        before, after = (float(density[name]) for name in ("before", "after"))
        parts.append(
            f"The model knows the picture {known_words(after)} ({before:+.1f} before, {after:+.1f} "
            "after, in standard deviations of other seeds; -3 to 3 is usual)."
        )
    return " ".join(parts)


def known_words(deviations: float) -> str:
    """How surprising a picture is to its model, in words."""
    if deviations > SURPRISING:
        return "less well than those of other seeds"
    if deviations < -SURPRISING:
        return "as plainer than those of other seeds"
    return "like those of other seeds"


SURPRISING = 3.0
"""As :data:`engine.images.alignment_density.SURPRISING`, which imports torch."""
