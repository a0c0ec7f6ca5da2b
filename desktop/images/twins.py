"""Jobs made from a picture: its sequential, parallel or complete twin, and variations of it.

Twins have the same seed and settings. The sequential and the parallel one make the same picture
(within the tolerance) by the other way of sampling; the complete one leaves out no arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from desktop.images.specs import KIND, PARALLEL, TWIN_SUFFIX, build_spec, settings_of, without_start
from engine.errors import EngineError, invalid_input
from engine.job import ArtifactRef, JobSpec
from engine.project import Project, ResultFilter, ResultRecord

SEQUENTIAL = ("ddim", "ddpm", "dpmpp_2m")
"""The samplers that the parallel solver solves in rounds."""
MULTISTEP = "dpmpp_2m"
# What changes neither the picture nor how it is computed.
NEUTRAL = ("count", "batch", "preview_every")
SEARCHED = 500


def computes_less(manifest: Mapping[str, Any]) -> bool:
    """Whether a picture was made with less than all of its network's arithmetic."""
    about = manifest.get("compute") or {}
    return about.get("routes") is not None and float(about.get("block_ratio", 1.0)) < 1.0


def complete_twin(manifest: Mapping[str, Any]) -> JobSpec:
    """The job that makes the same picture with all of the network's arithmetic.

    Raises
    ------
    EngineError
        ``invalid_input`` for a picture that was made with all of it.
    """
    if not computes_less(manifest):
        raise invalid_input(
            "This picture was made with all of the network's arithmetic; nothing was started.",
            "Move the slider Compute to make one with less.",
        )
    spec = JobSpec.from_json(manifest["spec"])
    # Unasked, a model that is told how much computes everything; one that is not, what it was made for.
    told = (manifest.get("compute") or {}).get("share") is not None
    settings = {**settings_of(manifest), "compute": None if told else 1.0, "economy": 0.0}
    return build_spec(without_start(settings), spec.device)


