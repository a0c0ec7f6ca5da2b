"""The job: from a rendered photo, and a rendered video, to a file of bodies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.artifacts import ArtifactStore
from engine.bodies.record import read_recoveries
from engine.job import Failed, Finished, JobSpec, Output
from engine.runner import run_job

SAMPLES = Path(__file__).parents[3] / "resources" / "samples" / "bodies"


def run(store: ArtifactStore, picture: Path, **params: Any) -> list[Any]:
    events: list[Any] = []
    spec = JobSpec("bodies.recover", params, {"picture": picture}, device="cpu")
    run_job(spec, "job", store, events.append, lambda: False)
    return events


def test_a_photo(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    events = run(store, SAMPLES / "two.jpg", method="ik", height=170)
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.metrics["people"] == 2
    assert finished.metrics["error_share"] < 0.04
    (output,) = (event for event in events if isinstance(event, Output))
    (recovery,) = read_recoveries(store.path(output.artifact))
    assert len(recovery.people) == 2
    assert (recovery.width, recovery.height) == (960, 800)
    assert all(person.translation[2] < -1 for person in recovery.people)
    photo = output.manifest["bodies"]["photo"]
    assert store.path(photo["sha256"]) if isinstance(photo, str) else photo["size"] > 1000


def test_a_video(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    events = run(store, SAMPLES / "walk.mp4", method="ik", every=4, frames=5)
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.metrics["frames"] == 5
    (output,) = (event for event in events if isinstance(event, Output))
    recoveries = read_recoveries(store.path(output.artifact))
    assert [recovery.frame for recovery in recoveries] == [0, 4, 8, 12, 16]
    names = {person.person.identity for recovery in recoveries for person in recovery.people}
    assert len(names) == finished.metrics["people"] == 1
    shapes = [person.shape for recovery in recoveries for person in recovery.people]
    assert all((shape == shapes[0]).all() for shape in shapes), "one body a person"


def test_nobody(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (300, 300), (90, 120, 90)).save(tmp_path / "meadow.png")
    failed = run(ArtifactStore(tmp_path / "store"), tmp_path / "meadow.png")[-1]
    assert isinstance(failed, Failed)
    assert "Nobody was found in meadow.png" in failed.error.message


@pytest.mark.parametrize(("name", "said"), [("a.jpg", "not an image"), ("b.mp4", "b.mp4")])
def test_what_cannot_be_read(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / name).write_bytes(b"nothing of the kind" * 50)
    failed = run(ArtifactStore(tmp_path / "store"), tmp_path / name)[-1]
    assert isinstance(failed, Failed)
    assert said in failed.error.message
