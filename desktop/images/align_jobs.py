"""Jobs made from a picture: aligning it, going on from a step, the picture of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from desktop.images.specs import ALIGN, KINDS, settings_of
from engine.errors import invalid_input
from engine.job import ArtifactRef, JobSpec
from engine.project import Project, ResultFilter, ResultRecord

NOISE, START = "noise", "start"
STRICTER = {"off": "soft", "soft": "strict"}
SEARCHED = 500
# What changes neither a picture nor what it is aligned from.
NEUTRAL = ("count", "batch", "preview_every")


def is_aligned(manifest: Mapping[str, Any]) -> bool:
    """Whether a picture was made by aligning another one."""
    return (manifest.get("spec") or {}).get("kind") == ALIGN


def can_align(manifest: Mapping[str, Any]) -> bool:
    """Whether a picture was made by Triptych, so that its noise is known."""
    return (manifest.get("spec") or {}).get("kind") in KINDS


def about(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """The manifest's part about the alignment; empty without one."""
    found: Mapping[str, Any] = manifest.get("align") or {}
    return found


def params_of(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters of the alignment that made a picture."""
    found: Mapping[str, Any] = manifest["spec"]["params"]
    return found


def noise_of(manifest: Mapping[str, Any]) -> ArtifactRef | None:
    """The kept noise of an aligned picture."""
    kept = about(manifest).get(NOISE)
    return ArtifactRef.from_json(kept) if kept else None


def alignment(
    manifest: Mapping[str, Any],
    values: Mapping[str, Any],
    pictures: Mapping[str, Path] | None = None,
) -> JobSpec:
    """The job that aligns a picture.

    Parameters
    ----------
    manifest
        The picture: one from noise is aligned from its seed, one that was aligned from where it is.
    values
        Parameters of the job, but for the picture.
    pictures
        What rewards refer to, by the names they use.

    Raises
    ------
    EngineError
        ``invalid_input`` for a picture that cannot be aligned, or parameters that are not valid.
    """
    if is_aligned(manifest):
        return branch(manifest, values, int(about(manifest)["best_step"]), pictures)
    if not can_align(manifest):
        raise invalid_input(
            "This picture was not made by Triptych's own models, so its noise is not known; nothing "
            "was started.",
            "Align a picture that was generated here.",
        )
    settings = settings_of(manifest)
    seed = int(settings.pop("seed"))
    device = JobSpec.from_json(manifest["spec"]).device
    return _checked({**values, "picture": settings, "branch_step": None}, pictures or {}, seed, device)


def branch(
    manifest: Mapping[str, Any],
    values: Mapping[str, Any],
    step: int,
    pictures: Mapping[str, ArtifactRef | Path] | None = None,
) -> JobSpec:
    """The job that starts anew at a stored step of an alignment, with these parameters.

    Raises
    ------
    EngineError
        ``invalid_input`` when its noise was not kept, or parameters are not valid.
    """
    return _from_noise(manifest, {**values, "branch_step": step}, pictures or {})


def undo(manifest: Mapping[str, Any], step: int) -> JobSpec:
    """The job that makes the picture of a stored step, and changes nothing more.

    Raises
    ------
    EngineError
        ``invalid_input`` when its noise was not kept.
    """
    return branch(manifest, {**params_of(manifest), "steps": 0}, step, references_of(manifest))


def continuation(manifest: Mapping[str, Any]) -> JobSpec:
    """The job that goes on with an alignment that was stopped, as if it had not been.

    Raises
    ------
    EngineError
        ``invalid_input`` when its noise was not kept.
    """
    values = {**params_of(manifest), "branch_step": None}
    return _from_noise(manifest, values, references_of(manifest))


def references_of(manifest: Mapping[str, Any]) -> dict[str, ArtifactRef | Path]:
    """The pictures that the rewards of an alignment refer to."""
    inputs = JobSpec.from_json(manifest["spec"]).inputs
    return {name: value for name, value in inputs.items() if name != START}


def _from_noise(
    manifest: Mapping[str, Any], values: Mapping[str, Any], pictures: Mapping[str, ArtifactRef | Path]
) -> JobSpec:
    noise = noise_of(manifest)
    if noise is None:
        raise invalid_input(
            "The noise of this picture's steps was not kept, so there is nothing to go on from; "
            "nothing was started.",
            "Align the picture that it began with again.",
        )
    spec = JobSpec.from_json(manifest["spec"])
    picture = {**spec.params["picture"], "count": 1}
    params = {**values, "picture": picture, "invert": False}
    return _checked(params, {**pictures, START: noise}, int(manifest["seed"]), spec.device)


def the_rest(params: Mapping[str, Any], step: int) -> dict[str, Any]:
    """The same parameters for the steps that are left after one of them."""
    return {**params, "steps": max(1, int(params["steps"]) - step)}


def terms_by_key(terms: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Rewards by the names that a run's values have: one that occurs twice is numbered."""
    found: dict[str, Mapping[str, Any]] = {}
    counted: dict[str, int] = {}
    for term in terms:
        name = str(term["name"])
        counted[name] = counted.get(name, 0) + 1
        found[name if counted[name] == 1 else f"{name}-{counted[name]}"] = term
    return found


def weights_of(terms: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Weights by the names that a run's values have."""
    return {key: float(term.get("weight", 1.0)) for key, term in terms_by_key(terms).items()}


def stricter(params: Mapping[str, Any]) -> dict[str, Any]:
    """The same parameters with a stronger guard."""
    # Not at the top: the window starts without pydantic.
    from engine.images.alignment_params import GUARD_STRENGTHS

    guard = str(params.get("guard", "soft"))
    gamma = params.get("gamma")
    if guard in STRICTER and gamma is None:
        return {**params, "guard": STRICTER[guard]}
    return {
        **params,
        "guard": "strict",
        "gamma": min(1000.0, 3 * float(gamma or GUARD_STRENGTHS["strict"])),
    }


def find_start(project: Project, manifest: Mapping[str, Any]) -> ResultRecord | None:
    """The picture in the history that an aligned one began with; called on a thread."""
    settings = settings_of(manifest)
    seed = settings["seed"]
    wanted = ResultFilter(kind=KINDS[0], model=str(settings["model"]), text=str(seed))
    for record in project.results(wanted, limit=SEARCHED):
        if record.seed == seed:
            found = settings_of(project.manifest(record.id))
            if _essence(found) == _essence(settings):
                return record
    return None


def _essence(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in NEUTRAL}


def _checked(
    params: Mapping[str, Any], inputs: Mapping[str, ArtifactRef | Path], seed: int, device: str
) -> JobSpec:
    # Not at the top: the window starts without pydantic.
    from pydantic import ValidationError

    from engine.images.alignment_params import AlignParams

    try:
        complete = AlignParams.model_validate(dict(params)).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "settings"
        raise invalid_input(
            f"{where}: {first['msg']}; nothing was started.", "Correct the value and try again."
        ) from error
    return JobSpec(ALIGN, complete, inputs=dict(inputs), seed=seed, device=device)
