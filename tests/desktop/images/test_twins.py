"""Twins and variations: the jobs that are made from a picture."""

from __future__ import annotations

from typing import Any

import pytest

from desktop.images import specs, twins
from engine.errors import EngineError
from engine.images.params import GenerateParams
from engine.job import ArtifactRef, JobSpec
from engine.project import Project
from tests.desktop.images.parallel import STEPS, add_parallel, add_sequential, spec

PICTURE = ArtifactRef("ab" * 32, "image/png", 10)


def manifest(job: JobSpec, **details: Any) -> dict[str, Any]:
    return {"spec": job.to_json(), "seed": job.seed, **details}


@pytest.mark.parametrize(
    ("parallel", "sequential"),
    [
        ({"eta": 0.0}, {"name": "ddim", "eta": 0.0, "spacing": "model"}),
        ({"eta": 1.0, "spacing": "leading"}, {"name": "ddim", "eta": 1.0, "spacing": "leading"}),
        ({"solver": "dpmpp_2m", "spacing": "trailing"}, {"name": "dpmpp_2m", "spacing": "trailing"}),
    ],
)
def test_the_sequential_twin_differs_in_the_sampler_only(
    parallel: dict[str, Any], sequential: dict[str, Any]
) -> None:
    job = spec(7, {"name": "parataa", **parallel}, count=4, guidance=3.0)
    twin = twins.sequential_twin(manifest(job, seed=9))
    assert twin.params["sampler"] == sequential
    assert (twin.seed, twin.params["count"]) == (9, 1)
    same = ("model", "prompt", "steps", "guidance", "class_name")
    assert all(twin.params[name] == job.params[name] for name in same)


@pytest.mark.parametrize(
    ("sequential", "expected"),
    [
        ({"name": "ddim", "eta": 0.5}, {"solver": "first_order", "eta": 0.5}),
        ({"name": "ddpm"}, {"solver": "first_order", "eta": 1.0}),
        ({"name": "dpmpp_2m"}, {"solver": "dpmpp_2m", "spacing": "trailing"}),
    ],
)
def test_the_parallel_twin_solves_the_same_steps(
    sequential: dict[str, Any], expected: dict[str, Any]
) -> None:
    twin = twins.parallel_twin(manifest(spec(3, sequential)))
    assert twin.params["sampler"]["name"] == "parataa"
    assert {name: twin.params["sampler"][name] for name in expected} == expected
    back = twins.sequential_twin(manifest(twin))
    assert twins._essence(back.params) == twins._essence(spec(3, sequential).params)


@pytest.mark.parametrize("sampler", ["euler", "heun"])
def test_samplers_that_cannot_be_solved_in_rounds_are_refused(sampler: str) -> None:
    about = manifest(spec(1, {"name": sampler}))
    assert not twins.can_vary(about)
    with pytest.raises(EngineError, match=f"{sampler} cannot be solved in rounds"):
        twins.parallel_twin(about)
    with pytest.raises(EngineError, match="not sampled in parallel"):
        twins.sequential_twin(about)


def test_a_variation_starts_from_the_kept_trajectory() -> None:
    kept = ArtifactRef("cd" * 32, "application/x-safetensors", 99)
    about = manifest(spec(4, count=3), parallel={"trajectory": kept.to_json()})
    changes = {"prompt": "blue heart", "guidance": 2.5}
    job = twins.variation(about, PICTURE, 8, changes, keep_trajectory=True)
    assert dict(job.inputs) == {"start": kept}
    assert job.seed == 4
    assert (job.params["prompt"], job.params["count"]) == ("blue heart", 1)
    sampler = job.params["sampler"]
    assert (sampler["name"], sampler["variation_step"], sampler["keep_trajectory"]) == (
        "parataa",
        8,
        True,
    )
    GenerateParams.model_validate(dict(job.params))


@pytest.mark.parametrize("sampler", [{"name": "ddim"}, {"name": "ddpm"}, {"name": "parataa"}])
def test_without_a_trajectory_a_variation_starts_from_the_picture(sampler: dict[str, Any]) -> None:
    about = manifest(spec(4, sampler))
    job = twins.variation(about, PICTURE, STEPS, {"guidance": 4.0}, keep_trajectory=False)
    assert dict(job.inputs) == {"start": PICTURE}
    assert job.params["sampler"]["eta"] == (1.0 if sampler["name"] == "ddpm" else 0.0)
    assert job.params["guidance"] == 4.0
    assert job.params["prompt"] == "red heart"


def test_a_variation_that_changes_nothing_is_refused() -> None:
    with pytest.raises(EngineError, match="the same picture would come out") as caught:
        twins.variation(
            manifest(spec()),
            PICTURE,
            5,
            {"prompt": "red heart", "guidance": 2.5},
            keep_trajectory=False,
        )
    assert "nothing was started" in caught.value.message


@pytest.mark.parametrize("step", [0, -1, STEPS + 1])
def test_a_variation_from_a_step_that_is_not_there_is_refused(step: int) -> None:
    with pytest.raises(EngineError, match=f"steps 1 to {STEPS}"):
        twins.variation(manifest(spec()), PICTURE, step, {"prompt": "x"}, keep_trajectory=False)


