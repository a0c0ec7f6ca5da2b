"""``triptych convert``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.cli import main
from engine.convert_command import FORMAT_NAMES
from engine.tracks.boxes import Boxes
from engine.tracks.cameras import Camera
from engine.tracks.formats import FORMATS, read_tracks
from engine.tracks.scene import Scene

ROWS = "".join(
    f"{frame},{track},{100 * track + 0.25},5,20,40,0.5,-1,-1,-1\n"
    for frame in range(1, 6)
    for track in (1, 2)
)


def source(tmp_path: Path, rows: str = ROWS) -> str:
    (tmp_path / "in.txt").write_text(rows)
    return str(tmp_path / "in.txt")


def converted(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["convert", *words, "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["convert", *words, "--json"]) == 2
    return str(json.loads(capsys.readouterr().out)["error"]["message"])


def test_all_formats_can_be_named() -> None:
    assert set(FORMAT_NAMES) == set(FORMATS)


def test_there_and_back_loses_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, back = str(tmp_path / "table.csv"), str(tmp_path / "back.txt")
    there = converted(capsys, source(tmp_path), table)
    assert (there["from"], there["to"], there["boxes"], there["lost"]) == ("mot", "csv", 10, [])
    assert converted(capsys, table, back)["to"] == "mot"
    assert Path(back).read_text() == ROWS


def test_what_was_dropped_and_what_is_lost_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = ROWS + "3,1,9,9,9,9,0.5,-1,-1,-1\n4,7,0,0,-5,9,0.5,-1,-1,-1\n"
    words = ["convert", source(tmp_path, broken), str(tmp_path / "out.xml")]
    assert main(words) == 0
    written, said = capsys.readouterr()
    assert written.strip() == words[2]
    assert "MOTChallenge to CVAT for video 1.1: 10 boxes, 2 tracks, 1 cameras." in said
    assert "width or height is not positive (line 12)" in said
    assert "the track has a box in this frame already (line 11)" in said
    assert "CVAT has no place for scores." in said
    assert len(read_tracks(words[2]).boxes) == 10


def test_formats_by_name_and_by_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = source(tmp_path)
    assert converted(capsys, given, str(tmp_path / "out.json"))["to"] == "coco_vid"
    chosen = converted(capsys, given, str(tmp_path / "tao.json"), "--to", "tao", "--camera", "c041")
    assert (chosen["to"], chosen["cameras"]) == ("tao", ["c041"])
    assert converted(capsys, str(tmp_path / "tao.json"), str(tmp_path / "x.json"))["to"] == "tao"
    assert "does not say which format" in refusal(capsys, given, str(tmp_path / "out.bin"))
    assert not (tmp_path / "out.bin").exists()


def test_a_result_needs_its_annotations(golden: Path, tmp_path: Path, capsys: Any) -> None:
    folder = golden / "mtmc" / "tao"
    words = (str(folder / "results.json"), str(tmp_path / "out.csv"))
    assert "names pictures by number only" in refusal(capsys, *words)
    found = converted(capsys, *words, "--reference", str(folder / "annotations.json"))
    assert found["boxes"] == found["report"]["kept"] > 0


def test_nothing_is_overwritten_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given, target = source(tmp_path), tmp_path / "out.csv"
    target.write_text("mine")
    assert "exists; nothing was converted" in refusal(capsys, given, str(target))
    assert target.read_text() == "mine"
    assert converted(capsys, given, str(target), "--overwrite")["boxes"] == 10
    assert "exists" in refusal(capsys, given, given, "--overwrite")
    assert Path(given).read_text() == ROWS


def test_a_scene_gives_its_results_with_edits_or_its_detections(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "scene")
    with Scene.create(folder, [Camera("c001"), Camera("c002")]) as scene:
        boxes = Boxes.of([0, 1, 0, 1], [[0, 0, 9, 9]] * 4, cameras=[0, 0, 1, 1])
        scene.add_detections(boxes, "test")
    found = converted(capsys, folder, str(tmp_path / "detections.csv"))
    assert (found["boxes"], found["cameras"]) == (4, ["c001", "c002"])
    with Scene.open(folder) as scene:
        scene.add_result("first", [0, 1], [5, 5])
        scene.add_result("second", [0, 1, 2, 3], [5, 5, 6, 6], {5: 9, 6: 9})
    found = converted(capsys, folder, str(tmp_path / "newest.txt"))
    assert (found["to"], found["boxes"]) == ("aicity", 4)
    assert set(read_tracks(tmp_path / "newest.txt").boxes.tracks.tolist()) == {9}
    first = converted(capsys, folder, str(tmp_path / "first"), "--result", "first")
    assert (first["to"], first["boxes"]) == ("mot", 2)
    assert (tmp_path / "first" / "c001.txt").is_file()
    missing = refusal(capsys, folder, str(tmp_path / "x.csv"), "--result", "third")
    assert "has no result 'third'" in missing
    assert "is no scene" in refusal(
        capsys, source(tmp_path), str(tmp_path / "x.csv"), "--result", "third"
    )
