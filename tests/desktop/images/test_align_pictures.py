"""Aligned pictures and the jobs that make them belong to the Images page."""

from __future__ import annotations

from typing import Any

import pytest

from desktop.bridge import Bridge
from desktop.images import specs
from desktop.images.history_panel import title_of
from desktop.images.model import ImagesModel
from desktop.images.page import ImagesPage
from desktop.images.parameters_panel import describe
from desktop.shell.job_model import job_title
from engine.errors import EngineError
from engine.images.params import GenerateParams
from engine.job import ArtifactRef, JobSpec, JobState
from engine.project import Project, ResultFilter
from tests.desktop.images.aligning import align_spec
from tests.desktop.images.conftest import AddResult


def manifest(spec: JobSpec, **details: Any) -> dict[str, Any]:
    return {"spec": spec.to_json(), "seed": spec.seed, "name": "image-0001", **details}


def test_the_settings_of_an_aligned_picture_are_those_of_its_start() -> None:
    spec = align_spec()
    settings = specs.settings_of(manifest(spec))
    assert settings == {**spec.params["picture"], "count": 1, "seed": 5}
    assert specs.check_params({k: v for k, v in settings.items() if k != "seed"})["steps"] == 20


def test_run_again_is_the_same_alignment_and_vary_seed_starts_from_noise() -> None:
    spec = align_spec(branch_step=5)
    spec = JobSpec(spec.kind, spec.params, {"noise": ArtifactRef("ab" * 32, "x/y", 3)}, seed=5)
    assert specs.again(manifest(spec)) == spec
    other = specs.varied(manifest(spec))
    assert (other.kind, other.inputs) == ("images.align", {})
    assert other.params["branch_step"] is None
    assert other.seed != 5
    assert other.params["rewards"] == spec.params["rewards"]


def test_settings_of_other_workspaces_are_still_refused() -> None:
    with pytest.raises(EngineError, match=r"tracks\.follow"):
        specs.settings_of(manifest(JobSpec("tracks.follow")))


def test_the_page_follows_alignment_jobs(project: Project, quiet_bridge: Bridge, qapp: object) -> None:
    model = ImagesModel(project, quiet_bridge)
    job = model.submit(align_spec())
    assert (job.title, job.count, job.aligns, job.parallel) == ("red heart", 1, True, False)
    assert title_of(job) == job_title(job.spec) == "Align: red heart"
    project.set_job_state(job.id, JobState.RUNNING)
    quiet_bridge.job_changed.emit(job.id)
    project.set_job_state(job.id, JobState.CANCELLING)
    quiet_bridge.job_changed.emit(job.id)
    assert job.status() == "Cancelling; the best picture is kept"
    project.set_job_state(job.id, JobState.CANCELLED)
    quiet_bridge.job_changed.emit(job.id)
    assert job.status() == "Cancelled"
    job.results.append(1)
    assert job.status() == "Stopped; the best picture is kept"
    assert ImagesModel(project, quiet_bridge).jobs == []


def test_how_long_alignment_took_says_nothing_about_generating(
    project: Project, quiet_bridge: Bridge, qapp: object
) -> None:
    model = ImagesModel(project, quiet_bridge)
    job = model.submit(align_spec())
    project.set_job_state(job.id, JobState.RUNNING)
    project.set_job_state(job.id, JobState.SUCCEEDED, metrics={"seconds": 9.0, "model_evaluations": 3})
    quiet_bridge.job_changed.emit(job.id)
    assert model.estimate(GenerateParams().model_dump()) is None


def test_the_gallery_shows_aligned_pictures_and_no_others(
    page: ImagesPage, project: Project, add_result: AddResult
) -> None:
    job = project.add_job(align_spec())
    aligned = add_result(job, prompt="red heart", model="builtin")
    other = JobSpec("tracks.follow", {"prompt": "", "model": "x"})
    add_result(project.add_job(other))
    page.gallery.model.sync()
    assert list(page.gallery.model.ids) == [aligned]
    assert project.count_results(ResultFilter(kind="tracks.follow")) == 1


def test_what_an_aligned_picture_was_made_with_is_described(
    project: Project, add_result: AddResult
) -> None:
    job = project.add_job(align_spec())
    about = {"steps": 12, "best_step": 9, "mode": "gradient"}
    result = add_result(job, prompt="red heart", model="builtin", align=about)
    groups = dict(describe(project.manifest(result), project.result(result)))
    assert groups["Alignment"] == [
        ("Rewards", "Brightness × 1, White border × -3"),
        ("Guard", "Soft"),
        ("Steps", "12 of 10"),
        ("Best step", "9"),
        ("Mode", "Gradient"),
    ]
    assert ("Steps", "20") in groups["Sampling"]