def sampler_of(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """The sampler's settings of a picture."""
    found: Mapping[str, Any] = (manifest.get("spec") or {}).get("params", {}).get("sampler") or {}
    return found


def varied_at(manifest: Mapping[str, Any]) -> int | None:
    """The step from which a picture was varied from another one; ``None`` when it was not."""
    step = sampler_of(manifest).get("variation_step")
    return None if step is None else int(step)


def can_vary(manifest: Mapping[str, Any]) -> bool:
    """Whether other pictures can start from the trajectory of this one."""
    return sampler_of(manifest).get("name") in (*SEQUENTIAL, PARALLEL)


def is_parallel(manifest: Mapping[str, Any]) -> bool:
    """Whether a picture was sampled in rounds."""
    return bool(manifest.get("parallel"))


def is_unfinished(manifest: Mapping[str, Any]) -> bool:
    """Whether a picture was stopped early, and its run can be gone on with."""
    about = manifest.get("parallel") or {}
    return not about.get("converged", True) and bool(about.get("trajectory"))


def steps_of(manifest: Mapping[str, Any]) -> int:
    """T, the steps of a picture."""
    return int(manifest["spec"]["params"]["steps"])


def sequential_twin(manifest: Mapping[str, Any]) -> JobSpec:
    """The job that makes the same picture step by step.

    Raises
    ------
    EngineError
        ``invalid_input`` for a picture that was not made in parallel, or was varied from another.
    """
    sampler = sampler_of(manifest)
    if sampler.get("name") != PARALLEL:
        raise invalid_input(
            "This picture was not sampled in parallel; there is nothing to compare it with.",
            "Sample in parallel makes its twin.",
        )
    if varied_at(manifest) is not None:
        raise invalid_input(
            "This picture was varied from another one, which no sequential run can do; nothing was "
            "started.",
            "Compare the picture it was varied from.",
        )
    same = {"spacing": sampler["spacing"]} if "spacing" in sampler else {}
    if sampler.get("solver") == MULTISTEP:
        twin = {"name": MULTISTEP, **same}
    else:
        twin = {"name": "ddim", "eta": sampler.get("eta", 0.0), **same}
    return _with_sampler(manifest, twin)


def parallel_twin(manifest: Mapping[str, Any]) -> JobSpec:
    """The job that makes the same picture in rounds.

    Raises
    ------
    EngineError
        ``invalid_input`` for a sampler that cannot be solved in rounds.
    """
    return _with_sampler(manifest, _parallel_sampler(manifest))


def variation(
    manifest: Mapping[str, Any],
    picture: ArtifactRef,
    step: int,
    changes: Mapping[str, Any],
    *,
    keep_trajectory: bool,
) -> JobSpec:
    """The job that varies a picture from one of its steps.

    Parameters
    ----------
    manifest, picture
        The picture to start from; its trajectory is used where it was kept.
    step
        1 keeps almost everything, T makes the other settings' own picture.
    changes
        Other values of ``prompt``, ``negative_prompt``, ``guidance``.
    keep_trajectory
        Whether the new picture keeps its own trajectory.

    Raises
    ------
    EngineError
        ``invalid_input`` when nothing would change, the step does not exist, or the sampler cannot.
    """
    settings = settings_of(manifest)
    steps = steps_of(manifest)
    kept = trajectory_of(manifest)
    if kept is None and varied_at(manifest) is not None:
        raise invalid_input(
            "This picture was varied from another one and its trajectory was not kept, so there is "
            "nothing to vary it from; nothing was started.",
            "Keep the trajectories of new runs, run it again, then vary it.",
        )
    solved = int((manifest.get("parallel") or {}).get("finished", 0))
    if kept is not None and step < solved:
        raise invalid_input(
            f"This picture was stopped with its last {solved} steps unsolved; nothing was started.",
            f"Make at least {solved} steps anew, or solve the rest first.",
        )
    if not 1 <= step <= steps:
        raise invalid_input(
            f"This picture has the steps 1 to {steps}, not {step}; nothing was started.",
            "Choose one of them.",
        )
    if all(settings.get(name) == value for name, value in changes.items()):
        raise invalid_input(
            "Prompt and guidance are those of the picture itself, so the same picture would come out; "
            "nothing was started.",
            "Change the prompt or the guidance first.",
        )
    sampler = {
        **_parallel_sampler(manifest),
        "variation_step": step,
        "keep_trajectory": keep_trajectory,
    }
    values = {**settings, **changes, "sampler": sampler}
    return build_spec(values, JobSpec.from_json(manifest["spec"]).device, {"start": kept or picture})


def continuation(manifest: Mapping[str, Any]) -> JobSpec:
    """The job that goes on with a run that was stopped, to the same picture as if it had not been.

    Raises
    ------
    EngineError
        ``invalid_input`` when the picture is finished, or its states were not kept.
    """
    if not is_unfinished(manifest):
        raise invalid_input(
            "This picture's run cannot be gone on with: it is finished, or its states were not kept.",
            "Run again makes it from noise.",
        )
    kept = trajectory_of(manifest)
    assert kept is not None
    settings = settings_of(manifest)
    # What stopped the first run would stop this one at once.
    sampler = {**settings["sampler"], "max_rounds": None, "stop_movement": None}
    sampler |= {"variation_step": None, "compare_sequential": False}
    values = {**settings, "sampler": sampler}
    return build_spec(values, JobSpec.from_json(manifest["spec"]).device, {"start": kept})


def trajectory_of(manifest: Mapping[str, Any]) -> ArtifactRef | None:
    """The kept trajectory of a picture, if there is one."""
    kept = (manifest.get("parallel") or {}).get("trajectory")
    return ArtifactRef.from_json(kept) if kept else None


def own_twin(project: Project, record: ResultRecord) -> ResultRecord | None:
    """The sequential twin that a picture's own job made; ``None`` when it was not asked to."""
    try:
        return project.result_of(record.job, record.name + TWIN_SUFFIX)
    except EngineError:
        return None


def find_twin(project: Project, spec: JobSpec, like: Mapping[str, Any]) -> ResultRecord | None:
    """A picture of the history that this job would only make again; called on a thread.

    It must come from the same weights and the same device as the picture with the manifest ``like``,
    which it shall be compared with, and be made alone: else its seconds would mean nothing.
    """
    wanted = ResultFilter(kind=KIND, model=str(spec.params["model"]), text=str(spec.seed))
    for record in project.results(wanted, limit=SEARCHED):
        if record.seed != spec.seed:
            continue
        manifest = project.manifest(record.id)
        if any(manifest.get(name) != like.get(name) for name in ("weights_sha256", "device")):
            continue
        measured = manifest.get("sampling") or {}
        alone = "seconds" in measured and measured.get("pictures", 1) == 1
        if alone and _essence(manifest["spec"]["params"]) == _essence(spec.params):
            return record
    return None


def _with_sampler(manifest: Mapping[str, Any], sampler: Mapping[str, Any]) -> JobSpec:
    settings = {**settings_of(manifest), "sampler": sampler}
    return build_spec(settings, JobSpec.from_json(manifest["spec"]).device)


def _parallel_sampler(manifest: Mapping[str, Any]) -> dict[str, Any]:
    sampler = sampler_of(manifest)
    name = sampler.get("name")
    if name == PARALLEL:
        return {**without_start({"sampler": sampler})["sampler"], "compare_sequential": False}
    if name not in SEQUENTIAL:
        raise invalid_input(
            f"The sampler {name} cannot be solved in rounds; nothing was started.",
            "DDIM, DDPM and DPM-Solver++ (2M) can.",
        )
    same = {"spacing": sampler["spacing"]} if "spacing" in sampler else {}
    if name == MULTISTEP:
        return {"name": PARALLEL, "solver": MULTISTEP, **same}
    eta = 1.0 if name == "ddpm" else sampler.get("eta", 0.0)
    return {"name": PARALLEL, "solver": "first_order", "eta": eta, **same}


def _essence(params: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the picture, written one way; DDPM is DDIM with eta 1."""
    values = {name: value for name, value in params.items() if name not in NEUTRAL}
    sampler = dict(values.get("sampler") or {})
    if sampler.get("name") == "ddpm":
        sampler |= {"name": "ddim", "eta": 1.0}
    return {**values, "sampler": sampler}
