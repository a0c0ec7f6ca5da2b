"""Jobs without a window: the files they leave, and how a series of them ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.headless import OutputFolder, file_stem, run_in_project
from engine.images.metadata import write_png
from engine.job import Event, JobSpec, JobState, Progress
from engine.project import Project

JOB_KINDS = "tests.engine.executors.job_kinds"


@pytest.fixture(autouse=True)
def _job_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_PLUGINS", JOB_KINDS)


def ignore(event: Event) -> None:
    """A listener that does not."""


def never() -> bool:
    """Nobody wants to stop."""
    return False


def test_names_never_overwrite(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path)
    manifest = {"name": "image-0001", "prompt": "Red  heart!", "seed": 42}
    first = write_png(np.zeros((2, 2, 3), np.uint8), manifest)
    other = write_png(np.ones((2, 2, 3), np.uint8), manifest)
    for data in (first, other, first, other):
        reference = folder.put(data, "image/png", manifest)
        assert folder.verify(reference)
        assert folder.path(reference).read_bytes() == data
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "00042_red-heart-2.png",
        "00042_red-heart.png",
    ]


@pytest.mark.parametrize(
    ("manifest", "stem"),
    [
        ({"name": "image-0001", "seed": 7, "prompt": "Café au lait"}, "00007_cafe-au-lait"),
        ({"name": "image-0001", "seed": 7, "prompt": "../../etc/passwd"}, "00007_etc-passwd"),
        ({"name": "image-0001", "seed": 7, "prompt": "", "class_name": "faces"}, "00007_faces"),
        ({"name": "image-0001", "seed": 123456789, "prompt": "心"}, "123456789"),
        ({"name": "tracks", "prompt": None}, "tracks"),
        ({"name": "x", "seed": 0, "prompt": "a" * 500}, "00000_" + "a" * 60),
    ],
)
def test_file_names_are_readable_and_harmless(manifest: dict[str, Any], stem: str) -> None:
    assert file_stem(manifest) == stem


def test_a_file_that_disappeared_is_not_verified(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path)
    reference = folder.put(b"text", "text/plain", {"name": "note"})
    assert folder.verify(reference)
    folder.path(reference).write_text("else")
    assert not folder.verify(reference)
    folder.path(reference).unlink()
    assert not folder.verify(reference)


def test_jobs_in_a_project_are_in_its_history(project: Project) -> None:
    specs = [JobSpec("test.work", {"count": 2}, seed=seed) for seed in (1, 2)]
    outcome = run_in_project(project, specs, ignore, never)
    assert outcome.error is None
    assert len(outcome.files) == 4
    assert all(path.is_file() for path in outcome.files)
    assert project.counts()[JobState.SUCCEEDED] == 2


def test_a_failing_job_ends_the_series(project: Project) -> None:
    specs = [JobSpec("test.work"), JobSpec("test.raise"), JobSpec("test.work")]
    outcome = run_in_project(project, specs, ignore, never)
    assert outcome.error is not None
    states = {state: count for state, count in project.counts().items() if count}
    assert states == {JobState.SUCCEEDED: 1, JobState.FAILED: 1, JobState.CANCELLED: 1}


def test_stopping_cancels_what_runs_and_what_waits(project: Project) -> None:
    heard: list[Event] = []
    specs = [JobSpec("test.wait"), JobSpec("test.work")]
    outcome = run_in_project(
        project, specs, heard.append, lambda: any(isinstance(event, Progress) for event in heard)
    )
    assert outcome.error is not None
    assert outcome.error.code == "cancelled"
    assert project.counts()[JobState.CANCELLED] == 2
