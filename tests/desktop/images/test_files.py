"""Files in and out: settings from dropped pictures, whole copies, clear refusals."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from desktop.images import files
from engine.errors import EngineError, ErrorCode
from engine.images.metadata import read_manifest, write_png
from engine.job import JobSpec
from engine.project import Project
from tests.desktop.images.conftest import AddResult, spec

PIXELS = np.full((8, 8, 3), 50, np.uint8)


def manifest(**params: object) -> dict[str, object]:
    job = spec(seed=3, prompt="rocket", count=2)
    data = job.to_json()
    data["params"] = {**data["params"], **params}
    return {"spec": data, "seed": 4}


def test_our_picture_brings_its_settings(tmp_path: Path) -> None:
    path = tmp_path / "ours.png"
    path.write_bytes(write_png(PIXELS, manifest()))
    settings = files.read_settings(path)
    assert (settings["prompt"], settings["count"], settings["seed"]) == ("rocket", 1, 4)


def _text(path: Path) -> None:
    path.write_text("not a picture at all")


def _foreign(path: Path) -> None:
    Image.fromarray(PIXELS).save(path)


def _truncated(path: Path) -> None:
    path.write_bytes(write_png(np.zeros((64, 64, 3), np.uint8), manifest())[:90])


def _future(path: Path) -> None:
    path.write_bytes(write_png(PIXELS, manifest(hologram=True)))


def _other_job(path: Path) -> None:
    path.write_bytes(write_png(PIXELS, {"spec": JobSpec("bodies.recover").to_json()}))


def _newer_schema(path: Path) -> None:
    path.write_bytes(write_png(PIXELS, {"spec": {**spec().to_json(), "schema": 99}}))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_text, "cannot be read as a picture"),
        (_foreign, "carries no Triptych settings"),
        (_truncated, "cannot be read as a picture"),
        (_future, "hologram"),
        (_other_job, r"bodies\.recover"),
        (_newer_schema, "newer Triptych"),
    ],
)
def test_what_brings_no_usable_settings_says_so(tmp_path: Path, make: object, said: str) -> None:
    path = tmp_path / "dropped.png"
    make(path)  # type: ignore[operator]
    before = path.read_bytes()
    with pytest.raises(EngineError, match=said) as caught:
        files.read_settings(path)
    assert caught.value.code in (ErrorCode.BAD_FILE, ErrorCode.INVALID_INPUT)
    assert path.read_bytes() == before


def test_pictures_are_recognised_by_name_or_by_their_first_bytes(tmp_path: Path) -> None:
    nameless = tmp_path / "download"
    nameless.write_bytes(write_png(PIXELS, {}))
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    assert files.looks_like_picture(nameless)
    assert files.looks_like_picture(Path("holiday.JPEG"))
    assert not files.looks_like_picture(text)
    assert not files.looks_like_picture(tmp_path / "gone.txt")
    assert not files.looks_like_picture(tmp_path)


def test_a_saved_copy_is_the_picture_with_its_settings(
    project: Project, add_result: AddResult, tmp_path: Path
) -> None:
    result = add_result(project.add_job(spec(prompt="rocket")))
    target = files.save_copy(project, result, tmp_path / "copy.png")
    assert read_manifest(target)["prompt"] == "rocket"
    assert [path.name for path in tmp_path.glob("*.png")] == ["copy.png"]


def test_several_copies_get_readable_names(
    project: Project, add_result: AddResult, tmp_path: Path
) -> None:
    job = project.add_job(spec(seed=8, prompt="red heart"))
    ids = [add_result(job, index, 10 * index) for index in range(2)]
    folder = tmp_path / "out"
    folder.mkdir()
    saved = files.save_copies(project, ids, folder)
    assert [path.name for path in saved] == [
        f"red-heart-seed8-{ids[0]}.png",
        f"red-heart-seed9-{ids[1]}.png",
    ]


def test_a_damaged_result_is_not_copied_over_a_good_file(
    project: Project, add_result: AddResult, tmp_path: Path
) -> None:
    result = add_result(project.add_job(spec()))
    project.store.path(project.result(result).artifact).write_bytes(b"broken")
    target = tmp_path / "kept.png"
    target.write_bytes(b"precious")
    with pytest.raises(EngineError, match="damaged"):
        files.save_copy(project, result, target)
    assert target.read_bytes() == b"precious"


def test_a_folder_that_cannot_be_written_is_said_and_nothing_is_left(
    project: Project, add_result: AddResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = add_result(project.add_job(spec()))
    target = tmp_path / "kept.png"
    target.write_bytes(b"precious")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EngineError, match="full") as caught:
        files.save_copy(project, result, target)
    assert caught.value.hint
    assert target.read_bytes() == b"precious"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["kept.png"]


def test_copied_settings_are_a_job_that_can_be_run() -> None:
    job = JobSpec.from_json(json.loads(files.settings_text(manifest())))
    assert job == spec(seed=3, prompt="rocket", count=2)