def varied_manifest() -> dict[str, Any]:
    job = twins.variation(manifest(spec(4)), PICTURE, 8, {"prompt": "dog face"}, keep_trajectory=False)
    return manifest(job)


def test_a_variation_can_be_varied_but_has_no_sequential_twin() -> None:
    kept = ArtifactRef("cd" * 32, "application/x-safetensors", 99)
    about = {**varied_manifest(), "parallel": {"trajectory": kept.to_json()}}
    assert twins.varied_at(about) == 8
    with pytest.raises(EngineError, match="varied from another one"):
        twins.sequential_twin(about)
    again = twins.variation(about, PICTURE, 3, {"prompt": "rocket"}, keep_trajectory=False)
    assert again.params["sampler"]["variation_step"] == 3


def test_a_variation_is_made_again_from_its_start_and_with_another_seed_from_noise() -> None:
    about = varied_manifest()
    again = specs.again(about)
    assert dict(again.inputs) == {"start": PICTURE}
    assert again.params["sampler"]["variation_step"] == 8
    other = specs.varied(about)
    assert dict(other.inputs) == {}
    assert other.params["sampler"]["variation_step"] is None


def test_a_variation_whose_trajectory_was_not_kept_cannot_be_varied() -> None:
    with pytest.raises(EngineError, match="nothing to vary it from"):
        twins.variation(varied_manifest(), PICTURE, 3, {"prompt": "rocket"}, keep_trajectory=False)


def stopped(finished: int = 7, *, kept: bool = True) -> dict[str, Any]:
    """The manifest of a run that was cancelled with so many steps unsolved."""
    sampler = {"name": "parataa", "max_rounds": 9, "stop_movement": 0.1, "tolerance": 1e-4}
    trajectory = ArtifactRef("cd" * 32, "application/x-safetensors", 99).to_json() if kept else None
    about = {"converged": False, "finished": finished, "trajectory": trajectory}
    return manifest(spec(4, sampler, count=3), parallel=about)


def test_a_stopped_run_is_gone_on_with_from_its_states_without_what_stopped_it() -> None:
    job = twins.continuation(stopped())
    assert dict(job.inputs) == {"start": ArtifactRef("cd" * 32, "application/x-safetensors", 99)}
    sampler = job.params["sampler"]
    assert (sampler["max_rounds"], sampler["stop_movement"]) == (None, None)
    assert (sampler["variation_step"], sampler["tolerance"]) == (None, 1e-4)
    assert (job.seed, job.params["count"]) == (4, 1)


@pytest.mark.parametrize("about", [manifest(spec()), stopped(kept=False)])
def test_what_is_finished_or_not_kept_cannot_be_gone_on_with(about: dict[str, Any]) -> None:
    assert not twins.is_unfinished(about)
    with pytest.raises(EngineError, match="cannot be gone on with"):
        twins.continuation(about)


def test_a_stopped_picture_is_varied_from_its_solved_steps_only() -> None:
    changes = {"prompt": "rocket"}
    with pytest.raises(EngineError, match="last 7 steps unsolved") as caught:
        twins.variation(stopped(), PICTURE, 6, changes, keep_trajectory=False)
    assert "at least 7 steps" in caught.value.hint
    assert twins.variation(stopped(), PICTURE, 7, changes, keep_trajectory=False).inputs


# --- in the history -------------------------------------------------------------------------------


def finished(project: Project, job: JobSpec, **details: Any) -> int:
    return add_sequential(project, project.add_job(job), **details)


def find(project: Project, device: str = "cpu") -> int | None:
    parallel = add_parallel(project, project.add_job(spec(5)), device=device)
    about = project.manifest(parallel)
    found = twins.find_twin(project, twins.sequential_twin(about), about)
    return None if found is None else found.id


def test_a_twin_of_the_history_is_found_among_others(project: Project) -> None:
    ddim = {"name": "ddim"}
    wanted = finished(project, spec(5, ddim, batch=3, preview_every=0))
    finished(project, spec(6, ddim))
    finished(project, spec(5, ddim, guidance=7.0))
    finished(project, spec(5, {"name": "ddim", "eta": 0.5}))
    finished(project, spec(5, {"name": "heun"}))
    finished(project, spec(5, ddim), device="cuda:0")
    assert find(project) == wanted


def test_a_twin_of_another_device_or_without_figures_is_none(project: Project) -> None:
    finished(project, spec(5, {"name": "ddim"}))
    assert find(project, device="cuda:0") is None


def test_ddpm_is_the_twin_of_a_run_with_full_noise(project: Project) -> None:
    wanted = finished(project, spec(5, {"name": "ddpm"}))
    about = manifest(spec(5, {"name": "parataa", "eta": 1.0}), weights_sha256="ab" * 32, device="cpu")
    found = twins.find_twin(project, twins.sequential_twin(about), about)
    assert found is not None
    assert found.id == wanted
